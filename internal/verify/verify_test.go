package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
	"github.com/slideatlas/ptiffstore/test/unprivileged"
)

// A site is a folder of slides that is cataloged and served.
type site struct {
	t     *testing.T
	root  string
	store string
	log   bytes.Buffer
	*Verifier
	syncer   *scan.Syncer
	now      time.Time
	tiles    *tile.Server
	follower *follow.Follower
}

// onEach runs a test on a fresh site with either database.
func onEach(t *testing.T, test func(*testing.T, *site)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newSite(t, catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		c, err := catalog.Open(t.Context(), catalogtest.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		test(t, newSite(t, c))
	})
}

func newSite(t *testing.T, c *catalog.Catalog) *site {
	t.Helper()
	st := &site{t: t, root: t.TempDir(), now: time.Now()}
	s, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: st.root})
	if err != nil {
		t.Fatal(err)
	}
	st.store = s.ID
	st.Verifier = &Verifier{Catalog: c, Log: slog.New(slog.NewTextHandler(&st.log, nil))}
	st.syncer = &scan.Syncer{Catalog: c, Now: func() time.Time { return st.now }}
	st.tiles = tile.New(tile.Options{})
	t.Cleanup(st.tiles.Close)
	st.follower = &follow.Follower{Catalog: c, Tiles: st.tiles, Log: slog.New(slog.DiscardHandler)}
	return st
}

func (st *site) path(name string) string { return filepath.Join(st.root, name) }

// slides writes slides of these names and catalogs them.
func (st *site) slides(names ...string) {
	st.t.Helper()
	for i, name := range names {
		if _, err := (synth.Philips{Width: 700 + 10*i, Height: 500, TileSize: 256, Barcode: "B-1"}).Write(st.path(name)); err != nil {
			st.t.Fatal(err)
		}
	}
	st.sync()
}

func (st *site) sync() {
	st.t.Helper()
	st.now = st.now.Add(time.Minute)
	if _, err := st.syncer.Sync(st.t.Context(), st.store, scan.Options{}); err != nil {
		st.t.Fatal(err)
	}
}

func (st *site) image(name string) *catalog.Image {
	st.t.Helper()
	im, err := st.Catalog.Images.ByPath(st.t.Context(), st.store, name)
	if err != nil {
		st.t.Fatal(err)
	}
	return im
}

// verify reads the store and expects no error.
func (st *site) verify(o Options) Result {
	st.t.Helper()
	o.Rate = -1
	r, err := st.Store(st.t.Context(), st.store, o)
	if err != nil {
		st.t.Fatalf("Store: %v", err)
	}
	return r
}

// decay flips a bit in the middle of a file, and restores its mtime: the closest
// simulation of silent disk corruption.
func (st *site) decay(name string) {
	st.t.Helper()
	stat, err := os.Stat(st.path(name))
	if err != nil {
		st.t.Fatal(err)
	}
	f, err := os.OpenFile(st.path(name), os.O_RDWR, 0)
	if err != nil {
		st.t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], stat.Size()/2)
	b[0] ^= 1
	_, err2 := f.WriteAt(b[:], stat.Size()/2)
	if err := errors.Join(err, err2, f.Close(), os.Chtimes(st.path(name), stat.ModTime(), stat.ModTime())); err != nil {
		st.t.Fatal(err)
	}
}

// tile requests the image's first tile, as a viewer does.
func (st *site) tile(id string) error {
	st.t.Helper()
	if err := st.follower.Load(st.t.Context()); err != nil {
		st.t.Fatal(err)
	}
	im, err := st.tiles.Image(id)
	if err != nil {
		return err
	}
	a, err := im.Tile(st.t.Context(), &tile.Address{Kind: tile.ByLevel}, "")
	if err == nil {
		a.Release()
	}
	return err
}

// images returns the images of findings.
func images(list []Finding) []string {
	ids := []string{}
	for _, f := range list {
		ids = append(ids, f.Image)
	}
	slices.Sort(ids)
	return ids
}

