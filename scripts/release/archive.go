package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// documents are the documents of an archive, and where they are in the source.
var documents = []struct{ name, from string }{
	{"LICENSE", "LICENSE"}, {"NOTICES.txt", "internal/licenses/licenses.txt"}, {"README.md", "README.md"}, {"CHANGELOG.md", "CHANGELOG.md"},
}

// archive returns the archive of a program, its documents, and in share its manual pages and
// completions.
func (r *release) archive(folder string, program []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(z)
	add := func(name string, mode int64, content []byte) error {
		h := &tar.Header{Name: folder + "/" + name, Mode: mode, Size: int64(len(content)), ModTime: r.at, Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(content)
		return err
	}
	if err := add("ptiffstore", 0o755, program); err != nil {
		return nil, err
	}
	for _, f := range documents {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return nil, err
		}
		if err := add(f.name, 0o644, content); err != nil {
			return nil, err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(r.extra)) {
		if name, ok := strings.CutPrefix(path, "usr/share/"); ok {
			if err := add("share/"+name, 0o644, r.extra[path]); err != nil {
				return nil, err
			}
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

// walkFiles calls do for each file of a folder, in lexical order.
func walkFiles(fsys fs.FS, do func(path string, content []byte)) error {
	return fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(fsys, path)
		do(path, content)
		return err
	})
}
