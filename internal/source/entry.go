package source

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// An Entry is a name in an open directory. A user with write access to a directory
// could put a symbolic link into the path of a file: operations on an entry cannot be
// redirected.
type Entry struct {
	Dir  *os.File
	Name string
}

// EntryAt returns the entry rel below the directory base. Symbolic links are followed
// only in base. With mk, missing directories are created. The error is [fs.ErrInvalid]
// for a path that leads out of base.
func EntryAt(base, rel string, mk bool) (Entry, error) {
	parts := strings.Split(rel, "/")
	if slices.ContainsFunc(parts, func(s string) bool { return s == "" || s == "." || s == ".." }) {
		return Entry{}, fs.ErrInvalid
	}
	fd, err := openDirectory(unix.AT_FDCWD, base, true)
	if err != nil {
		return Entry{}, err
	}
	for _, part := range parts[:len(parts)-1] {
		sub, err := openDirectory(fd, part, false)
		if mk && errors.Is(err, fs.ErrNotExist) {
			if err = unix.Mkdirat(fd, part, 0o755); err == nil || errors.Is(err, fs.ErrExist) {
				sub, err = openDirectory(fd, part, false)
			}
		}
		unix.Close(fd)
		if err != nil {
			return Entry{}, err
		}
		fd = sub
	}
	return Entry{os.NewFile(uintptr(fd), "folder"), parts[len(parts)-1]}, nil
}

func (s Entry) fd() int { return int(s.Dir.Fd()) }

// Close closes the directory.
func (s Entry) Close() {
	if s.Dir != nil {
		s.Dir.Close() // it was only read
	}
}

// Stat returns the identity of the regular file at the entry. Other kinds of file count
// as not existing.
func (s Entry) Stat() (fsx.Identity, error) {
	return fsx.StatIn(s.fd(), s.Name)
}

// Open opens the regular file at the entry for reading. Other kinds count as not
// existing: opening a named pipe would wait for a writer.
func (s Entry) Open() (*os.File, error) {
	f, err := s.OpenFile(unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if _, err := fsx.IdentifyFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// OpenFile opens the file at the entry, without following a symbolic link.
func (s Entry) OpenFile(flags int, mode uint32) (*os.File, error) {
	for {
		fd, err := unix.Openat(s.fd(), s.Name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), "file"), nil
	}
}

// Remove removes the file at the entry. It is not an error if there is no file.
func (s Entry) Remove() error {
	err := unix.Unlinkat(s.fd(), s.Name, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// MoveTo renames the file at s to an unused name; the error may be [fs.ErrExist], or
// [unix.EXDEV] if that is on another file system.
func (s Entry) MoveTo(to Entry) error {
	return fsx.RenameNew(s.Dir, s.Name, to.Dir, to.Name)
}

// SyncDirectories syncs the directories of entries to disk.
func SyncDirectories(entries ...Entry) error {
	for _, s := range entries {
		if err := fsx.SyncDir(s.Dir); err != nil {
			return err
		}
	}
	return nil
}
