package slide

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// AppendTile appends one tile to dst as it is stored and returns the extended slice:
// with JPEG a complete stream that browsers display with the right colours, without
// decoding anything; with other codecs the compressed bytes. It takes one positioned
// read, no lock, and no allocation except to grow dst. The first call for a level also
// reads the tile table of that level.
//
// Columns and rows count from the top left of the level. Every tile has TileWidth ×
// TileHeight pixels, also at the right and bottom edges, where the pixels beyond Width
// and Height are padding.
//
// The error is [ErrNoTile] if there is no such level, column or row, [ErrEmptyTile] if
// the scanner skipped the tile, [ErrMissingTile] if it is to be derived from a larger
// level, and otherwise wraps a [*tiff.FormatError] for a damaged
// or incomplete tile, a [*tiff.UnsupportedError], or the error of the reader. With an
// error, dst is returned unchanged.
//
// Tiles are defined in section 15 of TIFF 6.0, the tables that they share in TIFF
// Technical Note 2. Philips and GDAL store skipped tiles with a byte count of zero.
func (s *Slide) AppendTile(dst []byte, level, col, row int) ([]byte, error) {
	if s.sources == nil || s.fetch != nil {
		return s.appendOther(dst, level, col, row)
	}
	p, err := s.entry(level, col, row)
	if err != nil {
		return dst, err
	}
	if p.n == 0 {
		return s.appendPlanes(dst, level, p.t, col, row)
	}
	b, err := s.appendExtent(dst, &s.Levels[level], p.src, p.t, p.off, p.n)
	if err != nil {
		return dst, fmt.Errorf("slide: level %d tile %d,%d: %w", level, col, row, err)
	}
	return b, nil
}

// appendOther appends a tile that is not read from a file.
func (s *Slide) appendOther(dst []byte, level, col, row int) ([]byte, error) {
	p, err := s.entry(level, col, row)
	switch {
	case err != nil:
		return dst, err
	case s.isComposite():
		return s.appendLayerTile(dst, level, col, row)
	case s.elsewhere():
		return s.appendTileOf(dst, level, col, row)
	case p.n == 0:
		return s.appendPlanes(dst, level, p.t, col, row)
	}
	return s.appendFetched(dst, level, col, row)
}

// TileBytes returns an upper bound of the bytes that [Slide.AppendTile] appends for a
// tile, or 0 if that would return an error.
func (s *Slide) TileBytes(level, col, row int) int64 {
	if level < 0 || level >= len(s.Levels) {
		return 0
	}
	l := &s.Levels[level]
	if col < 0 || row < 0 || col >= l.Columns || row >= l.Rows {
		return 0
	}
	if s.isComposite() {
		return s.layerTileBytes(level, col, row)
	}
	if s.elsewhere() {
		return tileLimit(l)
	}
	if s.shown(level, col, row) != nil {
		return 0
	}
	src := s.sources[level]
	t := src.table.Load()
	if t == nil {
		var err error
		if t, err = s.load(src, &l.Layout); err != nil {
			return 0
		}
	}
	var n uint64
	for plane := range l.Layout.Planes() {
		off, m, err := t.extent(src, plane, col, row)
		if err != nil || m > maxTileBytes || s.isBackground(off) {
			return 0
		}
		n += m
	}
	if l.Layout.Planes() > 1 {
		n += uint64(4 * l.Layout.Planes())
	}
	if l.Layout.Codec == JPEG {
		n += uint64(t.reserve())
	}
	return int64(n)
}

// appendPlanes appends a tile whose colours are stored apart, as [Layout.Planes] describes.
func (s *Slide) appendPlanes(dst []byte, level int, t *table, col, row int) ([]byte, error) {
	l, src, base, total := &s.Levels[level], s.sources[level], len(dst), uint64(0)
	fail := func(err error) ([]byte, error) {
		return dst[:base], fmt.Errorf("slide: level %d tile %d,%d: %w", level, col, row, err)
	}
	empty := 0
	for plane := range l.Layout.Planes() {
		off, n, err := t.extent(src, plane, col, row)
		if err != nil {
			empty++
			continue
		}
		if total += n; total > maxTileBytes {
			return fail(broken(src.dir, src.counts, "the file is damaged: its colours have %d bytes", total))
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(min(n, math.MaxUint32)))
		longer, err := s.appendExtent(dst, l, src, t, off, n)
		if err != nil {
			return fail(err)
		}
		dst = longer
	}
	switch empty {
	case 0:
		return dst, nil
	case l.Layout.Planes():
		return dst[:base], ErrEmptyTile
	}
	return fail(broken(src.dir, src.counts, "%d of its %d colours were never written", empty, l.Layout.Planes()))
}

// reverse reverses the bits of each byte, if the layout says so.
func (l *Layout) reverse(b []byte) {
	if !l.Reversed {
		return
	}
	for i, c := range b {
		b[i] = bits.Reverse8(c)
	}
}

