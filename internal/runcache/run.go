package runcache

import (
	"container/list"
	"context"
	"errors"

	"github.com/slideatlas/ptiffstore/slide"
)

// A run is a part of a file with tiles of a row that follow each other.
type run struct {
	keys []tileKey    // of the tiles, the one first that was requested first
	want slide.Extent // of that tile
	off  int64
	size int
	done chan struct{} // closed with data or err set
	data []byte
	err  error

	// Guarded by the lock of the cache.
	waiters   int
	abandoned bool // no client waits for it
	landed    bool // it was read, or not
	cancel    context.CancelFunc
	element   *list.Element // in memory
}

// end returns the offset of the byte after the run.
func (r *run) end() int64 { return r.off + int64(r.size) }

// cost is the memory of the run, in bytes.
func (r *run) cost() int64 { return int64(r.size) + runOverhead }

// part returns the bytes of an extent in the run, or nil if it is not in the run.
func (r *run) part(e slide.Extent) []byte {
	if e.Offset < r.off || e.End() > r.end() {
		return nil
	}
	at := e.Offset - r.off
	return r.data[at : at+int64(e.Size) : at+int64(e.Size)]
}

// plan returns a run around a tile: up to [maxTiles] tiles of its row that follow each other in
// the file and are not cached, as many on both sides if there are. It is the tile alone while
// the memory is short. The caller must hold mu.
func (c *Cache) plan(s *Slide, k tileKey, e slide.Extent) *run {
	r := &run{keys: []tileKey{k}, want: e, off: e.Offset, size: e.Size, done: make(chan struct{})}
	if c.flying > c.o.MaxBytes/2 {
		return r
	}
	right, left := side{step: 1, col: k.col}, side{step: -1, col: k.col}
	for len(r.keys) < maxTiles && !(right.ended && left.ended) {
		// The middle of eight tiles is the fifth.
		if len(r.keys)%2 == 1 && !left.ended || right.ended {
			c.extend(s, r, &left)
		} else {
			c.extend(s, r, &right)
		}
	}
	return r
}

// A side is one of both in which a run grows.
type side struct {
	step, col int  // col is the last one that was added or empty
	ended     bool // nothing more can be added
}

// extend adds the next tile on a side, or finds that the run cannot grow there.
func (c *Cache) extend(s *Slide, r *run, to *side) {
	k := r.keys[0]
	for at := to.col + to.step; ; at += to.step {
		if at-k.col > maxTiles/2-1 || k.col-at > maxTiles/2 {
			break
		}
		e, err := s.Extent(k.level, at, k.row)
		if errors.Is(err, slide.ErrEmptyTile) {
			to.col = at
			continue
		}
		next := tileKey{k.id, k.revision, k.level, k.row, at}
		if err != nil || c.runs[next] != nil || !r.grow(e) {
			break
		}
		r.keys, to.col = append(r.keys, next), at
		return
	}
	to.ended = true
}

// grow adds the bytes of a tile before or behind those of the run, and reports whether it could.
func (r *run) grow(e slide.Extent) bool {
	off, end := r.off, r.end()
	switch {
	case e.Offset >= end && e.Offset-end <= maxGap:
		end = e.End()
	case e.End() <= off && off-e.End() <= maxGap:
		off = e.Offset
	default:
		return false
	}
	if end-off > maxRun {
		return false
	}
	r.off, r.size = off, int(end-off)
	return true
}
