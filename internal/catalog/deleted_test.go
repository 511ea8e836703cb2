package catalog_test

import (
	"errors"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// Reading a deleted image writes nothing, so it does not require the lease.
func TestAnyImage(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		im := slide(putStore(t, c, "/a"), 1, random())
		put(t, c, im)
		lease := acquire(t, c, "sync s", "a", hour)
		if err := c.Images.Delete(ctx, im.ID); err != nil {
			t.Fatal(err)
		}
		if err := lease.Release(ctx); err != nil {
			t.Fatal(err)
		}
		got, err := c.Under(lease).Images.GetAny(ctx, im.ID)
		if err != nil || got.ID != im.ID || got.DeletedAt == nil {
			t.Errorf("a deleted image: %+v, %v", got, err)
		}
		if _, err := c.Images.Get(ctx, im.ID); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Image: %v, want %v", err, catalog.ErrNotFound)
		}
		if _, err := c.Images.GetAny(ctx, "unknown"); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("an unknown image: %v, want %v", err, catalog.ErrNotFound)
		}
	})
}
