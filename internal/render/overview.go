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

// Overviews keeps the decoded planes of small levels of slides: the smallest one of at least
// 1024 pixels and those that are smaller, from which pictures of the entire slide are rendered
// in many sizes. It is safe for concurrent use. A nil Overviews keeps nothing.
type Overviews struct {
	levels *otter.Cache[overviewKey, *planes.Picture]
}

type overviewKey struct {
	revision string
	level    int
}

// NewOverviews returns a cache of at most that many bytes. The largest level of a slide usually
// takes 2 to 4 MB, and the others a third of that.
func NewOverviews(bytes int64) *Overviews {
	return &Overviews{otter.Must(&otter.Options[overviewKey, *planes.Picture]{
		MaximumWeight: uint64(max(bytes, 1)),
		Weigher:       func(_ overviewKey, p *planes.Picture) uint32 { return uint32(heldBy(p)) },
	})}
}

// isOverview reports whether a level of a slide is kept.
func isOverview(s *slide.Slide, level int) bool {
	if level < 0 || s.Levels[level].Width*s.Levels[level].Height > overviewPixels {
		return false
	}
	for i := level + 1; i < len(s.Levels); i++ {
		if max(s.Levels[i].Width, s.Levels[i].Height) >= overviewSide {
			return false
		}
	}
	return true
}

// overview returns the kept level if the view is rendered from it. If it is not kept yet, a view
// of at least half of it makes it so.
func (d *drawing) overview(ctx context.Context, r image.Rectangle) (f source, ok bool, err error) {
	o := d.o.Overviews
	if o == nil || d.o.Revision == "" || d.mixed || d.from.reduction != 1 || !isOverview(d.s, d.from.level) {
		return f, false, nil
	}
	all := d.from.valid
	key := overviewKey{d.o.Revision, d.from.level}
	p, known := o.levels.GetIfPresent(key)
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
		o.levels.Set(key, p)
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
