package cutout

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

// A level is a level to write.
type level struct {
	source        int // of the slide; -1 for a level that is rendered
	downsample    int
	at            image.Point // of its first pixel in the source, in pixels of that level
	width, height int         // pixels
	columns, rows int         // tiles
	lengths       []uint32    // of the tiles, row by row; 0 for background
	tiles         [][]byte    // those that are kept
	blank         []byte      // a tile of the background; nil if no tile is empty
	kind          kind
}

// A kind is what the directory of a TIFF states about all JPEGs of a level.
type kind struct {
	photometric, components int
	h, v                    int // subsampling of the chroma; 1 without
}

// Values of tag 262.
const (
	minIsBlack = 1
	rgb        = 2
	yCbCr      = 6
)

// newLevel returns a level that is copied from one of the slide, if it can be, or rendered.
func (c *Cutout) newLevel(ctx context.Context, source, downsample int) (*level, error) {
	b := c.Box
	l := &level{source: source, downsample: downsample, width: ceilDiv(b.Dx(), downsample), height: ceilDiv(b.Dy(), downsample)}
	if source >= 0 {
		ok, err := c.aligned(ctx, l)
		if err != nil {
			return nil, err
		}
		if !ok {
			l.source = -1
		}
	}
	l.columns, l.rows = ceilDiv(l.width, c.TileSize.X), ceilDiv(l.height, c.TileSize.Y)
	if l.columns > maxTiles || l.columns*l.rows > maxTiles {
		return nil, fmt.Errorf("%w: %d×%d tiles", render.ErrTooLarge, l.columns, l.rows)
	}
	l.lengths, l.tiles = make([]uint32, l.columns*l.rows), make([][]byte, l.columns*l.rows)
	return l, nil
}

// aligned determines where a level begins in that of the slide, and reports whether that is
// where a block begins, and the tiles of the file consist of whole blocks.
func (c *Cutout) aligned(ctx context.Context, l *level) (bool, error) {
	first, d, src := c.Box.Min.Add(c.s.Bounds.Min), l.downsample, &c.s.Levels[l.source]
	if first.X%d != 0 || first.Y%d != 0 {
		return false, nil
	}
	l.at = first.Div(d)
	// A level may have lost its last column or row when it was halved.
	w, h := min(l.width, src.Width-l.at.X), min(l.height, src.Height-l.at.Y)
	if w < max(l.width-1, 1) || h < max(l.height-1, 1) {
		return false, nil
	}
	mcu, err := render.MCU(ctx, c.s, l.source, image.Rect(0, 0, w, h).Add(l.at))
	if errors.Is(err, jpeg.ErrNotLossless) && l.source > 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.width, l.height = w, h
	if c.TileSize.X%mcu.X != 0 || c.TileSize.Y%mcu.Y != 0 || l.at.X%mcu.X != 0 || l.at.Y%mcu.Y != 0 {
		if l.source == 0 {
			return false, fmt.Errorf("%w: tiles of %v pixels do not consist of blocks of %v", jpeg.ErrNotLossless, c.TileSize, mcu)
		}
		return false, nil
	}
	return true, nil
}

// measure determines the lengths of the tiles of a level.
func (c *Cutout) measure(ctx context.Context, l *level) error {
	var like []byte
	blanks := false
	for i := range l.lengths {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := c.tile(ctx, l, i)
		if errors.Is(err, slide.ErrEmptyTile) {
			blanks = true
			continue
		}
		if err != nil {
			return err
		}
		k, err := kindOf(b)
		if err == nil && like != nil && k != l.kind {
			err = fmt.Errorf("%w: tiles with different sampling or colours", jpeg.ErrNotLossless)
		}
		if err != nil {
			return err
		}
		if like == nil {
			like, l.kind = b, k
		}
		l.lengths[i] = uint32(len(b))
		if n := int64(len(b)); c.kept+n <= maxKept {
			l.tiles[i] = b
			c.kept += n
		}
	}
	if !blanks {
		return nil
	}
	return c.addBlank(l, like)
}

// addBlank makes the tile of the background.
func (c *Cutout) addBlank(l *level, like []byte) (err error) {
	if like != nil {
		l.blank, err = jpeg.Flat(like, c.TileSize.X, c.TileSize.Y, c.o.Background)
		return err
	}
	if l.blank, err = render.Blank(c.TileSize.X, c.TileSize.Y, c.o.Background); err == nil {
		l.kind, err = kindOf(l.blank)
	}
	return err
}

// tile returns a tile of the file. The error is [slide.ErrEmptyTile] if the scanner skipped all
// of it.
func (c *Cutout) tile(ctx context.Context, l *level, i int) ([]byte, error) {
	at := image.Pt(i%l.columns*c.TileSize.X, i/l.columns*c.TileSize.Y)
	part := image.Rectangle{at, at.Add(c.TileSize)}.Intersect(image.Rect(0, 0, l.width, l.height))
	var b []byte
	var err error
	if l.source >= 0 {
		b, err = c.stitched(ctx, l, part.Add(l.at))
	} else {
		b, err = c.rendered(ctx, l, part)
	}
	if err != nil || part.Size() == c.TileSize {
		return b, err
	}
	return jpeg.Pad(b, c.TileSize.X, c.TileSize.Y)
}

// stitched returns pixels of a stored level.
func (c *Cutout) stitched(ctx context.Context, l *level, r image.Rectangle) ([]byte, error) {
	b, grown, err := render.Stitch(ctx, c.s, l.source, r, c.o.Marks, render.StitchOptions{Revision: c.o.Revision, Background: c.o.Background})
	switch {
	case errors.Is(err, jpeg.ErrEmpty):
		return nil, slide.ErrEmptyTile
	case err != nil:
		return nil, err
	case grown != r:
		return nil, fmt.Errorf("%w: the blocks of tiles have different sizes", jpeg.ErrNotLossless)
	}
	return b, nil
}

// rendered returns pixels of a level that is not copied.
func (c *Cutout) rendered(ctx context.Context, l *level, part image.Rectangle) ([]byte, error) {
	v := render.ViewOf(image.Rectangle{part.Min.Mul(l.downsample), part.Max.Mul(l.downsample)}.Add(c.Box.Min), part.Dx(), part.Dy())
	p, err := render.Draw(ctx, c.s, v, render.Options{Background: c.o.Background})
	if err != nil {
		return nil, err
	}
	defer render.DiscardPicture(ctx, p)
	quality := c.o.Quality
	if quality == 0 {
		quality = 85
	}
	return render.EncodePicture(p, quality)
}

// kindOf returns the kind of a JPEG. The error wraps [jpeg.ErrNotLossless] for one that no tags
// describe.
func kindOf(b []byte) (kind, error) {
	h, err := jpeg.ParseHeader(b)
	if err != nil {
		return kind{}, err
	}
	n := h.Components
	switch {
	case len(n) == 1:
		return kind{minIsBlack, 1, 1, 1}, nil
	case len(n) != 3 || n[1].H != 1 || n[1].V != 1 || n[2].H != 1 || n[2].V != 1 || n[0].H == 3 || n[0].V == 3:
		return kind{}, fmt.Errorf("%w: a TIFF cannot state the sampling factors %v", jpeg.ErrNotLossless, n)
	case !h.RGB():
		return kind{yCbCr, 3, n[0].H, n[0].V}, nil
	case n[0].H != 1 || n[0].V != 1:
		return kind{}, fmt.Errorf("%w: RGB with subsampling", jpeg.ErrNotLossless)
	}
	return kind{rgb, 3, 1, 1}, nil
}

func ceilDiv(n, d int) int { return (n + d - 1) / d }
