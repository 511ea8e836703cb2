package catalog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	for root, want := range map[string]catalog.Kind{
		"/slides": catalog.Directory, "": catalog.Directory, "mongodb": catalog.Directory, "/mongodb://h/d": catalog.Directory, "http://h/d": catalog.Directory,
		"mongodb://h/d": catalog.MongoDB, "mongodb+srv://h/d": catalog.MongoDB, "dump:///d": catalog.Dump,
		"s3://b/": catalog.S3, "/s3://b/": catalog.Directory,
	} {
		if got := catalog.KindOf(root); got != want {
			t.Errorf("KindOf(%q) = %q, want %q", root, got, want)
		}
	}
}

func TestStoresOfKinds(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		const password = "hunter2"
		for _, tt := range []struct {
			name, root, want string // want: the root, "" if it is refused
			store            catalog.Store
			err              error
		}{
			{"folder", "/data/", "/data", catalog.Store{}, nil},
			{"database", "mongodb://reader@db:27017/tiles1", "mongodb://reader@db:27017/tiles1", catalog.Store{PasswordFile: "/etc/password", ExternalID: "5356d8b9e67655244bf3273a"}, nil},
			{"another database of the server", "mongodb://reader@db:27017/tiles2", "mongodb://reader@db:27017/tiles2", catalog.Store{}, nil},
			{"seed list", "mongodb+srv://db.example/tiles1", "mongodb+srv://db.example/tiles1", catalog.Store{}, nil},
			{"dump in a folder of slides", "dump:///data/./dumps/tiles1/", "dump:///data/dumps/tiles1", catalog.Store{}, nil},
			{"dump in a dump", "dump:///data/dumps/tiles1/more", "dump:///data/dumps/tiles1/more", catalog.Store{}, nil},
			{"the same database", "mongodb://reader@db:27017/tiles1", "", catalog.Store{}, catalog.ErrConflict},
			{"the same dump", "dump:///data//dumps/tiles1", "", catalog.Store{}, catalog.ErrConflict},
			{"the same external id", "dump:///other", "", catalog.Store{ExternalID: "5356d8b9e67655244bf3273a"}, catalog.ErrConflict},
			{"relative dump", "dump://data/tiles1", "", catalog.Store{}, catalog.ErrInvalid},
			{"managed database", "mongodb://db/tiles1", "", catalog.Store{Mode: catalog.Managed}, catalog.ErrInvalid},
			{"managed dump", "dump:///d", "", catalog.Store{Mode: catalog.Managed}, catalog.ErrInvalid},
			{"password in the root", "mongodb://reader:" + password + "@db/tiles1", "", catalog.Store{}, catalog.ErrInvalid},
			{"password with an at sign", "mongodb://reader:" + password + "@x@db/tiles1", "", catalog.Store{}, catalog.ErrInvalid},
			{"relative password file", "mongodb://reader@db/tiles3", "", catalog.Store{PasswordFile: "password"}, catalog.ErrInvalid},
			{"password of a dump", "dump:///e", "", catalog.Store{PasswordFile: "/etc/password"}, catalog.ErrInvalid},
			{"password of a folder", "/e", "", catalog.Store{PasswordFile: "/etc/password"}, catalog.ErrInvalid},
			{"bucket", "s3://slides/scanner/", "s3://slides/scanner/", catalog.Store{}, nil},
			{"another prefix", "s3://slides/scanner-2/", "s3://slides/scanner-2/", catalog.Store{}, nil},
			{"the same prefix", "s3://slides/scanner/", "", catalog.Store{}, catalog.ErrConflict},
			{"prefix in a prefix", "s3://slides/scanner/2026/", "", catalog.Store{}, catalog.ErrConflict},
			{"prefix around another", "s3://slides/", "", catalog.Store{}, catalog.ErrConflict},
			{"managed bucket", "s3://slides/m/", "s3://slides/m/", catalog.Store{Mode: catalog.Managed}, nil},
			{"incoming folder of a bucket", "s3://slides/i/", "", catalog.Store{Mode: catalog.Managed, Incoming: "/in"}, catalog.ErrInvalid},
			{"password of a bucket", "s3://slides/p/", "", catalog.Store{PasswordFile: "/etc/password"}, catalog.ErrInvalid},
			{"credentials in the root", "s3://key:" + password + "@slides/", "", catalog.Store{}, catalog.ErrInvalid},
			{"incoming folder of a database", "mongodb://db/tiles4", "", catalog.Store{Incoming: "/in"}, catalog.ErrInvalid},
		} {
			tt.store.Root = tt.root
			if tt.store.Mode == "" {
				tt.store.Mode = catalog.InPlace
			}
			put, err := c.Stores.Put(t.Context(), tt.store)
			if !errors.Is(err, tt.err) || err != nil && strings.Contains(err.Error(), password) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
			}
			if err != nil || tt.want == "" {
				continue
			}
			got, err := c.Stores.Get(t.Context(), put.ID)
			if err != nil {
				t.Fatal(err)
			}
			type fields struct {
				Root, PasswordFile, ExternalID string
				Kind                           catalog.Kind
			}
			want := fields{tt.want, tt.store.PasswordFile, tt.store.ExternalID, catalog.KindOf(tt.root)}
			if diff := cmp.Diff(want, fields{got.Root, got.PasswordFile, got.ExternalID, got.Kind}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
			if file := got.File("a"); (file == "") != (got.Kind != catalog.Directory) {
				t.Errorf("%s: File returns %q", tt.name, file)
			}
		}
		// What is not changed is kept.
		list, err := c.Stores.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		edited, err := c.Stores.Update(t.Context(), list[1].ID, func(s *catalog.Store) error { s.Label = "Old slides"; return nil })
		if err != nil || edited.PasswordFile != "/etc/password" || edited.ExternalID != "5356d8b9e67655244bf3273a" || edited.Kind != catalog.MongoDB {
			t.Errorf("after an edit: %+v, %v", edited, err)
		}
	})
}

func TestBoundsAndFormerStores(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		store := putStore(t, c, "/slides")
		want := catalog.Description{Bounds: &catalog.Bounds{X: 1, Y: 2, Width: 3, Height: 4}, FormerStores: []string{"s", "5356d8b9e67655244bf3273a"}}
		im := &catalog.Image{StoreID: store, Path: "a", State: catalog.Available, Description: want}
		if err := c.Images.Put(t.Context(), []*catalog.Image{im}); err != nil {
			t.Fatal(err)
		}
		// An inspection knows the bounds only.
		again := &catalog.Image{StoreID: store, Path: "a", State: catalog.Available, Description: catalog.Description{Bounds: want.Bounds}}
		if err := c.Images.Put(t.Context(), []*catalog.Image{again}); err != nil {
			t.Fatal(err)
		}
		got, err := c.Images.Get(t.Context(), im.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, catalog.Description{Bounds: got.Bounds, FormerStores: got.FormerStores}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
