package fsx

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// WithoutPath returns the cause of an error of the file system, without the operation
// and the path: file names are patient data, and appear in no log. Any other error,
// including nil, is returned unchanged.
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

// IsGone reports whether an error means that there is no regular file, or no directory,
// at a path.
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, ErrNotRegular)
}

// IsFull reports whether an error is that of a full disk or an exhausted quota.
func IsFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
