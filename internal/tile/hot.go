package tile

import (
	"sync"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/slide"
)

// A tileCache keeps the bytes of tiles in memory, up to a number of bytes: tiles of databases
// from the first request on, and tiles of files that were requested twice. Its tiles belong
// to an open slide and go with it, so that they are never those of another revision.
//
// A hit takes no lock: it loads three pointers, and marks the tile as used. Tiles are evicted
// by SIEVE (Zhang et al., NSDI 2024): a hand goes from the oldest to the newest tile, evicts
// those that were not used since it last passed, and keeps the others.
type tileCache struct {
	max int64 // bytes; negative for none
	// envelope are the bytes before and after each tile of a file in memory.
	envelope [2]string
	seen     []atomic.Uint32

	hits, misses atomic.Int64
	bytes        atomic.Int64

	mu             sync.Mutex
	newest, oldest *cachedTile
	hand           *cachedTile // the next one to evict or keep; nil for the oldest
	evicted        int64
}

// A cachedTile is a tile as it is stored, or the reason why it does not exist.
type cachedTile struct {
	body  []byte // not to be modified
	whole []byte // body within its envelope; nil without one
	etag  string // hash of body, quotes included; "" for tiles of files
	err   error  // [slide.ErrEmptyTile] or [slide.ErrMissingTile]
	until int64  // when to ask again, if err is set; of the monotonic clock

	used         atomic.Bool
	slot         *atomic.Pointer[cachedTile] // where it is found
	newer, older *cachedTile
}

// tileOverhead is about what a tile takes beside its bytes: itself and a part of its page.
const tileOverhead = 320

func (t *cachedTile) cost() int64 { return int64(max(cap(t.body), cap(t.whole))) + tileOverhead }

// seenTiles is how many tiles of files are remembered that were requested once, for each
// megabyte of the cache.
const seenTiles = 256

func newTileCache(maxBytes int64, envelope [2]string) *tileCache {
	n := 1024
	for int64(n) < maxBytes>>20*seenTiles {
		n *= 2
	}
	return &tileCache{max: maxBytes, envelope: envelope, seen: make([]atomic.Uint32, n)}
}

// A tileTable finds the cached tiles of an open slide.
type tileTable struct {
	levels []tileLevel
}

// A tileLevel has pages of tiles, row by row. They are allocated when they are needed.
type tileLevel struct {
	columns, rows int
	pages         atomic.Pointer[[]atomic.Pointer[tilePage]]
}

type tilePage [64]atomic.Pointer[cachedTile]

// maxCachedLevel is the number of tiles of a level above which none is cached: the pages of
// larger ones, which do not occur, would take memory that nothing limits.
const maxCachedLevel = 1 << 20

func newTileTable(s *slide.Slide) (t tileTable) {
	t.levels = make([]tileLevel, len(s.Levels))
	for i := range s.Levels {
		t.levels[i].columns, t.levels[i].rows = s.Levels[i].Columns, s.Levels[i].Rows
	}
	return t
}

// find returns a cached tile, or nil.
func (t *tileTable) find(level, col, row int) *cachedTile {
	if level < 0 || level >= len(t.levels) {
		return nil
	}
	l := &t.levels[level]
	pages := l.pages.Load()
	if pages == nil || col < 0 || row < 0 || col >= l.columns || row >= l.rows {
		return nil
	}
	i := row*l.columns + col
	if page := (*pages)[i/len(tilePage{})].Load(); page != nil {
		return page[i%len(tilePage{})].Load()
	}
	return nil
}

// slot returns where a tile is found, or nil if it cannot be cached.
func (t *tileTable) slot(level, col, row int) *atomic.Pointer[cachedTile] {
	if level < 0 || level >= len(t.levels) {
		return nil
	}
	l := &t.levels[level]
	if col < 0 || row < 0 || col >= l.columns || row >= l.rows || l.rows > maxCachedLevel/l.columns {
		return nil
	}
	if l.pages.Load() == nil {
		pages := make([]atomic.Pointer[tilePage], l.columns*l.rows/len(tilePage{})+1)
		l.pages.CompareAndSwap(nil, &pages)
	}
	i := row*l.columns + col
	at := &(*l.pages.Load())[i/len(tilePage{})]
	if at.Load() == nil {
		at.CompareAndSwap(nil, new(tilePage))
	}
	return &at.Load()[i%len(tilePage{})]
}

