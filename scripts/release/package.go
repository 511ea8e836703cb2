package main

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

//go:embed maintainer
var maintainer embed.FS

const (
	user = "ptiffstore"
	home = "https://github.com/slideatlas/ptiffstore"

	description = `server for whole-slide images of a pathology department
ptiffstore detects the pyramidal TIFF files that slide scanners write, catalogs
them, and serves any tile of any slide to any viewer. It is one static binary
and needs no other service.`
)

// An entry is a file or folder of a package.
type entry struct {
	path         string // absolute
	content      []byte // nil for a folder
	mode         fs.FileMode
	owner, group string // root if ""
	conf         bool   // changes of the administrator are kept
}

// packaged returns the name and the content of a Debian or RPM package.
func (r *release) packaged(format, processor string, program []byte) (string, []byte, error) {
	entries, err := r.entries(format, program)
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "release-*")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	scripts, err := writeScripts(dir)
	if err != nil {
		return "", nil, err
	}
	info := &nfpm.Info{
		Name: "ptiffstore", Arch: processor, Version: r.version, Section: "science", Priority: "optional", Maintainer: "ptiffstore developers <" + home + ">",
		Description: description, Homepage: home, License: "Apache-2.0", MTime: r.at, DisableGlobbing: true,
	}
	info.Scripts = scripts
	info.Recommends = []string{"ca-certificates"}
	info.Suggests = []string{"nginx"}
	// useradd must be there before the files are unpacked.
	info.Deb.Predepends = []string{"passwd"}
	info.Deb.Compression = "gzip:9"
	if format == "rpm" {
		info.Depends = []string{"/usr/sbin/useradd"}
		info.RPM = nfpm.RPM{BuildHost: "localhost", Summary: strings.SplitN(description, "\n", 2)[0], Group: "Applications/Internet", Compression: "gzip:9"}
	}
	if info.Contents, err = contents(dir, entries); err != nil {
		return "", nil, err
	}
	info = nfpm.WithDefaults(info)
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", nil, err
	}
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return "", nil, err
	}
	return packager.ConventionalFileName(info), b.Bytes(), nil
}

// entries returns what a package contains.
func (r *release) entries(format string, program []byte) ([]entry, error) {
	list := []entry{
		{path: "/usr/bin/ptiffstore", content: program, mode: 0o755},
		{path: "/etc/ptiffstore", mode: 0o755},
		// Catalog and backups hold patient names and keys.
		{path: "/var/lib/ptiffstore", mode: 0o700, owner: user, group: user},
		{path: "/var/backups/ptiffstore", mode: 0o700, owner: user, group: user},
	}
	for _, path := range slices.Sorted(maps.Keys(r.extra)) {
		e := entry{path: "/" + path, content: r.extra[path], mode: 0o644}
		switch {
		case strings.HasPrefix(path, "etc/"):
			e.conf = true
			if strings.HasSuffix(path, ".env") { // it may hold a password
				e.mode, e.group = 0o640, user
			}
		case strings.HasPrefix(path, "usr/share/man/"):
			e.path, e.content = e.path+".gz", gzipped(e.content)
		case format == "rpm":
			e.path = strings.Replace(e.path, "/zsh/vendor-completions/", "/zsh/site-functions/", 1)
		}
		list = append(list, e)
	}
	const docs = "/usr/share/doc/ptiffstore/"
	for _, f := range []struct{ path, from string }{
		{docs + "copyright", "LICENSE"},
		{docs + "NOTICES.gz", "internal/licenses/licenses.txt"},
		{docs + "CHANGELOG.md.gz", "CHANGELOG.md"},
		{docs + "examples/nginx.conf", "docs/examples/nginx.conf"},
		{docs + "examples/Caddyfile", "docs/examples/Caddyfile"},
		{docs + "examples/alerts.yml", "docs/monitoring/alerts.yml"},
		{docs + "examples/dashboard.json", "docs/monitoring/dashboard.json"},
	} {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(f.path, ".gz") {
			content = gzipped(content)
		}
		list = append(list, entry{path: f.path, content: content, mode: 0o644})
	}
	return list, nil
}

// contents writes the entries to a folder, for nfpm to read.
func contents(dir string, entries []entry) (files.Contents, error) {
	var list files.Contents
	for _, e := range entries {
		c := &files.Content{Destination: e.path, FileInfo: &files.ContentFileInfo{Owner: orRoot(e.owner), Group: orRoot(e.group), Mode: e.mode}}
		switch {
		case e.content == nil:
			c.Type = files.TypeDir
		case e.conf:
			c.Type = files.TypeConfigNoReplace
			fallthrough
		default:
			c.Source = filepath.Join(dir, "root", e.path)
			if err := os.MkdirAll(filepath.Dir(c.Source), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(c.Source, e.content, 0o644); err != nil {
				return nil, err
			}
		}
		list = append(list, c)
	}
	return list, nil
}

func orRoot(name string) string {
	if name == "" {
		return "root"
	}
	return name
}

// writeScripts writes the maintainer scripts to a folder, for nfpm to read.
func writeScripts(dir string) (nfpm.Scripts, error) {
	sub, err := fs.Sub(maintainer, "maintainer")
	if err != nil {
		return nfpm.Scripts{}, err
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	s := nfpm.Scripts{PreInstall: path("preinstall"), PostInstall: path("postinstall"), PreRemove: path("preremove"), PostRemove: path("postremove")}
	return s, os.CopyFS(dir, sub)
}

// gzipped compresses a document, without a name or time.
func gzipped(content []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	z.Write(content)                                      // a buffer takes everything
	z.Close()
	return b.Bytes()
}
