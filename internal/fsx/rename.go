package fsx

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// RenameNew renames a file from one open directory to another, to an unused name. The
// error is [fs.ErrExist] if the name is used, and [unix.EXDEV] if the directories are
// on different file systems. It does not sync the directories.
func RenameNew(from *os.File, name string, to *os.File, newName string) error {
	err := renameNew(int(from.Fd()), name, int(to.Fd()), newName)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return linkNew(int(from.Fd()), name, int(to.Fd()), newName)
}

// linkNew is RenameNew for file systems, such as NFS, that can't refuse a used name
// when they rename, but can when they link.
func linkNew(from int, name string, to int, newName string) error {
	if err := unix.Linkat(from, name, to, newName, 0); err != nil {
		return err
	}
	return unix.Unlinkat(from, name, 0)
}
