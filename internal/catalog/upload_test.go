package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestUploads writes the records of uploads: of two processes that have read the same version one
// writes the next.
func TestUploads(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		one := &catalog.Upload{ID: "one", Store: "s", Record: "a"}
		twin := *one
		if err := c.Uploads.Put(ctx, one); err != nil {
			t.Fatal(err)
		}
		if err := c.Uploads.Put(ctx, &twin); !errors.Is(err, catalog.ErrConflict) {
			t.Errorf("the same upload again: %v", err)
		}
		got, err := c.Uploads.Get(ctx, "s", "one")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&catalog.Upload{ID: "one", Store: "s", Version: 1, Record: "a"}, got); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
		one.Record = "b"
		if err := c.Uploads.Put(ctx, one); err != nil {
			t.Fatal(err)
		}
		got.Record = "c"
		if err := c.Uploads.Put(ctx, got); !errors.Is(err, catalog.ErrConflict) {
			t.Errorf("an older version: %v", err)
		}
		if _, err := c.Uploads.Get(ctx, "other", "one"); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("upload of another store: %v", err)
		}
		if err := c.Uploads.Put(ctx, &catalog.Upload{ID: "two", Store: "s", Record: strings.Repeat("x", 5<<20)}); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("a long record: %v", err)
		}
		versions, err := c.Uploads.Versions(ctx, "s")
		if diff := cmp.Diff(map[string]int64{"one": 2}, versions); diff != "" || err != nil {
			t.Errorf("versions (-want +got):\n%s%v", diff, err)
		}
		var list []string
		if err := c.Uploads.List(ctx, "s", func(u *catalog.Upload) error { list = append(list, u.ID+u.Record); return nil }); err != nil || !cmp.Equal(list, []string{"oneb"}) {
			t.Errorf("list %v, %v", list, err)
		}
		if err := c.Uploads.Remove(ctx, "s", "one"); err != nil {
			t.Fatal(err)
		}
		if err := c.Uploads.Put(ctx, one); !errors.Is(err, catalog.ErrConflict) {
			t.Errorf("a removed upload: %v", err)
		}
	})
}
