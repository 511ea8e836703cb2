// Command licenses prints the licences of all that the program and its pages are made
// of: the text that the program shows with version --licenses. It is run in the root
// of the project, with webapp/node_modules in place:
//
//	go run ./scripts/licenses > internal/notice/licenses.txt
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A part is something the program is made of, and the texts of its licence.
type part struct {
	name, version string
	texts         []string
}

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
	parts = slices.Concat([]part{{"Go", "", std}}, parts, pages)
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

// goModules are the modules that the program, in all its builds, is linked from.
func goModules() ([]part, error) {
	seen := map[string]bool{}
	var parts []part
	for _, tags := range []string{"", "turbo"} {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, "-json=Module", "./cmd/ptiffstore").Output()
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

// npmPackages are those that the pages are built from, as the lock file has them.
func npmPackages() ([]part, error) {
	b, err := os.ReadFile(filepath.Join("webapp", "package-lock.json"))
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct {
			Version string
			Dev     bool
			Peer    bool
		}
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		return nil, err
	}
	var parts []part
	for path, p := range lock.Packages {
		if path == "" || p.Dev {
			continue
		}
		list, err := texts(filepath.Join("webapp", path))
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{path[strings.LastIndex(path, "node_modules/")+len("node_modules/"):], p.Version, list})
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.name, b.name) })
	return parts, nil
}

// texts are the files in dir that state a licence or what must be told.
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
		return nil, fmt.Errorf("%s: no licence", filepath.Base(dir))
	}
	return list, nil
}
