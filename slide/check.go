package slide

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Check checks whether the file is complete. It reads every tile table, the tiles of
// each level that are first and last in the file, and the associated images.
//
// The error wraps a [*tiff.FormatError] if tiles or associated images lie outside the
// file, if one of the tiles read is damaged, or if an associated image contains only
// zeros. Such a file is damaged or has not been copied completely. An associated image
// that is present and cannot be decoded is not an error, as the slide can be viewed
// without it. Of a [Pyramid], Check reads the tile that shows the whole image, or the ones
// that it is derived from.
func (s *Slide) Check() error {
	if s.elsewhere() {
		return s.checkRoot()
	}
	if s.isComposite() {
		return s.checkLayers()
	}
	c := checker{s: s}
	for level := range s.Levels {
		if err := c.table(level); err != nil {
			return fmt.Errorf("slide: level %d: %w", level, err)
		}
	}
	for i := range s.associated {
		if err := c.associated(&s.associated[i]); err != nil {
			return fmt.Errorf("slide: %s: %w", s.associated[i].kind, err)
		}
	}
	if c.late != nil {
		return c.late
	}
	for _, t := range c.ends {
		if err := c.tile(t); err != nil {
			return fmt.Errorf("slide: level %d, tile at byte %d: %w", t.level, t.off, err)
		}
	}
	if c.black == len(c.ends) {
		return &tiff.FormatError{Tag: tiff.TagTileOffsets, Msg: "the file is probably incomplete, as the first and last tiles of all levels contain only zeros; copy it again"}
	}
	return nil
}

// A checker collects what [Slide.Check] finds.
type checker struct {
	s     *Slide
	ends  []tileRange // first and physically last tile of each level
	reach uint64      // how far the ranges beyond the end of the file go
	late  error       // of the range that reaches farthest
	black int         // how many of ends are uncompressed and contain only zeros
	buf   []byte
}

// A tileRange is a tile as its level's table gives it.
type tileRange struct {
	level  int
	off, n uint64
}

// table checks the entire tile table of a level, including the tiles of spare columns.
func (c *checker) table(level int) error {
	src := c.s.sources[level]
	t, err := c.s.load(src, &c.s.Levels[level].Layout)
	if err != nil {
		return err
	}
	var first, last tileRange
	for i := range t.len() {
		off, n := t.at(i)
		if n == 0 {
			continue
		}
		if end := off + n; end < off || end > uint64(c.s.size) {
			c.beyond(src.dir, src.offsets, i, off, n)
			continue
		}
		if first.n == 0 {
			first = tileRange{level, off, n}
		}
		if off+n > last.off+last.n {
			last = tileRange{level, off, n}
		}
	}
	switch {
	case first.n != 0:
		c.ends = append(c.ends, first)
		if last != first {
			c.ends = append(c.ends, last)
		}
	case level == 0 && c.late == nil:
		return broken(src.dir, src.offsets, "the file has no tile of its largest level")
	}
	return nil
}

// beyond records that item i of a table lies outside the file.
func (c *checker) beyond(d *tiff.Directory, tag tiff.Tag, i int, off, n uint64) {
	end := off + n
	if end < off {
		end = ^uint64(0)
	}
	if end <= c.reach {
		return
	}
	c.reach = end
	at := d.Offset
	if e, ok := d.Entry(tag); ok {
		at = e.Offset + int64(i)*typeSize(e.Type)
	}
	c.late = &tiff.FormatError{
		Offset: at, Tag: tag,
		Msg: fmt.Sprintf("the file is incomplete: it ends %s early, having %d bytes, while item %d lies at bytes %d to %d; copy it again", inUnits(end-uint64(c.s.size)), c.s.size, i, off, end),
	}
}

