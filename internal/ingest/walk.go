package ingest

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

// maxDepth bounds how deep folders are followed, and with it the folders that are
// open at once.
const maxDepth = 64

// batchNames is how many names of a folder are held at a time.
const batchNames = 4096

// A found is a file that may be a slide.
type found struct {
	path   string // below the root, with slashes; any bytes but 0
	id     fsx.Identity
	closed bool // renamed in, or closed by its writer, as it is
}

// A walker goes through the folders of a store. It follows no symbolic link.
type walker struct {
	root   string
	prefix string // of the paths that are reported
	filter filter
	// enter, if not nil, is called with each folder before it is read, and its
	// device.
	enter func(dir string, dev uint64)
	file  func(found)
	// refuse, if not nil, is told of what has a slide's name and is no file: of its
	// inode, and what it is. A folder that it is told of is not looked into.
	refuse func(ino uint64, what string)

	links   int               // symbolic links with a slide's name, not followed
	blind   []blind           // what could not be read
	devices map[uint64]string // seen, with the first folder on each
}

// A blind is a folder or file that could not be read. Nothing can be said of what
// lies there.
type blind struct {
	path string // "" for the root, or the prefix
	ino  uint64
	err  error
}

// covers reports whether the file at p is, or lies in, what could not be read.
func (b blind) covers(p string) bool {
	return b.path == "" || p == b.path || strings.HasPrefix(p, b.path) && (p[len(b.path)] == '/' || b.path[len(b.path)-1] == '/')
}

func (b blind) String() string {
	return fmt.Sprintf("inode %d: %s", b.ino, unreadable(b.err).Reason)
}

// walk finds every slide in and below the folder dir, "" for the root itself. The
// error is the context's, or that of opening dir; others are gathered in blind.
func (w *walker) walk(ctx context.Context, dir string) error {
	if w.devices == nil {
		w.devices = map[uint64]string{}
	}
	fd, err := open(unix.AT_FDCWD, filepath.Join(w.root, dir), dir == "")
	if err != nil {
		return err
	}
	return w.folder(ctx, fd, dir, strings.Count(dir, "/"))
}

// folder reads the open folder fd, and closes it.
func (w *walker) folder(ctx context.Context, fd int, dir string, depth int) error {
	f := os.NewFile(uintptr(fd), filepath.Join(w.root, dir)) // the name serves ReadDir where the kind of an entry is not in it
	defer f.Close()
	self, err := fsx.Identify(uintptr(fd))
	if err != nil {
		return err
	}
	if _, ok := w.devices[self.Dev]; !ok {
		w.devices[self.Dev] = dir
	}
	if w.enter != nil {
		w.enter(dir, self.Dev)
	}
	var below []string
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := f.ReadDir(batchNames)
		for _, e := range entries {
			if p := path.Join(dir, e.Name()); e.IsDir() {
				if w.refuse != nil && w.filter.file(p) {
					w.refuse(inode(fd, e.Name()), "a folder")
				} else if w.filter.folder(p) {
					below = append(below, e.Name())
				}
			} else if w.filter.file(p) {
				w.list(fd, p, e)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.blind = append(w.blind, blind{w.prefix + dir, self.Ino, err})
			break
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
	if depth > maxDepth {
		w.blind = append(w.blind, blind{w.prefix + dir, inode(fd, name), fmt.Errorf("folders nested deeper than %d are not looked into", maxDepth)})
		return nil
	}
	sub, err := open(fd, name, false)
	switch {
	case err == nil:
		return w.folder(ctx, sub, dir, depth)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		return nil // gone, or replaced, since it was listed
	}
	w.blind = append(w.blind, blind{w.prefix + dir, inode(fd, name), err})
	return nil
}

// list reports the file at p, whose folder is open as fd.
func (w *walker) list(fd int, p string, e fs.DirEntry) {
	if e.Type()&fs.ModeSymlink != 0 {
		w.links++
	}
	if !e.Type().IsRegular() {
		if w.refuse != nil {
			w.refuse(inode(fd, e.Name()), special(e.Type()))
		}
		return
	}
	id, err := fsx.StatIn(fd, e.Name())
	switch {
	case err == nil:
		w.file(found{w.prefix + p, id, false})
	case !errors.Is(err, fs.ErrNotExist):
		w.blind = append(w.blind, blind{path: w.prefix + p, err: err})
	}
}

// special says what an entry is that is no regular file.
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

// open opens a folder. The root may be reached over symbolic links, nothing else.
func open(at int, name string, follow bool) (int, error) {
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

// inode is the number by which find -inum finds an entry of the folder fd.
func inode(fd int, name string) uint64 {
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return 0
	}
	return st.Ino
}
