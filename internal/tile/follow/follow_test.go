package follow_test

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/slide"
)

// A site is a catalog of one store and the follower of a tile server.
type site struct {
	t *testing.T
	*catalog.Catalog
	url      string
	follower *follow.Follower
	tiles    *tile.Server
	store    string
}

func newSite(t *testing.T) *site {
	t.Helper()
	st := &site{t: t, url: "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")}
	st.Catalog = st.open()
	st.tiles = tile.New(tile.Options{})
	t.Cleanup(st.tiles.Close)
	st.follower = &follow.Follower{Catalog: st.Catalog, Tiles: st.tiles, Log: slog.New(slog.DiscardHandler)}
	s, err := st.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: "/slides", Background: "#f0e0d0", Origin: "bottom-left", Public: true})
	if err != nil {
		t.Fatal(err)
	}
	st.store = s.ID
	return st
}

// open opens the catalog once more, as another process does.
func (st *site) open() *catalog.Catalog {
	st.t.Helper()
	c, err := catalog.Open(st.t.Context(), st.url)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { c.Close() })
	return c
}

func (st *site) put(c *catalog.Catalog, path string, state catalog.State) *catalog.Image {
	st.t.Helper()
	im := &catalog.Image{
		StoreID: st.store, Path: path, State: state, Revision: "r1", Identity: fsx.Identity{Ino: 7, Size: 10},
		Description: catalog.Description{FileName: filepath.Base(path), FirstSeen: time.Now(), LastChange: time.Now()},
	}
	if err := c.Images.Put(st.t.Context(), []*catalog.Image{im}); err != nil {
		st.t.Fatal(err)
	}
	return im
}

