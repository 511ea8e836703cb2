package bucketstore

import (
	"cmp"
	"context"
	"errors"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// trashPage is how many deleted images are read at a time.
const trashPage = 500

// EmptyTrash removes the slides that were deleted longer ago than the retention time of the
// store's trash, and their images from the catalog, which it writes through c. It returns how many
// were removed.
func (s *Store) EmptyTrash(ctx context.Context, c *catalog.Catalog) (removed int, err error) {
	before := s.Now().Add(-cmp.Or(s.KeepTrash, managed.DefaultKeepTrash))
	q := catalog.Query{Store: s.ID, Hidden: true, Limit: trashPage}
	for {
		page, err := c.Images.List(ctx, q)
		if err != nil {
			return removed, err
		}
		for i := range page.Items {
			im := &page.Items[i]
			if im.DeletedAt == nil || im.DeletedAt.After(before) || ImageOf(im.Path) != im.ID {
				continue
			}
			if err := s.Erase(ctx, im); err != nil {
				return removed, err
			}
			if err := c.Images.Drop(ctx, im.ID); err != nil {
				return removed, err
			}
			removed++
		}
		if page.NextCursor == "" {
			return removed, nil
		}
		q.Cursor = page.NextCursor
	}
}

// Erase removes the object of an image, if it is still the one of the catalog, and its sidecar. An
// object that is gone is no error.
func (s *Store) Erase(ctx context.Context, im *catalog.Image) error {
	id, err := s.Bucket.Stat(ctx, im.Path)
	switch {
	case errors.Is(err, bucket.ErrGone):
	case err != nil:
		return objectError(im.ID, "emptying the trash", err)
	case !source.ObjectIdentity(im.Path, id).Same(im.Identity):
		return objectError(im.ID, "emptying the trash", bucket.ErrChanged)
	default:
		if err := s.Bucket.Delete(ctx, im.Path, id); err != nil {
			return objectError(im.ID, "emptying the trash", err)
		}
	}
	return s.removeSidecar(ctx, im.ID) // last, so that an interrupted removal is resumed
}

// removeSidecar removes the sidecar of a slide.
func (s *Store) removeSidecar(ctx context.Context, image string) error {
	return objectError(image, "removing its sidecar", s.Bucket.Remove(ctx, SidecarKey(image)))
}
