package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// MaxDepth bounds the depth of folders, and with it the number of open directories.
const MaxDepth = 64

// batchNames is how many names of a folder are read at a time.
const batchNames = 4096

// A walker lists a directory and those below. It follows no symbolic links.
type walker struct {
	Listing
	ListOptions
	root   string
	prefix string // of the reported paths
	filter Filter
}

// walk reports every slide in and below the folder dir, "" for the root itself. The
// error is the context's, or that of opening dir; other errors are collected in
// Unreadable.
func (w *walker) walk(ctx context.Context, dir string) error {
	if w.devices == nil {
		w.devices = map[uint64]string{}
	}
	fd, err := openDirectory(unix.AT_FDCWD, filepath.Join(w.root, dir), dir == "")
	if err != nil {
		return err
	}
	return w.folder(ctx, fd, dir, strings.Count(dir, "/"))
}

// folder reads the open directory fd, and closes it.
func (w *walker) folder(ctx context.Context, fd int, dir string, depth int) error {
	f := os.NewFile(uintptr(fd), filepath.Join(w.root, dir)) // the path is used by ReadDir if the kind of an entry is not in the directory
	defer f.Close()
	self, err := fsx.Identify(uintptr(fd))
	if err != nil {
		return err
	}
	if _, ok := w.devices[self.Dev]; !ok {
		w.devices[self.Dev] = dir
	}
	if w.Enter != nil {
		w.Enter(dir, self.Dev)
	}
	var below []string
	var mayBe []candidate // DICOM
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := f.ReadDir(batchNames)
		for _, e := range entries {
			if p := path.Join(dir, e.Name()); e.IsDir() {
				if w.Refused != nil && w.filter.File(p) {
					w.Refused(inode(fd, e.Name()), "a folder")
				} else if w.filter.Directory(p) {
					below = append(below, e.Name())
				}
			} else if w.filter.File(p) {
				id, ok := w.identify(fd, p, e)
				if ok && mayBeDICOM(e.Name()) {
					mayBe = append(mayBe, candidate{e.Name(), id})
				} else if ok {
					w.Item(Item{Path: w.prefix + p, Identity: id})
				}
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.Unreadable = append(w.Unreadable, Unreadable{w.prefix + dir, self.Ino, err})
			break
		}
	}
	if len(mayBe) > 0 {
		g, err := group(fd, mayBe)
		if err != nil {
			w.Unreadable = append(w.Unreadable, Unreadable{w.prefix + dir, self.Ino, err})
		} else {
			for _, i := range g.items(w.prefix, dir) {
				w.Item(i)
			}
		}
	}
	for _, name := range below {
		if err := w.descend(ctx, fd, path.Join(dir, name), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// descend walks the folder at dir, whose parent is open as fd.
func (w *walker) descend(ctx context.Context, fd int, dir string, depth int) error {
	name := path.Base(dir)
	if depth > MaxDepth {
		w.Unreadable = append(w.Unreadable, Unreadable{w.prefix + dir, inode(fd, name), fmt.Errorf("directories nested deeper than %d are not scanned", MaxDepth)})
		return nil
	}
	sub, err := openDirectory(fd, name, false)
	switch {
	case err == nil:
		return w.folder(ctx, sub, dir, depth)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		return nil // removed or replaced since it was listed
	}
	w.Unreadable = append(w.Unreadable, Unreadable{w.prefix + dir, inode(fd, name), err})
	return nil
}

// identify returns the identity of the file at p, whose directory is open as fd. Ok is false
// for what is not a file, which is reported.
func (w *walker) identify(fd int, p string, e fs.DirEntry) (id fsx.Identity, ok bool) {
	if e.Type()&fs.ModeSymlink != 0 {
		w.Links++
	}
	if !e.Type().IsRegular() {
		if w.Refused != nil {
			w.Refused(inode(fd, e.Name()), special(e.Type()))
		}
		return id, false
	}
	id, err := fsx.StatIn(fd, e.Name())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.Unreadable = append(w.Unreadable, Unreadable{Path: w.prefix + p, Err: err})
	}
	return id, err == nil
}

// special describes an entry that is not a regular file.
func special(t fs.FileMode) string {
	switch {
	case t&fs.ModeSymlink != 0:
		return "a symbolic link"
	case t&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case t&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// openDirectory opens a directory. With follow, name may be a symbolic link.
func openDirectory(at int, name string, follow bool) (int, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Openat(at, name, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// inode is the inode number of an entry of the folder fd, as find -inum takes it.
func inode(fd int, name string) uint64 {
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return 0
	}
	return st.Ino
}
