package slide

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/slideatlas/ptiffstore/tiff"
)

// ErrPyramid reports a file whose image already has several levels.
var ErrPyramid = errors.New("slide: the file is a pyramid already")

// A Plain is an image that a TIFF file stores at a single resolution, in strips or tiles,
// so that a pyramid can be made from it. Its pieces are its tiles or strips; a strip is
// as wide as the image. It is safe for concurrent use.
type Plain struct {
	Width, Height           int // pixels
	PieceWidth, PieceHeight int // pixels; the last strip may have fewer rows
	Columns, Rows           int // of pieces
	Layout                  Layout
	Directory               *tiff.Directory
	MPPX, MPPY              float64 // µm per pixel; 0 if unknown

	s               *Slide
	strips          bool
	offsets, counts tiff.Array
	tag             tiff.Tag // of the offsets
	implied         bool     // counts are missing, and follow from the size of a strip
	splicer         *splicer // of JPEG
}

// OpenPlain reads the structure of the image in r, which is size bytes long; if r has
// several, that of the largest one. The error is [ErrPyramid] for a slide with more than
// one level, and otherwise like that of [Open].
func OpenPlain(r io.ReaderAt, size int64) (*Plain, error) {
	s, err := Open(r, size)
	if err == nil {
		if len(s.Levels) > 1 {
			return nil, ErrPyramid
		}
		return s.plainTiles()
	}
	if _, ok := errors.AsType[*notPyramid](err); !ok {
		return nil, err
	}
	f, err := tiff.Open(r, size)
	if err != nil {
		return nil, err
	}
	s = &Slide{Properties: map[string]string{}, r: r, size: size, file: f}
	return s.plainStrips()
}

// A notPyramid is the error for a TIFF without tiles.
type notPyramid struct{ *tiff.UnsupportedError }

func (e *notPyramid) Unwrap() error { return e.UnsupportedError }

// plainTiles describes the only level of s.
func (s *Slide) plainTiles() (*Plain, error) {
	l, src := &s.Levels[0], s.sources[0]
	t, err := s.load(src, &l.Layout)
	if err != nil {
		return nil, err
	}
	return &Plain{
		Width: l.Width, Height: l.Height, PieceWidth: l.TileWidth, PieceHeight: l.TileHeight,
		Columns: l.Columns, Rows: l.Rows, Layout: l.Layout, Directory: src.dir, MPPX: s.MPPX, MPPY: s.MPPY,
		s: s, offsets: t.offsets, counts: t.counts, tag: src.offsets, splicer: t.splicer,
	}, nil
}

// plainStrips describes the largest image in strips.
func (s *Slide) plainStrips() (*Plain, error) {
	d, err := largest(s.file.Directories())
	if err != nil {
		return nil, err
	}
	if err := turned(d); err != nil {
		return nil, err
	}
	if err := s.directoryMPP(d); err != nil {
		return nil, err
	}
	text, err := s.optionalText(d, tiff.TagImageDescription, maxXMLText)
	if err != nil {
		return nil, err
	}
	s.setDescribed(describedValues(text))
	p := &Plain{Columns: 1, Directory: d, MPPX: s.MPPX, MPPY: s.MPPY, s: s, strips: true, tag: tiff.TagStripOffsets}
	if p.Width, err = side(d, tiff.TagImageWidth, maxSide); err != nil {
		return nil, err
	}
	if p.Height, err = side(d, tiff.TagImageLength, maxSide); err != nil {
		return nil, err
	}
	rows, err := d.Uint(tiff.TagRowsPerStrip, uint64(p.Height))
	if err != nil {
		return nil, err
	}
	if rows == 0 {
		return nil, broken(d, tiff.TagRowsPerStrip, "the strips have no rows")
	}
	p.PieceWidth, p.PieceHeight = p.Width, int(min(rows, uint64(p.Height)))
	p.Rows = ceilDiv(p.Height, p.PieceHeight)
	return p, p.readTables()
}

// readTables reads the locations of the strips.
func (p *Plain) readTables() error {
	d := p.Directory
	var err error
	if p.Layout, err = readLayout(p.s.file, d); err != nil {
		return err
	}
	if p.Layout.Codec == JPEG {
		if p.splicer, err = readSplicer(d, &p.Layout); err != nil {
			return err
		}
	}
	if p.offsets, err = d.Array(tiff.TagStripOffsets); err != nil {
		return err
	}
	if p.counts, err = d.Array(tiff.TagStripByteCounts); err != nil {
		return err
	}
	number := p.Rows * p.Layout.Planes()
	p.implied = p.Layout.Codec == None && p.counts.Len() < number
	if p.implied {
		p.counts = p.offsets // only their number is used
	}
	if p.offsets.Len() < number || p.counts.Len() < number {
		return broken(d, tiff.TagStripOffsets, "the file is damaged: it has %d offsets and %d byte counts for %d strips", p.offsets.Len(), p.counts.Len(), number)
	}
	return nil
}

