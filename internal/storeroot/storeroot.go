// Package storeroot limits where clients may add stores: in or below configured folders, and
// in configured databases and buckets. It describes these folders, checks paths of clients, and creates
// the folders of new stores.
package storeroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// ErrOutside: the folder is not in a place where stores are allowed.
var ErrOutside = errors.New("the folder is outside the folders in which stores are allowed (store_roots in the configuration, --store-root on the command line)")

const (
	// folderMode is the mode of folders that are created for stores. Slides are patient data:
	// others than the server's user and group may not read them.
	folderMode = 0o750
	// mayWriteInto is the mode of access(2) to create files in a folder: W_OK and X_OK.
	mayWriteInto = 2 | 1
)

// Roots are the folders in or below which stores may be added, and URLs of databases and buckets
// that may be added: see [source.Within].
type Roots []string

// folders returns the roots that are folders.
func (r Roots) folders() []string {
	return slices.DeleteFunc(slices.Clone(r), source.IsURL)
}

// A Folder is the state of one of the [Roots].
type Folder struct {
	Path     string // as it was configured
	Exists   bool   // it can be reached
	Writable bool   // this process may create files in it
	Free     *int64 // bytes that may be written to its file system; nil if unknown
}

// List returns the state of each folder.
func (r Roots) List() []Folder {
	folders := r.folders()
	list := make([]Folder, len(folders))
	for i, path := range folders {
		f := Folder{Path: path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			f.Exists, f.Writable = true, syscall.Access(path, mayWriteInto) == nil
		}
		if free, err := fsx.Free(path); err == nil {
			f.Free = &free
		}
		list[i] = f
	}
	return list
}

// Check returns the real path of a folder in or below one of the roots. The error, which may
// be [ErrOutside], reveals nothing about other folders, not even whether they exist.
func (r Roots) Check(path string) (string, error) {
	if !isFull(path) {
		return "", errors.New("give the whole path, from / on")
	}
	resolved := resolve(path)
	if !r.contain(resolved) {
		return "", ErrOutside
	}
	if info, err := os.Stat(resolved); err != nil {
		return "", errors.New("the folder does not exist on the server, or can't be read")
	} else if !info.IsDir() {
		return "", errors.New("this is not a folder")
	}
	return resolved, nil
}

// Make creates the folder of a new store, with its parents, if it does not exist. It does
// nothing if [Roots.Check] refuses the path. The returned function removes the folder again
// if it was created and is empty.
func (r Roots) Make(path string) (remove func(), err error) {
	remove = func() {}
	resolved := resolve(path)
	if !isFull(path) || !r.contain(resolved) {
		return remove, nil
	}
	if _, err := os.Stat(resolved); !errors.Is(err, fs.ErrNotExist) {
		return remove, nil
	}
	if err := r.mkdir(resolved); err != nil {
		return remove, mkdirFailed(err)
	}
	return func() { os.Remove(resolved) }, nil
}

// mkdir creates a folder. Symbolic links that are created meanwhile do not lead it elsewhere.
func (r Roots) mkdir(path string) error {
	for _, top := range r.folders() {
		top = resolve(top)
		rel, err := filepath.Rel(top, path)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		root, err := os.OpenRoot(top)
		if err != nil {
			return err
		}
		defer root.Close()
		return root.MkdirAll(rel, folderMode)
	}
	return ErrOutside
}

// mkdirFailed returns the error for a person, without paths.
func mkdirFailed(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return errors.New("the server may not create this folder: choose one in a writable folder, or create it on the server and make the server's user its owner")
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return errors.New("a part of the path is a file, not a folder")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errors.New("the disk is full, so the folder can't be created")
	}
	return errors.New("the server can't create this folder: create it on the server")
}

// contain reports whether path is one of the roots or below one.
func (r Roots) contain(path string) bool {
	for _, root := range r.folders() {
		if rel, err := filepath.Rel(resolve(root), path); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

func isFull(path string) bool { return filepath.IsAbs(path) && !strings.ContainsRune(path, 0) }

// resolve resolves symbolic links in the existing part of path.
func resolve(path string) string {
	path = filepath.Clean(path)
	for there, rest := path, ""; ; there, rest = filepath.Dir(there), filepath.Join(filepath.Base(there), rest) {
		if real, err := filepath.EvalSymlinks(there); err == nil || there == "/" {
			return filepath.Join(real, rest)
		}
	}
}
