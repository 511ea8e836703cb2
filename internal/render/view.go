package render

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/resample"
	"github.com/slideatlas/ptiffstore/slide"
)

// A View is a part of a slide to draw.
type View struct {
	// X, Y, W and H are the part of the image in pixels of level 0, from the corner of
	// [slide.Slide.Bounds]. They may be fractions, and reach out of the image.
	X, Y, W, H    float64
	Width, Height int // of the result in pixels
	// Level is the stored level to read; -1 for the smallest one that is no smaller than
	// the result, and level 0 if the result is larger than that.
	Level int
	// FullChroma asks for chroma as fine as brightness, for results that are not to become
	// a JPEG. Without it chroma has half the width and height.
	FullChroma bool
	// alone is set if pixels outside of the part are not to be read: those at its edges are
	// repeated instead.
	alone bool
}

// Whole returns the view of the entire image at w × h pixels.
func Whole(s *slide.Slide, w, h int) View {
	return View{W: float64(s.Bounds.Dx()), H: float64(s.Bounds.Dy()), Width: w, Height: h, Level: -1}
}

// ViewOf returns the view of a part of the image, in pixels of level 0, at w × h pixels.
func ViewOf(part image.Rectangle, w, h int) View {
	return View{
		X: float64(part.Min.X), Y: float64(part.Min.Y), W: float64(part.Dx()), H: float64(part.Dy()),
		Width: w, Height: h, Level: -1,
	}
}

const (
	// maxCoordinate limits where a view may lie, in pixels. It is larger than any slide.
	maxCoordinate = 1 << 40
	// maxReduction is the largest reduction that is rendered.
	maxReduction = 1 << 32
	// viewPixels limits the pixels of a level that are held at once: views for which more
	// must be read are rendered in bands.
	viewPixels = 8 << 20
)

// check returns an error for a view that cannot be rendered.
func (v *View) check(s *slide.Slide) error {
	if err := checkSize(v.Width, v.Height); err != nil {
		return err
	}
	if v.Level < -1 || v.Level >= len(s.Levels) {
		return slide.ErrNoTile
	}
	for _, n := range []float64{v.X, v.Y} {
		if !(math.Abs(n) <= maxCoordinate) {
			return fmt.Errorf("invalid view: it begins at %v", n)
		}
	}
	for _, n := range [][2]float64{{v.W, float64(v.Width)}, {v.H, float64(v.Height)}} {
		if !(n[0] > 0 && n[0] <= maxCoordinate && n[0]/n[1] <= maxReduction && n[1]/n[0] <= maxReduction) {
			return fmt.Errorf("invalid view: %v×%v pixels as %d×%d", v.W, v.H, v.Width, v.Height)
		}
	}
	return nil
}

// Draw renders a view of the slide in planes: of the model of its JPEGs, or as RGB. It is
// scaled by Lanczos-3. Areas beyond the image or skipped by the scanner have the background
// colour; a tile that cannot be read is an error.
//
// A view that is a band of a larger one has the same samples as that part of the larger one.
// The caller must release the picture with [DiscardPicture].
func Draw(ctx context.Context, s *slide.Slide, v View, o Options) (*planes.Picture, error) {
	p, err := drawView(ctx, s, v, o)
	if errors.Is(err, slide.ErrEmptyTile) {
		return newDrawing(s, v, o).blank(ctx)
	}
	return p, err
}

// drawView is [Draw], but with the error [slide.ErrEmptyTile] if the result would be nothing but
// background.
func drawView(ctx context.Context, s *slide.Slide, v View, o Options) (*planes.Picture, error) {
	if err := v.check(s); err != nil {
		return nil, err
	}
	d := newDrawing(s, v, o)
	if d.inside.Empty() {
		return nil, slide.ErrEmptyTile
	}
	if err := d.choose(); err != nil {
		return nil, err
	}
	if n := d.o.MaxRead; n > 0 {
		if r := d.needed(d.inside.Min.Y, d.inside.Max.Y); r.Dx()*r.Dy()*d.from.reduction*d.from.reduction > n {
			return nil, ErrTooMuch
		}
	}
	defer d.done(ctx)
	if d.exact() {
		return d.copyTiles(ctx)
	}
	err := d.bands(ctx)
	if errors.Is(err, errMixed) && !d.mixed {
		DiscardPicture(ctx, d.out)
		d.out, d.mixed = nil, true
		err = d.bands(ctx)
	}
	if err != nil {
		DiscardPicture(ctx, d.out)
		return nil, err
	}
	if d.out == nil { // the scanner skipped all of it
		return nil, slide.ErrEmptyTile
	}
	return d.out, nil
}

