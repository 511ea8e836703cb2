package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// TempPrefix begins the names of files that are being written. A process that is killed
// leaves them behind. Scans skip them, like all hidden files.
const TempPrefix = ".ptiffstore-"

// WriteFile writes a file atomically and durably: after a crash the file holds either
// its former contents or data, and once WriteFile has returned it holds data.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return Create(path, perm, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// Create is [WriteFile] for contents that the function write writes. An existing file
// is replaced.
func Create(path string, perm fs.FileMode, write func(*os.File) error) error {
	return create(path, write, perm, func(dir *os.File, temp, name string) error {
		return unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), name)
	})
}

// CreateNew is [Create] for a file that must not exist. The error is [fs.ErrExist] if
// it does, even if it was created meanwhile.
func CreateNew(path string, perm fs.FileMode, write func(*os.File) error) error {
	return create(path, write, perm, func(dir *os.File, temp, name string) error {
		err := RenameNew(dir, temp, dir, name)
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSYS) {
			return err
		}
		// The file system, such as exFAT, has no links either: all that is left is a check
		// before the rename.
		if err := unix.Fstatat(int(dir.Fd()), name, new(unix.Stat_t), unix.AT_SYMLINK_NOFOLLOW); err == nil {
			return fs.ErrExist
		}
		return unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), name)
	})
}

func create(path string, write func(*os.File) error, perm fs.FileMode, rename func(dir *os.File, temp, name string) error) error {
	dir, err := OpenFolder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	temp, err := writeTemp(dir, perm, write)
	if err != nil {
		return err
	}
	if err := rename(dir, temp, filepath.Base(path)); err != nil {
		return errors.Join(&os.LinkError{Op: "rename", Old: temp, New: path, Err: err}, removeTemp(dir, temp))
	}
	return SyncDir(dir)
}

// WriteFileIn is [WriteFile] for the file name in an open directory. It returns the
// file's info when it was complete.
func WriteFileIn(dir *os.File, name string, data []byte, perm fs.FileMode) (fs.FileInfo, error) {
	return WriteFileVia(dir, dir, name, data, perm)
}

// WriteFileVia is [WriteFileIn] with the temporary file in another directory of the
// same file system.
func WriteFileVia(via, dir *os.File, name string, data []byte, perm fs.FileMode) (fi fs.FileInfo, err error) {
	temp, err := writeTemp(via, perm, func(f *os.File) error {
		_, werr := f.Write(data)
		var serr error
		fi, serr = f.Stat()
		return errors.Join(werr, serr)
	})
	if err != nil {
		return nil, err
	}
	if err := unix.Renameat(int(via.Fd()), temp, int(dir.Fd()), name); err != nil {
		return nil, errors.Join(err, removeTemp(via, temp))
	}
	return fi, SyncDir(dir)
}

// writeTemp writes a new file with a unique name into dir, and syncs it.
func writeTemp(dir *os.File, perm fs.FileMode, write func(*os.File) error) (name string, err error) {
	name = fmt.Sprintf("%s%016x.part", TempPrefix, rand.Uint64())
	fd, err := openAt(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, uint32(perm.Perm()))
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name))
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, removeTemp(dir, name))
	}
	return name, nil
}

func removeTemp(dir *os.File, name string) error { return unix.Unlinkat(int(dir.Fd()), name, 0) }

// openAt opens a name in a directory, without following a symbolic link.
func openAt(dir *os.File, name string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// SyncDir syncs an open directory to disk. It is not an error if the file system cannot
// sync directories.
func SyncDir(dir *os.File) error {
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// SyncFolder is [SyncDir] for the directory at path.
func SyncFolder(path string) error {
	d, err := OpenFolder(path)
	if err != nil {
		return err
	}
	return errors.Join(SyncDir(d), d.Close())
}

// SyncRoot is [SyncDir] for the directory of a root.
func SyncRoot(r *os.Root) error {
	d, err := r.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(SyncDir(d), d.Close())
}
