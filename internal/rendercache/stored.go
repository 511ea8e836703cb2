package rendercache

import (
	"context"
	"errors"
	"image"
	"math"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// maxStored limits the pixels of a JPEG that is made of stored pixels without a worker. Larger
// ones take milliseconds, as others do.
const maxStored = 4 << 20

// storedTile returns a tile that is a part of a level as it is stored, without decoding: tiles
// cut to the image, and those of another size than the level's. It returns nil for other
// tiles, which must be rendered. It needs no worker, and nothing is cached: making the tile
// again is as fast as reading it from a file.
func (k *Renderer) storedTile(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	switch {
	case !m.Part.Empty():
		return k.storedView(ctx, m, render.ViewOf(m.Part, m.Width, m.Height))
	case m.Width == 0 || m.Shrink || m.Zoom < 0:
		return nil, nil
	}
	level := m.Slide.Zooms[m.Zoom].Level
	if level < 0 {
		return nil, nil
	}
	l := &m.Slide.Levels[level]
	return k.stored(ctx, m, level, image.Rect(0, 0, m.Width, m.Height).Add(image.Pt(m.X*l.TileWidth, m.Y*l.TileHeight)))
}

// Stored returns a view of a slide as one JPEG with the samples of a level as they are stored, or
// nil if it cannot be made of them and must be rendered. It needs no worker.
func (k *Renderer) Stored(ctx context.Context, m tile.RenderRequest, v render.View) ([]byte, error) {
	return k.storedView(ctx, &m, v)
}

// storedView returns a view, if its pixels are those of a level and begin where a block (MCU)
// of its JPEGs begins: then every sample is as stored. It returns nil for other views.
func (k *Renderer) storedView(ctx context.Context, m *tile.RenderRequest, v render.View) ([]byte, error) {
	for i := range m.Slide.Levels {
		d := m.Slide.Levels[i].Downsample
		if v.Level >= 0 && v.Level != i || math.Exp2(math.Round(math.Log2(d))) != d {
			continue
		}
		if !unscaled(v.X, v.W, d, v.Width, m.Slide.Bounds.Dx()) || !unscaled(v.Y, v.H, d, v.Height, m.Slide.Bounds.Dy()) {
			continue
		}
		x, y := (float64(m.Slide.Bounds.Min.X)+v.X)/d, (float64(m.Slide.Bounds.Min.Y)+v.Y)/d
		if x < 0 || y < 0 || x > math.MaxInt32 || y > math.MaxInt32 || x != math.Floor(x) || y != math.Floor(y) {
			return nil, nil
		}
		return k.stored(ctx, m, i, image.Rect(0, 0, v.Width, v.Height).Add(image.Pt(int(x), int(y))))
	}
	return nil, nil
}

// unscaled reports whether n pixels of the result are pixels of a level with a downsample of d,
// given where a view of an image of that size lies. The last pixel of the image may only be
// covered in part.
func unscaled(at, length, d float64, n, size int) bool {
	return length == d*float64(n) || at+length == float64(size) && math.Ceil(length/d) == float64(n)
}

// stored returns pixels r of a level as one JPEG without decoding them, or nil if that cannot
// be.
func (k *Renderer) stored(ctx context.Context, m *tile.RenderRequest, level int, r image.Rectangle) ([]byte, error) {
	const block = 8 // the smallest one
	l := &m.Slide.Levels[level]
	if r.Empty() || !r.In(image.Rect(0, 0, l.Width, l.Height)) || r.Min.X%l.TileWidth%block != 0 || r.Min.Y%l.TileHeight%block != 0 || r.Dx() > maxStored/r.Dy() {
		return nil, nil
	}
	f := k.start(ctx, m.Lease, func(ctx context.Context) ([]byte, error) {
		return k.limited(ctx, m.Store, func() {}, func(ctx context.Context) ([]byte, error) {
			b, _, err := render.Stitch(ctx, m.Slide, level, r, k.marks, render.StitchOptions{Revision: m.Revision, Background: m.Background, Exact: true})
			if errors.Is(err, jpeg.ErrNotLossless) || errors.Is(err, render.ErrTooLarge) {
				return nil, nil
			}
			return b, err
		})
	})
	defer f.stop()
	return f.wait(ctx)
}
