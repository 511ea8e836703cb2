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

// AddStore adds a store to the catalog. It creates the folders of a managed store. If
// they belonged to a store that is no longer in the catalog, the new store gets that
// one's id, and so will its images. If s has an id already, it must be unused.
//
// The error is one of [Prepare] or of [catalog.Stores.Put], and then no store was
// added.
func AddStore(ctx context.Context, c *catalog.Catalog, s catalog.Store) (*catalog.Store, error) {
	if s.Mode == catalog.Managed {
		id, err := Marked(s.Root)
		if err != nil {
			return nil, err
		}
		if _, err := c.Stores.Get(ctx, id); id != "" && err == nil {
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
	put, err := c.Stores.Put(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := Prepare(ctx, put); err != nil {
		return nil, errors.Join(err, c.Stores.Delete(context.WithoutCancel(ctx), put.ID))
	}
	return put, nil
}

// AwaitsImport reports whether an image of a managed store has yet to be moved to its
// final path, including an interrupted import.
func AwaitsImport(s *catalog.Store, im *catalog.Image) bool {
	return s.Mode == catalog.Managed && (strings.HasPrefix(im.Path, Incoming) || strings.HasPrefix(im.Path, Staging))
}
