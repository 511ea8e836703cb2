package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrFull: the disk of a managed store has no room for a file. It stays where it
// arrived.
var ErrFull = errors.New("ingest: the disk of the store is full: make room, the file stays in the incoming folder until then")

// A spot is a name in an open folder. Whoever may write into the incoming folder
// could put a symbolic link on the way to a file; what is done at a spot can't be
// led elsewhere.
type spot struct {
	dir  *os.File
	name string
}

// spotAt returns the spot rel below the folder base, which alone may be reached over
// symbolic links. Folders on the way are made if mk. The error is [fs.ErrInvalid] for
// a way out of the folder: sidecars hold paths, too.
func spotAt(base, rel string, mk bool) (spot, error) {
	parts := strings.Split(rel, "/")
	if slices.ContainsFunc(parts, func(s string) bool { return s == "" || s == "." || s == ".." }) {
		return spot{}, fs.ErrInvalid
	}
	fd, err := open(unix.AT_FDCWD, base, true)
	if err != nil {
		return spot{}, err
	}
	for _, part := range parts[:len(parts)-1] {
		sub, err := open(fd, part, false)
		if mk && errors.Is(err, fs.ErrNotExist) {
			if err = unix.Mkdirat(fd, part, 0o755); err == nil || errors.Is(err, fs.ErrExist) {
				sub, err = open(fd, part, false)
			}
		}
		unix.Close(fd)
		if err != nil {
			return spot{}, err
		}
		fd = sub
	}
	return spot{os.NewFile(uintptr(fd), "folder"), parts[len(parts)-1]}, nil
}

func (s spot) fd() int { return int(s.dir.Fd()) }

func (s spot) close() {
	if s.dir != nil {
		s.dir.Close() // only ever read
	}
}

// stat returns the identity of the regular file at the spot. Anything else there
// counts as no file.
func (s spot) stat() (fsx.Identity, error) {
	return fsx.StatIn(s.fd(), s.name)
}

// open opens the regular file at the spot for reading. Anything else there counts as no
// file: reading a named pipe would wait until somebody writes.
func (s spot) open() (*os.File, error) {
	f, err := s.openFile(unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if _, err := fsx.IdentifyFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s spot) openFile(flags int, mode uint32) (*os.File, error) {
	for {
		fd, err := unix.Openat(s.fd(), s.name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), "file"), nil
	}
}

// remove removes the file at the spot. That there is none is no error.
func (s spot) remove() error {
	err := unix.Unlinkat(s.fd(), s.name, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// moveTo renames the file at s to an unused name; the error may be [fs.ErrExist], or
// [unix.EXDEV] if that is on another file system.
func (s spot) moveTo(to spot) error {
	return fsx.RenameNew(s.dir, s.name, to.dir, to.name)
}

// syncFolders makes what was done at spots last.
func syncFolders(spots ...spot) error {
	for _, s := range spots {
		if err := fsx.SyncDir(s.dir); err != nil {
			return err
		}
	}
	return nil
}

// A meterFunc is told how much of a file has been read, in bytes.
type meterFunc func(done, total int64)

// full turns the errors of a full disk into [ErrFull].
func full(err error) error {
	if fsx.IsFull(err) {
		return ErrFull
	}
	return err
}

// copyTo writes a copy of an open file to a new file at the spot, which is left open,
// locked, and written to disk. It has the times of what it was copied from. On an
// error nothing is left.
func copyTo(ctx context.Context, to spot, from *os.File, id fsx.Identity, progress meterFunc) (f *os.File, digest string, err error) {
	if err := to.remove(); err != nil {
		return nil, "", err
	}
	f, err = to.openFile(unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, "", full(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, to.remove())
		}
	}()
	if !fsx.TryLock(f) {
		return nil, "", ErrBusy
	}
	if digest, err = fsx.CopySHA256(ctx, f, from, id.Size, progress); err != nil {
		return nil, "", full(err)
	}
	ts := unix.NsecToTimespec(id.MTime)
	if err := unix.UtimesNanoAt(to.fd(), to.name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, "", err
	}
	return f, digest, full(f.Sync())
}

// trouble is an error at the file of an image, in words that hold no name.
func trouble(image, what string, err error) error {
	err = fsx.WithoutPath(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("ingest: image %s: %s: permission denied: user %d must be allowed to write there: %w", image, what, os.Geteuid(), err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("ingest: image %s: %s: the file system is read-only: %w", image, what, err)
	}
	return fmt.Errorf("ingest: image %s: %s: %w", image, what, err)
}

// stamp is a time as it stands in the names of files in the trash.
const stamp = "20060102T150405Z"

// stamped returns the time that a name begins with, and what follows.
func stamped(name string) (time.Time, string, bool) {
	when, rest, ok := strings.Cut(name, "-")
	at, err := time.Parse(stamp, when)
	return at, rest, ok && err == nil
}
