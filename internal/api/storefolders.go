package api

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const storeFoldersRoute = "/api/v1/store-folders"

// folderMode is the mode of folders that the server creates for stores. Slides are patient
// data: others than the server's user and group may not read them.
const folderMode = 0o750

// mayWriteInto is the mode of access(2) to create files in a folder: W_OK and X_OK.
const mayWriteInto = 2 | 1

// storeFolder is a folder in or below which stores may be added.
type storeFolder struct {
	Path     string `json:"path" doc:"Absolute path on the server."`
	Exists   bool   `json:"exists" doc:"Whether the folder can be reached."`
	Writable bool   `json:"writable" doc:"Whether the server may create files there, as a managed store needs. Otherwise only in-place stores are possible."`
	Free     *int64 `json:"free" doc:"Free space of its disk in bytes; null if unknown."`
}

// listFolders lists the folders in which stores are allowed.
func (a storeAPI) listFolders(context.Context, *struct{}) (*list[storeFolder], error) {
	var items []storeFolder
	for _, path := range a.StoreRoots {
		v := storeFolder{Path: path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			v.Exists, v.Writable = true, syscall.Access(path, mayWriteInto) == nil
		}
		var disk syscall.Statfs_t
		if syscall.Statfs(path, &disk) == nil {
			v.Free = new(int64(disk.Bavail) * int64(disk.Bsize)) //nolint:unconvert // Bsize has other types elsewhere
		}
		items = append(items, v)
	}
	return listOf(items, ""), nil
}

// makeFolder creates the folder of a new store in one of the StoreRoots, if it does not
// exist, and adds an error if it can't. The returned function removes it again.
func (a storeAPI) makeFolder(e *edit, path string) (remove func()) {
	remove = func() {}
	resolved := resolve(path)
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) || !a.isInRoots(resolved) {
		return remove // the check of the folder has the words
	}
	if _, err := os.Stat(resolved); !errors.Is(err, fs.ErrNotExist) {
		return remove
	}
	if err := a.mkdir(resolved); err != nil {
		e.errs = append(e.errs, inField("root", mkdirFailed(err)))
		return remove
	}
	return func() { os.Remove(resolved) } // fails if it is not empty
}

// mkdir creates a folder below one of the StoreRoots. Symbolic links that are created
// meanwhile do not lead it elsewhere.
func (a storeAPI) mkdir(path string) error {
	for _, top := range a.StoreRoots {
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
	return errOutside
}

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
