// Package cutout cuts a part out of a slide and writes it as a tiled, pyramidal TIFF without
// loss: the compressed pixels of its largest level are copied, not decoded.
//
// [New] decides what is written and computes the size of every tile, so that errors appear
// before the first byte, and the size of the file is known. [Cutout.WriteTo] then writes the
// file from its first byte to its last, to any writer. Both hold a tile or two in memory, and
// four bytes for each tile:
//
//	c, err := cutout.New(ctx, s, image.Rect(x, y, x+w, y+h), cutout.Options{Revision: revision, Marks: marks})
//	if err != nil {
//		return err // wraps jpeg.ErrNotLossless, if the slide is not stored as JPEGs that can be cut
//	}
//	// c.Box is what the part was grown to, c.Size() the length of the file.
//	err = c.WriteTo(ctx, w)
//
// The file is a classic TIFF, or a BigTIFF from 4 GiB on. Its tiles are complete JPEGs. It
// states the resolution (tags 282, 283 and 296) and has the colour profile (tag 34675). It has
// no associated images, and nothing of the source's descriptions, comments and EXIF.
package cutout

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// maxTiles limits the tiles of a level, of 256 pixels a side: 524,288 pixels squared.
	maxTiles = 1 << 22
	// maxKept limits the bytes of tiles that [New] keeps for [Cutout.WriteTo], which makes
	// the others again.
	maxKept = 8 << 20
)

// ErrChanged reports that a tile is no longer as long as when its place in the file was
// determined.
var ErrChanged = errors.New("the slide changed while it was cut out")

// Options configure a cut-out.
type Options struct {
	// Revision and Marks make tiles cheap to cut that were cut before: see
	// [render.StitchOptions] and [render.MarksCache].
	Revision   string
	Marks      *render.MarksCache
	Background color.RGBA // of tiles that the scanner skipped; white if its alpha is 0
	// TileSize is the side of the tiles of the file, a multiple of 32 pixels. If it is 0,
	// the file has the tiles of the slide where the box begins with one, and otherwise
	// tiles of 512 pixels, or of 256 if those of the slide are smaller.
	TileSize int
	Quality  int // of levels that have to be rendered, 1 to 100; 85 if 0
}

// A Level is a level of the file.
type Level struct {
	Width, Height int // pixels
	Downsample    int // ratio of the size of level 0 to this one
	// Lossless reports that the pixels are those of the slide. The others are rendered:
	// levels that the slide does not have, or in which the box does not begin with a block.
	Lossless bool
}

// A Cutout is a part of a slide, of which a file can be written.
type Cutout struct {
	// Box is the part that the file shows, in pixels of level 0 from the corner of
	// [slide.Slide.Bounds], as the part that was asked for: it is grown to whole blocks (MCUs)
	// of 8, 16 or 32 pixels a side, but not beyond the right and bottom edge of the image.
	Box      image.Rectangle
	Levels   []Level // largest first
	TileSize image.Point

	s       *slide.Slide
	o       Options
	profile []byte
	levels  []*level
	head    []byte // everything before the tiles
	size    int64
	kept    int64
}

// New determines the cut-out of a part of the image, in pixels of level 0 from the corner of
// [slide.Slide.Bounds]. What of it lies beyond the image is left out.
//
// The error wraps [jpeg.ErrNotLossless] if the largest level is not stored in a way that
// allows it, [slide.ErrNoTile] if no pixel of the image is in the part, and [render.ErrTooLarge]
// for more than 4 million tiles. Otherwise it is that of the tiles, of the budget, or of ctx.
func New(ctx context.Context, s *slide.Slide, part image.Rectangle, o Options) (*Cutout, error) {
	if o.Background.A == 0 {
		o.Background = color.RGBA{255, 255, 255, 255}
	}
	if o.TileSize < 0 || o.TileSize > 4096 || o.TileSize%32 != 0 {
		return nil, fmt.Errorf("tiles of %d pixels: the side must be a multiple of 32", o.TileSize)
	}
	c := &Cutout{s: s, o: o}
	if err := c.grow(ctx, part); err != nil {
		return nil, err
	}
	if b, err := s.ICC(); err == nil { // a damaged one is left out
		c.profile = b
	}
	if err := c.plan(ctx); err != nil {
		return nil, err
	}
	all := c.levels
	c.levels = nil
	for i, l := range all {
		err := c.measure(ctx, l)
		if i > 0 && errors.Is(err, jpeg.ErrNotLossless) { // for example, because a tile is missing
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("level %d of the cut-out: %w", i, err)
		}
		c.levels = append(c.levels, l)
		c.Levels = append(c.Levels, Level{l.width, l.height, l.downsample, l.source >= 0})
	}
	c.layOut(maxClassic)
	return c, nil
}

