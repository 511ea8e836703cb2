package slide

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"

	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	maxStrips           = 64 << 10  // of an associated image: one for each row of the tallest
	maxAssociatedPixels = 64 << 20  // limits the cost of decoding one
	maxAssociatedBytes  = 64 << 20  // of all its strips
	maxSpan             = 128 << 20 // of base64 in a description
)

// An AssociatedImage is an associated image as it is stored: in strips from top to bottom,
// or in tiles, row by row.
type AssociatedImage struct {
	Width, Height int // pixels
	TileWidth     int // pixels; 0 for strips, which are as wide as the image
	RowsPerStrip  int // or the height of a tile
	Layout        Layout
	Strips        [][]byte // or tiles
}

// JPEG returns the image if it is stored as one complete JPEG, which can be sent unchanged,
// and otherwise nil.
func (p *AssociatedImage) JPEG() []byte {
	if len(p.Strips) != 1 || p.Layout.Codec != JPEG || p.TileWidth != 0 && (p.TileWidth != p.Width || p.RowsPerStrip != p.Height) {
		return nil
	}
	return p.Strips[0]
}

// Columns returns the number of tiles of a row, or 1 for strips.
func (p *AssociatedImage) Columns() int {
	if p.TileWidth == 0 {
		return 1
	}
	return ceilDiv(p.Width, p.TileWidth)
}

// An associatedImage is the location of an associated image: in a directory of its own,
// inside a text, or that of a [Composite].
type associatedImage struct {
	kind   string
	dir    *tiff.Directory
	text   *embedded
	stored *Stored
}

// ReadAssociated returns the associated image of that kind as stored. If the file contains
// several, it returns the first that can be read. The error is [ErrNoAssociated] if the
// file has no image of that kind, and otherwise that of the first one: it wraps a
// [*tiff.FormatError], a [*tiff.UnsupportedError], or the error of the reader.
func (s *Slide) ReadAssociated(kind string) (*AssociatedImage, error) {
	var first error
	for i := range s.associated {
		if s.associated[i].kind != kind {
			continue
		}
		p, err := s.readAssociated(&s.associated[i])
		if err == nil {
			return p, nil
		}
		if first == nil {
			first = fmt.Errorf("slide: %s: %w", kind, err)
		}
	}
	if first == nil {
		return nil, ErrNoAssociated
	}
	return nil, first
}

// LabelTurn returns by how many degrees the stored label must be rotated clockwise to be
// upright. Scanners photograph the label of a slide that lies on its side: for Aperio its
// label end is at the left, for Philips at the right. Other labels are taken as they are: those
// of DICOM are upright by definition.
func (s *Slide) LabelTurn() int {
	switch s.Format {
	case "aperio":
		return 90
	case "philips":
		return 270
	}
	return 0
}

// AssociatedCost returns an upper bound of the memory that [Slide.ReadAssociated] takes
// for that kind, in bytes, or 0 if the file has no such image.
func (s *Slide) AssociatedCost(kind string) int64 {
	cost := int64(0)
	for i := range s.associated {
		p := &s.associated[i]
		switch {
		case p.kind != kind:
		case p.stored != nil:
			cost = max(cost, p.stored.cost())
		case p.dir == nil:
			cost = max(cost, 3*min(p.text.n, maxSpan)) // the text, the text without references, and the decoded bytes
		default:
			cost = max(cost, s.piecesCost(p.dir))
		}
	}
	return cost
}

// piecesCost returns an upper bound of the memory for reading the strips or tiles of a
// directory: each is read once, into memory for itself and the tables that all share.
func (s *Slide) piecesCost(d *tiff.Directory) int64 {
	p, err := s.findPieces(d)
	if err != nil {
		return 0 // reading fails likewise
	}
	tables, total := uint64(64), uint64(0) // and the Adobe marker
	if p.Layout.Codec == JPEG {
		b, _ := d.Bytes(tiff.TagJPEGTables)
		tables += uint64(len(b))
	}
	for i := range p.number() {
		total += min(p.counts.At(i), maxAssociatedBytes) + tables
	}
	return int64(total)
}

func (s *Slide) readAssociated(p *associatedImage) (*AssociatedImage, error) {
	if p.stored != nil {
		return p.stored.read()
	}
	if p.dir != nil {
		return s.readPieces(p.dir)
	}
	b, err := p.text.read(s.file)
	if err != nil {
		return nil, err
	}
	var h header
	sp, _ := newSplicer(nil, false)
	b, bad := sp.finish(b, 0, &h)
	if bad != nil {
		return nil, asTIFF(&jpegError{0, bad.unsupported, bad.Error()}, p.text.off, p.text.tag)
	}
	if h.width*h.height > maxAssociatedPixels {
		return nil, &tiff.FormatError{Offset: p.text.off, Tag: p.text.tag, Msg: fmt.Sprintf("the associated image has %d×%d pixels, more than are supported", h.width, h.height)}
	}
	lay := Layout{Codec: JPEG, Photometric: yCbCr, Samples: h.components, Bits: 8, Planar: 1, Predictor: 1}
	return &AssociatedImage{Width: h.width, Height: h.height, RowsPerStrip: h.height, Layout: lay, Strips: [][]byte{b}}, nil
}

