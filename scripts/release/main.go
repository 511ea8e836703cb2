// Command release builds the files of a release into a folder: for each system an archive
// with the static program, its manual pages and notices; Debian and RPM packages; images of
// containers, which docker load reads; a software bill of materials (CycloneDX); the wheel
// of the Python client; and the digests of all files. The same commit gives the same bytes. The pages must have been built
// into internal/webui/dist.
//
//	go run -C scripts/release . -version v1.2.3 -time 1700000000 -out dist
//
// It is a module of its own, so that the product does not depend on what only packaging
// needs.
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

var targets = []string{"linux/amd64", "linux/arm64", "darwin/arm64"}

func main() {
	version := flag.String("version", "v0.0.0-dev", "version of the release")
	revision := flag.String("revision", "", "commit of the release, for the labels of images")
	seconds := flag.Int64("time", 0, "time of the commit, in seconds since 1970: that of all files")
	source := flag.String("source", "../..", "folder of the source")
	out := flag.String("out", "../../dist", "folder to write to")
	flag.Parse()
	r := &release{version: *version, revision: *revision, at: time.Unix(*seconds, 0).UTC()}
	err := r.enter(*source, *out)
	if err == nil {
		err = r.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// A release is what is built.
type release struct {
	version  string
	revision string    // commit; "" if unknown
	at       time.Time // of the commit
	out      string

	extra map[string][]byte // files that a package has beside the program, by path
	sums  bytes.Buffer
}

// enter makes the folder of the source the current one, and creates that of the output.
func (r *release) enter(source, out string) (err error) {
	if r.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	return os.Chdir(source)
}

func (r *release) run() error {
	var err error
	if r.extra, err = r.beside(); err != nil {
		return fmt.Errorf("files beside the program: %w", err)
	}
	for _, target := range targets {
		program, err := build(target, r.version)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		if err := r.target(target, program); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	name, content, err := wheel("clients/python", "LICENSE", r.version, r.at)
	if err != nil {
		return fmt.Errorf("clients/python: %w", err)
	}
	if err := r.write(name, content); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), r.sums.Bytes(), 0o644)
}

// target writes the files of a system.
func (r *release) target(target string, program []byte) error {
	system, processor, _ := strings.Cut(target, "/")
	name := "ptiffstore-" + r.version + "-" + system + "-" + processor
	bom, err := r.billOfMaterials(program)
	if err != nil {
		return err
	}
	if err := r.write(name+".cdx.json", bom); err != nil {
		return err
	}
	archive, err := r.archive(name, program)
	if err != nil {
		return err
	}
	if err := r.write(name+".tar.gz", archive); err != nil || system != "linux" {
		return err
	}
	for _, format := range []string{"deb", "rpm"} {
		file, content, err := r.packaged(format, processor, program)
		if err != nil {
			return fmt.Errorf("%s package: %w", format, err)
		}
		if err := r.write(file, content); err != nil {
			return err
		}
	}
	image, err := r.image(processor, program)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	return r.write(name+"-image.tar", image)
}

// write writes a file of the release.
func (r *release) write(name string, content []byte) error {
	path := filepath.Join(r.out, name)
	fmt.Fprintf(&r.sums, "%x  %s\n", sha256.Sum256(content), name)
	fmt.Println(path)
	return os.WriteFile(path, content, 0o644)
}

// build returns the program for a system. It does not depend on the machine or on the folder
// of the build.
func build(target, version string) ([]byte, error) {
	system, processor, _ := strings.Cut(target, "/")
	dir, err := os.MkdirTemp("", "release-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "ptiffstore")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+version, "-o", file, "./cmd/ptiffstore")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+processor, "GOAMD64=v1", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// beside returns the files that a package has beside the program, which the program itself
// writes.
func (r *release) beside() (map[string][]byte, error) {
	program, err := build(runtime.GOOS+"/"+runtime.GOARCH, r.version)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "release-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file, root := filepath.Join(dir, "ptiffstore"), filepath.Join(dir, "root")
	if err := os.WriteFile(file, program, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(file, "deploy", "package", "--out", root, "--date", r.at.Format(time.DateOnly))
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return readTree(root)
}

// readTree returns the files of a folder by their slash-separated paths within it.
func readTree(root string) (map[string][]byte, error) {
	tree := map[string][]byte{}
	fsys := os.DirFS(root)
	return tree, walkFiles(fsys, func(path string, content []byte) { tree[path] = content })
}
