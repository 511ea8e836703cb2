// Package runcache reads the tiles of slides whose bytes are far away, each request being slow: it
// reads runs of tiles that follow each other in a row of the slide and in the file, once for all
// who wait for one of them, and keeps the runs in memory and, if there is a folder for it, on
// disk.
package runcache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/slide"
)

// ErrBusy reports that too many reads wait already.
var ErrBusy = errors.New("too many reads at once")

const (
	maxTiles = 8         // of a run
	maxRun   = 512 << 10 // bytes of a run of several tiles
	// maxGap is the number of bytes between two tiles of a run that belong to neither.
	maxGap = 4 << 10
	// runOverhead is about the memory of a run beside its bytes.
	runOverhead = 2 << 10
)

// Options are the limits of a [Cache].
type Options struct {
	MaxBytes int64 // of runs in memory, also of those that are being read; 256 MiB if 0
	// MaxReads limits the reads at once, 512 if 0, and MaxReadsOfSlide those of one slide, 64 if
	// 0. MaxWaiting limits those that wait for their turn, 2048 if 0: further ones get [ErrBusy].
	MaxReads, MaxReadsOfSlide, MaxWaiting int
	// Timeout limits the time of a read with its waiting; 5 s if 0.
	Timeout time.Duration
	// Dir is the folder of the runs on disk; "" for none. Processes of a host may share it, and
	// all in it may be deleted at any time. DirBytes limits its size, 10 GiB if 0.
	Dir      string
	DirBytes int64
	Log      *slog.Logger
}

// A Slide is a slide whose tiles are read. ID and Revision are of its image: together they name
// the bytes.
type Slide struct {
	ID, Revision string
	*slide.Slide
	// Read fills p with the bytes at off of the file, with one request. If it returns an error, p
	// has undefined contents.
	Read func(ctx context.Context, p []byte, off int64) error
}

// Stats are figures for operators, since the start if they are not sizes.
type Stats struct {
	Bytes, MaxBytes         int64 // of runs in memory
	Hits                    int64 // requests for tiles of runs that were in memory
	Joined                  int64 // requests that waited for a run that was being read
	DiskHits                int64 // runs that were on disk
	Reads                   int64 // of the file
	ReadBytes               int64
	Cancelled               int64 // reads that were cancelled, because no client waited for them
	Refused                 int64 // reads that got [ErrBusy]
	DiskBytes, MaxDiskBytes int64
}

// A Cache keeps runs of tiles. It is safe for concurrent use.
type Cache struct {
	o     Options
	turns turns
	disk  *disk // nil for none

	mu     sync.Mutex
	runs   map[tileKey]*run // by each of their tiles
	recent list.List        // of *run, those that were read, the most recently used first
	bytes  int64            // of all runs
	flying int64            // of bytes, those of runs that are being read

	hits, joined, diskHits, reads, readBytes, cancelled atomic.Int64
}

// A tileKey names a tile of a revision.
type tileKey struct {
	id, revision    string
	level, row, col int
}

// New returns an empty cache. The caller closes it.
func New(o Options) (*Cache, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxReads == 0 {
		o.MaxReads = 512
	}
	if o.MaxReadsOfSlide == 0 {
		o.MaxReadsOfSlide = 64
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 2048
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.DirBytes == 0 {
		o.DirBytes = 10 << 30
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{o: o, runs: map[tileKey]*run{}}
	c.turns = turns{most: o.MaxReads, mostOf: o.MaxReadsOfSlide, mostWaiting: o.MaxWaiting}
	if o.Dir != "" {
		d, err := openDisk(o.Dir, o.DirBytes, o.Log)
		if err != nil {
			return nil, err
		}
		c.disk = d
	}
	return c, nil
}

// Close ends writing to the disk. What was not written yet is read again.
func (c *Cache) Close() {
	if c.disk != nil {
		c.disk.once.Do(c.disk.close)
	}
}

// Stats returns current figures.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	st := Stats{Bytes: c.bytes, MaxBytes: c.o.MaxBytes}
	c.mu.Unlock()
	st.Hits, st.Joined, st.DiskHits, st.Reads = c.hits.Load(), c.joined.Load(), c.diskHits.Load(), c.reads.Load()
	st.ReadBytes, st.Cancelled, st.Refused = c.readBytes.Load(), c.cancelled.Load(), c.turns.refused.Load()
	if c.disk != nil {
		st.DiskBytes, st.MaxDiskBytes = c.disk.size.Load(), c.o.DirBytes
	}
	return st
}

// Tile returns the stored bytes of a tile, for [slide.Slide.Finish]. They must not be modified.
//
// The error is that of [slide.Slide.Extent], of s.Read or of ctx, or [ErrBusy]. A read ends with
// [context.DeadlineExceeded] after the time limit.
func (c *Cache) Tile(ctx context.Context, s *Slide, level, col, row int) ([]byte, error) {
	e, err := s.Extent(level, col, row) // reads the table of the level, if it is needed
	if err != nil {
		return nil, err
	}
	for {
		r, err := c.join(ctx, s, tileKey{s.ID, s.Revision, level, row, col}, e)
		if err != nil {
			return nil, err
		}
		if err := c.wait(ctx, r); err != nil {
			return nil, err
		}
		if b := r.part(e); b != nil {
			return b, nil
		}
		// Only a part of the run was on disk, without this tile.
	}
}

// join returns the run of a tile. Without one, it starts to read one.
func (c *Cache) join(ctx context.Context, s *Slide, k tileKey, e slide.Extent) (*run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.runs[k]; r != nil {
		r.waiters++
		if r.element != nil {
			c.recent.MoveToFront(r.element)
			c.hits.Add(1)
		} else {
			c.joined.Add(1)
		}
		return r, nil
	}
	r := c.plan(s, k, e)
	if c.flying+r.cost() > c.o.MaxBytes && c.flying > 0 {
		c.turns.refused.Add(1)
		return nil, ErrBusy
	}
	for _, k := range r.keys {
		c.runs[k] = r
	}
	c.flying += r.cost()
	c.add(r.cost())
	flight, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.Timeout)
	r.cancel, r.waiters = cancel, 1
	go c.fly(flight, s, r)
	return r, nil
}