func (st *site) load() {
	st.t.Helper()
	if err := st.follower.Load(st.t.Context()); err != nil {
		st.t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	st := newSite(t)
	im := st.put(st.Catalog, "a/b.tiff", catalog.Available)
	st.load()
	got, err := st.tiles.Image(im.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := tile.File{
		ID: im.ID, Path: "a/b.tiff", Name: "b.tiff", Revision: "r1", Identity: fsx.Identity{Ino: 7, Size: 10},
		Store: &tile.Store{ID: st.store, Root: "/slides", Background: color.RGBA{0xf0, 0xe0, 0xd0, 255}, Origin: slide.BottomLeft, Public: true},
	}
	if diff := cmp.Diff(want, got.File); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

// Files of a managed store lie in two folders, of which one may be moved.
func TestManagedFile(t *testing.T) {
	st := newSite(t)
	s, err := st.Stores.Put(t.Context(), catalog.Store{Mode: catalog.Managed, Root: "/managed", Incoming: "/incoming"})
	if err != nil {
		t.Fatal(err)
	}
	st.store = s.ID
	arrived, kept := st.put(st.Catalog, "incoming/a.tiff", catalog.Available), st.put(st.Catalog, "slides/ab/abc.tiff", catalog.Available)
	want := func(im *catalog.Image, path string) {
		t.Helper()
		st.load()
		if got, err := st.tiles.Image(im.ID); err != nil || got.File.Path != path {
			t.Errorf("path %q, %v, want %q", got.File.Path, err, path)
		}
	}
	want(arrived, "/incoming/a.tiff")
	want(kept, "/managed/slides/ab/abc.tiff")
	if _, err := st.Stores.Update(t.Context(), s.ID, func(s *catalog.Store) error { s.Incoming = "/moved"; return nil }); err != nil {
		t.Fatal(err)
	}
	want(arrived, "/moved/a.tiff")
	want(kept, "/managed/slides/ab/abc.tiff")
}

func (st *site) unsupported(im *catalog.Image, reason string) error {
	im.State, im.Reason = catalog.Unsupported, reason
	return st.Images.Put(context.Background(), []*catalog.Image{im})
}

// Only available images are served, and images whose label can be shown; and an image is removed when it is no longer available.
func TestFollows(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name   string
		change func(st *site, im *catalog.Image) error
		served bool
	}{
		{"nothing", func(*site, *catalog.Image) error { return nil }, true},
		{"missing", func(st *site, im *catalog.Image) error { st.put(st.Catalog, im.Path, catalog.Missing); return nil }, false},
		{"broken", func(st *site, im *catalog.Image) error { st.put(st.Catalog, im.Path, catalog.Broken); return nil }, false},
		{"unsupported", func(st *site, im *catalog.Image) error { return st.unsupported(im, "JPEG XL") }, false},
		{"unsupported, with a label to show", func(st *site, im *catalog.Image) error {
			return st.unsupported(im, "compression 33005 (JPEG 2000) is not supported")
		}, true},
		{"deleted", func(st *site, im *catalog.Image) error { return st.Images.Delete(ctx, im.ID) }, false},
		{"deleted and restored", func(st *site, im *catalog.Image) error {
			return errors.Join(st.Images.Delete(ctx, im.ID), st.follower.Load(ctx), st.Images.Restore(ctx, im.ID))
		}, true},
		{"dropped", func(st *site, im *catalog.Image) error { return st.Images.Drop(ctx, im.ID) }, false},
		{"store removed", func(st *site, _ *catalog.Image) error { return st.Stores.Delete(ctx, st.store) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newSite(t)
			im := st.put(st.Catalog, "a.tiff", catalog.Available)
			st.load()
			if err := tt.change(st, im); err != nil {
				t.Fatal(err)
			}
			st.load()
			if _, err := st.tiles.Image(im.ID); (err == nil) != tt.served {
				t.Errorf("image: %v, want it served: %t", err, tt.served)
			}
		})
	}
}

// Follows more images than are read at a time.
func TestMany(t *testing.T) {
	st := newSite(t)
	var list []*catalog.Image
	for i := range 2345 {
		list = append(list, &catalog.Image{StoreID: st.store, Path: fmt.Sprint(i), State: catalog.Available, Revision: "r"})
	}
	if err := st.Images.Put(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	st.load()
	if n := st.tiles.Len(); n != len(list) {
		t.Errorf("%d images, want %d", n, len(list))
	}
}

// A change of a store reaches its images; without one their slides stay open,
// which the pointer decides.
func TestStoreChanged(t *testing.T) {
	st := newSite(t)
	im := st.put(st.Catalog, "a.tiff", catalog.Available)
	store := func() *tile.Store {
		t.Helper()
		st.load()
		got, err := st.tiles.Image(im.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got.File.Store
	}
	edit := func(f func(*catalog.Store)) {
		t.Helper()
		if _, err := st.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error { f(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	first := store()
	edit(func(s *catalog.Store) { s.Label = "renamed" })
	if store() != first {
		t.Error("a new label gave a new store: its slides were closed for nothing")
	}
	edit(func(s *catalog.Store) { s.Background, s.Public = "#000000", false })
	if got := store(); got.Background != (color.RGBA{0, 0, 0, 255}) || got.Public {
		t.Errorf("store %+v, want it black and not public", got)
	}
}

// Run follows changes by another process, and continues during an outage of the catalog.
func TestRun(t *testing.T) {
	st := newSite(t)
	im := st.put(st.Catalog, "a.tiff", catalog.Available)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { st.follower.Run(ctx); close(ended) }()
	served := func(id string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err := st.tiles.Image(id); err == nil {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("image %s: %v", id, err)
			}
		}
	}
	served(im.ID)
	other := st.open()
	served(st.put(other, "b.tiff", catalog.Available).ID)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	served(im.ID)
	stop()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("Run continues although its context is done")
	}
}

func TestColor(t *testing.T) {
	white := color.RGBA{255, 255, 255, 255}
	tests := []struct {
		in   string
		want color.RGBA
	}{
		{"#f1e2d3", color.RGBA{0xf1, 0xe2, 0xd3, 255}},
		{"#F1E2D3", color.RGBA{0xf1, 0xe2, 0xd3, 255}},
		{"", white},
		{"#fff", white},
		{"f1e2d3", white},
		{"#f1e2d", white},
		{"#f1e2dg", white},
		{"#-1e2d3", white},
		{"#f1e2d3ff", white},
	}
	for _, tt := range tests {
		if got := follow.Color(tt.in); got != tt.want {
			t.Errorf("Color(%q) = %v, want %v", tt.in, got, tt.want)
		}
	}
}

// Renamed is called when the external id of an image changes, after the tile server has the
// new one.
func TestRenamed(t *testing.T) {
	st := newSite(t)
	var renamed []string
	st.follower.Renamed = func(id string) {
		im, err := st.tiles.Image(id)
		if err != nil {
			t.Fatal(err)
		}
		renamed = append(renamed, id+" "+im.File.ExternalID)
	}
	im := st.put(st.Catalog, "a.tiff", catalog.Available)
	st.load()
	for _, id := range []string{"7", "7", "8"} {
		if _, err := st.Images.Update(t.Context(), im.ID, func(im *catalog.Image) error { im.ExternalID = &id; return nil }); err != nil {
			t.Fatal(err)
		}
		st.load()
	}
	if diff := cmp.Diff([]string{im.ID + " 7", im.ID + " 8"}, renamed); diff != "" {
		t.Errorf("renamed (-want +got):\n%s", diff)
	}
}