// DiscardPicture releases a picture of this package, and returns its memory to the budget of
// ctx.
func DiscardPicture(ctx context.Context, p *planes.Picture) {
	if p != nil {
		Give(ctx, heldBy(p))
		p.Recycle()
	}
}

// takePicture returns a picture with undefined samples.
func takePicture(ctx context.Context, w, h int, m planes.Model, subX, subY int) (*planes.Picture, error) {
	if err := Take(ctx, planes.Cost(w, h, m, subX, subY)); err != nil {
		return nil, err
	}
	return planes.New(w, h, m, subX, subY), nil
}

// heldBy returns the memory that was taken for a picture by takePicture.
func heldBy(p *planes.Picture) int64 {
	last := &p.Planes[len(p.Planes)-1]
	return planes.Cost(p.Width, p.Height, p.Model, last.H, last.V)
}

// A line is how one axis of a view lies in the pixels of a level.
type line struct {
	at   float64 // of the first pixel of the result
	step float64 // pixels of the level for each of the result
}

// exactly rounds positions and steps that differ from integers only by the rounding of
// floating point numbers.
func (l line) exactly() line {
	const tiny = 1e-6
	if r := math.Round(l.step); r >= 1 && math.Abs(l.step-r) < tiny/jpeg.MaxSide {
		l.step = r
	}
	if r := math.Round(l.at); math.Abs(l.at-r) < tiny {
		l.at = r
	}
	return l
}

// end returns where n pixels of the result end.
func (l line) end(n int) float64 { return l.at + float64(n)*l.step }

// A drawing is a view that is being rendered.
type drawing struct {
	tileRenderer
	v      View
	inside image.Rectangle // pixels of the result that show some of the image
	from   grid
	mixed  bool // the tiles have different kinds and are all converted to RGB
	x, y   line // in pixels of the grid, reduced
	out    *planes.Picture
}

func newDrawing(s *slide.Slide, v View, o Options) *drawing {
	d := &drawing{tileRenderer: *newTileRenderer(s, o), v: v}
	covered := func(at, length float64, n, size int) (from, to int) {
		const tiny = 1e-6
		pixel := length / float64(n)
		first, end := math.Floor(-at/pixel+tiny), math.Ceil((float64(size)-at)/pixel-tiny)
		return int(min(max(first, 0), float64(n))), int(min(max(end, 0), float64(n)))
	}
	d.inside.Min.X, d.inside.Max.X = covered(v.X, v.W, v.Width, s.Bounds.Dx())
	d.inside.Min.Y, d.inside.Max.Y = covered(v.Y, v.H, v.Height, s.Bounds.Dy())
	return d
}

// ratios returns the pixels of level 0 for each of a level, across and down: exactly its
// downsample if that is a power of two, as the last pixel may have been lost when it was
// halved.
func ratios(s *slide.Slide, level int) (x, y float64) {
	l0, l := &s.Levels[0], &s.Levels[level]
	if d := l.Downsample; math.Exp2(math.Round(math.Log2(d))) == d {
		return d, d
	}
	return float64(l0.Width) / float64(l.Width), float64(l0.Height) / float64(l.Height)
}

