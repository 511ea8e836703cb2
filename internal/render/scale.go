package render

import (
	"context"
	"image"

	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/resample"
)

// Scale returns img at w × h pixels, scaled by Lanczos-3. It takes its memory, with that of the result,
// from the budget of ctx. The error may be [ErrTooMuch].
func Scale(ctx context.Context, img *image.RGBA, w, h int) (*image.RGBA, error) {
	return scale(ctx, img, w, h)
}

// scale returns img at w × h pixels, scaled by Lanczos-3.
func scale(ctx context.Context, img *image.RGBA, w, h int) (*image.RGBA, error) {
	size := img.Rect.Size()
	stepX, stepY := float64(size.X)/float64(w), float64(size.Y)/float64(h)
	if max(stepX, stepY) > resample.MaxRatio {
		return nil, ErrTooMuch
	}
	cost := resample.Cost(w, stepX) + resample.Cost(h, stepY) + resample.ScratchCost(size.X) +
		planes.Cost(size.X, size.Y, planes.RGB, 1, 1) + planes.Cost(w, h, planes.RGB, 1, 1)
	if err := Take(ctx, cost); err != nil {
		return nil, err
	}
	defer Give(ctx, cost)
	if err := Take(ctx, pictureCost(w, h)); err != nil {
		return nil, err
	}
	large, small := asRGB(img, image.Rectangle{Max: size}), planes.New(w, h, planes.RGB, 1, 1)
	defer large.Recycle()
	defer small.Recycle()
	x, y := resample.NewAxis(resample.Lanczos, w, 0, stepX, size.X), resample.NewAxis(resample.Lanczos, h, 0, stepY, size.Y)
	defer x.Recycle()
	defer y.Recycle()
	for i := range small.Planes {
		resample.Plane(&small.Planes[i], &large.Planes[i], x, y)
	}
	return small.RGBA(), nil
}
