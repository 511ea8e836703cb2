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

// A tileKey identifies a stored tile of one revision of an image.
type tileKey struct {
	image, revision string
	level, col, row int
}

// A storedTile is a tile as it is stored elsewhere, or the reason why it does not exist.
type storedTile struct {
	body  []byte // not to be modified
	etag  string // hash of body, quotes included
	err   error  // [slide.ErrEmptyTile] or [slide.ErrMissingTile]
	until int64  // when to ask again, if err is set; of the monotonic clock
}

// newStoredTile returns the tile with the given bytes.
func newStoredTile(body []byte) *storedTile {
	sum := sha256.Sum256(body)
	return &storedTile{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// absentTime is how long a tile that does not exist is not asked for again: the program that
// stores the image may not be done.
const absentTime = 30 * time.Second

// absent returns the tile that err reports not to exist, or nil for other errors.
func absent(err error) *storedTile {
	if errors.Is(err, slide.ErrEmptyTile) || errors.Is(err, slide.ErrMissingTile) {
		return &storedTile{err: err, until: monotonic() + int64(absentTime)}
	}
	return nil
}

// cost returns the approximate memory of the tile in bytes.
func (t *storedTile) cost() int64 { return int64(cap(t.body)) + 320 }

// storedTiles caches the bytes of tiles that are not in files, up to a number of bytes, and
// reads each tile once for concurrent requests. The least recently used tiles go first.
type storedTiles struct {
	mu       sync.Mutex
	max      int64 // bytes
	bytes    int64
	entries  map[tileKey]*cachedTile
	newest   *cachedTile // of a ring
	readings map[tileKey]*reading

	hits, misses, evicted int64
}

// A cachedTile is an element of a ring in the order of use.
type cachedTile struct {
	tileKey
	*storedTile
	newer, older *cachedTile
}

// A reading is a tile that is being read.
type reading struct {
	done chan struct{} // closed with tile and err set
	late chan struct{} // closed when it has taken longer than readTime
	tile *storedTile
	err  error
}

// cached returns a tile of the cache, or nil.
func (c *storedTiles) cached(k tileKey) *storedTile {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use(k)
}

// use returns a tile of the cache, or nil, and makes it the newest one. The caller must hold
// mu.
func (c *storedTiles) use(k tileKey) *storedTile {
	e := c.entries[k]
	if e == nil {
		return nil
	}
	if e.err != nil && monotonic() >= e.until {
		c.drop(e)
		return nil
	}
	c.hits++
	if c.newest != e {
		c.unlink(e)
		c.link(e)
	}
	return e.storedTile
}

// join returns the tile of the cache, or the reading of it. First reports that there was
// none: then the caller must call read.
func (c *storedTiles) join(k tileKey) (t *storedTile, r *reading, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.use(k); t != nil { // another caller was faster
		return t, nil, false
	}
	if r := c.readings[k]; r != nil {
		return nil, r, false
	}
	c.misses++
	r = &reading{done: make(chan struct{}), late: make(chan struct{})}
	if c.readings == nil {
		c.readings = map[tileKey]*reading{}
	}
	c.readings[k] = r
	return nil, r, true
}

// read reads a tile for all who wait for r, and caches it.
func (c *storedTiles) read(k tileKey, r *reading, overdue *Overdue, f func() (*storedTile, error)) {
	ended := overdue.Watch(readTime, func() { close(r.late) })
	r.err = errRead // if f does not return
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("%w: %v", errRead, p)
		}
		ended()
		c.mu.Lock()
		delete(c.readings, k)
		if r.err == nil {
			c.add(k, r.tile)
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
func (r *reading) wait(ctx context.Context) (*storedTile, error) {
	select {
	case <-r.done:
		return r.tile, r.err
	case <-r.late:
		return nil, fmt.Errorf("%w: reading a tile took more than %v", ErrUnreachable, readTime)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// add adds a tile as the newest one, and drops the oldest ones until the limit holds. The
// caller must hold mu.
func (c *storedTiles) add(k tileKey, t *storedTile) {
	if old := c.entries[k]; old != nil {
		c.drop(old)
	}
	if c.entries == nil {
		c.entries = map[tileKey]*cachedTile{}
	}
	e := &cachedTile{tileKey: k, storedTile: t}
	c.entries[k] = e
	c.bytes += t.cost()
	c.link(e)
	for c.bytes > c.max && c.newest != nil {
		c.evicted++
		c.drop(c.newest.newer) // the oldest one: it is a ring
	}
}

// drop removes a tile. The caller must hold mu.
func (c *storedTiles) drop(e *cachedTile) {
	delete(c.entries, e.tileKey)
	c.bytes -= e.cost()
	c.unlink(e)
}

// link makes e the newest tile.
func (c *storedTiles) link(e *cachedTile) {
	if c.newest == nil {
		e.newer, e.older = e, e
	} else {
		oldest := c.newest.newer
		e.older, e.newer = c.newest, oldest
		c.newest.newer, oldest.older = e, e
	}
	c.newest = e
}

// unlink removes e from the ring.
func (c *storedTiles) unlink(e *cachedTile) {
	if e.older == e {
		c.newest = nil
		return
	}
	e.older.newer, e.newer.older = e.newer, e.older
	if c.newest == e {
		c.newest = e.older
	}
}

// clear removes all tiles.
func (c *storedTiles) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.newest, c.bytes = nil, nil, 0
}
