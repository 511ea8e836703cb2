package slide

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// A Composite describes a slide whose levels and associated images are stored apart and not
// in a TIFF file, such as the instances of a DICOM series.
type Composite struct {
	Format, Vendor string
	Levels         []Stored // in any order
	Associated     []Stored // in order of preference within a kind
	MPPX, MPPY     float64  // µm per pixel of the largest level; 0 if unknown
	ObjectivePower float64  // 0 if unknown
	Barcode        string
	Properties     map[string]string
	Warnings       []string
	Size           int64  // of all files, in bytes
	Contents       []byte // what [Slide.Fingerprint] makes a hash of: other bytes for other pixels
	Source         any    // what [Slide.Source] returns
}

// A Stored is a level or an associated image of a [Composite].
type Stored struct {
	Kind                  string  // of an associated image: "label", "macro" or "thumbnail"
	Width, Height         int     // pixels
	TileWidth, TileHeight int     // pixels
	Downsample            float64 // of a level; 0 if it follows from the sizes
	Layout                Layout
	Profile               []byte // ICC colour profile; nil for none
	Tiles                 Tiles
}

// Tiles are the tiles of a level or an associated image as they are stored. The methods may be
// called concurrently, with columns and rows of the grid.
type Tiles interface {
	// AppendTile appends the stored bytes of a tile to dst, and returns their offset in
	// their file. The error is [ErrEmptyTile] for a tile that is not stored, and otherwise a
	// [*tiff.FormatError] or that of the reader.
	AppendTile(dst []byte, col, row int) (longer []byte, off int64, err error)
	// TileBytes returns the number of bytes that AppendTile appends, or 0 if that would
	// return an error. It is at most 64 MiB.
	TileBytes(col, row int) int64
	// Ends checks where the tiles are, and returns those that are first and last in their
	// files; none if no tile is stored.
	Ends() ([]image.Point, error)
	// Memory returns the memory that the table of the tiles takes at present, in bytes.
	Memory() int64
}

// A layer is a level of a [Composite].
type layer struct {
	*Stored
	*splicer // nil unless the level is JPEG
}

// NewComposite returns the slide of a composite. The error is a [*tiff.UnsupportedError] or a
// [*tiff.FormatError] if its numbers are not those of a slide.
func NewComposite(c Composite) (*Slide, error) {
	if len(c.Levels) == 0 {
		return nil, &tiff.UnsupportedError{Msg: "it has no level of a pyramid"}
	}
	s := &Slide{
		Format: c.Format, Vendor: c.Vendor, Barcode: c.Barcode, Properties: c.Properties, Warnings: c.Warnings,
		size: c.Size, contents: c.Contents, source: c.Source,
	}
	if s.Properties == nil {
		s.Properties = map[string]string{}
	}
	levels := slices.Clone(c.Levels)
	slices.SortStableFunc(levels, func(a, b Stored) int { return b.Width*b.Height - a.Width*a.Height })
	for i := range levels {
		if err := s.addLayer(&levels[i]); err != nil {
			return nil, fmt.Errorf("level %d: %w", i, err)
		}
	}
	for i := range c.Associated {
		s.associated = append(s.associated, associatedImage{kind: c.Associated[i].Kind, stored: &c.Associated[i]})
	}
	s.Zooms = ladder(s.Levels)
	s.Bounds = image.Rect(0, 0, s.Levels[0].Width, s.Levels[0].Height)
	s.setMPP(c.MPPX, c.MPPY)
	s.setPower(c.ObjectivePower)
	s.mem.Store(s.footprint())
	return s, nil
}

// addLayer adds a level. The first one is the largest.
func (s *Slide) addLayer(p *Stored) error {
	if err := p.check(); err != nil {
		return err
	}
	l := Level{
		Width: p.Width, Height: p.Height, TileWidth: p.TileWidth, TileHeight: p.TileHeight,
		Columns: ceilDiv(p.Width, p.TileWidth), Rows: ceilDiv(p.Height, p.TileHeight), Downsample: p.Downsample, Layout: p.Layout,
	}
	s.Levels = append(s.Levels, l)
	if l.Downsample == 0 || len(s.Levels) == 1 {
		s.Levels[len(s.Levels)-1].Downsample = downsample(&s.Levels[0], &l)
	}
	s.layers = append(s.layers, layer{p, p.splicer()})
	return nil
}

// check checks the sizes.
func (p *Stored) check() error {
	switch {
	case p.Width < 1 || p.Height < 1 || p.Width > maxSide || p.Height > maxSide:
		return &tiff.FormatError{Msg: fmt.Sprintf("a size of %d×%d pixels", p.Width, p.Height)}
	case p.TileWidth < 1 || p.TileHeight < 1 || p.TileWidth > maxTileSide || p.TileHeight > maxTileSide:
		return &tiff.FormatError{Msg: fmt.Sprintf("tiles of %d×%d pixels", p.TileWidth, p.TileHeight)}
	case p.TileWidth*p.TileHeight > maxTilePixels:
		return &tiff.UnsupportedError{Msg: fmt.Sprintf("tiles of %d×%d pixels are too large", p.TileWidth, p.TileHeight)}
	}
	return nil
}

// splicer returns what makes the tiles complete JPEGs, or nil if they are compressed otherwise.
func (p *Stored) splicer() *splicer {
	if p.Layout.Codec != JPEG {
		return nil
	}
	sp, _ := newSplicer(nil, p.Layout.Photometric == rgb) // without tables there is no error
	return sp
}

