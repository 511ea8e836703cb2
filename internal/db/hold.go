package db

import (
	"errors"
	"fmt"
	"os"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrInUse reports that another process uses the data directory or its database.
var ErrInUse = errors.New("the database is in use")

// A Hold is a lock on a data directory. Every process that has the database of the
// directory open shares it; a restore takes it exclusively. The kernel releases it when the
// process ends. Nil and the zero value hold nothing.
type Hold struct{ dir *os.File }

// Share takes a shared lock on dir until [Hold.Release]. The error is [ErrInUse] during a
// restore.
func Share(dir string) (*Hold, error) {
	h, err := lockDirectory(dir, fsx.TryShare)
	if errors.Is(err, ErrInUse) {
		err = fmt.Errorf("%w: a backup is being restored in %s: try again when the restore has ended", ErrInUse, dir)
	}
	return h, err
}

// Seize takes an exclusive lock on dir. The error is [ErrInUse] if another process has the
// database in dir open.
func Seize(dir string) (*Hold, error) { return lockDirectory(dir, fsx.TryLock) }

// lockDirectory locks the directory itself, so that no file is created in it. A directory
// that does not exist, or a file system without such locks, is not an error: opening a
// database there will fail if it matters.
func lockDirectory(dir string, lock func(*os.File) bool) (*Hold, error) {
	f, err := fsx.OpenFolder(dir)
	if err != nil {
		return new(Hold), nil
	}
	if !lock(f) {
		return nil, errors.Join(ErrInUse, f.Close())
	}
	return &Hold{f}, nil
}

// Release releases the lock.
func (h *Hold) Release() error {
	if h == nil || h.dir == nil {
		return nil
	}
	return h.dir.Close()
}
