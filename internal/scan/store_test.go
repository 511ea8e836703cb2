package scan

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// A site is a store of one folder, a catalog, and a stopped clock.
type site struct {
	t     *testing.T
	root  string
	store string
	*Syncer
	now time.Time
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	c := catalogtest.Open(t, filepath.Join(dir, "catalog.db"))
	st := &site{t: t, root: filepath.Join(dir, "slides"), now: time.Now().Truncate(time.Microsecond)}
	if err := os.Mkdir(st.root, 0o755); err != nil {
		t.Fatal(err)
	}
	put, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: st.root})
	if err != nil {
		t.Fatal(err)
	}
	st.store = put.ID
	st.Syncer = &Syncer{Catalog: c, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return st.now }}
	return st
}

func (st *site) path(name string) string { return filepath.Join(st.root, name) }

// write writes a file into the store's folder, creating folders.
func (st *site) write(name string, data []byte) {
	st.t.Helper()
	if err := os.MkdirAll(filepath.Dir(st.path(name)), 0o755); err != nil {
		st.t.Fatal(err)
	}
	if err := os.WriteFile(st.path(name), data, 0o644); err != nil {
		st.t.Fatal(err)
	}
}

// scan scans the folder and expects no error.
func (st *site) scan(o Options) Result {
	st.t.Helper()
	r, err := st.Sync(context.Background(), st.store, o)
	if err != nil {
		st.t.Fatalf("Sync: %v", err)
	}
	return r
}

// later advances the clock.
func (st *site) later(d time.Duration) { st.now = st.now.Add(d) }

// image returns the image of a file.
func (st *site) image(name string) *catalog.Image {
	st.t.Helper()
	im, err := st.Catalog.Images.ByPath(context.Background(), st.store, name)
	if err != nil {
		st.t.Fatalf("image at %q: %v", name, err)
	}
	return im
}

// states returns the state of every file in the catalog, by path.
func (st *site) states() map[string]catalog.State {
	st.t.Helper()
	m := map[string]catalog.State{}
	err := st.Catalog.Images.Each(context.Background(), st.store, func(im *catalog.Image) error {
		m[im.Path] = im.State
		return nil
	})
	if err != nil {
		st.t.Fatal(err)
	}
	return m
}
