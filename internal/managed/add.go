package managed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// AddStore puts a store into the catalog. The folders of a managed store are made,
// and if they were a store's before that is in the catalog no more, the store has
// that one's id again, and so will its images. An id that s has already must be free.
//
// The error is one of [Prepare] or of [catalog.Catalog.PutStore], and then there is
// no store.
func AddStore(ctx context.Context, c *catalog.Catalog, s catalog.Store) (*catalog.Store, error) {
	if s.Mode == catalog.Managed {
		id, err := Marked(s.Root)
		if err != nil {
			return nil, err
		}
		if _, err := c.Store(ctx, id); id != "" && err == nil {
			return nil, fmt.Errorf("%w: the folder is marked as that of store %s", catalog.ErrConflict, id)
		}
		if id != "" && s.ID != "" && s.ID != id {
			return nil, ErrOtherStore
		}
		if id != "" {
			s.ID = id
		}
		if s.Incoming == "" {
			s.Incoming = IncomingOf(&s)
		}
		if err := os.MkdirAll(s.Incoming, 0o777); err != nil {
			return nil, fmt.Errorf("cannot create the incoming folder: %w", fsx.WithoutPath(err))
		}
	}
	put, err := c.PutStore(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := Prepare(ctx, put); err != nil {
		return nil, errors.Join(err, c.DeleteStore(context.WithoutCancel(ctx), put.ID))
	}
	return put, nil
}

// AwaitsImport reports whether an image of a managed store has yet to be moved to where
// it stays: also if that was begun and interrupted.
func AwaitsImport(s *catalog.Store, im *catalog.Image) bool {
	return s.Mode == catalog.Managed && (strings.HasPrefix(im.Path, Incoming) || strings.HasPrefix(im.Path, Staging))
}
