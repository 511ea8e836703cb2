package fsx

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// TryLock locks an open file or directory until it is closed or the process ends, and
// reports whether that worked: it fails while another process has the lock, or shares
// it. On a file system without locks it succeeds.
func TryLock(f *os.File) bool { return tryLock(f, unix.LOCK_EX) }

// TryShare takes part in a shared lock, which keeps off those that want it alone.
func TryShare(f *os.File) bool { return tryLock(f, unix.LOCK_SH) }

func tryLock(f *os.File, how int) bool {
	return !errors.Is(flock(f, how|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Lock is [TryLock] that waits until the lock is free.
func Lock(f *os.File) {
	_ = flock(f, unix.LOCK_EX) // fails only on a file system without locks
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
