package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// sourceArchive returns the source archive of the Python client and its file name: what pip needs to
// build the wheel.
func sourceArchive(folder, license, version string, at time.Time) (name string, content []byte, err error) {
	var p project
	if _, err := toml.DecodeFile(filepath.Join(folder, "pyproject.toml"), &p); err != nil {
		return "", nil, err
	}
	version = pythonVersion(version)
	files, err := pythonFiles(folder, p.Tool.Setuptools.Packages)
	if err != nil {
		return "", nil, err
	}
	for to, from := range map[string]string{"pyproject.toml": filepath.Join(folder, "pyproject.toml"), p.Project.Readme: filepath.Join(folder, p.Project.Readme), "LICENSE": license} {
		if files[to], err = os.ReadFile(from); err != nil {
			return "", nil, err
		}
	}
	files["pyproject.toml"] = bytes.Replace(files["pyproject.toml"], []byte("version = \"0\""), fmt.Appendf(nil, "version = %q", version), 1)
	files["PKG-INFO"] = fmt.Appendf(nil, "Metadata-Version: 2.4\nName: %s\nVersion: %s\nSummary: %s\nLicense-Expression: %s\nRequires-Python: %s\n",
		p.Project.Name, version, p.Project.Description, p.Project.License, p.Project.RequiresPython)
	base := p.Project.Name + "-" + version
	content, err = compressed(base+"/", files, at)
	return base + ".tar.gz", content, err
}

// compressed returns a compressed tar archive of the files, in a folder.
func compressed(folder string, files map[string][]byte, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := t.WriteHeader(&tar.Header{Name: folder + name, Mode: 0o644, Size: int64(len(files[name])), ModTime: at, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := t.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
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
