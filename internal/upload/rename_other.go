//go:build !linux

package upload

import "golang.org/x/sys/unix"

// renameNew says that this system has no such call.
func renameNew(int, string, int, string) error { return unix.ENOSYS }
