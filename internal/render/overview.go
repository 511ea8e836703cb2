package render

import (
	"context"
	"image"

	"github.com/maypok86/otter/v2"

	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// overviewSide is the least longer side in pixels of the level that is kept.
	overviewSide = 1024
	// overviewPixels limits the pixels of such a level.
	overviewPixels = 8 << 20
)

// Overviews keeps the decoded planes of one small level of each slide: the smallest one of at
// least 1024 pixels, from which pictures of the entire slide are rendered in many sizes. It is
// safe for concurrent use. A nil Overviews keeps nothing.
type Overviews struct {
	levels *otter.Cache[string, *planes.Picture] // by revision
}

// NewOverviews returns a cache of at most that many bytes. The level of a slide usually takes
// 2 to 4 MB.
func NewOverviews(bytes int64) *Overviews {
	return &Overviews{otter.Must(&otter.Options[string, *planes.Picture]{
		MaximumWeight: uint64(max(bytes, 1)),
		Weigher:       func(_ string, p *planes.Picture) uint32 { return uint32(heldBy(p)) },
	})}
}

// overviewLevel returns the level of a slide that is kept, or -1.
func overviewLevel(s *slide.Slide) int {
	for i := len(s.Levels) - 1; i >= 0; i-- {
		if l := &s.Levels[i]; max(l.Width, l.Height) >= overviewSide {
			if l.Width*l.Height > overviewPixels {
				return -1
			}
			return i
		}
	}
	return -1
}

// overview returns the kept level if the view is rendered from it. If it is not kept yet, a view
// of at least half of it makes it so.
func (d *drawing) overview(ctx context.Context, r image.Rectangle) (f source, ok bool, err error) {
	o := d.o.Overviews
	if o == nil || d.o.Revision == "" || d.mixed || d.from.reduction != 1 || d.from.level < 0 || d.from.level != overviewLevel(d.s) {
		return f, false, nil
	}
	all := d.from.valid
	p, known := o.levels.GetIfPresent(d.o.Revision)
	if !known && 2*r.Dx()*r.Dy() < all.Dx()*all.Dy() {
		return f, false, nil
	}
	if !known {
		if f, err = d.pixels(ctx, all); err != nil || !f.at.Eq(all.Min) {
			return f, err == nil, err
		}
		// What was decoded may be larger, and in memory that is used for other things later.
		if p, err = keep(ctx, f.Picture); err != nil {
			f.release(ctx)
			return f, false, err
		}
		f.release(ctx)
		if d.o.Current != nil && !d.o.Current() {
			return source{Picture: p, at: all.Min, shared: true}, true, nil
		}
		o.levels.Set(d.o.Revision, p)
	}
	if last := &p.Planes[len(p.Planes)-1]; all.Min.X%last.H != 0 || all.Min.Y%last.V != 0 {
		return f, false, nil
	}
	return source{Picture: p, at: all.Min, shared: true}, true, nil
}

// keep copies a picture to memory of its own.
func keep(ctx context.Context, p *planes.Picture) (*planes.Picture, error) {
	last := &p.Planes[len(p.Planes)-1]
	cost := planes.Cost(p.Width, p.Height, p.Model, last.H, last.V)
	if err := Take(ctx, cost); err != nil {
		return nil, err
	}
	defer Give(ctx, cost)
	kept := planes.New(p.Width, p.Height, p.Model, last.H, last.V)
	for i := range p.Planes {
		to, from := &kept.Planes[i], &p.Planes[i]
		for y := range to.Height {
			copy(to.Row(y), from.Row(y))
		}
	}
	return kept, nil
}
