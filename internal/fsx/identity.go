// Package fsx adds to package os what the project needs of a file system: opening
// regular files without waiting for others, the identity of a file, writing files
// atomically and durably, renaming without overwriting, locks, digests, and errors
// without file names.
package fsx

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An Identity shows whether a file is still the one that was inspected. Two equal
// identities on one host mean the same bytes: writing to or replacing a file changes
// its inode, size, mtime or ctime.
type Identity struct {
	Dev   uint64 // device; differs between hosts and may differ between mounts
	Ino   uint64
	Size  int64 // bytes
	MTime int64 // nanoseconds since 1970
	CTime int64 // nanoseconds since 1970; set by the kernel, not by programs
}

// Identify returns the identity of an open file. It allocates nothing.
func Identify(fd uintptr) (Identity, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(int(fd), &st)
		if err == nil {
			return identity(&st), nil
		}
		if err != syscall.EINTR {
			return Identity{}, fmt.Errorf("cannot read the status of the open file: %w", err)
		}
	}
}

// Stat returns the identity of the file at path, following symbolic links.
func Stat(path string) (Identity, error) {
	var st unix.Stat_t
	for {
		err := unix.Stat(path, &st)
		if err == nil {
			return identity(&st), nil
		}
		if err != syscall.EINTR {
			return Identity{}, &os.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}

// IdentifyFile returns the identity of an open file. The error is [ErrNotRegular] for
// anything that is not a regular file.
func IdentifyFile(f *os.File) (Identity, error) {
	st, err := f.Stat()
	if err != nil {
		return Identity{}, err
	}
	if !st.Mode().IsRegular() {
		return Identity{}, ErrNotRegular
	}
	return Identify(f.Fd())
}

// StatIn returns the identity of the regular file name in an open directory. Other
// kinds, such as a symbolic link, count as not existing: the error is [fs.ErrNotExist].
func StatIn(dir int, name string) (Identity, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return Identity{}, err
		case st.Mode&unix.S_IFMT != unix.S_IFREG:
			return Identity{}, fs.ErrNotExist
		default:
			return identity(&st), nil
		}
	}
}

// Same reports whether a and b are the same file with the same contents, seen from any
// host: the device is ignored, because its number differs between hosts.
func (a Identity) Same(b Identity) bool {
	a.Dev, b.Dev = 0, 0
	return a == b
}

// Revision is a name of the contents for caches: it changes whenever the identity does,
// except for the device, and is the same on every host.
func (a Identity) Revision() string {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], a.Ino)
	binary.LittleEndian.PutUint64(b[8:], uint64(a.Size))
	binary.LittleEndian.PutUint64(b[16:], uint64(a.MTime))
	binary.LittleEndian.PutUint64(b[24:], uint64(a.CTime))
	h := sha256.Sum256(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(h[:10]))
}

func identity(st *unix.Stat_t) Identity {
	return Identity{
		Dev:   uint64(st.Dev), //nolint:unconvert // int32 on darwin
		Ino:   st.Ino,
		Size:  st.Size,
		MTime: mtime(st),
		CTime: ctime(st),
	}
}