// associated checks where an associated image lies, and that it was written.
func (c *checker) associated(p *associatedImage) error {
	if p.dir == nil {
		return nil // inside a text that has been read
	}
	st, err := c.s.findPieces(p.dir)
	if err != nil {
		return nil // the slide can be viewed without it
	}
	zeros := true
	for i := range st.number() {
		off, n := st.offsets.At(i), st.counts.At(i)
		if end := off + n; end < off || end > uint64(c.s.size) {
			c.beyond(p.dir, st.tag, i, off, n)
			zeros = false
			continue
		}
		if !zeros || n > maxTileBytes {
			continue
		}
		if c.buf, zeros, err = c.read(off, n); err != nil {
			return err
		}
	}
	if zeros && st.Layout.Codec != None {
		return broken(p.dir, st.tag, zerosOnly)
	}
	return nil
}

// read returns bytes of the file, and whether all are zeros.
func (c *checker) read(off, n uint64) (b []byte, zeros bool, err error) {
	b = slices.Grow(c.buf[:0], int(n))[:n]
	if err := c.s.readAt(b, int64(off), tiff.TagStripOffsets); err != nil {
		return nil, false, err
	}
	return b, len(bytes.Trim(b, "\x00")) == 0, nil
}

// tile checks that a tile is complete: a JPEG from SOI to EOI, JPEG 2000 likewise, deflate up to its
// checksum, other codecs as far as possible without decoding.
func (c *checker) tile(r tileRange) error {
	l, src := &c.s.Levels[r.level], c.s.sources[r.level]
	b, err := c.s.appendExtent(c.buf[:0], l, src, src.table.Load(), r.off, r.n)
	if err != nil {
		return err
	}
	c.buf = b
	black, err := l.checkComplete(b, int64(r.off), src.offsets)
	if black {
		c.black++
	}
	return err
}

// checkComplete checks the bytes of a tile at off, and reports whether it is uncompressed and
// contains only zeros.
func (l *Level) checkComplete(b []byte, off int64, tag tiff.Tag) (zeros bool, err error) {
	fail := func(format string, args ...any) (bool, error) {
		return false, &tiff.FormatError{Offset: off, Tag: tag, Msg: fmt.Sprintf(format, args...)}
	}
	raw := l.Layout.pieceBytes(l.TileWidth, l.TileHeight)
	switch l.Layout.Codec {
	case None:
		if int64(len(b)) < raw {
			return fail("the tile is incomplete: it has %d bytes instead of %d", len(b), raw)
		}
		return len(bytes.Trim(b, "\x00")) == 0, nil
	case Deflate:
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return fail("the tile is damaged: %v", err)
		}
		// Some writers store padding after the pixels. The checksum at the end is read only
		// if there is not absurdly much of it, which is a sign of damage.
		most := 2*raw + 64<<10
		switch n, err := io.Copy(io.Discard, io.LimitReader(z, most)); {
		case err != nil:
			return fail("the tile is damaged after %d bytes of pixels: %v", n, err)
		case n < raw:
			return fail("the tile is incomplete: it inflates to %d bytes instead of %d", n, raw)
		case n == most:
			return fail("the tile is damaged: it inflates to more than the %d bytes of a tile", raw)
		}
	case JPEG2000:
		if err := checkStream(b); err != nil {
			return fail("the tile is incomplete or damaged: %v", err)
		}
	case WebP:
		size := int64(b[4]) | int64(b[5])<<8 | int64(b[6])<<16 | int64(b[7])<<24
		if size+8 > int64(len(b)) {
			return fail("the tile is incomplete: it has %d bytes of a WebP image of %d", len(b), size+8)
		}
	}
	return false, nil
}

// typeSize is the number of bytes of a value of an integer type.
func typeSize(t tiff.Type) int64 {
	switch t {
	case 1, 6:
		return 1
	case 3, 8:
		return 2
	case 16, 17, 18:
		return 8
	}
	return 4
}

// inUnits formats a number of bytes, as in "3.2 GB".
func inUnits(n uint64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if f := float64(n); f >= u.size {
			return fmt.Sprintf("%.1f %s", f/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
