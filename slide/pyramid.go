package slide

import (
	"errors"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/tiff"
)

// A Pyramid describes a slide whose tiles are not in a TIFF file: JPEGs of a quadtree over
// a square, of which the image covers a part.
type Pyramid struct {
	Format     string // name of the format
	TileSize   int    // side of each tile in pixels
	Zooms      int    // number of zoom levels; zoom level z has 2^z × 2^z tiles
	Bounds     image.Rectangle
	MPPX, MPPY float64 // µm per pixel of the largest level; 0 if unknown
	Warnings   []string
	// AppendTile appends the JPEG of a tile to dst. Only tiles that show a part of the
	// image are requested. The error is [ErrEmptyTile] for a tile that is background, and
	// [ErrMissingTile] for one that is to be derived from a larger level. It may be called
	// concurrently.
	AppendTile func(dst []byte, zoom, col, row int) ([]byte, error)
}

// maxPyramid limits the side of the square in pixels.
const maxPyramid = 1 << 30

// New returns the slide of a pyramid. Its levels are the complete square, so that tiles
// have the same addresses as in the pyramid; [Slide.Bounds] is the part with the image.
// Tiles outside of it do not exist. Tiles at its edges may be cut to it instead of being
// padded: see [Slide.Place].
//
// The error is a [*tiff.UnsupportedError] if the numbers do not describe a pyramid.
func New(p Pyramid) (*Slide, error) {
	if p.TileSize < 1 || p.TileSize > maxTileSide || p.TileSize*p.TileSize > maxTilePixels {
		return nil, &tiff.UnsupportedError{Msg: fmt.Sprintf("tiles of %d×%d pixels are not supported", p.TileSize, p.TileSize)}
	}
	if p.Zooms < 1 || p.Zooms > 31 || int64(p.TileSize)<<(p.Zooms-1) > maxPyramid {
		return nil, &tiff.UnsupportedError{Msg: fmt.Sprintf("a pyramid of %d zoom levels with tiles of %d×%d pixels is not supported", p.Zooms, p.TileSize, p.TileSize)}
	}
	side := p.TileSize << (p.Zooms - 1)
	if p.Bounds.Empty() || !p.Bounds.In(image.Rect(0, 0, side, side)) {
		return nil, &tiff.UnsupportedError{Msg: fmt.Sprintf("the image covers the pixels %v, which are not in the square of %d×%d pixels", p.Bounds, side, side)}
	}
	s := &Slide{
		Format: p.Format, Properties: map[string]string{}, MPPX: p.MPPX, MPPY: p.MPPY, Warnings: p.Warnings, Bounds: p.Bounds,
		tiles: p.AppendTile,
	}
	layout := Layout{Codec: JPEG, Photometric: yCbCr, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	for k := range p.Zooms {
		n := 1 << (p.Zooms - 1 - k)
		s.Levels = append(s.Levels, Level{
			Width: side >> k, Height: side >> k, TileWidth: p.TileSize, TileHeight: p.TileSize, Columns: n, Rows: n,
			Downsample: float64(int(1) << k), Layout: layout,
		})
	}
	s.Zooms = ladder(s.Levels)
	s.mem.Store(s.footprint())
	return s, nil
}

// WithTiles returns the slide of a [Pyramid] or [Composite] with another function that reads its
// tiles, such as one with a cache in front of [Slide.AppendTile]. The function must check the
// tiles, as AppendTile does. The properties are shared.
func (s *Slide) WithTiles(read func(dst []byte, level, col, row int) ([]byte, error)) *Slide {
	t := &Slide{
		Format: s.Format, Vendor: s.Vendor, Levels: s.Levels, Zooms: s.Zooms, MPPX: s.MPPX, MPPY: s.MPPY,
		ObjectivePower: s.ObjectivePower, Barcode: s.Barcode, Properties: s.Properties, Warnings: s.Warnings, Bounds: s.Bounds,
		checked: read, size: s.size, layers: s.layers, contents: s.contents, associated: s.associated,
	}
	t.mem.Store(s.footprint())
	return t
}

// IsPyramid reports whether the levels are squares of which the image covers a part: the
// slide was made by [New], or written from such a slide.
func (s *Slide) IsPyramid() bool { return s.elsewhere() || s.background != nil }

// elsewhere reports whether the tiles are those of a [Pyramid], which are not in a file.
func (s *Slide) elsewhere() bool { return s.tiles != nil || s.checked != nil && !s.isComposite() }

// Cropped reports whether the image is only a part of level 0.
func (s *Slide) Cropped() bool {
	return s.Bounds != image.Rect(0, 0, s.Levels[0].Width, s.Levels[0].Height)
}

// Visible returns the part of a tile of a pyramid that shows the image, in pixels of the
// tile. It is empty for a tile outside of the image.
func (s *Slide) Visible(level, col, row int) image.Rectangle {
	l := &s.Levels[level]
	b, d := s.Bounds, 1<<level
	covered := image.Rect(b.Min.X/d, b.Min.Y/d, ceilDiv(b.Max.X, d), ceilDiv(b.Max.Y, d))
	return covered.Sub(image.Pt(col*l.TileWidth, row*l.TileHeight)).Intersect(image.Rect(0, 0, l.TileWidth, l.TileHeight))
}

// Place returns where the JPEG of a tile of a pyramid lies in its tile, given its size in
// pixels, and whether a tile may have that size. A tile is complete, or its width or height
// is cut:
//
//   - to the last pixel of the image in the tile
//   - to the part with the image, which may begin within the tile
//
// A pixel that the image only covers in part may be missing at the end.
func (s *Slide) Place(level, col, row int, size image.Point) (at image.Point, ok bool) {
	l, v, d := &s.Levels[level], s.Visible(level, col, row), 1<<level
	x, okX := place(size.X, l.TileWidth, v.Min.X, v.Max.X, s.Bounds.Max.X%d != 0)
	y, okY := place(size.Y, l.TileHeight, v.Min.Y, v.Max.Y, s.Bounds.Max.Y%d != 0)
	return image.Pt(x, y), okX && okY
}

// place returns where n pixels begin in a tile that shows the image from pixel from to pixel
// to. The last one may be missing if it is partial.
func place(n, tile, from, to int, partial bool) (at int, ok bool) {
	shorter := 0
	if partial && to < tile {
		shorter = 1
	}
	switch {
	case n < 1:
		return 0, false
	case n == tile, n <= to && n >= to-shorter:
		return 0, true
	case n <= to-from && n >= to-from-shorter:
		return from, true
	}
	return 0, false
}

// tileLimit is the maximum number of bytes of a tile of a pyramid: a JPEG needs less than
// its pixels.
func tileLimit(l *Level) int64 { return 3*int64(l.TileWidth)*int64(l.TileHeight) + 64<<10 }

// appendTileOf appends a tile of a pyramid.
func (s *Slide) appendTileOf(dst []byte, level, col, row int) ([]byte, error) {
	if s.Visible(level, col, row).Empty() {
		return dst, ErrNoTile
	}
	if s.checked != nil {
		return s.checked(dst, level, col, row)
	}
	base := len(dst)
	b, err := s.tiles(dst, len(s.Levels)-1-level, col, row)
	if errors.Is(err, ErrEmptyTile) || errors.Is(err, ErrMissingTile) {
		return dst, err
	}
	if err == nil {
		err = s.checkTile(b[base:], level, col, row)
	}
	if err != nil {
		return dst, fmt.Errorf("slide: level %d tile %d,%d: %w", level, col, row, err)
	}
	return b, nil
}

// checkTile checks that b is a complete JPEG of the size of a tile, or cut to the image.
func (s *Slide) checkTile(b []byte, level, col, row int) error {
	l := &s.Levels[level]
	if int64(len(b)) > tileLimit(l) {
		return &tiff.FormatError{Msg: fmt.Sprintf("the tile is damaged: it has %d bytes", len(b))}
	}
	if len(b) == 0 {
		return &tiff.FormatError{Msg: "the tile is empty: it has no bytes"}
	}
	var h header
	if err := parseHeader(b, &h); err != nil {
		return asTIFF(err, 0, 0)
	}
	if n := len(b); b[n-2] != 0xff || b[n-1] != markEOI {
		return asTIFF(badJPEG(n, "it is incomplete: there is no end (FF D9)"), 0, 0)
	}
	if missing := h.needed &^ h.defined; missing != 0 {
		return asTIFF(badJPEG(0, "its decoding tables are missing (set %03x)", uint(missing)), 0, 0)
	}
	if _, ok := s.Place(level, col, row, image.Pt(h.width, h.height)); !ok {
		end := s.Visible(level, col, row).Max
		return asTIFF(badJPEG(0, "it has %d×%d pixels instead of %d×%d, or %d×%d for the part with the image", h.width, h.height, l.TileWidth, l.TileHeight, end.X, end.Y), 0, 0)
	}
	return nil
}

// checkRoot returns the error of the smallest level of a pyramid that has tiles.
func (s *Slide) checkRoot() error {
	for level := len(s.Levels) - 1; level >= max(0, len(s.Levels)-2); level-- {
		found := false
		for row := range s.Levels[level].Rows {
			for col := range s.Levels[level].Columns {
				switch _, err := s.AppendTile(nil, level, col, row); {
				case err == nil:
					found = true
				case !errors.Is(err, ErrNoTile) && !errors.Is(err, ErrEmptyTile) && !errors.Is(err, ErrMissingTile):
					return err
				}
			}
		}
		if found {
			return nil
		}
	}
	return &tiff.FormatError{Msg: "the image has no tiles"}
}
