// Package follow keeps the images of a tile server in sync with the catalog: it loads all
// of them at the start and then follows every change. While the database is unavailable,
// the server continues with the images it has.
package follow

import (
	"context"
	"fmt"
	"image/color"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// A Follower copies images from a catalog to a tile server.
type Follower struct {
	Catalog *catalog.Catalog
	Tiles   *tile.Server
	Log     *slog.Logger
	// Renamed, if not nil, is called with the id of an image whose id in another
	// application has changed: cached permissions of that application are those of another
	// image.
	Renamed func(image string)
	// Host, if not empty, is the name of this host: a store with another host and an
	// endpoint has its files there.
	Host string

	// Loops, if not nil, shows the state of following the catalog.
	Loops *loop.Set

	stores map[string]*tile.Store
	places map[string]*catalog.Store // the same stores, for the paths of files
	since  int64
}

// longestPause is the longest wait before the catalog is queried again after an error.
const longestPause = 5 * time.Second

// batch is the number of changes to read at once.
const batch = 1000

// Load brings the tile server up to date with the catalog.
func (f *Follower) Load(ctx context.Context) error {
	if err := f.loadStores(ctx); err != nil {
		return err
	}
	return f.catchUp(ctx)
}

// Run follows the catalog until ctx is done. During an outage the known images stay.
func (f *Follower) Run(ctx context.Context) {
	wake := f.Catalog.Changes.Watch(ctx)
	l := f.Loops.New(f.Log, "catalog", "")
	l.Longest = longestPause
	l.Run(ctx, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(time.Second):
		}
		return f.Load(ctx)
	})
}

// loadStores reads the stores. A store that has not changed keeps its pointer, so that its
// slides stay open.
func (f *Follower) loadStores(ctx context.Context) error {
	list, err := f.Catalog.Stores.List(ctx)
	if err != nil {
		return fmt.Errorf("cannot read stores: %w", err)
	}
	fresh, places := map[string]*tile.Store{}, map[string]*catalog.Store{}
	changed := false
	for i := range list {
		s := tilesStore(&list[i])
		if st := &list[i]; f.Host != "" && st.Host != "" && st.Host != f.Host {
			s.Elsewhere = strings.TrimSuffix(st.Endpoint, "/")
		}
		if old := f.stores[s.ID]; old != nil && *old == *s {
			s = old
		} else if old != nil {
			changed = true
		}
		if was := f.places[s.ID]; was != nil && was.Incoming != list[i].Incoming {
			changed = true
		}
		fresh[s.ID], places[s.ID] = s, &list[i]
	}
	f.stores, f.places = fresh, places
	if changed {
		f.since = 0 // every image is put again, with the current store
	}
	return nil
}

// catchUp applies the changes since the last one seen.
func (f *Follower) catchUp(ctx context.Context) error {
	for {
		changes, err := f.Catalog.Changes.Since(ctx, f.since, batch)
		if err != nil {
			return fmt.Errorf("cannot read changes of the catalog: %w", err)
		}
		for i := range changes {
			f.apply(&changes[i])
			f.since = changes[i].Seq
		}
		if len(changes) < batch {
			return nil
		}
	}
}

func (f *Follower) apply(im *catalog.Change) {
	s := f.stores[im.StoreID]
	// The label and the macro of a slide whose tiles are not read can be shown.
	shown := im.State == catalog.Available || im.State == catalog.Unsupported && im.JPEG2000
	if s == nil || im.Gone || !shown {
		f.Tiles.Delete(im.ID)
		return
	}
	was, err := f.Tiles.Image(im.ID)
	f.Tiles.Put(tile.File{ID: im.ID, Store: s, Path: f.path(im), Set: catalog.IsSeries(im.Path), Name: im.FileName, Revision: im.Revision, Identity: im.Identity, ExternalID: im.ExternalID, FormerStores: strings.Join(im.FormerStores, " ")})
	if f.Renamed != nil && err == nil && was.File.ExternalID != im.ExternalID {
		f.Renamed(im.ID)
	}
}

// path returns the path of an image's file: absolute for a managed store, as its files lie
// in two directories. Sets of files are opened by their paths in the catalog.
func (f *Follower) path(im *catalog.Change) string {
	if st := f.places[im.StoreID]; st.ManagedFolder() && !catalog.IsSeries(im.Path) {
		return st.File(im.Path)
	}
	return im.Path
}

func tilesStore(s *catalog.Store) *tile.Store {
	t := &tile.Store{ID: s.ID, ExternalID: s.ExternalID, Root: s.Root, Background: Color(s.Background), Origin: slide.Origin(s.Origin), Public: s.Public, HideLabels: s.HideLabels, Moves: s.ManagedFolder()}
	if s.Kind != catalog.Directory {
		t.Kind = string(s.Kind)
	}
	if t.Origin == "" {
		t.Origin = slide.TopLeft
	}
	return t
}

// Color parses "#rrggbb"; anything else is white, like glass.
func Color(s string) color.RGBA {
	if h, ok := strings.CutPrefix(s, "#"); ok && len(h) == 6 {
		if n, err := strconv.ParseUint(h, 16, 32); err == nil {
			return color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255}
		}
	}
	return color.RGBA{255, 255, 255, 255}
}