func TestStore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st *site) {
		st.slides("a.tiff", "b.tiff", "c.tiff", "d.tiff")
		var seen []string
		r := st.verify(Options{Progress: func(done, total int64) { seen = append(seen, fmt.Sprintf("%d/%d", done, total)) }})
		if r.Checked != 4 || r.Hashed != 4 || len(r.Damaged)+len(r.Unreadable) > 0 || r.Bytes == 0 || r.Duration <= 0 {
			t.Errorf("first: %+v, want 4 checked and hashed", r)
		}
		if diff := cmp.Diff([]string{"1/4", "2/4", "3/4", "4/4"}, seen); diff != "" {
			t.Errorf("progress, want - got +:\n%s", diff)
		}
		bytes := r.Bytes
		if r = st.verify(Options{}); r.Checked != 4 || r.Hashed != 0 || r.Bytes != bytes {
			t.Errorf("second: %+v, want 4 checked, of %d bytes", r, bytes)
		}

		damaged, gone, written := st.image("b.tiff"), st.image("c.tiff"), st.image("d.tiff")
		if err := st.tile(damaged.ID); err != nil {
			t.Errorf("a tile of a good slide: %v", err)
		}
		st.decay("b.tiff")
		st.sync() // its structure is complete
		if err := os.Remove(st.path("c.tiff")); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(st.path("d.tiff"), damaged.Identity.Size/2); err != nil {
			t.Fatal(err)
		}
		r = st.verify(Options{})
		if diff := cmp.Diff([]string{damaged.ID}, images(r.Damaged)); diff != "" || r.Checked != 1 {
			t.Errorf("damaged: %+v, want 1 checked, want - got +:\n%s", r, diff)
		}
		want := []string{gone.ID, written.ID}
		slices.Sort(want)
		if diff := cmp.Diff(want, images(r.Unreadable)); diff != "" {
			t.Errorf("unreadable, want - got +:\n%s", diff)
		}
		for _, f := range slices.Concat(r.Damaged, r.Unreadable) {
			if strings.Contains(f.Reason, ".tiff") || strings.Contains(f.Reason, st.root) || strings.HasPrefix(f.Reason, "verify:") {
				t.Errorf("%q names a file, or this package", f.Reason)
			}
		}
		if strings.Contains(st.log.String(), ".tiff") {
			t.Errorf("a file name in the log:\n%s", &st.log)
		}
		if got := st.image("b.tiff"); got.State != catalog.Broken || got.Reason != r.Damaged[0].Reason || got.DamagedAt == nil {
			t.Errorf("in the catalog: %s %q, damaged at %v, want %s %q", got.State, got.Reason, got.DamagedAt, catalog.Broken, r.Damaged[0].Reason)
		}
		if err := st.tile(damaged.ID); !errors.Is(err, tile.ErrNoImage) || tile.Explain(err).Status != 404 {
			t.Errorf("a tile of a damaged slide: %v, want %v", err, tile.ErrNoImage)
		}
		if r = st.verify(Options{}); r.Checked != 1 || len(r.Damaged) != 0 {
			t.Errorf("after that: %+v, want 1 checked, and nothing newly damaged", r)
		}
	})
}

