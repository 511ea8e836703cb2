package tile

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
)

// An Opened is an open slide that is not one file of a folder: an image in a database, whose
// tiles are JPEGs that are read one by one, a set of files, or an object of a bucket.
type Opened struct {
	Slide    *slide.Slide // of [slide.New], unless Current is set
	Identity fsx.Identity // of what was opened; compared with that of [File]
	// Current compares the files of a set, or an object, with those that were opened; nil unless
	// the slide is one. Its error is [ErrChanged] if they differ. It is called at most once per
	// [PathCheck].
	Current func() error
	// Written reports whether a read from the slide of a set or an object has found that what it
	// read from was written to. Then it has failed.
	Written func() bool
	Files   int // of a set, all of which are open
	// Explain, if not nil, returns the error of package tile for an error of reading from the
	// slide: [ErrUnreachable], [ErrChanged] or err itself.
	Explain func(err error) error
	// ReadRange, if not nil, fills p with the bytes at off of an object, with one request. Tiles are then
	// read in runs, see [runcache.Cache], and the slide is read only for what else it has.
	ReadRange func(ctx context.Context, p []byte, off int64) error
	// Close, if not nil, is called when no request reads from the slide any more.
	Close func()
}

// isSet reports whether the slide is a set of files or an object of a bucket, which is read like
// one file.
func (h *handle) isSet() bool { return h.opened != nil && h.opened.Current != nil }

// openSet opens a slide that is a set of files.
func (im *Image) openSet(ctx context.Context) (*handle, error) {
	if im.srv.o.Open == nil {
		return nil, fmt.Errorf("%w: this server does not read sets of files", ErrUnreachable)
	}
	o, err := im.srv.o.Open(ctx, &im.File)
	if err != nil {
		im.changed(err)
		return nil, asUnreadable(err)
	}
	h := &handle{slide: o.Slide, opened: &o, identity: o.Identity, image: im, number: handles.Add(1), tiles: newTileTable(o.Slide)}
	if !o.Identity.Same(im.File.Identity) {
		h.close()
		im.changed(ErrChanged)
		return nil, ErrChanged
	}
	return h, nil
}

// openOther opens the slide of a store that is not a folder.
func (im *Image) openOther(ctx context.Context) (*handle, error) {
	if im.srv.o.Open == nil {
		return nil, fmt.Errorf("%w: this server does not read stores of kind %q", ErrUnreachable, im.File.Store.Kind)
	}
	if !im.store.source.begin() {
		return nil, errNoAnswer
	}
	o, err := im.srv.o.Open(ctx, &im.File)
	im.store.source.end(err)
	if err != nil {
		im.changed(err)
		return nil, asUnreadable(err)
	}
	h := &handle{slide: o.Slide, opened: &o, identity: o.Identity, image: im, number: handles.Add(1)}
	if !o.Identity.Same(im.File.Identity) {
		h.close()
		im.changed(ErrChanged)
		return nil, ErrChanged
	}
	if h.isSet() {
		h.tiles = newTileTable(h.slide)
		if o.ReadRange != nil {
			h.readThroughRuns()
		}
		return h, nil
	}
	h.slide = o.Slide.WithTiles(func(dst []byte, level, col, row int) ([]byte, error) {
		t, err := h.stored(context.Background(), level, col, row)
		if err != nil {
			return dst, err
		}
		if t.err != nil {
			return dst, t.err
		}
		return append(dst, t.body...), nil
	})
	h.tiles = newTileTable(h.slide)
	return h, nil
}

// stored returns a stored tile of a slide that is not a file, from the cache or read once
// for all requests that wait for it. Its err is [slide.ErrEmptyTile] or
// [slide.ErrMissingTile] if it does not exist. The caller must hold a reference.
func (h *handle) stored(ctx context.Context, level, col, row int) (*cachedTile, error) {
	if t := h.cached(level, col, row); t != nil {
		return t, nil
	}
	c, k := &h.image.srv.readings, tileKey{h, level, col, row}
	t, r, first := c.join(k)
	if t != nil {
		return t, nil
	}
	if first {
		h.refs.Add(1) // the caller may go before the tile arrives
		go func() {
			defer h.release()
			c.read(k, r, &h.image.store.source.overdue, func() (*cachedTile, error) { return h.ask(level, col, row) })
		}()
	}
	return r.wait(ctx)
}

// ask reads a stored tile.
func (h *handle) ask(level, col, row int) (*cachedTile, error) {
	source := &h.image.store.source
	if !source.begin() {
		return nil, errNoAnswer
	}
	b, err := h.opened.Slide.AppendTile(nil, level, col, row)
	if err != nil && h.opened.Explain != nil {
		err = h.opened.Explain(err)
	}
	source.end(err)
	if err != nil {
		return nil, err
	}
	return newCachedTile(b), nil
}

// explain returns the error of this package for an error of reading from the slide.
func (h *handle) explain(err error) error {
	if err == nil || h.opened == nil || h.opened.Explain == nil {
		return err
	}
	return h.opened.Explain(err)
}

// appendTile reads a stored tile of a slide that is read like a file.
func (h *handle) appendTile(ctx context.Context, dst []byte, level, col, row int) ([]byte, error) {
	if h.remote != nil {
		return h.appendRemote(ctx, dst, level, col, row)
	}
	if h.opened == nil || h.opened.Explain == nil {
		return h.slide.AppendTile(dst, level, col, row)
	}
	source := &h.image.store.source
	if !source.begin() {
		return dst, errNoAnswer
	}
	b, err := h.slide.AppendTile(dst, level, col, row)
	err = h.explain(err)
	source.end(err)
	return b, err
}

// errNoAnswer reports a store whose server has not answered previous requests.
var errNoAnswer = fmt.Errorf("%w: it did not answer before", ErrUnreachable)

// A breaker lets requests fail at once while the server of a store does not answer: after
// some failures in a row, one request at a time finds out whether it is back, and the others
// do not wait for it.
type breaker struct {
	failures atomic.Int64 // in a row
	trying   atomic.Bool
	overdue  Overdue // requests that have taken longer than readTime
}

// failuresInRow is how many requests must fail in a row until the others do not wait.
const failuresInRow = 3

// begin reports whether a request may be made. If so, end must be called.
func (b *breaker) begin() bool {
	if b.overdue.Count() >= maxAbandoned {
		return false
	}
	return b.failures.Load() < failuresInRow || b.trying.CompareAndSwap(false, true)
}

// end records the result of a request.
func (b *breaker) end(err error) {
	switch {
	case errors.Is(err, ErrUnreachable):
		b.failures.Add(1)
	case !errors.Is(err, context.Canceled): // which says nothing about the server
		b.failures.Store(0)
	}
	b.trying.Store(false)
}

// readTime is how long requests wait for a tile that is not in a file. It is longer than the
// time limits of the servers that are asked for it.
const readTime = 15 * time.Second