// cached returns a tile of the cache, or nil.
func (h *handle) cached(level, col, row int) *cachedTile {
	c, t := h.image.srv.tiles, h.tiles.find(level, col, row)
	if t != nil && t.err != nil && monotonic() >= t.until {
		c.remove(t)
		t = nil
	}
	if t == nil {
		c.misses.Add(1)
		return nil
	}
	c.hits.Add(1)
	if !t.used.Load() {
		t.used.Store(true)
	}
	return t
}

// offer caches a copy of a tile of a file, if it was requested before: tiles of a client that
// goes through a slide once do not displace those that are requested again and again. The
// caller has checked that the file is unchanged.
func (h *handle) offer(level, col, row int, body []byte) {
	c := h.image.srv.tiles
	if int64(len(body)) > c.max/8 || !c.again(h.number, level, col, row) {
		return
	}
	if slot := h.tiles.slot(level, col, row); slot != nil {
		c.add(slot, c.copyOf(body))
	}
}

// copyOf returns a cached tile with a copy of body.
func (c *tileCache) copyOf(body []byte) *cachedTile {
	before, after := len(c.envelope[0]), len(c.envelope[1])
	whole := make([]byte, 0, before+len(body)+after)
	whole = append(append(append(whole, c.envelope[0]...), body...), c.envelope[1]...)
	t := &cachedTile{body: whole[before : before+len(body) : before+len(body)]}
	if before+after > 0 {
		t.whole = whole
	}
	return t
}

// again reports whether a tile was requested before, and remembers that it is now.
func (c *tileCache) again(slide uint64, level, col, row int) bool {
	x := slide
	for _, n := range [3]int{level, col, row} {
		x = (x ^ uint64(n)) * 0x9e3779b97f4a7c15 //nolint:gosec // not negative
		x ^= x >> 29
	}
	at, mark := &c.seen[x%uint64(len(c.seen))], uint32(x>>32)|1
	if at.Load() == mark {
		return true
	}
	at.Store(mark)
	return false
}

// add adds a tile, and evicts others until the limit holds.
func (c *tileCache) add(slot *atomic.Pointer[cachedTile], t *cachedTile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := slot.Swap(t); old != nil {
		c.unlink(old)
	}
	t.slot = slot
	if t.older = c.newest; t.older != nil {
		t.older.newer = t
	} else {
		c.oldest = t
	}
	c.newest = t
	for c.bytes.Add(t.cost()); c.bytes.Load() > c.max && c.oldest != nil; c.evicted++ {
		c.evict()
	}
}

// evict removes the tile that SIEVE chooses. The caller must hold mu.
func (c *tileCache) evict() {
	t := c.hand
	if t == nil {
		t = c.oldest
	}
	for t.used.Swap(false) {
		if t = t.newer; t == nil {
			t = c.oldest
		}
	}
	c.hand = t
	t.slot.CompareAndSwap(t, nil)
	c.unlink(t)
}

// remove removes a tile, if it is still there.
func (c *tileCache) remove(t *cachedTile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.slot != nil && t.slot.CompareAndSwap(t, nil) {
		c.unlink(t)
	}
}

// unlink takes a tile out of the list. The caller must hold mu.
func (c *tileCache) unlink(t *cachedTile) {
	if c.hand == t {
		c.hand = t.newer
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		c.newest = t.older
	}
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		c.oldest = t.newer
	}
	t.newer, t.older = nil, nil
	c.bytes.Add(-t.cost())
}

// drop removes the tiles of a slide that no request uses any more.
func (c *tileCache) drop(table *tileTable) {
	for i := range table.levels {
		pages := table.levels[i].pages.Load()
		if pages == nil {
			continue
		}
		for k := range *pages {
			if page := (*pages)[k].Load(); page != nil {
				c.dropPage(page)
			}
		}
	}
}

func (c *tileCache) dropPage(page *tilePage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range page {
		if t := page[i].Swap(nil); t != nil {
			c.unlink(t)
		}
	}
}
