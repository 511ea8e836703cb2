package tile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/slide"
)

// A tileKey identifies a stored tile of an open slide.
type tileKey struct {
	h               *handle
	level, col, row int
}

// newCachedTile returns the tile with the given bytes.
func newCachedTile(body []byte) *cachedTile {
	sum := sha256.Sum256(body)
	return &cachedTile{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// absentTime is how long a tile that does not exist is not asked for again: the program that
// stores the image may not be done.
const absentTime = 30 * time.Second

// absent returns the tile that err reports not to exist, or nil for other errors.
func absent(err error) *cachedTile {
	if errors.Is(err, slide.ErrEmptyTile) || errors.Is(err, slide.ErrMissingTile) {
		return &cachedTile{err: err, until: monotonic() + int64(absentTime)}
	}
	return nil
}

// readings are the tiles that are being read, each once for all requests that wait for it.
type readings struct {
	mu sync.Mutex
	m  map[tileKey]*reading
}

// A reading is a tile that is being read.
type reading struct {
	done chan struct{} // closed with tile and err set
	late chan struct{} // closed when it has taken longer than readTime
	tile *cachedTile
	err  error
}

// join returns the tile of the cache, or the reading of it. First reports that there was
// none: then the caller must call read.
func (c *readings) join(k tileKey) (t *cachedTile, r *reading, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := k.h.tiles.find(k.level, k.col, k.row); t != nil { // another caller was faster
		return t, nil, false
	}
	if r := c.m[k]; r != nil {
		return nil, r, false
	}
	r = &reading{done: make(chan struct{}), late: make(chan struct{})}
	if c.m == nil {
		c.m = map[tileKey]*reading{}
	}
	c.m[k] = r
	return nil, r, true
}

// read reads a tile for all who wait for r, and caches it. The caller must hold a reference
// to the slide.
func (c *readings) read(k tileKey, r *reading, overdue *Overdue, f func() (*cachedTile, error)) {
	ended := overdue.Watch(readTime, func() { close(r.late) })
	r.err = errRead // if f does not return
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("%w: %v", errRead, p)
		}
		ended()
		c.mu.Lock()
		delete(c.m, k)
		if slot := k.h.tiles.slot(k.level, k.col, k.row); r.err == nil && slot != nil {
			k.h.image.srv.tiles.add(slot, r.tile)
		}
		c.mu.Unlock()
		close(r.done)
	}()
	t, err := f()
	if missing := absent(err); missing != nil {
		t, err = missing, nil
	}
	r.tile, r.err = t, err
}

// errRead reports a panic in the function that reads a tile.
var errRead = errors.New("reading a tile failed unexpectedly")

// wait waits for a tile that is being read.
func (r *reading) wait(ctx context.Context) (*cachedTile, error) {
	select {
	case <-r.done:
		return r.tile, r.err
	case <-r.late:
		return nil, fmt.Errorf("%w: reading a tile took more than %v", ErrUnreachable, readTime)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
