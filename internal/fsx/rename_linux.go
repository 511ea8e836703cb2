package fsx

import "golang.org/x/sys/unix"

func renameNew(from int, name string, to int, newName string) error {
	for {
		if err := unix.Renameat2(from, name, to, newName, unix.RENAME_NOREPLACE); err != unix.EINTR {
			return err
		}
	}
}
