package upload

import "golang.org/x/sys/unix"

// renameNew renames a file to a name that must be unused.
func renameNew(from int, name string, to int, as string) error {
	for {
		if err := unix.Renameat2(from, name, to, as, unix.RENAME_NOREPLACE); err != unix.EINTR {
			return err
		}
	}
}
