package fsx

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// RenameNew renames a file from one open directory to another, to a name that must be
// unused. The error is [fs.ErrExist] if it is not, and [unix.EXDEV] if the directories
// are on different file systems. It does not sync the directories.
func RenameNew(from *os.File, name string, to *os.File, newName string) error {
	err := renameNew(int(from.Fd()), name, int(to.Fd()), newName)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return linkNew(int(from.Fd()), name, int(to.Fd()), newName)
}

// linkNew is RenameNew where the file system cannot ensure that the name is unused when
// it renames, as NFS: when it links, it can.
func linkNew(from int, name string, to int, newName string) error {
	if err := unix.Linkat(from, name, to, newName, 0); err != nil {
		return err
	}
	return unix.Unlinkat(from, name, 0)
}
