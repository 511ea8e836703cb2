package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/test/atlastest"
	"github.com/slideatlas/ptiffstore/test/mongotest"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A pool shares a source until the settings of the store change, and the slides of the old
// one can be read on.
func TestPool(t *testing.T) {
	t.Parallel()
	first, second := &atlastest.Dump{Dir: t.TempDir()}, &atlastest.Dump{Dir: t.TempDir()}
	first.Put(t, atlastest.New("a.svs", 1))
	second.Put(t, atlastest.New("b.svs", 2))
	pool := &Pool{Indexes: t.TempDir()}
	open := func(dir string) *shared {
		t.Helper()
		src, err := pool.Open(&catalog.Store{ID: "s", Root: "dump://" + dir, Kind: catalog.Dump})
		if err != nil {
			t.Fatal(err)
		}
		return src.(*shared)
	}
	a, same := open(first.Dir), open(first.Dir)
	if a.Source != same.Source {
		t.Error("two sources of one store")
	}
	s, err := a.Slide(t.Context(), atlastest.ID("a.svs"))
	if err != nil || s.Err != nil {
		t.Fatal(err, s.Err)
	}
	b := open(second.Dir)
	if b.Source == a.Source {
		t.Error("the source of the old root")
	}
	if err := errors.Join(a.Close(), a.Close(), same.Close()); err != nil { // closing twice does nothing
		t.Error(err)
	}
	if _, err := s.AppendTile(nil, 0, 0, 0); err != nil {
		t.Errorf("a slide of the old root: %v", err)
	}
	if a.Source.(*dump).life.Err() != nil {
		t.Error("the source was closed while a slide is open")
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if a.Source.(*dump).life.Err() == nil {
		t.Error("the old source is open")
	}
	if err := pool.Keep(func(store string) bool { return store != "s" }); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(pool.Indexes); err != nil || len(left) > 0 {
		t.Errorf("indexes of a removed store: %v, %v", left, err)
	}
	if err := errors.Join(b.Close(), pool.Close()); err != nil {
		t.Error(err)
	}
	if _, err := pool.Open(&catalog.Store{ID: "s", Root: "dump:///d", Kind: catalog.Dump}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Open after Close: %v", err)
	}
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	pool := &Pool{Indexes: t.TempDir()}
	for i := range 2 * maxIdle {
		src, err := pool.Open(&catalog.Store{ID: string(rune('a' + i)), Root: "dump:///d", Kind: catalog.Dump})
		if err != nil {
			t.Fatal(err)
		}
		if err := src.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(pool.open); n != maxIdle {
		t.Errorf("%d idle sources, want %d", n, maxIdle)
	}
}

// What cannot be shown has names and the reason.
func TestOddImages(t *testing.T) {
	t.Parallel()
	stack, girder, tall, bare := atlastest.New("stack.svs", 1), atlastest.New("girder.svs", 1), atlastest.New("tall.svs", 1), atlastest.New("bare.svs", 1)
	stack.Extra = bson.D{{Key: "type", Value: "stack"}}
	girder.Extra = bson.D{{Key: "girder", Value: bson.D{{Key: "itemId", Value: "1"}}}}
	tall.Height = 5000
	tall.Extra = bson.D{{Key: "bounds", Value: "none"}}
	bare.Tiles, bare.Label = nil, "No tiles"
	want := map[string]string{
		"stack.svs":  "The image is a stack of pictures without levels.",
		"girder.svs": "The pixels are in a Girder server.",
		"tall.svs":   "The bounds are not a part of the image's square.",
		"bare.svs":   "The image has no tiles.",
	}
	for name, a := range atlases(t) {
		t.Run(name, func(t *testing.T) {
			a.Put(t, stack, girder, tall, bare, atlastest.New("good.svs", 1))
			a.Insert(t, bson.D{{Key: "_id", Value: "x"}}, bson.D{{Key: "_id", Value: int32(7)}, {Key: "filename", Value: "patient.svs"}})
			src := a.open(t)
			got := map[string]string{}
			l, err := src.List(t.Context(), ListOptions{Item: func(i Item) {
				s, err := src.Slide(t.Context(), i.Path)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if s.Names.ExternalID != i.Path || s.Identity != i.Identity {
					t.Errorf("%+v of the item %+v", s, i)
				}
				if e, ok := errors.AsType[*tiff.UnsupportedError](s.Err); ok {
					got[s.Names.File] = e.Msg
				} else if s.Names.File != "good.svs" {
					t.Errorf("%s can be shown", s.Names.File)
				}
			}})
			if err != nil || len(l.Unreadable) != 2 || l.Hides(atlastest.ID("good.svs")) || !l.HasDevice(0) {
				t.Errorf("unreadable: %v, %v, want two documents", l.Unreadable, err)
			}
			for _, u := range l.Unreadable {
				if strings.Contains(u.Err.Error(), "patient") {
					t.Errorf("the error names the file: %v", u.Err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

// An atlasStore is a store with a database or a dump.
type atlasStore struct {
	atlas
	open func(t *testing.T) Source
}

func (a *atlasStore) Insert(t testing.TB, docs ...any) {
	switch d := a.atlas.(type) {
	case *atlastest.Database:
		d.Insert(t, "images", docs...)
	case *atlastest.Dump:
		d.Insert(t, docs...)
	}
}

// atlases returns an empty store of each kind.
func atlases(t *testing.T) map[string]*atlasStore {
	t.Helper()
	pool := &Pool{Indexes: t.TempDir(), Timeout: time.Minute}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	d := atlastest.NewDatabase(t, mongotest.New(t).Host, "t"+catalog.NewID())
	f := &atlastest.Dump{Dir: t.TempDir()}
	list := map[string]*atlasStore{}
	for kind, a := range map[catalog.Kind]struct {
		atlas
		root string
	}{catalog.MongoDB: {d, d.URI}, catalog.Dump: {f, "dump://" + f.Dir}} {
		list[string(kind)] = &atlasStore{a.atlas, func(t *testing.T) Source {
			src, err := pool.Open(&catalog.Store{ID: string(kind), Root: a.root, Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { src.Close() })
			return src
		}}
	}
	return list
}

// A source without images, or that is gone, says nothing about its items.
func TestUnreachableSources(t *testing.T) {
	t.Parallel()
	server := mongotest.NewServer(t)
	db := atlastest.NewDatabase(t, server.Host, "tiles")
	full := &atlastest.Dump{Dir: t.TempDir()}
	im := atlastest.New("a.svs", 1)
	db.Put(t, im)
	full.Put(t, im)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	pool := &Pool{Indexes: t.TempDir(), Timeout: 2 * time.Second}
	defer pool.Close()
	check := func(name, root, secret string, good bool) {
		t.Helper()
		src, err := pool.Open(&catalog.Store{ID: name, Root: root, Kind: catalog.KindOf(root), PasswordFile: secret})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		if _, err := src.Root(); good != (err == nil) || !good && !errors.Is(err, ErrNoRoot) {
			t.Errorf("%s: Root: %v", name, err)
		}
		_, err = src.List(t.Context(), ListOptions{Item: func(Item) {}})
		if good != (err == nil) || !good && !errors.Is(err, ErrNoRoot) {
			t.Errorf("%s: List: %v", name, err)
		}
		if strings.HasPrefix(name, "empty") {
			return
		}
		if _, err := src.Identify(im.ID); good != (err == nil) || fsx.IsGone(err) {
			t.Errorf("%s: Identify: %v", name, err)
		}
		s, err := src.Slide(t.Context(), im.ID)
		if good != (err == nil) || fsx.IsGone(err) {
			t.Errorf("%s: Slide: %v", name, err)
		}
		if s != nil {
			s.Close()
		}
	}
	check("database", db.URI, "", true)
	check("empty database", strings.Replace(db.URI, "/tiles", "/typo", 1), "", false)
	check("no password file", strings.Replace(db.URI, "mongodb://", "mongodb://u@", 1), filepath.Join(empty, "none"), false)
	check("dump", "dump://"+full.Dir, "", true)
	check("empty dump", "dump://"+empty, "", false)
	check("no dump", "dump://"+empty+"/none", "", false)
	server.Stop()
	check("database", db.URI, "", false)
}

// An index is written on although the first caller does not wait for it.
func TestIndexing(t *testing.T) {
	t.Parallel()
	f := &atlastest.Dump{Dir: t.TempDir()}
	im := atlastest.New("a.svs", 1)
	f.Put(t, im)
	d := newDump(f.Dir, t.TempDir(), nameFilter{})
	defer d.Close()
	d.building.Lock() // another image is being indexed
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := d.Slide(ctx, im.ID)
		first <- err
	}()
	for d.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-first; !errors.Is(err, ErrIndexing) {
		t.Errorf("Slide: %v, want %v", err, ErrIndexing)
	}
	d.building.Unlock()
	s, err := d.Slide(t.Context(), im.ID)
	if err != nil || s.Err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// waiting returns the number of indexes that are being written.
func (d *dump) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.indexing)
}
