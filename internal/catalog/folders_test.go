package catalog_test

import (
	"errors"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

func TestFile(t *testing.T) {
	t.Parallel()
	folder := catalog.Store{Mode: catalog.InPlace, Root: "/r"}
	kept := catalog.Store{Mode: catalog.Managed, Root: "/r", Incoming: "/in"}
	for _, tt := range []struct {
		store      catalog.Store
		path, want string
	}{
		{folder, "a/b.tiff", "/r/a/b.tiff"},
		{folder, "incoming/b.tiff", "/r/incoming/b.tiff"},
		{kept, "incoming/b.tiff", "/in/b.tiff"},
		{kept, "incoming/a/b.tiff", "/in/a/b.tiff"},
		{kept, "incomings/b.tiff", "/r/incomings/b.tiff"},
		{kept, "slides/ab/abc.tiff", "/r/slides/ab/abc.tiff"},
		{kept, "trash/x.tiff", "/r/trash/x.tiff"},
		{catalog.Store{Mode: catalog.Managed, Root: "/r"}, "incoming/b.tiff", "/r/incoming/b.tiff"},
	} {
		if got := tt.store.File(tt.path); got != tt.want {
			t.Errorf("File(%q) of a store %s = %q, want %q", tt.path, tt.store.Mode, got, tt.want)
		}
	}
}

func TestFoldersOfStores(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		if _, err := c.Stores.Put(ctx, catalog.Store{Mode: catalog.InPlace, Root: "/data/a", Host: "h1"}); err != nil {
			t.Fatal(err)
		}
		managed, err := c.Stores.Put(ctx, catalog.Store{Mode: catalog.Managed, Root: "/kept/", Host: "h1"})
		if err != nil {
			t.Fatal(err)
		}
		if managed.Root != "/kept" || managed.Incoming != "/kept/incoming" {
			t.Errorf("root %q, incoming %q, want /kept and /kept/incoming", managed.Root, managed.Incoming)
		}
		for _, tt := range []struct {
			name  string
			store catalog.Store
			want  error
		}{
			{"beside", catalog.Store{Mode: catalog.InPlace, Root: "/data/ab", Host: "h1"}, nil},
			{"the same on another host", catalog.Store{Mode: catalog.InPlace, Root: "/data/a", Host: "h2"}, nil},
			{"incoming folder elsewhere", catalog.Store{Mode: catalog.Managed, Root: "/m", Incoming: "/arrive", Host: "h1"}, nil},
			{"the same", catalog.Store{Mode: catalog.InPlace, Root: "/data/a", Host: "h1"}, catalog.ErrConflict},
			{"the same, written otherwise", catalog.Store{Mode: catalog.InPlace, Root: "/data/./a/", Host: "h1"}, catalog.ErrConflict},
			{"within", catalog.Store{Mode: catalog.InPlace, Root: "/data/a/b", Host: "h1"}, catalog.ErrConflict},
			{"around", catalog.Store{Mode: catalog.InPlace, Root: "/data", Host: "h1"}, catalog.ErrConflict},
			{"the whole disk", catalog.Store{Mode: catalog.InPlace, Root: "/", Host: "h1"}, catalog.ErrConflict},
			{"within, on any host", catalog.Store{Mode: catalog.InPlace, Root: "/data/a/b"}, catalog.ErrConflict},
			{"incoming folder within another store", catalog.Store{Mode: catalog.Managed, Root: "/n", Incoming: "/data/a/in", Host: "h1"}, catalog.ErrConflict},
			{"within another's incoming folder", catalog.Store{Mode: catalog.InPlace, Root: "/arrive/x", Host: "h1"}, catalog.ErrConflict},
			{"relative", catalog.Store{Mode: catalog.InPlace, Root: "data", Host: "h1"}, catalog.ErrInvalid},
			{"no root", catalog.Store{Mode: catalog.InPlace, Host: "h1"}, catalog.ErrInvalid},
			{"relative incoming folder", catalog.Store{Mode: catalog.Managed, Root: "/o", Incoming: "in", Host: "h1"}, catalog.ErrInvalid},
			{"no mode", catalog.Store{Root: "/p", Host: "h1"}, catalog.ErrInvalid},
			{"incoming folder of an in-place store", catalog.Store{Mode: catalog.InPlace, Root: "/p", Incoming: "/q", Host: "h1"}, catalog.ErrInvalid},
			{"root within its incoming folder", catalog.Store{Mode: catalog.Managed, Root: "/p/q", Incoming: "/p", Host: "h1"}, catalog.ErrInvalid},
			{"root is its incoming folder", catalog.Store{Mode: catalog.Managed, Root: "/p", Incoming: "/p", Host: "h1"}, catalog.ErrInvalid},
			{"incoming folder in the trash", catalog.Store{Mode: catalog.Managed, Root: "/p", Incoming: "/p/trash/in", Host: "h1"}, catalog.ErrInvalid},
		} {
			if _, err := c.Stores.Put(ctx, tt.store); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		_, err = c.Stores.Update(ctx, managed.ID, func(s *catalog.Store) error { s.Root = "/data/a/c"; return nil })
		if !errors.Is(err, catalog.ErrConflict) {
			t.Errorf("moved into another: %v, want %v", err, catalog.ErrConflict)
		}
	})
}