// appendExtent appends the tile of n bytes at off.
func (s *Slide) appendExtent(dst []byte, l *Level, src *source, t *table, off, n uint64) ([]byte, error) {
	if err := s.within(off, n, src.offsets); err != nil {
		return dst, err
	}
	base, before := len(dst), t.before(l)
	dst, b := extend(dst, before+int(n))
	if err := s.readAt(b[before:], int64(off), src.offsets); err != nil {
		return nil, err
	}
	return t.complete(l, dst, base, int64(off), src.offsets)
}

// before is the number of bytes to reserve in front of the stored bytes of a tile.
func (t *table) before(l *Level) int {
	if l.Layout.Codec != JPEG {
		return 0
	}
	return t.reserve()
}

// complete makes dst[base:] the tile at off of the file. It has the stored bytes, with
// [table.before] bytes in front.
func (t *table) complete(l *Level, dst []byte, base int, off int64, tag tiff.Tag) ([]byte, error) {
	if l.Layout.Codec != JPEG {
		b := dst[base:]
		l.Layout.reverse(b)
		if l.Layout.Codec == JPEG2000 {
			return dst, l.checkJPEG2000(b, off, tag)
		}
		return dst, checkStart(l.Layout.Codec, b, off, tag)
	}
	var h header
	dst, bad := t.finish(dst, base, &h)
	if bad == nil && (h.width != l.TileWidth || h.height != l.TileHeight) {
		bad = badJPEG(0, "it has %d×%d pixels instead of %d×%d", h.width, h.height, l.TileWidth, l.TileHeight)
	}
	if bad != nil {
		return nil, asTIFF(bad, off, tag)
	}
	return dst, nil
}

// extend makes dst n bytes longer and also returns the new part.
func extend(dst []byte, n int) (longer, added []byte) {
	base := len(dst)
	dst = slices.Grow(dst, n)[:base+n]
	return dst, dst[base:]
}

// within checks the range of a tile or strip against the file.
func (s *Slide) within(off, n uint64, tag tiff.Tag) error {
	const header = 8 // bytes at the start of every TIFF
	switch {
	case off > math.MaxInt64 || n > math.MaxInt64 || off > uint64(s.size) || n > uint64(s.size)-off:
		return &tiff.FormatError{
			Offset: int64(min(off, math.MaxInt64)), Tag: tag,
			Msg: fmt.Sprintf("the file is incomplete or damaged: a tile or strip of %d bytes should be at byte %d, but the file ends at byte %d", n, off, s.size),
		}
	case off < header:
		return &tiff.FormatError{Offset: int64(off), Tag: tag, Msg: fmt.Sprintf("the file is damaged: %d bytes of pixels should be inside the file header", n)}
	case n > maxTileBytes:
		return &tiff.FormatError{Offset: int64(off), Tag: tag, Msg: fmt.Sprintf("the file is damaged: a tile or strip has %d bytes", n)}
	}
	return nil
}

// readAt fills p. A file that has become shorter is a [*tiff.FormatError].
func (s *Slide) readAt(p []byte, off int64, tag tiff.Tag) error {
	n, err := s.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return &tiff.FormatError{Offset: off + int64(n), Tag: tag, Msg: "the file was truncated while it was open"}
	}
	return err
}

// zerosOnly is the message for data that an interrupted copy has left unwritten.
const zerosOnly = "the file is probably incomplete, as it contains only zeros here; copy it again"

// checkStart rejects compressed bytes that do not begin as their codec requires, such
// as those of a file whose blocks were never written.
func checkStart(c Codec, b []byte, off int64, tag tiff.Tag) error {
	var ok bool
	switch c {
	case None, PackBits:
		return nil // zeros are black pixels, and runs may begin with any byte
	case Deflate: // RFC 1950 section 2.2
		ok = len(b) >= 2 && b[0]&15 == 8 && (int(b[0])<<8|int(b[1]))%31 == 0
	case LZW: // a clear code of 9 bits, TIFF 6.0 page 59, or in reverse bit order before TIFF 5.0
		ok = len(b) >= 2 && (b[0] == 0x80 && b[1]&0x80 == 0 || b[0] == 0 && b[1]&1 == 1)
	case WebP:
		ok = len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP"
	case Zstd: // a frame, or a skippable frame; RFC 8878 section 3.1
		ok = len(b) >= 4 && (string(b[:4]) == "\x28\xb5\x2f\xfd" || b[0]&0xf0 == 0x50 && string(b[1:4]) == "\x2a\x4d\x18")
	}
	if ok {
		return nil
	}
	what := fmt.Sprintf("the pixels are damaged: %d bytes are not %v data", len(b), c)
	if !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		what = zerosOnly
	}
	return &tiff.FormatError{Offset: off, Tag: tag, Msg: what}
}
