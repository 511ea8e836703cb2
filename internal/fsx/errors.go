package fsx

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// WithoutPath returns the cause of an error of the file system, without the operation
// and the path: file names are patient data, and appear in no log. Any other error, nil
// too, is returned as it is.
func WithoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return WithoutPath(e.Err)
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return WithoutPath(e.Err)
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		return WithoutPath(e.Err)
	}
	return err
}

// IsGone reports errors that say that there is no regular file, or no directory, at a
// path.
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, ErrNotRegular)
}

// IsFull reports the errors of a full disk, and of a quota that is used up.
func IsFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
