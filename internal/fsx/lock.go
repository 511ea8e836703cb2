package fsx

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// TryLock locks an open file or directory until it is closed or the process ends, and
// reports whether it has the lock: it fails while another process has the lock or a
// shared lock. On a file system without locks it succeeds.
func TryLock(f *os.File) bool { return tryLock(f, unix.LOCK_EX) }

// TryShare is [TryLock] for a shared lock, which excludes exclusive locks only.
func TryShare(f *os.File) bool { return tryLock(f, unix.LOCK_SH) }

func tryLock(f *os.File, how int) bool {
	return !errors.Is(flock(f, how|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Lock is [TryLock] that waits until the lock is free.
func Lock(f *os.File) {
	_ = flock(f, unix.LOCK_EX) // it fails only on a file system without locks
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
