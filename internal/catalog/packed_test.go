package catalog_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestPack moves an image to another store: it stays the same image, and its former store
// does not get it again, until it is dropped.
func TestPack(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		from, err := c.Stores.Put(ctx, catalog.Store{Mode: catalog.InPlace, Root: "dump:///dumps/tiles1", ExternalID: "5356d8b9e67655244bf3273a"})
		if err != nil {
			t.Fatal(err)
		}
		to, err := c.Stores.Put(ctx, catalog.Store{Mode: catalog.Managed, Root: "/managed"})
		if err != nil {
			t.Fatal(err)
		}
		const path = "5356d8b9e67655244bf3273b"
		label := "a label"
		external := path
		im := &catalog.Image{StoreID: from.ID, Path: path, Revision: "r1", State: catalog.Available}
		im.Label, im.ExternalID, im.Identity.Size = &label, &external, 100
		other := &catalog.Image{StoreID: from.ID, Path: "5356d8b9e67655244bf3273c", State: catalog.Available}
		if err := c.Images.Put(ctx, []*catalog.Image{im, other}); err != nil {
			t.Fatal(err)
		}
		refused := errors.New("refused")
		if _, err := c.Images.Pack(ctx, im.ID, to.ID, func(*catalog.Image) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("error %v", err)
		}
		moved, err := c.Images.Pack(ctx, im.ID, to.ID, func(im *catalog.Image) error {
			im.Path, im.Revision, im.Identity.Size = "staging/"+im.ID+".tiff", "r2", 200
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Images.Get(ctx, im.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(moved, got); diff != "" {
			t.Error(diff)
		}
		if got.StoreID != to.ID || *got.Label != label || *got.ExternalID != path || !got.CreatedAt.Equal(im.CreatedAt) {
			t.Errorf("%+v", got)
		}
		if diff := cmp.Diff([]string{from.ID, from.ExternalID}, got.FormerStores); diff != "" {
			t.Error(diff)
		}
		counts := func(id string, images int, bytes int64) {
			t.Helper()
			s, err := c.Stores.Get(ctx, id)
			if err != nil || s.Counts[catalog.Available] != images || s.Bytes != bytes {
				t.Errorf("store has %v, %d bytes, %v; want %d, %d", s.Counts, s.Bytes, err, images, bytes)
			}
		}
		counts(from.ID, 1, 0)
		counts(to.ID, 1, 200)
		paths, err := c.Images.Packed(ctx, from.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]bool{path: true}, paths); diff != "" {
			t.Error(diff)
		}
		again := &catalog.Image{StoreID: from.ID, Path: path, State: catalog.Available}
		if err := c.Images.Put(ctx, []*catalog.Image{again}); err != nil {
			t.Error(err)
		}
		if _, err := c.Images.ByPath(ctx, from.ID, path); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("the packed image is in its former store again: %v", err)
		}
		counts(from.ID, 1, 0)
		if err := c.Images.Drop(ctx, im.ID); err != nil {
			t.Fatal(err)
		}
		if err := c.Images.Put(ctx, []*catalog.Image{again}); err != nil {
			t.Error(err)
		}
		if _, err := c.Images.ByPath(ctx, from.ID, path); err != nil {
			t.Errorf("after the packed image was dropped: %v", err)
		}
		if err := c.Stores.Delete(ctx, from.ID); err != nil {
			t.Error(err)
		}
	})
}
