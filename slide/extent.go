package slide

import (
	"errors"
	"fmt"

	"github.com/slideatlas/ptiffstore/tiff"
)

// ErrNoExtent reports a tile that is not one part of the file: one whose colours are stored
// apart, or one of a [Pyramid] or [Composite]. [Slide.AppendTile] reads it.
var ErrNoExtent = errors.New("slide: tile is not one part of the file")

// An Extent is the part of a file with the stored bytes of a tile.
type Extent struct {
	Offset int64
	Size   int // bytes, at least 1 and at most 64 MiB
}

// End returns the offset of the byte after the extent.
func (e Extent) End() int64 { return e.Offset + int64(e.Size) }

// Extent returns where the stored bytes of a tile are, for callers that read them by
// themselves: [Slide.Finish] makes the tile of them. It reads nothing but the tile table of
// a level, when that is first needed. The extent lies within the file.
//
// The error is [ErrNoExtent] if the tile is not one part of the file, and otherwise like that of
// [Slide.AppendTile].
func (s *Slide) Extent(level, col, row int) (Extent, error) {
	p, err := s.entry(level, col, row)
	if err != nil {
		return Extent{}, err
	}
	if p.n == 0 {
		return Extent{}, ErrNoExtent
	}
	if err := s.within(p.off, p.n, p.src.offsets); err != nil {
		return Extent{}, p.wrap(level, col, row, err)
	}
	return Extent{int64(p.off), int(p.n)}, nil
}

// Finish appends the tile whose extent has the bytes raw to dst, as [Slide.AppendTile] does, and
// returns the extended slice. Raw is not changed. Errors are those of AppendTile; also for a tile
// without extent, and for raw of another size, dst is returned unchanged.
func (s *Slide) Finish(dst, raw []byte, level, col, row int) ([]byte, error) {
	p, err := s.entry(level, col, row)
	if err != nil {
		return dst, err
	}
	if p.n == 0 {
		return dst, ErrNoExtent
	}
	if uint64(len(raw)) != p.n {
		return dst, p.wrap(level, col, row, &tiff.FormatError{
			Offset: int64(min(p.off, maxOffset)), Tag: p.src.offsets, Msg: fmt.Sprintf("%d bytes were read of a tile of %d", len(raw), p.n),
		})
	}
	l := &s.Levels[level]
	b, added := extend(dst, p.t.before(l)+len(raw))
	copy(added[p.t.before(l):], raw)
	if b, err = p.complete(l, b, len(dst)); err != nil {
		return dst, p.wrap(level, col, row, err)
	}
	return b, nil
}

// ReadExtents makes AppendTile get the bytes of tiles from f instead of the reader, for example
// through a cache. The bytes that f returns are not changed. Other reads, such as those of associated
// images, still use the reader. It must be called before the slide is shared.
func (s *Slide) ReadExtents(f func(level, col, row int, e Extent) ([]byte, error)) { s.fetch = f }

// appendFetched appends a tile whose bytes come from s.fetch.
func (s *Slide) appendFetched(dst []byte, level, col, row int) ([]byte, error) {
	e, err := s.Extent(level, col, row)
	if err != nil {
		return dst, err
	}
	raw, err := s.fetch(level, col, row, e)
	if err != nil {
		return dst, fmt.Errorf("slide: level %d tile %d,%d: %w", level, col, row, err)
	}
	return s.Finish(dst, raw, level, col, row)
}

// A tileEntry is where the bytes of a tile are: n bytes at off of the file.
type tileEntry struct {
	src    *source
	t      *table
	off, n uint64 // n is 0 if the tile is not one part of the file
}

const maxOffset = 1<<63 - 1

// entry returns the entry of a tile, whose range has not been compared with the file.
func (s *Slide) entry(level, col, row int) (p tileEntry, err error) {
	if level < 0 || level >= len(s.Levels) {
		return p, ErrNoTile
	}
	l := &s.Levels[level]
	if col < 0 || row < 0 || col >= l.Columns || row >= l.Rows {
		return p, ErrNoTile
	}
	if s.sources == nil { // a pyramid or composite
		return p, nil
	}
	if err := s.shown(level, col, row); err != nil {
		return p, err
	}
	p.src = s.sources[level]
	if p.t = p.src.table.Load(); p.t == nil {
		if p.t, err = s.load(p.src, &l.Layout); err != nil {
			return p, fmt.Errorf("slide: level %d: %w", level, err)
		}
	}
	if p.t.missing != nil && p.t.missing.has(col, row) {
		return p, ErrMissingTile
	}
	if l.Layout.Planar == 2 && l.Layout.Planes() > 1 {
		return p, nil
	}
	p.off, p.n, err = p.t.extent(p.src, 0, col, row)
	if err == nil && s.background != nil && s.isBackground(p.off) {
		err = ErrEmptyTile
	}
	return p, err
}

// wrap adds to an error which tile it is about.
func (p *tileEntry) wrap(level, col, row int, err error) error {
	return fmt.Errorf("slide: level %d tile %d,%d: %w", level, col, row, err)
}

// complete makes dst[base:] the tile. It has the stored bytes, with [table.before] bytes in front.
func (p *tileEntry) complete(l *Level, dst []byte, base int) ([]byte, error) {
	return p.t.complete(l, dst, base, int64(p.off), p.src.offsets)
}
