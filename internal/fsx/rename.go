package fsx

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// RenameNew renames a file or folder from one open directory to another, to an unused name.
// The error is [fs.ErrExist] if the name is used, and [unix.EXDEV] if the directories are
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
	err := unix.Linkat(from, name, to, newName, 0)
	if errors.Is(err, unix.EPERM) && isFolder(from, name) {
		return renameFolder(from, name, to, newName)
	}
	if err != nil {
		return err
	}
	return unix.Unlinkat(from, name, 0)
}

func isFolder(dir int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// renameFolder renames a folder, which cannot be linked. The kernel replaces only an empty
// folder by one, so nothing can be lost between the check and the rename.
func renameFolder(from int, name string, to int, newName string) error {
	if unix.Fstatat(to, newName, new(unix.Stat_t), unix.AT_SYMLINK_NOFOLLOW) == nil {
		return unix.EEXIST
	}
	err := unix.Renameat(from, name, to, newName)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR) {
		return unix.EEXIST
	}
	return err
}