// Size returns the length of the file in bytes.
func (c *Cutout) Size() int64 { return c.size }

// grow determines the box and the size of the tiles.
func (c *Cutout) grow(ctx context.Context, part image.Rectangle) error {
	b, l := c.s.Bounds, &c.s.Levels[0]
	r := part.Add(b.Min).Intersect(b)
	if r.Empty() || part.Dx() > math.MaxInt32 || part.Dy() > math.MaxInt32 {
		return fmt.Errorf("%w: no pixel of the image is in the part %v", slide.ErrNoTile, part)
	}
	mcu, err := render.MCU(ctx, c.s, 0, r)
	if err != nil {
		return err
	}
	r = image.Rect(r.Min.X/mcu.X*mcu.X, r.Min.Y/mcu.Y*mcu.Y,
		min((r.Max.X+mcu.X-1)/mcu.X*mcu.X, b.Max.X), min((r.Max.Y+mcu.Y-1)/mcu.Y*mcu.Y, b.Max.Y))
	c.Box = r.Sub(b.Min)
	c.TileSize = image.Pt(c.o.TileSize, c.o.TileSize)
	if c.o.TileSize == 0 {
		c.TileSize = image.Pt(512, 512)
		if l.TileWidth < 512 || l.TileHeight < 512 {
			c.TileSize = image.Pt(256, 256)
		}
		// The sides of tiles of a TIFF are multiples of 16 pixels.
		if own := image.Pt(l.TileWidth, l.TileHeight); r.Min.X%own.X == 0 && r.Min.Y%own.Y == 0 && own.X%16 == 0 && own.Y%16 == 0 && max(own.X, own.Y) <= 4096 {
			c.TileSize = own
		}
	}
	return nil
}

// plan lists the levels: those of the slide, and then halves, until one is a single tile.
func (c *Cutout) plan(ctx context.Context) error {
	add := func(source, downsample int) error {
		l, err := c.newLevel(ctx, source, downsample)
		if err == nil {
			c.levels = append(c.levels, l)
		}
		return err
	}
	if err := add(0, 1); err != nil {
		return err
	}
	single := func() bool {
		l := c.levels[len(c.levels)-1]
		return l.columns*l.rows == 1
	}
	last := 1
	for i := 1; i < len(c.s.Levels) && !single(); i++ {
		d := int(c.s.Levels[i].Downsample)
		if float64(d) != c.s.Levels[i].Downsample || d <= last {
			continue
		}
		if err := add(i, d); err != nil {
			return err
		}
		last = d
	}
	for !single() {
		if last *= 2; last > 1<<20 {
			break
		}
		if err := add(-1, last); err != nil {
			return err
		}
	}
	return nil
}

// WriteTo writes the file. The error wraps [ErrChanged], or is that of the tiles, of the
// budget, of w, or of ctx. The file is then incomplete.
func (c *Cutout) WriteTo(ctx context.Context, w io.Writer) error {
	if _, err := w.Write(c.head); err != nil {
		return err
	}
	for i, l := range c.levels {
		if err := c.writeLevel(ctx, l, w); err != nil {
			return fmt.Errorf("level %d of the cut-out: %w", i, err)
		}
	}
	return nil
}

// writeLevel writes the tiles of a level.
func (c *Cutout) writeLevel(ctx context.Context, l *level, w io.Writer) error {
	for i, n := range l.lengths {
		if n == 0 {
			continue
		}
		b := l.tiles[i]
		if b == nil {
			var err error
			if b, err = c.tile(ctx, l, i); err != nil && !errors.Is(err, slide.ErrEmptyTile) {
				return err
			}
		}
		if len(b) != int(n) {
			return fmt.Errorf("%w: tile %d,%d", ErrChanged, i%l.columns, i/l.columns)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	_, err := w.Write(l.blank)
	return err
}
