package render

import (
	"context"
	"errors"
	"image"

	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/slide"
)

// exact reports whether the result is stored pixels that a client wants as a decoder of the
// tiles gives them. Blended with the chroma of the next tile, the pixels at the edges of tiles
// would differ from those of OpenSlide.
func (d *drawing) exact() bool {
	return d.v.FullChroma && d.from.level >= 0 && d.from.reduction == 1 && d.x.unscaled() && d.y.unscaled()
}

// copyTiles draws an exact view as RGB, tile by tile.
func (d *drawing) copyTiles(ctx context.Context) (*planes.Picture, error) {
	out, err := takePicture(ctx, d.v.Width, d.v.Height, planes.RGB, 1, 1)
	if err != nil {
		return nil, err
	}
	paint(out, d.o.Background)
	at := image.Pt(int(d.x.at), int(d.y.at))
	all := d.inside.Add(at).Intersect(d.from.image)
	err = d.from.tiles(all, func(x, y int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		img, err := d.exactTile(ctx, x, y)
		if errors.Is(err, slide.ErrEmptyTile) {
			return nil
		}
		if err != nil {
			return err
		}
		defer Discard(ctx, img)
		t := d.from.tile(x, y)
		copyRGB(out, img, all.Intersect(t), at, t.Min)
		return nil
	})
	if err != nil {
		DiscardPicture(ctx, out)
		return nil, err
	}
	return out, nil
}

// exactTile returns a tile as a decoder of its JPEG gives it, except that no chroma of the
// padding is blended with that of the last column and row: it would show as a fringe.
func (d *drawing) exactTile(ctx context.Context, x, y int) (*image.RGBA, error) {
	if l := &d.s.Levels[d.from.level]; l.Layout.Codec != slide.JPEG || d.from.complete(x, y) {
		return d.stored(ctx, d.from.level, x, y)
	}
	f, err := d.decoded(ctx, x, y, d.from.tile(x, y))
	if errors.Is(err, errMixed) {
		return d.stored(ctx, d.from.level, x, y)
	}
	if err != nil {
		return nil, err
	}
	defer f.release(ctx)
	if err := Take(ctx, pictureCost(f.Width, f.Height)); err != nil {
		return nil, err
	}
	return f.Part(image.Rectangle{Max: d.from.image.Sub(f.at).Max}).RGBA(), nil
}

// copyRGB copies the pixels r of a level from a tile that begins at tile into a picture that
// begins at at.
func copyRGB(dst *planes.Picture, src *image.RGBA, r image.Rectangle, at, tile image.Point) {
	red, green, blue := &dst.Planes[0], &dst.Planes[1], &dst.Planes[2]
	for y := r.Min.Y; y < r.Max.Y; y++ {
		in := src.Pix[src.PixOffset(src.Rect.Min.X+r.Min.X-tile.X, src.Rect.Min.Y+y-tile.Y):]
		x := r.Min.X - at.X
		planes.SplitRow(red.Row(y - at.Y)[x:][:r.Dx()], green.Row(y - at.Y)[x:], blue.Row(y - at.Y)[x:], in)
	}
}
