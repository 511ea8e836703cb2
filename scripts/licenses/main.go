// Command licenses prints the licenses of all modules and packages in the program and its
// pages: the text that version --licenses shows. Run it in the root of the project, after
// installing webapp/node_modules:
//
//	go run ./scripts/licenses > internal/licenses/licenses.txt
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A part is a module or package in the program, with the texts of its license.
type part struct {
	name, version string
	texts         []string
}

var errNone = errors.New("no licence")

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	parts, err := goModules()
	if err != nil {
		return err
	}
	pages, err := npmPackages()
	if err != nil {
		return err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	std, err := texts(strings.TrimSpace(string(root)))
	if err != nil {
		return err
	}
	libraries, err := cLibraries()
	if err != nil {
		return err
	}
	parts = slices.Concat([]part{{"Go", "", std}}, libraries, parts, pages)
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "ptiffstore is under the Apache License 2.0. It is made with the following.")
	for _, p := range parts {
		fmt.Fprintf(out, "\n\n== %s\n", strings.TrimSpace(p.name+" "+p.version))
		for _, t := range p.texts {
			fmt.Fprintf(out, "\n%s\n", t)
		}
	}
	return out.Flush()
}

// cLibraries returns the libraries in C that a program with the tag native contains. Their
// texts are beside this command, named after the library and its version.
func cLibraries() ([]part, error) {
	files, err := filepath.Glob("scripts/licenses/c/*.txt")
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		at := strings.LastIndexByte(name, ' ')
		parts = append(parts, part{name[:at], name[at+1:], []string{strings.TrimSpace(string(b))}})
	}
	return parts, nil
}

// goModules returns the modules that are linked into the program, in all its builds.
func goModules() ([]part, error) {
	seen := map[string]bool{}
	var parts []part
	for _, tags := range []string{"", "native"} {
		list := exec.Command("go", "list", "-deps", "-tags", tags, "-json=Module", "./cmd/ptiffstore")
		if tags != "" {
			list.Env = append(os.Environ(), "CGO_ENABLED=1")
		}
		out, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				Module *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if p.Module == nil || p.Module.Main || seen[p.Module.Path] {
				continue
			}
			seen[p.Module.Path] = true
			list, err := texts(p.Module.Dir)
			if err != nil {
				return nil, err
			}
			parts = append(parts, part{p.Module.Path, p.Module.Version, list})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.name, b.name) })
	return parts, nil
}

// bundled matches the heading of a package in the list of packages that the build of the
// pages writes.
var bundled = regexp.MustCompile(`(?m)^## (\S+) - (\S+)`)

// npmPackages returns the packages in the pages: those that the build lists, and the direct
// dependencies, since the build does not list the packages in a worker's script. Packages
// that are installed but not in the pages are not included.
func npmPackages() ([]part, error) {
	list, err := os.ReadFile(filepath.Join("internal", "webui", "dist", "licences.md"))
	if err != nil {
		return nil, fmt.Errorf("the pages are not built: %w", err)
	}
	holds := map[string]bool{}
	for _, m := range bundled.FindAllStringSubmatch(string(list), -1) {
		holds[m[1]+" "+m[2]] = true
	}
	var lock struct {
		Packages map[string]struct {
			Version      string
			Dependencies map[string]string
		}
	}
	if err := readJSON(filepath.Join("webapp", "package-lock.json"), &lock); err != nil {
		return nil, err
	}
	for name, version := range lock.Packages[""].Dependencies {
		holds[name+" "+version] = true
	}
	const modules = "node_modules/"
	var parts []part
	for path, p := range lock.Packages {
		name := strings.TrimPrefix(path[max(strings.LastIndex(path, modules), 0):], modules)
		if !holds[name+" "+p.Version] {
			continue
		}
		delete(holds, name+" "+p.Version)
		list, err := npmTexts(filepath.Join("webapp", path))
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{name, p.Version, list})
	}
	if len(holds) > 0 {
		return nil, fmt.Errorf("the pages hold what package-lock.json does not name: %q; build them again", slices.Sorted(maps.Keys(holds)))
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.name, b.name) })
	return parts, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// texts returns the license and notice files in dir.
func texts(dir string) (list []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.ToUpper(f.Name())
		if f.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "UNLICENSE") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		list = append(list, strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n")))
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w", filepath.Base(dir), errNone)
	}
	return list, nil
}