// isComposite reports whether the slide was made by [NewComposite].
func (s *Slide) isComposite() bool { return s.layers != nil }

// Source returns what the maker of a [Composite] finds its files by; nil for other slides.
func (s *Slide) Source() any { return s.source }

// appendLayerTile appends a tile of a composite.
func (s *Slide) appendLayerTile(dst []byte, level, col, row int) ([]byte, error) {
	if s.checked != nil {
		return s.checked(dst, level, col, row)
	}
	b, _, err := s.layers[level].append(dst, col, row)
	if err != nil && !errors.Is(err, ErrEmptyTile) {
		err = fmt.Errorf("slide: level %d tile %d,%d: %w", level, col, row, err)
	}
	return b, err
}

// append appends a tile to dst as [Slide.AppendTile] does, and returns its offset in its file.
func (l *layer) append(dst []byte, col, row int) (longer []byte, off int64, err error) {
	base := len(dst)
	b := dst
	if l.splicer != nil {
		n := l.reserve() + int(min(l.Tiles.TileBytes(col, row), maxTileBytes))
		b = slices.Grow(dst, n)[:base+l.reserve()]
	}
	if b, off, err = l.Tiles.AppendTile(b, col, row); err != nil {
		return dst, off, err
	}
	if l.splicer == nil {
		if l.Layout.Codec == JPEG2000 {
			err = (&Level{TileWidth: l.TileWidth, TileHeight: l.TileHeight}).checkJPEG2000(b[base:], off, 0)
		}
		if err != nil {
			return dst, off, err
		}
		return b, off, nil
	}
	var h header
	b, bad := l.finish(b, base, &h)
	if bad == nil && (h.width != l.TileWidth || h.height != l.TileHeight) {
		bad = badJPEG(0, "it has %d×%d pixels instead of %d×%d", h.width, h.height, l.TileWidth, l.TileHeight)
	}
	if bad != nil {
		return dst, off, asTIFF(bad, off, 0)
	}
	return b, off, nil
}

// layerTileBytes returns an upper bound of the bytes of a tile of a composite.
func (s *Slide) layerTileBytes(level, col, row int) int64 {
	l := &s.layers[level]
	n := l.Tiles.TileBytes(col, row)
	if n > 0 && l.splicer != nil {
		n += int64(l.reserve())
	}
	return n
}

// checkLayers is [Slide.Check] of a composite.
func (s *Slide) checkLayers() error {
	black, seen := 0, 0
	var buf []byte
	for i := range s.layers {
		l := &s.layers[i]
		ends, err := l.Tiles.Ends()
		if err == nil && len(ends) == 0 && i == 0 {
			err = &tiff.FormatError{Msg: "the file has no tile of its largest level"}
		}
		for _, at := range ends {
			var off int64
			if err != nil {
				break
			}
			if buf, off, err = l.append(buf[:0], at.X, at.Y); err == nil {
				var zeros bool
				zeros, err = s.Levels[i].checkComplete(buf, off, 0)
				black, seen = black+btoi(zeros), seen+1
			}
		}
		if err != nil {
			return fmt.Errorf("slide: level %d: %w", i, err)
		}
	}
	for i := range s.associated {
		if _, err := s.associated[i].stored.Tiles.Ends(); err != nil {
			return fmt.Errorf("slide: %s: %w", s.associated[i].kind, err)
		}
	}
	if black == seen {
		return &tiff.FormatError{Msg: "the files are probably incomplete, as the first and last tiles of all levels contain only zeros; copy them again"}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// read reads an associated image of a composite.
func (p *Stored) read() (*AssociatedImage, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Width*p.Height > maxAssociatedPixels {
		return nil, &tiff.UnsupportedError{Msg: fmt.Sprintf("the associated image has %d×%d pixels, more than are supported", p.Width, p.Height)}
	}
	a := &AssociatedImage{Width: p.Width, Height: p.Height, TileWidth: p.TileWidth, RowsPerStrip: p.TileHeight, Layout: p.Layout}
	columns, rows := a.Columns(), ceilDiv(p.Height, p.TileHeight)
	if columns*rows > maxStrips {
		return nil, &tiff.UnsupportedError{Msg: fmt.Sprintf("the associated image has %d tiles, more than are supported", columns*rows)}
	}
	if p.cost() > maxAssociatedBytes {
		return nil, &tiff.UnsupportedError{Msg: fmt.Sprintf("the associated image has more than %d bytes", maxAssociatedBytes)}
	}
	l := layer{p, p.splicer()}
	for i := range columns * rows {
		b, _, err := l.append(nil, i%columns, i/columns)
		if err != nil {
			return nil, fmt.Errorf("tile %d: %w", i, err)
		}
		a.Strips = append(a.Strips, b)
	}
	return a, nil
}

// cost returns an upper bound of the memory that read takes, in bytes.
func (p *Stored) cost() int64 {
	if p.check() != nil || p.Width*p.Height > maxAssociatedPixels {
		return 0 // reading fails likewise
	}
	columns, rows := ceilDiv(p.Width, p.TileWidth), ceilDiv(p.Height, p.TileHeight)
	if columns*rows > maxStrips {
		return 0
	}
	total := int64(0)
	for i := range columns * rows {
		total += p.Tiles.TileBytes(i%columns, i/columns) + 64 // and the Adobe marker
	}
	return total
}

// addContents adds what the pixels are to a fingerprint.
func (s *Slide) addContents(number func(uint64)) {
	sum := sha256.Sum256(s.contents)
	for _, b := range sum {
		number(uint64(b))
	}
}
