package managed

import (
	"context"
	"errors"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
)

var (
	// ErrNotReady: the image has not arrived completely.
	ErrNotReady = errors.New("the image is not waiting to be imported")
	// ErrReplaced: the file changed since its inspection. It is inspected again.
	ErrReplaced = errors.New("the file was changed or replaced since it was inspected: it will be inspected again")
	// ErrInTheWay: another file already has the name that the file should get.
	ErrInTheWay = errors.New("another file already has the name")
)

// A Store moves the files of images between the folders of a managed store: into
// slides/ when they are imported, into quarantine and trash, and back. Each operation
// holds a lease on the image.
//
// No operation needs a journal. Each step leaves the file under a name that identifies
// its image, so that after a crash at any moment a [Recovery] finds it.
type Store struct {
	*catalog.Store
	Catalog *catalog.Catalog
	Leases  *lease.Leases
	Waiting *inspect.Observations // of the store's files
	Now     func() time.Time
	Pause   time.Duration // after which a file is inspected that was moved back to the incoming folder

	Received *Received // digests and inspections of uploads; may be nil

	// Unsupported receives the id of each image that was moved to quarantine as complete
	// but unsupported; it may be nil.
	Unsupported func(image string)
	// Record inspects a file below slides/ that the catalog does not know, and writes the
	// result to c.
	Record func(ctx context.Context, c *catalog.Catalog, path string, id fsx.Identity) error
}

// lease takes the lease of an image's file.
func (s *Store) lease(ctx context.Context, image string) (held context.Context, c *catalog.Catalog, release func(), err error) {
	return s.Leases.Take(ctx, "import "+image)
}

// anyImage returns an image, which may be deleted; nil if it does not exist.
func anyImage(ctx context.Context, c *catalog.Catalog, id string) (*catalog.Image, error) {
	im, err := c.Images.GetAny(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	}
	return im, err
}
