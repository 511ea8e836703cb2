package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A project is the description of the Python package in pyproject.toml.
type project struct {
	Project struct {
		Name, Description, Readme, License string
		RequiresPython                     string `toml:"requires-python"`
	}
	Tool struct {
		Setuptools struct{ Packages []string }
	}
}

// wheel returns the wheel of the Python client and its file name. Its files are stored, not
// compressed, so that the bytes do not depend on a compressor.
func wheel(folder, license, version string, at time.Time) (name string, content []byte, err error) {
	var p project
	if _, err := toml.DecodeFile(filepath.Join(folder, "pyproject.toml"), &p); err != nil {
		return "", nil, err
	}
	version = pythonVersion(version)
	info := p.Project.Name + "-" + version + ".dist-info/"
	files, err := pythonFiles(folder, p.Tool.Setuptools.Packages)
	if err != nil {
		return "", nil, err
	}
	readme, err := os.ReadFile(filepath.Join(folder, p.Project.Readme))
	if err != nil {
		return "", nil, err
	}
	if files[info+"licenses/LICENSE"], err = os.ReadFile(license); err != nil {
		return "", nil, err
	}
	files[info+"METADATA"] = fmt.Appendf(nil, "Metadata-Version: 2.4\nName: %s\nVersion: %s\nSummary: %s\nLicense-Expression: %s\nLicense-File: LICENSE\n"+
		"Requires-Python: %s\nDescription-Content-Type: text/markdown\n\n%s", p.Project.Name, version, p.Project.Description, p.Project.License, p.Project.RequiresPython, readme)
	files[info+"WHEEL"] = []byte("Wheel-Version: 1.0\nGenerator: ptiffstore\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	content, err = archive(files, info+"RECORD", at)
	return p.Project.Name + "-" + version + "-py3-none-any.whl", content, err
}

// pythonFiles returns the files of the packages by their path in the wheel.
func pythonFiles(folder string, packages []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, pkg := range packages {
		dir := strings.ReplaceAll(pkg, ".", "/")
		paths, err := filepath.Glob(filepath.Join(folder, dir, "*.py"))
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("%s has no package %s", folder, pkg)
		}
		for _, path := range paths {
			if files[dir+"/"+filepath.Base(path)], err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// archive returns the ZIP archive of the files, and of a record with their digests.
func archive(files map[string][]byte, record string, at time.Time) ([]byte, error) {
	names := make([]string, 0, len(files))
	var list strings.Builder
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		sum := sha256.Sum256(files[name])
		fmt.Fprintf(&list, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(files[name]))
	}
	fmt.Fprintf(&list, "%s,,\n", record)
	files[record] = []byte(list.String())
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range append(names, record) {
		h := &zip.FileHeader{Name: name, Method: zip.Store, Modified: at}
		h.SetMode(0o644)
		w, err := z.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

var (
	released = regexp.MustCompile(`^v?(\d+(?:\.\d+)*)(-dev|-rc\.?\d+)?(?:[-+](.+))?$`)
	unsuited = regexp.MustCompile(`[^a-z0-9]+`)
)

// pythonVersion returns the version in the form of PEP 440: v1.2.3 is 1.2.3, v1.2.3-dev+0abc
// is 1.2.3.dev0+0abc, v1.2.3-4-g0abc-dirty is 1.2.3+4.g0abc.dirty, and a commit g0abc is
// 0+g0abc.
func pythonVersion(version string) string {
	number, local := "0", version
	if m := released.FindStringSubmatch(version); m != nil {
		number, local = m[1], m[3]
		if m[2] == "-dev" {
			number += ".dev0"
		} else {
			number += strings.NewReplacer("-", "", ".", "").Replace(m[2])
		}
	}
	local = strings.Trim(unsuited.ReplaceAllString(strings.ToLower(local), "."), ".")
	if local == "" {
		return number
	}
	return number + "+" + local
}
