package rendercache

import (
	"context"

	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// Quality returns the quality of JPEGs, 1 to 100.
func (k *Renderer) Quality() int { return k.o.Quality }

// viewPixels limits the pixels to read for one view: sixteen for each pixel of a large band,
// as levels may be four times as large as the next.
const viewPixels = 80 << 20

// Draw draws a view of a slide on a worker, and returns what encode makes of it there. Encode
// must not keep the picture, and takes the memory that it needs from the budget of its
// context. Views are not cached, as there are too many different ones. The error may also be
// [ErrTooMuch].
//
// Encode may still run when Draw has returned an error.
func (k *Renderer) Draw(ctx context.Context, m tile.RenderRequest, v render.View, encode func(ctx context.Context, p *planes.Picture) ([]byte, error)) ([]byte, error) {
	r := Region{View: v}
	f := k.start(ctx, m.Lease, func(ctx context.Context) ([]byte, error) {
		return k.work(ctx, m.Store, r.size(), func(ctx context.Context) ([]byte, error) {
			o := k.options(&m)
			o.MaxRead = viewPixels
			p, err := render.Draw(ctx, m.Slide, v, o)
			if err != nil {
				return nil, err
			}
			defer render.DiscardPicture(ctx, p)
			return encode(ctx, p)
		})
	})
	defer f.stop()
	return f.wait(ctx)
}

// Work calls f on a worker for large images, under the same limits as [Renderer.Draw].
func (k *Renderer) Work(ctx context.Context, lease tile.Lease, f func(ctx context.Context) ([]byte, error)) ([]byte, error) {
	fl := k.start(ctx, lease, func(ctx context.Context) ([]byte, error) { return k.work(ctx, lease.Store, large, f) })
	defer fl.stop()
	return fl.wait(ctx)
}
