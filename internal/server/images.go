package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/structure"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// images opens the slides of databases, dumps and buckets, and those of several files, for the
// tile server.
type images struct {
	catalog *catalog.Catalog
	sources *source.Pool

	recording atomic.Int64 // slides whose structure is being recorded

	mu     sync.Mutex
	stores map[string]*catalog.Store // as they were last read
}

// indexTime is how long requests wait for the index of a dump, which may take minutes.
const indexTime = 5 * time.Second

// open opens a slide.
func (im *images) open(ctx context.Context, f *tile.File) (tile.Opened, error) {
	st, err := im.store(ctx, f.Store)
	if err != nil {
		return tile.Opened{}, err
	}
	if f.Set {
		return openSet(ctx, st, f.Path)
	}
	src, err := im.sources.Open(st)
	if err != nil {
		return tile.Opened{}, fmt.Errorf("%w: %w", tile.ErrUnreachable, err)
	}
	defer src.Close()
	ctx, cancel := context.WithTimeout(ctx, indexTime)
	defer cancel()
	s := im.recorded(ctx, src, f)
	if s == nil {
		if s, err = src.Slide(ctx, f.Path); err == nil {
			im.record(f, s)
		}
	}
	if err != nil {
		return tile.Opened{}, explain(err)
	}
	if s.Err != nil {
		s.Close()
		return tile.Opened{}, s.Err
	}
	o := tile.Opened{Slide: s.Slide, Identity: s.Identity, Explain: explain, Close: func() { s.Close() }}
	if st.Kind == catalog.S3 {
		o.Current, o.Written, o.ReadRange = s.Current, s.Written, s.ReadRange
	}
	return o, nil
}

// recorded opens a slide from its structure record, without a request to its source; nil if there is
// none that can be used.
func (im *images) recorded(ctx context.Context, src source.Source, f *tile.File) *source.Slide {
	remote, ok := src.(source.Remote)
	if !ok || f.Store.Kind != string(catalog.S3) {
		return nil
	}
	r, err := structure.Find(ctx, im.catalog.Structures, f.ID, f.Revision)
	if err != nil {
		return nil
	}
	s, err := remote.Reopen(f.Path, r.Token, r.Open)
	if err != nil {
		return nil
	}
	if !s.Identity.Same(f.Identity) {
		s.Close()
		return nil
	}
	return s
}

// record stores the structure record of a slide that was opened without one, while its first tiles are read.
func (im *images) record(f *tile.File, s *source.Slide) {
	if s.Err != nil || s.ReadRange == nil || !s.Identity.Same(f.Identity) {
		return
	}
	if im.recording.Add(1) > maxRecording {
		im.recording.Add(-1)
		return
	}
	id, revision := f.ID, f.Revision
	go func() {
		defer im.recording.Add(-1)
		st, err := structure.Of(s.Slide, s.Token)
		if err != nil {
			return
		}
		st.Revision = revision
		ctx, cancel := context.WithTimeout(context.Background(), recordTime)
		defer cancel()
		_ = im.catalog.Structures.Put(ctx, id, st) // it is a cache
	}()
}

const (
	maxRecording = 4 // structures that are recorded at once; others are when they are opened again
	recordTime   = 10 * time.Second
)

// openSet opens a slide of several files.
func openSet(ctx context.Context, st *catalog.Store, path string) (tile.Opened, error) {
	dir, err := source.OpenStore(st, path)
	if err != nil {
		return tile.Opened{}, fmt.Errorf("%w: %w", tile.ErrUnreachable, fsx.WithoutPath(err))
	}
	s, err := dir.Slide(ctx, path)
	if err != nil || s.Err != nil {
		dir.Close()
	}
	switch {
	case errors.Is(err, source.ErrChanged), fsx.IsGone(err):
		return tile.Opened{}, tile.ErrChanged
	case err != nil:
		return tile.Opened{}, fmt.Errorf("%w: %w", tile.ErrUnreachable, err)
	case s.Err != nil:
		s.Close()
		return tile.Opened{}, s.Err
	}
	current := func() error { return explain(s.Current()) }
	return tile.Opened{Slide: s.Slide, Identity: s.Identity, Current: current, Written: s.Written, Files: s.Files, Close: func() {
		s.Close()
		dir.Close()
	}}, nil
}

// store returns the settings of a store. While the catalog is unreachable they are those
// that were read last.
func (im *images) store(ctx context.Context, of *tile.Store) (*catalog.Store, error) {
	st, err := im.catalog.Stores.Get(ctx, of.ID)
	im.mu.Lock()
	defer im.mu.Unlock()
	if err == nil {
		if im.stores == nil {
			im.stores = map[string]*catalog.Store{}
		}
		im.stores[of.ID] = st
		return st, nil
	}
	if errors.Is(err, catalog.ErrNotFound) {
		delete(im.stores, of.ID)
		return nil, tile.ErrChanged
	}
	if st := im.stores[of.ID]; st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("%w: %w", tile.ErrUnreachable, err)
}

// explain returns the error of package tile for one of package source.
func explain(err error) error {
	switch {
	case errors.Is(err, source.ErrUnavailable):
		return fmt.Errorf("%w: %w", tile.ErrUnreachable, err)
	case errors.Is(err, source.ErrIndexing):
		return fmt.Errorf("%w: %w", tile.ErrBusy, err)
	case errors.Is(err, source.ErrChanged), fsx.IsGone(err):
		return tile.ErrChanged
	}
	return err
}