// add counts n bytes, and evicts runs until the limit holds. The caller must hold mu.
func (c *Cache) add(n int64) {
	for c.bytes += n; c.bytes > c.o.MaxBytes && c.recent.Len() > 0; {
		r := c.recent.Remove(c.recent.Back()).(*run)
		c.forget(r)
		c.bytes -= r.cost()
	}
}

// forget removes the tiles of a run. The caller must hold mu.
func (c *Cache) forget(r *run) {
	for _, k := range r.keys {
		if c.runs[k] == r {
			delete(c.runs, k)
		}
	}
}

// wait waits until a run was read.
func (c *Cache) wait(ctx context.Context, r *run) error {
	select {
	case <-r.done:
		return r.err
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		c.leave(r)
		return ctx.Err()
	}
}

// errAbandoned is the error of a run that no client waited for.
var errAbandoned = errors.New("no client waits for the tiles")

// leave ends the wait of a client. The last one cancels the read.
func (c *Cache) leave(r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.waiters--; r.waiters > 0 || r.landed {
		return
	}
	r.abandoned = true
	c.forget(r)
	c.cancelled.Add(1)
	r.cancel()
}

// fly reads a run for all who wait for it.
func (c *Cache) fly(ctx context.Context, s *Slide, r *run) {
	defer r.cancel()
	r.err = errFailed // if load does not return
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("%w: %v", errFailed, p)
		}
		c.land(r)
	}()
	r.err = c.load(ctx, s, r)
}

var errFailed = errors.New("reading tiles failed unexpectedly")

// land makes the result of a read available.
func (c *Cache) land(r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.landed = true
	c.flying -= r.cost()
	switch {
	case r.abandoned:
		r.err = errAbandoned
		c.bytes -= r.cost()
	case r.err != nil:
		c.forget(r)
		c.bytes -= r.cost()
	case c.bytes > c.o.MaxBytes: // the limit is used up by what is being read
		c.forget(r)
		c.bytes -= r.cost()
	default:
		r.element = c.recent.PushFront(r)
	}
	close(r.done)
}

// load reads a run from the disk, or else the file.
func (c *Cache) load(ctx context.Context, s *Slide, r *run) error {
	if c.disk != nil {
		if off, data := c.disk.get(r); data != nil {
			c.diskHits.Add(1)
			c.shrink(s, r, off, data)
			return nil
		}
	}
	if err := c.turns.take(ctx, s.ID); err != nil {
		return err
	}
	defer c.turns.leave(s.ID)
	c.reads.Add(1)
	c.readBytes.Add(int64(r.size))
	data := make([]byte, r.size)
	if err := s.Read(ctx, data, r.off); err != nil {
		return err
	}
	r.data = data
	if c.disk != nil {
		c.disk.put(r)
	}
	return nil
}

// shrink sets the bytes of a run, and removes the tiles that are not in them.
func (c *Cache) shrink(s *Slide, r *run, off int64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	saved := int64(r.size - len(data))
	c.flying -= saved
	c.bytes -= saved
	r.off, r.size, r.data = off, len(data), data
	var kept []tileKey
	for _, k := range r.keys {
		if e, err := s.Extent(k.level, k.col, k.row); err == nil && r.part(e) != nil {
			kept = append(kept, k)
		} else if c.runs[k] == r {
			delete(c.runs, k)
		}
	}
	r.keys = kept
}

// Forget removes all tiles of an image, of all revisions, from memory and disk.
func (c *Cache) Forget(id string) {
	c.mu.Lock()
	for e := c.recent.Front(); e != nil; {
		r, next := e.Value.(*run), e.Next()
		if r.keys[0].id == id {
			c.recent.Remove(e)
			c.forget(r)
			c.bytes -= r.cost()
		}
		e = next
	}
	c.mu.Unlock()
	if c.disk != nil {
		c.disk.forget(id)
	}
}