// pieces are the locations of the strips or tiles of a directory.
type pieces struct {
	AssociatedImage
	tag             tiff.Tag // of offsets
	offsets, counts tiff.Array
}

// unit names a piece in errors.
func (p *pieces) unit() string {
	if p.TileWidth != 0 {
		return "tile"
	}
	return "strip"
}

// number returns the number of strips or tiles, of all planes.
func (p *pieces) number() int { return p.each() * p.Layout.Planes() }

// each returns the number of strips or tiles of a plane.
func (p *pieces) each() int { return p.Columns() * ceilDiv(p.Height, p.RowsPerStrip) }

// findPieces reads the tables of an associated image, and checks that they are consistent.
func (s *Slide) findPieces(d *tiff.Directory) (*pieces, error) {
	if isTiled(d) {
		return s.findTiles(d)
	}
	p := &pieces{tag: tiff.TagStripOffsets}
	var err error
	if p.Width, err = side(d, tiff.TagImageWidth, maxSide); err != nil {
		return nil, err
	}
	if p.Height, err = side(d, tiff.TagImageLength, maxSide); err != nil {
		return nil, err
	}
	if p.Width*p.Height > maxAssociatedPixels {
		return nil, broken(d, tiff.TagImageWidth, "the associated image has %d×%d pixels, more than are supported", p.Width, p.Height)
	}
	if p.Layout, err = readLayout(s.file, d); err != nil {
		return nil, err
	}
	rows, err := d.Uint(tiff.TagRowsPerStrip, uint64(p.Height))
	if err != nil {
		return nil, err
	}
	if rows == 0 {
		return nil, broken(d, tiff.TagRowsPerStrip, "the strips have no rows")
	}
	p.RowsPerStrip = int(min(rows, uint64(p.Height)))
	if p.offsets, err = d.Array(tiff.TagStripOffsets); err != nil {
		return nil, err
	}
	if p.counts, err = d.Array(tiff.TagStripByteCounts); err != nil {
		return nil, err
	}
	return p, p.complete(d)
}

// findTiles reads the tables of an associated image that is stored in tiles.
func (s *Slide) findTiles(d *tiff.Directory) (*pieces, error) {
	l, src, err := readLevel(s.file, d)
	if err != nil {
		return nil, err
	}
	if l.Width*l.Height > maxAssociatedPixels {
		return nil, broken(d, tiff.TagImageWidth, "the associated image has %d×%d pixels, more than are supported", l.Width, l.Height)
	}
	p := &pieces{
		AssociatedImage: AssociatedImage{Width: l.Width, Height: l.Height, TileWidth: l.TileWidth, RowsPerStrip: l.TileHeight, Layout: l.Layout},
		tag:             src.offsets,
	}
	if p.offsets, err = d.Array(src.offsets); err != nil {
		return nil, err
	}
	if p.counts, err = d.Array(src.counts); err != nil {
		return nil, err
	}
	return p, p.complete(d)
}

// complete checks that the tables have an entry for each strip or tile.
func (p *pieces) complete(d *tiff.Directory) error {
	n := p.number()
	if n > maxStrips || p.offsets.Len() < n || p.counts.Len() < n {
		return broken(d, p.tag, "the file is damaged: it has %d offsets and %d byte counts for %d strips or tiles",
			p.offsets.Len(), p.counts.Len(), n)
	}
	return nil
}

// readPieces reads an image that is stored in strips or tiles.
func (s *Slide) readPieces(d *tiff.Directory) (*AssociatedImage, error) {
	p, err := s.findPieces(d)
	if err != nil {
		return nil, err
	}
	var sp *splicer
	if p.Layout.Codec == JPEG {
		if sp, err = readSplicer(d, &p.Layout); err != nil {
			return nil, err
		}
	}
	total := uint64(0)
	for i := range p.number() {
		off, n := p.offsets.At(i), p.counts.At(i)
		if err := s.within(off, n, p.tag); err != nil {
			return nil, err
		}
		if total += n; total > maxAssociatedBytes {
			return nil, broken(d, tiff.TagStripByteCounts, "the associated image has more than %d bytes", maxAssociatedBytes)
		}
		b, err := s.readPiece(p, sp, i, int64(off), int(n))
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", p.unit(), i, err)
		}
		p.add(i, b)
	}
	return &p.AssociatedImage, nil
}

