package taskhandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/atlastest"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// A site has a dump, a managed store, and what runs tasks.
type site struct {
	*Handlers
	t        *testing.T
	from, to *catalog.Store
	dump     *atlastest.Dump
}

func newSite(t *testing.T, images ...atlastest.Image) *site {
	t.Helper()
	dir := t.TempDir()
	c := catalogtest.Open(t, filepath.Join(dir, "catalog.db"))
	s := &site{t: t, dump: &atlastest.Dump{Dir: t.TempDir()}}
	s.dump.Put(t, images...)
	var err error
	if s.from, err = c.Stores.Put(t.Context(), catalog.Store{Label: "old", Mode: catalog.InPlace, Root: "dump://" + s.dump.Dir, ExternalID: "5356d8b9e67655244bf3273a"}); err != nil {
		t.Fatal(err)
	}
	if s.to, err = managed.AddStore(t.Context(), c, catalog.Store{Label: "new", Mode: catalog.Managed, Root: filepath.Join(dir, "new")}); err != nil {
		t.Fatal(err)
	}
	pool := &source.Pool{Indexes: filepath.Join(dir, "dumps")}
	t.Cleanup(func() { pool.Close() })
	s.Handlers = &Handlers{
		Catalog: c, Decode: render.NewBudget(64 << 20), Reserve: 1,
		Syncer: &scan.Syncer{Catalog: c, Log: slog.New(slog.DiscardHandler), Sources: pool, Received: managed.NewReceived()},
	}
	s.sync(s.from)
	return s
}

