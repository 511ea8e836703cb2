package managed

import (
	"errors"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrFull: the disk of a managed store has no room for a file. The file stays in the
// incoming folder.
var ErrFull = errors.New("the disk of the store is full: free some space; until then the file stays in the incoming folder")

// DiskFull turns the errors of a full disk into [ErrFull].
func DiskFull(err error) error {
	if fsx.IsFull(err) {
		return ErrFull
	}
	return err
}