// choose sets what is read, and where the view lies in it.
func (d *drawing) choose() error {
	// A result that is larger than a level by the rounding of its size is still rendered from it.
	const rounding = 0.005
	scaleX, scaleY := d.v.W/float64(d.v.Width), d.v.H/float64(d.v.Height)
	level := d.v.Level
	if level < 0 {
		level = 0
		for i := range d.s.Levels {
			if x, y := ratios(d.s, i); scaleX/x >= 1-rounding && scaleY/y >= 1-rounding {
				level = i
			}
		}
	}
	x, y := ratios(d.s, level)
	d.from = levelGrid(d.s, level)
	// Where several levels are missing, a derived zoom level may be in the cache.
	const hole = 4
	if k := math.Floor(math.Log2(min(scaleX, scaleY)) + rounding); d.v.Level < 0 && d.o.Tile != nil && min(scaleX/x, scaleY/y) >= hole {
		if z := d.s.MaxZoom() - int(min(k, float64(d.s.MaxZoom()))); d.s.Zooms[z].Level < 0 {
			d.from = zoomGrid(d.s, z)
			x, y = math.Exp2(float64(d.s.MaxZoom()-z)), math.Exp2(float64(d.s.MaxZoom()-z))
		}
	}
	d.from.limit(d.s, x, y)
	least := 1.0
	if codec := d.s.Levels[max(d.from.level, 0)].Layout.Codec; d.from.level >= 0 && codec != slide.JPEG && codec != slide.JPEG2000 {
		least = 2 // what is not reduced in decoding is reduced by the mean, which is worse
	}
	d.from.reduce(min(scaleX/x, scaleY/y)/least + rounding)
	x, y = x*float64(d.from.reduction), y*float64(d.from.reduction)
	d.x = line{(float64(d.s.Bounds.Min.X) + d.v.X) / x, scaleX / x}.exactly()
	d.y = line{(float64(d.s.Bounds.Min.Y) + d.v.Y) / y, scaleY / y}.exactly()
	if d.v.alone {
		d.from.valid = d.from.valid.Intersect(image.Rect(
			int(math.Floor(d.x.at)), int(math.Floor(d.y.at)), int(math.Ceil(d.x.end(d.v.Width))), int(math.Ceil(d.y.end(d.v.Height)))))
	}
	d.x.at, d.y.at = d.x.at+d.shift(), d.y.at+d.shift()
	if max(d.x.step, d.y.step) > resample.MaxRatio {
		return fmt.Errorf("%w: an image of %d×%d pixels is not scaled down by %.0f: request a part of it",
			ErrTooLarge, d.s.Bounds.Dx(), d.s.Bounds.Dy(), max(scaleX, scaleY))
	}
	return nil
}

// needed returns the pixels of the grid, reduced, that rows from to to of the result are
// made of.
func (d *drawing) needed(from, to int) image.Rectangle {
	across := d.x.needed(d.inside.Min.X, d.inside.Max.X, d.v.FullChroma)
	down := d.y.needed(from, to, d.v.FullChroma)
	r := image.Rect(across[0], down[0], across[1], down[1])
	// Beyond the edges there is nothing to read, but at least the edge is needed.
	v := d.from.valid
	r.Min.X, r.Max.X = min(max(r.Min.X, v.Min.X), v.Max.X-1), max(min(r.Max.X, v.Max.X), v.Min.X+1)
	r.Min.Y, r.Max.Y = min(max(r.Min.Y, v.Min.Y), v.Max.Y-1), max(min(r.Max.Y, v.Max.Y), v.Min.Y+1)
	return r
}

// needed returns the first pixel that pixels from to to of the result are made of, and the
// one after the last.
func (l line) needed(from, to int, fullChroma bool) [2]int {
	first, end := l.at+float64(from)*l.step, l.at+float64(to)*l.step
	margin := 0.0
	switch {
	case l.step != 1 || first != math.Floor(first):
		// Chroma needs six of its samples, which are up to two pixels.
		margin = max(6*l.step, 6) + 2
	case fullChroma || int(first)%2 != 0: // chroma is blended with its neighbours
		margin = 2
	}
	return [2]int{int(math.Floor(first - margin)), int(math.Ceil(end + margin))}
}

// bands renders the view, in bands if it needs many pixels of the level. They end at even
// rows, as there is one row of chroma for two of brightness.
func (d *drawing) bands(ctx context.Context) error {
	for y := d.inside.Min.Y; y < d.inside.Max.Y; {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := d.inside.Max.Y
		for end > y+2 {
			r := d.needed(y, end)
			if int64(r.Dx())*int64(r.Dy()) <= viewPixels {
				break
			}
			end = max((y+(end-y)/2)&^1, y&^1+2)
		}
		if err := d.band(ctx, y, end); err != nil {
			return err
		}
		y = end
	}
	return nil
}

// blank returns a picture of the background.
func (d *drawing) blank(ctx context.Context) (*planes.Picture, error) {
	model, sub := planes.YCbCr, 2
	switch l := &d.s.Levels[0].Layout; {
	case l.Codec == slide.JPEG && l.Samples == 1 && isGray(d.o.Background):
		model, sub = planes.Gray, 1
	case d.v.FullChroma:
		model, sub = planes.RGB, 1
	}
	p, err := takePicture(ctx, d.v.Width, d.v.Height, model, sub, sub)
	if err != nil {
		return nil, err
	}
	paint(p, d.o.Background)
	return p, nil
}
