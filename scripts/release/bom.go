package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A component is a part of the program in CycloneDX 1.6.
type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
}

// cLibraries returns the libraries in C that are linked into the program for a processor,
// with the versions of their Debian packages.
func cLibraries(processor string) ([]component, error) {
	var list []component
	for _, l := range []struct{ name, source, pkg string }{
		{"libjpeg-turbo", "libjpeg-turbo", "libturbojpeg0-dev"}, {"OpenJPEG", "openjpeg2", "libopenjp2-7-dev"}, {"GNU C Library", "glibc", "libc6-dev"},
	} {
		pkg := l.pkg + ":" + processor
		out, err := exec.Command("dpkg-query", "--show", "--showformat=${Version}", pkg).Output()
		if err != nil {
			return nil, fmt.Errorf("the version of the package %s, for the bill of materials: %w", pkg, err)
		}
		version := string(out)
		_, upstream, found := strings.Cut(version, ":") // without the epoch
		if !found {
			upstream = version
		}
		upstream, _, _ = strings.Cut(upstream, "-")
		list = append(list, component{"library", l.name, upstream, "pkg:deb/debian/" + l.source + "@" + url.QueryEscape(version) + "?arch=" + processor})
	}
	return list, nil
}

// billOfMaterials lists the libraries and modules that are linked into the program, and the
// packages of its pages.
func (r *release) billOfMaterials(program []byte, libraries []component) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	list := []component{{"application", "go", strings.TrimPrefix(info.GoVersion, "go"), "pkg:generic/go@" + strings.TrimPrefix(info.GoVersion, "go")}}
	list = append(list, libraries...)
	for _, m := range info.Deps {
		list = append(list, component{"library", m.Path, m.Version, "pkg:golang/" + m.Path + "@" + m.Version})
	}
	pages, err := npmComponents()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":   map[string]any{"timestamp": r.at.Format(time.RFC3339), "component": component{"application", "ptiffstore", r.version, ""}},
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
