// Command release builds the files of a release into a folder: for each system an archive
// with the static program, its manual pages and notices; Debian and RPM packages; images of
// containers, which docker load reads; a software bill of materials (CycloneDX); the wheel and
// source archive of the Python client; and the digests of all files. The same commit gives the
// same bytes. The pages must have been built into internal/webui/dist.
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
		native, err := linksC(target)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		if !native && strings.HasPrefix(target, "linux/") {
			fmt.Fprintf(os.Stderr, "release: %s is built in pure Go, without libjpeg-turbo and OpenJPEG: they or a compiler are missing, see scripts/setup release\n", target)
		}
		program, err := build(target, r.version, native)
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		if err := r.target(target, program, native); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	for _, pack := range []func(folder, license, version string, at time.Time) (string, []byte, error){wheel, sourceArchive} {
		name, content, err := pack("clients/python", "LICENSE", r.version, r.at)
		if err != nil {
			return fmt.Errorf("clients/python: %w", err)
		}
		if err := r.write(name, content); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), r.sums.Bytes(), 0o644)
}

// target writes the files of a system. If native is set, the program contains libraries in C.
func (r *release) target(target string, program []byte, native bool) error {
	system, processor, _ := strings.Cut(target, "/")
	name := "ptiffstore-" + r.version + "-" + system + "-" + processor
	var libraries []component
	if native {
		var err error
		if libraries, err = cLibraries(processor); err != nil {
			return err
		}
	}
	bom, err := r.billOfMaterials(program, libraries)
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

// compilers are the C compilers for the programs that contain libraries in C, by target.
var compilers = map[string]string{"linux/amd64": "x86_64-linux-gnu-gcc", "linux/arm64": "aarch64-linux-gnu-gcc"}

// linksC reports whether libjpeg-turbo and OpenJPEG can be linked into the program for a
// system.
func linksC(target string) (bool, error) {
	cc := compilers[target]
	if cc == "" {
		return false, nil
	}
	cmd := exec.Command("scripts/build", "--native")
	cmd.Env = append(environment(target), "CC="+cc)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return len(out) > 0, err
}

func environment(target string) []string {
	system, processor, _ := strings.Cut(target, "/")
	return append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=")
}

// build returns the program for a system. It does not depend on the folder of the build, nor
// on the machine except for the libraries in C, whose versions the bill of materials names.
func build(target, version string, native bool) ([]byte, error) {
	dir, err := os.MkdirTemp("", "release-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "ptiffstore")
	tags, flags, env := "", "-s -w -buildid= -X main.version="+version, []string{"CGO_ENABLED=0"}
	if native {
		tags, flags = "native,netgo,osusergo", flags+" -linkmode external -extldflags '-static -Wl,--build-id=none'"
		env = []string{"CGO_ENABLED=1", "CC=" + compilers[target], "CGO_CFLAGS=-O2", "CGO_LDFLAGS=-O2"}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", flags, "-o", file, "./cmd/ptiffstore")
	cmd.Env = append(environment(target), env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// beside returns the files that a package has beside the program, which the program itself
// writes.
func (r *release) beside() (map[string][]byte, error) {
	program, err := build(runtime.GOOS+"/"+runtime.GOARCH, r.version, false)
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
