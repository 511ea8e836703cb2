// Command release builds the archives of a release into a folder: for each system the static
// program with license and notices, a software bill of materials (CycloneDX), the wheel of
// the Python client, and the digests of all files. The same commit gives the same bytes. The pages must have been built
// into internal/webui/dist.
//
//	go run ./scripts/release -version v1.2.3 -time 1700000000 -out dist
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var targets = []string{"linux/amd64", "linux/arm64", "darwin/arm64"}

func main() {
	version := flag.String("version", "devel", "version of the release")
	seconds := flag.Int64("time", 0, "time of the commit, in seconds since 1970: that of all files")
	out := flag.String("out", "dist", "folder to write to")
	flag.Parse()
	if err := run(*version, time.Unix(*seconds, 0).UTC(), *out); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(version string, at time.Time, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, t := range targets {
		name := "ptiffstore-" + version + "-" + strings.ReplaceAll(t, "/", "-")
		program, err := build(t, version)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		archive, err := pack(name, at, program)
		if err != nil {
			return err
		}
		bom, err := billOfMaterials(version, at, program)
		if err != nil {
			return err
		}
		for _, f := range []struct {
			name string
			b    []byte
		}{{name + ".cdx.json", bom}, {name + ".tar.gz", archive}} {
			if err := os.WriteFile(filepath.Join(out, f.name), f.b, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(f.b), f.name)
		}
		fmt.Println(filepath.Join(out, name+".tar.gz"))
	}
	name, content, err := wheel("clients/python", "LICENSE", version, at)
	if err != nil {
		return fmt.Errorf("clients/python: %w", err)
	}
	if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
	fmt.Println(filepath.Join(out, name))
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), sums.Bytes(), 0o644)
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

// pack returns the archive of a program and its documents.
func pack(folder string, at time.Time, program []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(z)
	add := func(name string, mode int64, content []byte) error {
		h := &tar.Header{Name: folder + "/" + name, Mode: mode, Size: int64(len(content)), ModTime: at, Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(content)
		return err
	}
	if err := add("ptiffstore", 0o755, program); err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, from string }{{"LICENSE", "LICENSE"}, {"NOTICES.txt", "internal/licenses/licenses.txt"}, {"README.md", "README.md"}} {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return nil, err
		}
		if err := add(f.name, 0o644, content); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// A component is a part of the program in CycloneDX 1.6.
type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
}

// billOfMaterials lists the modules that are linked into the program, and the packages of
// its pages.
func billOfMaterials(version string, at time.Time, program []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	list := []component{{"application", "go", strings.TrimPrefix(info.GoVersion, "go"), "pkg:generic/go@" + strings.TrimPrefix(info.GoVersion, "go")}}
	for _, m := range info.Deps {
		list = append(list, component{"library", m.Path, m.Version, "pkg:golang/" + m.Path + "@" + m.Version})
	}
	pages, err := npmComponents()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":   map[string]any{"timestamp": at.Format(time.RFC3339), "component": component{"application", "ptiffstore", version, ""}},
		"components": append(list, pages...),
	}, "", "  ")
}

func npmComponents() ([]component, error) {
	b, err := os.ReadFile("webapp/package-lock.json")
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	var lock struct {
		Packages json.RawMessage `json:"packages"`
	}
	if err := d.Decode(&lock); err != nil {
		return nil, err
	}
	// In the order of the file, which does not change from one run to the next.
	d = json.NewDecoder(bytes.NewReader(lock.Packages))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var list []component
	for d.More() {
		path, err := d.Token()
		if err != nil {
			return nil, err
		}
		var p struct {
			Version string
			Dev     bool
		}
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
		_, name, found := strings.Cut(path.(string), "node_modules/")
		if found && !p.Dev {
			list = append(list, component{"library", name, p.Version, "pkg:npm/" + strings.ReplaceAll(name, "@", "%40") + "@" + p.Version})
		}
	}
	return list, nil
}