// largest returns the directory with the most pixels that is not a mask.
func largest(dirs []*tiff.Directory) (*tiff.Directory, error) {
	var best *tiff.Directory
	var most uint64
	for _, d := range dirs {
		mask, err := isMask(d)
		if err != nil {
			return nil, err
		}
		w, h, err := sizeOf(d)
		if err != nil {
			return nil, err
		}
		if !mask && (best == nil || w*h > most) {
			best, most = d, w*h
		}
	}
	if best == nil {
		return dirs[0], nil
	}
	return best, nil
}

// PieceSize returns the size of the pieces of a row in pixels. All tiles have the same
// size. The last strip has the remaining rows of the image; some writers store a last
// JPEG strip as high as the others.
func (p *Plain) PieceSize(row int) (w, h int) {
	if p.strips {
		return p.PieceWidth, min(p.PieceHeight, p.Height-row*p.PieceHeight)
	}
	return p.PieceWidth, p.PieceHeight
}

// Piece returns a reader of the compressed bytes of a piece, and their number. With JPEG
// they are a complete stream, as in [Slide.AppendTile], except that it is not checked
// for its end. The error is [ErrNoTile] if there is no such piece, [ErrEmptyTile] if the
// piece was never written, and otherwise a [*tiff.FormatError], a
// [*tiff.UnsupportedError] or that of the reader.
func (p *Plain) Piece(col, row int) (io.Reader, int64, error) {
	if col < 0 || row < 0 || col >= p.Columns || row >= p.Rows {
		return nil, 0, ErrNoTile
	}
	if p.Layout.Planes() == 1 {
		return p.plane(0, col, row)
	}
	var all []io.Reader
	var total int64
	for i := range p.Layout.Planes() {
		r, n, err := p.plane(i, col, row)
		if err != nil {
			return nil, 0, err
		}
		if n > maxTileBytes {
			return nil, 0, broken(p.Directory, p.tag, "a colour of a tile or strip has %d bytes, at most %d are supported", n, maxTileBytes)
		}
		all = append(all, bytes.NewReader(binary.BigEndian.AppendUint32(nil, uint32(n))), r) //nolint:gosec // compared above
		total += 4 + n
	}
	return io.MultiReader(all...), total, nil
}

// plane returns a reader of the compressed bytes of one plane of a piece.
func (p *Plain) plane(plane, col, row int) (io.Reader, int64, error) {
	i := (plane*p.Rows+row)*p.Columns + col
	if i >= p.offsets.Len() || i >= p.counts.Len() {
		return nil, 0, ErrEmptyTile
	}
	off, n := p.offsets.At(i), p.count(i, row)
	if n == 0 {
		return nil, 0, ErrEmptyTile
	}
	if off > uint64(p.s.size) || n > uint64(p.s.size)-off {
		return nil, 0, &tiff.FormatError{
			Offset: p.Directory.Offset, Tag: p.tag,
			Msg: fmt.Sprintf("the file is incomplete or damaged: piece %d of %d bytes should be at byte %d, but the file ends at byte %d", i, n, off, p.s.size),
		}
	}
	if p.Layout.Reversed {
		return &reverser{io.NewSectionReader(p.s.r, int64(off), int64(n)), &p.Layout}, int64(n), nil
	}
	if p.splicer == nil {
		return io.NewSectionReader(p.s.r, int64(off), int64(n)), int64(n), nil
	}
	return p.splice(int64(off), int64(n))
}

// A reverser reverses the bits of each byte.
type reverser struct {
	r   io.Reader
	lay *Layout
}

func (r *reverser) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.lay.reverse(b[:n])
	return n, err
}

// count returns the number of bytes of piece i. Some writers leave out the byte counts of
// uncompressed strips, or store 0: libtiff computes them too.
func (p *Plain) count(i, row int) uint64 {
	if !p.implied {
		if n := p.counts.At(i); n != 0 || !p.strips || p.Layout.Codec != None || p.offsets.At(i) == 0 {
			return n
		}
	}
	w, h := p.PieceSize(row)
	return uint64(p.Layout.pieceBytes(w, h))
}

// splice returns a complete JPEG of the n bytes at off.
func (p *Plain) splice(off, n int64) (io.Reader, int64, error) {
	const most = 1 << 20 // bytes of a header, which may contain a colour profile
	b := make([]byte, p.splicer.reserve()+int(min(n, most)))
	if err := p.s.readAt(b[p.splicer.reserve():], off, p.tag); err != nil {
		return nil, 0, err
	}
	var h header
	bad := parseHeader(b[p.splicer.reserve():], &h)
	if bad == nil {
		if missing := h.needed &^ (h.defined | p.splicer.shared); missing != 0 {
			bad = badJPEG(0, "its decoding tables are missing: neither it nor tag 347 contains them (set %03x)", uint(missing))
		}
	}
	if bad != nil {
		return nil, 0, asTIFF(bad, off, p.tag)
	}
	if h.app1 {
		b = b[:p.splicer.reserve()+len(dropApp1(b[p.splicer.reserve():], &h))]
	}
	used := min(n, most)
	b = p.splicer.compose(b, 0, &h)
	rest := io.NewSectionReader(p.s.r, off+used, n-used)
	return io.MultiReader(bytes.NewReader(b), rest), int64(len(b)) + n - used, nil
}

// Strips reports whether the image is stored in strips.
func (p *Plain) Strips() bool { return p.strips }