// TestDecayUnseen finds damage without a change of any time in the catalog: the catalog
// has recorded the damaged file's times.
func TestDecayUnseen(t *testing.T) {
	t.Parallel()
	st := newSite(t, catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db")))
	st.slides("a.tiff")
	if r := st.verify(Options{}); r.Hashed != 1 {
		t.Fatalf("%+v", r)
	}
	st.decay("a.tiff")
	if r := st.verify(Options{}); len(r.Damaged) != 1 { // no scan has seen its new ctime
		t.Fatalf("%+v, want 1 damaged", r)
	}
	im := st.image("a.tiff")
	st.sync()
	if r, err := st.Image(t.Context(), im.ID, Options{Rate: -1}); err != nil || len(r.Damaged) != 1 {
		t.Errorf("the image again: %+v, %v, want it damaged", r, err)
	}
	st.decay("a.tiff") // restore the bytes
	st.sync()
	var last int64
	r, err := st.Image(t.Context(), im.ID, Options{Rate: -1, Progress: func(done, _ int64) { last = done }})
	if err != nil || r.Checked != 1 || last != im.Identity.Size {
		t.Errorf("a good copy in its place: %+v, %v, progress %d, want 1 checked and %d", r, err, last, im.Identity.Size)
	}
	if got := st.image("a.tiff"); got.State != catalog.Available || got.DamagedAt != nil {
		t.Errorf("a good copy in its place: %s %q, want %s", got.State, got.Reason, catalog.Available)
	}
	if err := st.tile(im.ID); err != nil {
		t.Errorf("its tile: %v", err)
	}
}

// A digest is recorded only for the file that was cataloged.
func TestChangedBeforeItWasHashed(t *testing.T) {
	t.Parallel()
	st := newSite(t, catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db")))
	st.slides("a.tiff")
	st.decay("a.tiff") // size and mtime are the same, its ctime is not
	r := st.verify(Options{})
	if len(r.Unreadable) != 1 || r.Hashed != 0 || !strings.Contains(r.Unreadable[0].Reason, "sync") {
		t.Errorf("%+v, want it unreadable, and what to do", r)
	}
	st.sync()
	if r := st.verify(Options{}); r.Hashed != 1 {
		t.Errorf("synced: %+v, want 1 hashed", r)
	}
}

// A file that reads differently each time is not reported as damaged.
func TestUnsteady(t *testing.T) {
	t.Parallel()
	st := newSite(t, catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db")))
	st.slides("a.tiff")
	im := st.image("a.tiff")
	store, err := st.Catalog.Stores.Get(t.Context(), st.store)
	if err != nil {
		t.Fatal(err)
	}
	e := &catalog.Entry{ID: im.ID, Path: im.Path, Identity: im.Identity, Digest: "0"}
	r := newRun(st.Verifier, store, Options{})
	if _, err := r.readAgain(t.Context(), e, "1"); !errors.Is(err, errUnsteady) {
		t.Errorf("%v, want %v", err, errUnsteady)
	}
}

// An interrupted run is continued by the next.
func TestLimit(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st *site) {
		names := []string{"a.tiff", "b.tiff", "c.tiff", "d.tiff", "e.tiff"}
		st.slides(names...)
		for i, want := range []int{2, 2, 1} {
			if r := st.verify(Options{Limit: 2}); r.Hashed != want {
				t.Errorf("run %d: %d hashed, want %d", i, r.Hashed, want)
			}
		}
		slices.SortFunc(names, func(a, b string) int { return st.image(a).VerifiedAt.Compare(*st.image(b).VerifiedAt) })
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now().Truncate(time.Microsecond)
		r, err := st.Store(ctx, st.store, Options{Rate: -1, Progress: func(done, _ int64) {
			if done == 3 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || r.Checked != 3 {
			t.Errorf("cancelled: %+v, %v, want 3 checked", r, err)
		}
		again := func() (list []string) {
			for _, name := range names {
				if !st.image(name).VerifiedAt.Before(began) {
					list = append(list, name)
				}
			}
			return list
		}
		if diff := cmp.Diff(names[:3], again()); diff != "" {
			t.Errorf("cancelled: verified were, want - got +:\n%s", diff)
		}
		began = time.Now().Truncate(time.Microsecond)
		if r := st.verify(Options{Limit: 2}); r.Checked != 2 {
			t.Errorf("after that: %+v, want 2 checked", r)
		}
		if diff := cmp.Diff(names[3:], again()); diff != "" {
			t.Errorf("after that: verified were, want - got +:\n%s", diff)
		}
	})
}

// Results are not recorded after the lease was lost.
func TestUnderLostLease(t *testing.T) {
	t.Parallel()
	st := newSite(t, catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db")))
	st.slides("a.tiff")
	l, err := st.Catalog.Leases.Acquire(t.Context(), "verify", "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Catalog.Leases.Acquire(t.Context(), "verify", "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	v := &Verifier{Catalog: st.Catalog.Under(l)}
	if _, err := v.Store(t.Context(), st.store, Options{}); !errors.Is(err, catalog.ErrLeaseLost) {
		t.Errorf("%v, want %v", err, catalog.ErrLeaseLost)
	}
}

func TestFolderUnreachable(t *testing.T) {
	t.Parallel()
	st := newSite(t, catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db")))
	st.slides("a.tiff")
	id := st.image("a.tiff").ID
	if err := os.Rename(st.root, st.root+".away"); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"gone", "empty"} {
		r, err := st.Store(t.Context(), st.store, Options{})
		if !errors.Is(err, ErrNoRoot) || len(r.Unreadable) > 0 || strings.Contains(err.Error(), st.root) {
			t.Errorf("%s: %+v, %v, want %v", when, r, err, ErrNoRoot)
		}
		if _, err := st.Image(t.Context(), id, Options{}); !errors.Is(err, ErrNoRoot) {
			t.Errorf("%s: Image: %v, want %v", when, err, ErrNoRoot)
		}
		if err := os.MkdirAll(st.root, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Store(t.Context(), "nowhere", Options{}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("an unknown store: %v, want %v", err, catalog.ErrNotFound)
	}
	if _, err := st.Image(t.Context(), "nobody", Options{}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("an unknown image: %v, want %v", err, catalog.ErrNotFound)
	}
	if err := errors.Join(os.Remove(st.root), os.Rename(st.root+".away", st.root), os.Remove(st.path("a.tiff")), os.WriteFile(st.path("x"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	st.sync()
	if _, err := st.Image(t.Context(), id, Options{}); !errors.Is(err, ErrNotReady) {
		t.Errorf("a missing image: %v, want %v", err, ErrNotReady)
	}
}

// TestPermission runs as a user who may not read everything: root starts this test
// again as the user nobody.
func TestPermission(t *testing.T) {
	t.Parallel()
	if unprivileged.Rerun(t) {
		return
	}
	st := newSite(t, catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db")))
	st.slides("a.tiff", "b.tiff")
	if err := os.Chmod(st.path("a.tiff"), 0); err != nil {
		t.Fatal(err)
	}
	r := st.verify(Options{})
	if len(r.Unreadable) != 1 || r.Unreadable[0].Image != st.image("a.tiff").ID || !strings.Contains(r.Unreadable[0].Reason, "permission denied") || r.Checked != 1 {
		t.Errorf("%+v, want 1 checked, and of the other that permission is denied", r)
	}
	if got := st.image("a.tiff").State; got != catalog.Available {
		t.Errorf("a file that can't be read for now: %s, want %s: nothing is known against it", got, catalog.Available)
	}
}