// add adds strip or tile i. Planes follow each other as [Layout.Planes] describes.
func (p *pieces) add(i int, b []byte) {
	if p.Layout.Planes() == 1 {
		p.Strips = append(p.Strips, b)
		return
	}
	at := i % p.each()
	if i < p.each() {
		p.Strips = append(p.Strips, nil)
	}
	p.Strips[at] = append(binary.BigEndian.AppendUint32(p.Strips[at], uint32(len(b))), b...) //nolint:gosec // limited by maxAssociatedBytes
}

// readPiece reads strip or tile i. The last strip may be as high as the others, or have only
// the remaining rows of the image.
func (s *Slide) readPiece(p *pieces, sp *splicer, i int, off int64, n int) ([]byte, error) {
	tag := p.tag
	if sp == nil {
		b := make([]byte, n)
		if err := s.readAt(b, off, tag); err != nil {
			return nil, err
		}
		p.Layout.reverse(b)
		return b, checkStart(p.Layout.Codec, b, off, tag)
	}
	b := make([]byte, sp.reserve()+n)
	if err := s.readAt(b[sp.reserve():], off, tag); err != nil {
		return nil, err
	}
	var h header
	b, bad := sp.finish(b, 0, &h)
	width, left := p.TileWidth, p.RowsPerStrip
	if width == 0 {
		width, left = p.Width, min(p.RowsPerStrip, p.Height-i*p.RowsPerStrip)
	}
	if bad == nil && (h.width != width || h.height != p.RowsPerStrip && h.height != left) {
		bad = badJPEG(0, "it has %d×%d pixels instead of %d×%d", h.width, h.height, width, left)
	}
	if bad != nil {
		return nil, asTIFF(bad, off, tag)
	}
	return b, nil
}

// addAssociated records the directories that have a kind of associated image and are not
// levels.
func (s *Slide) addAssociated(f *tiff.File, kindOf namer) error {
	for _, d := range f.Directories() {
		if slices.ContainsFunc(s.sources, func(src *source) bool { return src.dir == d }) {
			continue
		}
		kind, err := kindOf(f, d)
		if err := s.tolerate(err); err != nil {
			return err
		}
		if kind != "" {
			s.associated = append(s.associated, associatedImage{kind: kind, dir: d})
		}
	}
	return nil
}

// kindByFirstWord returns the kind of an associated image from the first word of the
// description.
func kindByFirstWord(f *tiff.File, d *tiff.Directory) (string, error) {
	text, err := peek(f, d, tiff.TagImageDescription, 64)
	if err != nil {
		return "", err
	}
	word := strings.TrimSpace(text)
	if i := strings.IndexFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }); i >= 0 {
		word = word[:i]
	}
	switch word = strings.ToLower(word); word {
	case "label", "macro", "thumbnail":
		return word, nil
	}
	return "", nil
}

// An embedded is a value in the file that is read on demand.
type embedded struct {
	tag    tiff.Tag
	off, n int64
	base64 bool // the value is stored as base64 text
}

// read returns the bytes.
func (e *embedded) read(f *tiff.File) ([]byte, error) {
	if e.n > maxSpan {
		return nil, &tiff.FormatError{Offset: e.off, Tag: e.tag, Msg: fmt.Sprintf("the field has %d bytes, more than are supported", e.n)}
	}
	b := make([]byte, e.n)
	if err := f.ReadAt(b, e.off, e.tag); err != nil {
		return nil, err
	}
	if !e.base64 {
		return b, nil
	}
	b, err := decodeBase64(b)
	if err != nil {
		return nil, &tiff.FormatError{Offset: e.off, Tag: e.tag, Msg: "the embedded data are damaged: not base64: " + err.Error()}
	}
	return b, nil
}

// decodeBase64 decodes text in place. The text may be broken into lines, wrapped in CDATA,
// and lack its padding.
func decodeBase64(text []byte) ([]byte, error) {
	text = bytes.TrimSpace(text)
	text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("<![CDATA[")), []byte("]]>"))
	if bytes.IndexByte(text, '&') >= 0 {
		text = []byte(html.UnescapeString(string(text)))
	}
	digits := text[:0]
	for _, c := range text {
		switch c {
		case ' ', '\t', '\r', '\n', 0, '=':
		default:
			digits = append(digits, c)
		}
	}
	b := make([]byte, base64.RawStdEncoding.DecodedLen(len(digits)))
	n, err := base64.RawStdEncoding.Decode(b, digits)
	return b[:n], err
}
