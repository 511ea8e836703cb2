//go:build !linux

package fsx

import "golang.org/x/sys/unix"

// renameNew does not exist here: RenameNew links instead.
func renameNew(int, string, int, string) error { return unix.ENOSYS }
