package scan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/test/atlastest"
	"github.com/slideatlas/ptiffstore/test/mongotest"
)

// An atlas is a database of SlideAtlas or the dump of one.
type atlas interface {
	Put(t testing.TB, images ...atlastest.Image)
	Remove(t testing.TB, id string)
}

// onEachAtlas calls f with a site whose store has the images of an atlas.
func onEachAtlas(t *testing.T, f func(t *testing.T, st *site, a atlas)) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) (atlas, string){
		"database": func(t *testing.T) (atlas, string) {
			d := atlastest.NewDatabase(t, mongotest.New(t).Host, "t"+catalog.NewID())
			return d, d.URI
		},
		"dump": func(t *testing.T) (atlas, string) {
			d := &atlastest.Dump{Dir: t.TempDir()}
			return d, "dump://" + d.Dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, root := open(t)
			f(t, newAtlasSite(t, root), a)
		})
	}
}

// newAtlasSite returns a site with a store that has no folder.
func newAtlasSite(t *testing.T, root string) *site {
	t.Helper()
	st := newSite(t)
	if err := st.Catalog.Stores.Delete(t.Context(), st.store); err != nil {
		t.Fatal(err)
	}
	store, err := st.Catalog.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	st.store = store.ID
	st.Sources = &source.Pool{Indexes: filepath.Join(t.TempDir(), "dumps"), Timeout: time.Minute}
	t.Cleanup(func() {
		if err := st.Sources.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func (st *site) imageOf(name string) *catalog.Image {
	st.t.Helper()
	return st.image(atlastest.ID(name))
}

// byName returns the states by file name.
func (st *site) byName() map[string]string {
	st.t.Helper()
	m := map[string]string{}
	if err := st.Catalog.Images.Each(st.t.Context(), st.store, func(im *catalog.Image) error {
		m[im.FileName] = strings.TrimSuffix(string(im.State)+": "+im.Reason, ": ")
		return nil
	}); err != nil {
		st.t.Fatal(err)
	}
	return m
}

func (st *site) wantByName(want map[string]string) {
	st.t.Helper()
	if diff := cmp.Diff(want, st.byName()); diff != "" {
		st.t.Errorf("states (-want +got):\n%s", diff)
	}
}

// Images are added, changed and removed like files, at once.
func TestSyncImages(t *testing.T) {
	onEachAtlas(t, func(t *testing.T, st *site, a atlas) {
		one, two := atlastest.New("one.svs", 50), atlastest.New("two.svs", 100)
		one.Label, two.Foot = "Case 1", true
		two.Tiles = nil
		stack := atlastest.New("stack.svs", 1)
		stack.Extra = bson.D{{Key: "type", Value: "stack"}}
		a.Put(t, one, two, stack)
		if r := st.scan(Options{}); r.Count != 3 || r.Added != 3 || r.Arriving != 0 || len(r.Failed) != 2 {
			t.Errorf("first scan: %+v", r)
		}
		st.wantByName(map[string]string{
			"one.svs": "available", "two.svs": "unsupported: the image has no tiles",
			"stack.svs": "unsupported: the image is a stack of pictures without levels",
		})
		im := st.imageOf("one.svs")
		if im.Label == nil || *im.Label != "Case 1" || im.ExternalID == nil || *im.ExternalID != one.ID || im.Width != 100 || im.Height != 80 ||
			im.Bounds == nil || len(im.Levels) != 2 || im.Levels[0].Width != 128 || im.Identity.Size == 0 || im.MPPX == nil || *im.MPPX != 0.25 {
			t.Errorf("%+v", im)
		}
		if r := st.scan(Options{}); r.changed() && len(r.Failed) == 0 || r.Added+r.Updated != 0 {
			t.Errorf("second scan: %+v, want nothing", r)
		}

		two = atlastest.New("two.svs", 100) // its tiles arrive later
		one.Label = "Case 1a"
		a.Put(t, one, two)
		a.Remove(t, stack.ID)
		if r := st.scan(Options{}); r.Updated != 2 || r.Missing != 1 {
			t.Errorf("third scan: %+v", r)
		}
		st.wantByName(map[string]string{"one.svs": "available", "two.svs": "available", "stack.svs": "missing: the database no longer has the image"})
		now := st.imageOf("one.svs")
		if now.ID != im.ID || *now.Label != "Case 1a" || now.Revision == im.Revision {
			t.Errorf("after a change: %+v", now)
		}
		a.Put(t, stack)
		if r := st.scan(Options{}); r.Returned != 1 {
			t.Errorf("fourth scan: %+v", r)
		}
	})
}

// Labels and external ids that people set are kept.
func TestSyncKeepsLabels(t *testing.T) {
	onEachAtlas(t, func(t *testing.T, st *site, a atlas) {
		edits := map[string]*string{"edited.svs": new("Mine"), "cleared.svs": nil, "untouched.svs": new("Old")}
		for name := range edits {
			im := atlastest.New(name, 1)
			im.Label = "Old"
			a.Put(t, im)
		}
		st.scan(Options{})
		for name, label := range edits {
			if _, err := st.Catalog.Images.Update(t.Context(), st.imageOf(name).ID, func(im *catalog.Image) error {
				im.Label = label
				if name == "edited.svs" {
					im.ExternalID = new("theirs")
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			im := atlastest.New(name, 1)
			im.Label = "New"
			a.Put(t, im)
		}
		if r := st.scan(Options{}); r.Updated != 3 {
			t.Errorf("%+v", r)
		}
		got := map[string]string{}
		for name := range edits {
			im := st.imageOf(name)
			got[name] = fmt.Sprint(*im.ExternalID == atlastest.ID(name))
			if im.Label != nil {
				got[name] += " " + *im.Label
			}
		}
		want := map[string]string{"edited.svs": "false Mine", "cleared.svs": "true", "untouched.svs": "true New"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("own external id and label (-want +got):\n%s", diff)
		}
	})
}

// Too many missing images need a confirmation, and an empty database is unreachable.
func TestSyncGuardsImages(t *testing.T) {
	onEachAtlas(t, func(t *testing.T, st *site, a atlas) {
		var images []atlastest.Image
		for i := range 20 {
			images = append(images, atlastest.New(fmt.Sprintf("%02d.svs", i), 1))
		}
		a.Put(t, images...)
		st.scan(Options{})
		for _, im := range images[:15] {
			a.Remove(t, im.ID)
		}
		if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrManyMissing) {
			t.Errorf("15 of 20 missing: %v, want %v", err, ErrManyMissing)
		}
		for _, im := range images[15:] {
			a.Remove(t, im.ID)
		}
		if _, err := st.Sync(t.Context(), st.store, Options{Confirm: true}); !errors.Is(err, ErrNoRoot) || ErrorCode(err) != "folder_unreachable" {
			t.Errorf("no images: %v, want %v", err, ErrNoRoot)
		}
		for name, state := range st.byName() {
			if state != "available" {
				t.Errorf("%s is %s", name, state)
			}
		}
		a.Put(t, images[:5]...)
		if r := st.scan(Options{Confirm: true}); r.Missing != 15 {
			t.Errorf("confirmed: %+v, want 15 missing", r)
		}
	})
}

// A database that stops is unreachable and then in sync again, without a change.
func TestSyncStoppedDatabase(t *testing.T) {
	t.Parallel()
	server := mongotest.NewServer(t)
	d := atlastest.NewDatabase(t, server.Host, "tiles")
	d.Put(t, atlastest.New("a.svs", 1), atlastest.New("b.svs", 1))
	st := newAtlasSite(t, d.URI)
	st.Sources.Timeout = 2 * time.Second
	st.scan(Options{})
	server.Stop()
	if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrNoRoot) || !strings.Contains(err.Error(), "database is unreachable") {
		t.Errorf("Sync: %v", err)
	}
	if err := st.Retry(t.Context(), st.imageOf("a.svs").ID); err == nil {
		t.Error("Retry worked")
	}
	st.wantByName(map[string]string{"a.svs": "available", "b.svs": "available"})
}

// The folder of a dump may be replaced by a newer dump.
func TestSyncReplacedDump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := &atlastest.Dump{Dir: filepath.Join(dir, "tiles")}
	d.Put(t, atlastest.New("a.svs", 1), atlastest.New("b.svs", 1))
	st := newAtlasSite(t, "dump://"+d.Dir)
	st.scan(Options{})
	if err := os.Rename(d.Dir, filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrNoRoot) {
		t.Errorf("Sync: %v, want %v", err, ErrNoRoot)
	}
	newer := &atlastest.Dump{Dir: d.Dir}
	newer.Put(t, atlastest.New("a.svs", 1), atlastest.New("b.svs", 1), atlastest.New("c.svs", 1))
	if r := st.scan(Options{}); r.Added != 1 || r.Updated != 2 || r.Missing != 0 {
		t.Errorf("%+v, want one added", r)
	}
}

// A watcher polls a database.
func TestWatchDatabase(t *testing.T) {
	t.Parallel()
	d := atlastest.NewDatabase(t, mongotest.New(t).Host, "t"+catalog.NewID())
	d.Put(t, atlastest.New("a.svs", 1))
	st := newAtlasSite(t, d.URI)
	w := NewWatcher(st.Syncer, st.store)
	w.Poll = 50 * time.Millisecond
	st.watched(w)
	st.eventually(time.Minute, "the first image", func() bool { return len(st.byName()) == 1 })
	d.Put(t, atlastest.New("b.svs", 1))
	st.eventually(time.Minute, "the second image", func() bool { return st.byName()["b.svs"] == "available" })
	if s := w.Status(); !s.Polling || s.Why == "" {
		t.Errorf("%+v", s)
	}
}