func (s *site) sync(st *catalog.Store) scan.Result {
	s.t.Helper()
	r, err := s.Syncer.Sync(s.t.Context(), st.ID, scan.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// run runs the task.
func (s *site) run(a task.Args) (Packed, error) {
	s.t.Helper()
	raw, err := json.Marshal(a)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range s.Kinds() {
		if k.Name == task.PackImage {
			r, err := k.Run(s.t.Context(), &task.Task{Kind: k.Name, Store: a.Store, Args: raw, Attempt: 1})
			p, _ := r.(Packed)
			return p, err
		}
	}
	s.t.Fatal("no such kind")
	return Packed{}, nil
}

func (s *site) images(st *catalog.Store) map[string]catalog.Image {
	s.t.Helper()
	list := map[string]catalog.Image{}
	if err := s.Catalog.Images.Each(s.t.Context(), st.ID, func(im *catalog.Image) error {
		list[im.ID] = *im
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// TestPackStore packs a store: the images keep their ids, names, bounds and tiles, and a sync
// of the dump does not list them again. Packing it again does nothing.
func TestPackStore(t *testing.T) {
	t.Parallel()
	foot := atlastest.New("b.svs", 90)
	foot.Foot = true
	s := newSite(t, atlastest.New("a.svs", 50), foot)
	before := s.images(s.from)
	if len(before) != 2 {
		t.Fatalf("%d images", len(before))
	}
	a := task.Args{Store: s.from.ID, Into: s.to.ID}
	dry := a
	dry.DryRun = true
	if r, err := s.run(dry); err != nil || r.Count != 2 || len(s.images(s.to)) != 0 {
		t.Errorf("dry run: %+v, %v", r, err)
	}
	s.Wider = func(context.Context, *catalog.Store, *catalog.Store) ([]string, error) {
		return []string{"it is public"}, nil
	}
	if _, err := s.run(a); !errors.Is(err, ErrWider) || !strings.Contains(err.Error(), "it is public") {
		t.Errorf("error %v, want %v", err, ErrWider)
	}
	a.Confirm = true
	tiles := map[string][]byte{}
	for id, im := range before {
		o, err := s.Syncer.Slide(t.Context(), s.from, im.Path)
		if err != nil {
			t.Fatal(err)
		}
		tiles[id] = allTiles(o.Slide)
		o.Close()
	}
	r, err := s.run(a)
	if err != nil || r.Count != 2 || len(r.Failed) > 0 || r.Tiles == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for range 2 {
		if r := s.sync(s.from); r.Added+r.Missing > 0 {
			t.Errorf("sync of the dump: %+v", r)
		}
		if r := s.sync(s.to); r.Added+r.Missing+r.Updated > 0 {
			t.Errorf("sync of the managed store: %+v", r)
		}
		if r, err := s.run(a); err != nil || r.Images != 0 {
			t.Errorf("again: %+v, %v", r, err)
		}
	}
	if rest := s.images(s.from); len(rest) > 0 {
		t.Errorf("%d images left", len(rest))
	}
	now := s.images(s.to)
	for id, was := range before {
		im := now[id]
		if diff := cmp.Diff([]string{s.from.ID, s.from.ExternalID}, im.FormerStores); diff != "" {
			t.Error(diff)
		}
		if im.FileName != was.FileName || *im.ExternalID != *was.ExternalID || im.Width != was.Width || im.Height != was.Height || im.MaxZoom != was.MaxZoom || !cmp.Equal(im.Bounds, was.Bounds) || !cmp.Equal(im.MPPX, was.MPPX) {
			t.Errorf("image %+v, was %+v", im.Description, was.Description)
		}
		b, err := os.ReadFile(s.to.File(im.Path))
		if err != nil {
			t.Fatal(err)
		}
		sl, err := slide.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(allTiles(sl), tiles[id]) {
			t.Error("other tiles")
		}
	}
}

// allTiles returns the tiles of all zoom levels that are stored, one after the other.
func allTiles(s *slide.Slide) []byte {
	var b []byte
	for i := range s.Levels {
		for row := range s.Levels[i].Rows {
			for col := range s.Levels[i].Columns {
				if longer, err := s.AppendTile(b, i, col, row); err == nil {
					b = longer
				}
			}
		}
	}
	return b
}

// TestPackRefuses packs images that cannot be, or not now.
func TestPackRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t, atlastest.New("a.svs", 50))
	id := ""
	for id = range s.images(s.from) {
	}
	if _, err := s.run(task.Args{Store: s.to.ID, Into: s.to.ID}); err == nil || !strings.Contains(err.Error(), "files already") {
		t.Errorf("a managed store: %v", err)
	}
	if _, err := s.run(task.Args{Store: s.from.ID, Into: s.from.ID}); err == nil || !strings.Contains(err.Error(), "managed stores only") {
		t.Errorf("into a dump: %v", err)
	}
	inBucket, err := s.Catalog.Stores.Put(t.Context(), catalog.Store{Mode: catalog.Managed, Root: "s3://slides/a/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(task.Args{Store: s.from.ID, Into: inBucket.ID, DryRun: true}); err == nil || !strings.Contains(err.Error(), "in folders only") {
		t.Errorf("into a bucket: %v", err)
	}
	if _, err := s.Catalog.Stores.Update(t.Context(), s.to.ID, func(st *catalog.Store) error { st.Quota = 10; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(task.Args{Store: s.from.ID, Into: s.to.ID, Image: id}); !errors.Is(err, errNoSpace) {
		t.Errorf("over the quota: %v", err)
	}
	if _, err := s.Catalog.Stores.Update(t.Context(), s.to.ID, func(st *catalog.Store) error { st.Quota = 0; return nil }); err != nil {
		t.Fatal(err)
	}
	changed := atlastest.New("a.svs", 51)
	s.dump.Remove(t, atlastest.ID("a.svs"))
	s.dump.Put(t, changed)
	if _, err := s.run(task.Args{Store: s.from.ID, Into: s.to.ID, Image: id}); err == nil {
		t.Error("a changed image was packed")
	}
	if im, err := s.Catalog.Images.Get(t.Context(), id); err != nil || im.StoreID != s.from.ID {
		t.Errorf("the image is not in its store: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(s.to.Root, managed.Staging)); err != nil || len(left) > 0 {
		t.Errorf("left in staging: %v, %v", left, err)
	}
}
