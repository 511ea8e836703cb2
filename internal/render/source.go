package render

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/bits"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/resample"
	"github.com/slideatlas/ptiffstore/slide"
)

// A grid is the tiles that a view is rendered from: those of a stored level, or of a derived
// zoom level.
type grid struct {
	level, zoom   int             // level is -1 for a zoom level
	width, height int             // pixels with the image, without padding to whole tiles
	tileW, tileH  int             // pixels
	reduction     int             // tiles are decoded at 1/reduction of their size: a power of two
	image         image.Rectangle // pixels that show the image
	valid         image.Rectangle // the same, reduced
}

func levelGrid(s *slide.Slide, level int) grid {
	l := &s.Levels[level]
	return grid{level: level, width: l.Width, height: l.Height, tileW: l.TileWidth, tileH: l.TileHeight, reduction: 1}
}

func zoomGrid(s *slide.Slide, z int) grid {
	l, zoom := &s.Levels[0], &s.Zooms[z]
	return grid{level: -1, zoom: z, width: zoom.Width, height: zoom.Height, tileW: l.TileWidth, tileH: l.TileHeight, reduction: 1}
}

// limit sets the pixels that show the image, of which x and y pixels of level 0 make one.
func (g *grid) limit(s *slide.Slide, x, y float64) {
	g.image = image.Rect(0, 0, g.width, g.height)
	if s.Cropped() {
		b := s.Bounds
		g.image = g.image.Intersect(image.Rect(
			int(float64(b.Min.X)/x), int(float64(b.Min.Y)/y), int(math.Ceil(float64(b.Max.X)/x)), int(math.Ceil(float64(b.Max.Y)/y))))
	}
	g.valid = g.image
}

// reduce chooses the reduction for tiles that are larger than the result by the given ratio:
// so that they are still no smaller, and whole tiles remain whole numbers of pixels.
func (g *grid) reduce(ratio float64) {
	most := bits.TrailingZeros(uint(g.tileW | g.tileH))
	for k := 1; k <= most && ratio >= float64(int(1)<<k) && g.valid.Dx()>>k > 0 && g.valid.Dy()>>k > 0; k++ {
		g.reduction = 1 << k
	}
	// A pixel at the edge that the image only covers in part would show padding.
	r, v := g.reduction, g.valid
	g.valid = image.Rect(ceilDiv(v.Min.X, r), ceilDiv(v.Min.Y, r), v.Max.X/r, v.Max.Y/r)
	if g.valid.Empty() {
		g.valid = image.Rect(v.Min.X/r, v.Min.Y/r, ceilDiv(v.Max.X, r), ceilDiv(v.Max.Y, r))
	}
}

// tileSize returns the size of a tile, reduced.
func (g *grid) tileSize() (w, h int) { return g.tileW / g.reduction, g.tileH / g.reduction }

// tile returns the pixels of a tile, reduced.
func (g *grid) tile(x, y int) image.Rectangle {
	w, h := g.tileSize()
	return image.Rect(x*w, y*h, (x+1)*w, (y+1)*h)
}

// tiles calls f with the column and row of each tile that touches r.
func (g *grid) tiles(r image.Rectangle, f func(x, y int) error) error {
	w, h := g.tileSize()
	for y := r.Min.Y / h; y*h < r.Max.Y; y++ {
		for x := r.Min.X / w; x*w < r.Max.X; x++ {
			if err := f(x, y); err != nil {
				return err
			}
		}
	}
	return nil
}

// count returns the number of tiles that touch r.
func (g *grid) count(r image.Rectangle) int {
	w, h := g.tileSize()
	return (ceilDiv(r.Max.X, w) - r.Min.X/w) * (ceilDiv(r.Max.Y, h) - r.Min.Y/h)
}

// partOf returns the part of a tile that is in r, in pixels of the tile: grown to whole MCUs,
// and to pixels that remain whole numbers when they are reduced, also those of chroma.
func (g *grid) partOf(x, y int, r image.Rectangle) image.Rectangle {
	t, step := g.tile(x, y), max(16, 4*g.reduction)
	p := r.Intersect(t).Sub(t.Min)
	return image.Rect(
		p.Min.X*g.reduction/step*step, p.Min.Y*g.reduction/step*step,
		min(ceilDiv(p.Max.X*g.reduction, step)*step, g.tileW), min(ceilDiv(p.Max.Y*g.reduction, step)*step, g.tileH))
}

// complete reports whether all pixels of a tile show the image.
func (g *grid) complete(x, y int) bool {
	return image.Rect(x*g.tileW, y*g.tileH, (x+1)*g.tileW, (y+1)*g.tileH).In(g.image)
}

// A source is pixels of a grid, reduced.
type source struct {
	*planes.Picture
	at     image.Point // of its first pixel
	shared bool        // it belongs to others
	cost   int64       // taken from the budget
}

func (f *source) release(ctx context.Context) {
	if f.Picture != nil && !f.shared {
		Give(ctx, f.cost)
		f.Recycle()
	}
}

// band renders rows from to to of the result.
func (d *drawing) band(ctx context.Context, from, to int) error {
	f, err := d.source(ctx, d.needed(from, to))
	if errors.Is(err, slide.ErrEmptyTile) {
		if d.out != nil {
			paintPart(d.out, image.Rect(0, from, d.out.Width, to), d.o.Background)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.release(ctx)
	if d.v.FullChroma && d.x.unscaled() && d.y.unscaled() && f.Planes[len(f.Planes)-1].H*f.Planes[len(f.Planes)-1].V > 1 {
		if err := f.fineChroma(ctx); err != nil {
			return err
		}
	}
	if d.out == nil {
		if err := d.create(ctx, f.Model, from); err != nil {
			return err
		}
	}
	if f.Model != d.out.Model {
		return errMixed
	}
	for i := range f.Planes {
		if err := d.scale(ctx, &d.out.Planes[i], &f.Planes[i], f.at, from, to); err != nil {
			return err
		}
	}
	return nil
}

// fineChroma replaces the planes by those of RGB, with chroma blended as decoders of JPEG do:
// a client gets the same pixels as from the tiles.
func (f *source) fineChroma(ctx context.Context) error {
	cost := planes.Cost(f.Width, f.Height, planes.RGB, 1, 1)
	if err := Take(ctx, cost+pictureCost(f.Width, f.Height)); err != nil {
		return err
	}
	img := f.RGBA()
	fine := source{Picture: asRGB(img, img.Rect), at: f.at, cost: cost}
	Discard(ctx, img)
	f.release(ctx)
	*f = fine
	return nil
}

// create makes the picture of the result, and paints what is not going to be rendered: rows
// before row from, and what is outside of the image.
func (d *drawing) create(ctx context.Context, m planes.Model, from int) (err error) {
	sub := 1
	if m == planes.YCbCr && !d.v.FullChroma {
		sub = 2
	}
	if d.out, err = takePicture(ctx, d.v.Width, d.v.Height, m, sub, sub); err != nil {
		return err
	}
	if all := image.Rect(0, 0, d.v.Width, d.v.Height); d.inside != all || from > 0 {
		paint(d.out, d.o.Background)
	}
	return nil
}

// scale renders rows from to to of the result in one plane, from a plane of a source whose
// first pixel is at.
func (d *drawing) scale(ctx context.Context, dst, src *planes.Plane, at image.Point, from, to int) error {
	// A sample at the edge that covers pixels beyond it would show padding.
	window := d.from.samples(src, at)
	part := *src
	part.Pix, part.Width, part.Height = src.Pix[window.Min.Y*src.Stride+window.Min.X:], window.Dx(), window.Dy()
	r := image.Rect(d.inside.Min.X/dst.H, from/dst.V, ceilDiv(d.inside.Max.X, dst.H), ceilDiv(to, dst.V))
	out := planes.Plane{Pix: dst.Pix[r.Min.Y*dst.Stride+r.Min.X:], Stride: dst.Stride, Width: r.Dx(), Height: r.Dy()}
	x := d.x.samples(at.X, src.H, dst.H, r.Min.X, window.Min.X)
	y := d.y.samples(at.Y, src.V, dst.V, r.Min.Y, window.Min.Y)
	// The shift is one of samples, also of those that cover several pixels.
	x.at += d.shift() * (1 - 1/float64(src.H))
	y.at += d.shift() * (1 - 1/float64(src.V))
	cost := resample.Cost(out.Width, x.step) + resample.Cost(out.Height, y.step) + resample.ScratchCost(part.Width)
	if err := Take(ctx, cost); err != nil {
		return err
	}
	defer Give(ctx, cost)
	// Of pixels that are not scaled, the chroma of an odd one is the mean of its neighbours.
	filter := resample.Lanczos
	if d.x.unscaled() && d.y.unscaled() && src.H == dst.H && src.V == dst.V {
		filter = resample.Area
	}
	across := resample.NewAxis(filter, out.Width, x.at, x.step, part.Width)
	defer across.Recycle()
	down := resample.NewAxis(filter, out.Height, y.at, y.step, part.Height)
	defer down.Recycle()
	resample.Plane(&out, &part, across, down)
	return nil
}

// unscaled reports whether pixels of the result are pixels of the grid.
func (l line) unscaled() bool { return l.step == 1 && l.at == float64(int64(l.at)) }

// samples returns the line of a plane, in samples of a source that begins with pixel at and
// of which only those from sample first on are used. From and to are the pixels that a sample
// of the source and of the result covers; the result begins with its sample out.
func (l line) samples(at, from, to, out, first int) line {
	begin := l.at + float64(out*to)*l.step - float64(at)
	return line{begin/float64(from) - float64(first), l.step * float64(to) / float64(from)}.exactly()
}

// samples returns the samples of a plane that cover only pixels with the image, given the
// first pixel of its picture. If no sample does, it returns those that cover some.
func (g *grid) samples(p *planes.Plane, at image.Point) image.Rectangle {
	all, v := image.Rect(0, 0, p.Width, p.Height), g.valid.Sub(at)
	whole := image.Rect(ceilDiv(max(v.Min.X, 0), p.H), ceilDiv(max(v.Min.Y, 0), p.V), v.Max.X/p.H, v.Max.Y/p.V).Intersect(all)
	if whole.Empty() {
		return image.Rect(max(v.Min.X, 0)/p.H, max(v.Min.Y, 0)/p.V, ceilDiv(v.Max.X, p.H), ceilDiv(v.Max.Y, p.V)).Intersect(all)
	}
	return whole
}

// errMixed reports tiles that cannot be decoded to planes of one picture.
var errMixed = errors.New("tiles of different kinds")

// source returns the pixels r of the grid, or more. The error is [slide.ErrEmptyTile] if the
// scanner skipped all of them, and errMixed if they must be read with d.mixed set.
func (d *drawing) source(ctx context.Context, r image.Rectangle) (source, error) {
	if f, ok, err := d.overview(ctx, r); ok || err != nil {
		return f, err
	}
	return d.pixels(ctx, r)
}

// pixels reads pixels r of the grid, or more.
func (d *drawing) pixels(ctx context.Context, r image.Rectangle) (source, error) {
	read := d.decoded
	if d.from.level >= 0 && d.s.Levels[d.from.level].Layout.Codec == slide.JPEG2000 {
		read = d.wavelets
	} else if d.mixed || d.from.level >= 0 && d.s.Levels[d.from.level].Layout.Codec != slide.JPEG {
		read = d.converted
	}
	if d.from.count(r) == 1 {
		w, h := d.from.tileSize()
		return read(ctx, r.Min.X/w, r.Min.Y/h, r)
	}
	if !d.mixed && d.from.level >= 0 && d.from.reduction == 1 && d.s.Levels[d.from.level].Layout.Codec == slide.JPEG {
		f, err := d.stitched(ctx, r)
		if !errors.Is(err, jpeg.ErrNotLossless) && !errors.Is(err, ErrTooLarge) {
			return f, err
		}
	}
	return d.assemble(ctx, r, read)
}

// stitched decodes the tiles that touch r as one JPEG, of which only the blocks in r are read.
// The error is [jpeg.ErrNotLossless] if the tiles do not go together.
func (d *drawing) stitched(ctx context.Context, r image.Rectangle) (source, error) {
	b, grown, err := Stitch(ctx, d.s, d.from.level, r, d.o.Marks, StitchOptions{Revision: d.o.Revision, Background: d.o.Background})
	if err != nil {
		return source{}, err
	}
	head, err := jpeg.ReadHeader(b)
	if err != nil {
		return source{}, err
	}
	f := source{at: grown.Min, cost: decodeCost(head)}
	if err := Take(ctx, f.cost+int64(cap(b))); err != nil {
		return source{}, err
	}
	defer Give(ctx, int64(cap(b)))
	if f.Picture, err = codec.Decode(b, codec.Options{}); err != nil {
		Give(ctx, f.cost)
		return source{}, fmt.Errorf("level %d, pixels %v: %w", d.from.level, r, err)
	}
	return f, nil
}

// assemble copies the tiles that touch r to one picture.
func (d *drawing) assemble(ctx context.Context, r image.Rectangle, read func(ctx context.Context, x, y int, r image.Rectangle) (source, error)) (source, error) {
	a := assembly{r: r, background: d.o.Background}
	a.r.Min.X, a.r.Min.Y = r.Min.X&^3, r.Min.Y&^3 // a multiple of the pixels that a sample of chroma covers
	err := d.from.tiles(r, func(x, y int) error {
		f, err := read(ctx, x, y, r)
		if errors.Is(err, slide.ErrEmptyTile) {
			a.addEmpty(d.from.tile(x, y))
			return nil
		}
		if err != nil {
			return err
		}
		defer f.release(ctx)
		return a.add(ctx, &f)
	})
	if err == nil && a.Picture == nil {
		err = slide.ErrEmptyTile
	}
	if err != nil {
		a.release(ctx)
		return source{}, err
	}
	return a.source, nil
}

// An assembly is a picture that tiles are copied to.
type assembly struct {
	source
	r          image.Rectangle // of the grid
	background color.RGBA
	empty      []image.Rectangle // tiles that the scanner skipped, until there is a picture
}

func (a *assembly) addEmpty(tile image.Rectangle) {
	if tile = tile.Intersect(a.r).Sub(a.r.Min); a.Picture == nil {
		a.empty = append(a.empty, tile)
	} else {
		paintPart(a.Picture, tile, a.background)
	}
}

// add copies the pixels of f. The error is errMixed if f has other planes than the picture,
// or its chroma lies between that of the picture.
func (a *assembly) add(ctx context.Context, f *source) error {
	last := &f.Planes[len(f.Planes)-1]
	if a.Picture == nil {
		p, err := takePicture(ctx, a.r.Dx(), a.r.Dy(), f.Model, last.H, last.V)
		if err != nil {
			return err
		}
		a.source = source{Picture: p, at: a.r.Min, cost: heldBy(p)}
		for _, tile := range a.empty {
			paintPart(p, tile, a.background)
		}
	}
	own := &a.Planes[len(a.Planes)-1]
	if f.Model != a.Model || last.H != own.H || last.V != own.V || f.at.X%own.H != 0 || f.at.Y%own.V != 0 {
		return errMixed
	}
	for i := range a.Planes {
		to, from := &a.Planes[i], &f.Planes[i]
		at := image.Pt(f.at.X/to.H-a.at.X/to.H, f.at.Y/to.V-a.at.Y/to.V)
		r := image.Rect(0, 0, from.Width, from.Height).Add(at).Intersect(image.Rect(0, 0, to.Width, to.Height))
		for y := r.Min.Y; y < r.Max.Y; y++ {
			copy(to.Pix[y*to.Stride+r.Min.X:][:r.Dx()], from.Pix[(y-at.Y)*from.Stride+r.Min.X-at.X:])
		}
	}
	return nil
}

// decoded decodes the part of a JPEG tile that is in r, or more.
func (d *drawing) decoded(ctx context.Context, x, y int, r image.Rectangle) (source, error) {
	b, err := d.jpeg(ctx, x, y)
	if errors.Is(err, slide.ErrMissingTile) {
		return source{}, errMixed
	}
	if err != nil {
		return source{}, err
	}
	head, err := jpeg.ReadHeader(b)
	if err != nil {
		return source{}, d.failed(x, y, err)
	}
	g := &d.from
	if head.Width != g.tileW || head.Height != g.tileH || len(head.Components) == 1 && !isGray(d.o.Background) {
		return source{}, errMixed // cut to the image, or with areas that are not gray
	}
	f := source{cost: decodeCost(head)}
	if err := Take(ctx, f.cost); err != nil {
		return source{}, err
	}
	o := codec.Options{Denominator: min(g.reduction, 8), Part: g.partOf(x, y, r)}
	if !g.complete(x, y) {
		o.Denominator = 1 // or padding would get into the pixels beside it
	}
	if f.Picture, err = codec.Decode(b, o); err != nil {
		Give(ctx, f.cost)
		return source{}, d.failed(x, y, err)
	}
	f.at = image.Pt(x*g.tileW, y*g.tileH).Add(o.Part.Min).Div(g.reduction)
	f.Picture = d.reduced(f.Picture, image.Pt(x*g.tileW, y*g.tileH).Add(o.Part.Min), g.reduction/o.Denominator)
	return f, nil
}

// reduced returns p, whose first pixel is at in the grid, at 1/n of its size, without padding.
func (d *drawing) reduced(p *planes.Picture, at image.Point, n int) *planes.Picture {
	if n == 1 {
		return p
	}
	if end := d.from.image.Sub(at).Max; end.X < p.Width || end.Y < p.Height {
		p = p.Part(image.Rectangle{Max: end})
	}
	for ; n > 1; n /= 2 {
		half := halved(p)
		p.Recycle()
		p = half
	}
	return p
}

// halved returns p at half of its size. As in a reduced JPEG, chroma is not halved as long as
// it is coarser than brightness in both directions.
func halved(p *planes.Picture) *planes.Picture {
	last := &p.Planes[len(p.Planes)-1]
	x, y, finer := last.H, last.V, last.H > 1 && last.V > 1
	if finer {
		x, y = x/2, y/2
	}
	half := planes.New(ceilDiv(p.Width, 2), ceilDiv(p.Height, 2), p.Model, x, y)
	for i := range p.Planes {
		to, from := &half.Planes[i], &p.Planes[i]
		if i == 0 || !finer {
			resample.Halve(to, from)
			continue
		}
		for y := range to.Height {
			copy(to.Row(y), from.Row(y))
		}
	}
	return half
}

// jpeg returns the JPEG of a tile. It is valid until the next call.
func (d *drawing) jpeg(ctx context.Context, x, y int) ([]byte, error) {
	if d.from.level < 0 {
		return d.o.Tile(ctx, d.from.zoom, x, y)
	}
	return d.read(ctx, d.from.level, x, y)
}

// failed names the tile in an error.
func (d *drawing) failed(x, y int, err error) error {
	if d.from.level < 0 {
		return fmt.Errorf("zoom %d tile %d,%d: %w", d.from.zoom, x, y, err)
	}
	return fmt.Errorf("level %d tile %d,%d: %w", d.from.level, x, y, err)
}

// converted decodes the part of a tile of any kind that is in r, as RGB.
func (d *drawing) converted(ctx context.Context, x, y int, r image.Rectangle) (source, error) {
	g := &d.from
	var img *image.RGBA
	var err error
	if g.level < 0 {
		img, err = d.of(ctx, g.zoom, x, y)
	} else {
		img, err = d.stored(ctx, g.level, x, y)
	}
	if err != nil {
		return source{}, err
	}
	defer Discard(ctx, img)
	part := g.partOf(x, y, r)
	at := image.Pt(x*g.tileW, y*g.tileH).Add(part.Min)
	f := source{at: at.Div(g.reduction), cost: 2 * planes.Cost(part.Dx(), part.Dy(), planes.RGB, 1, 1)}
	if err := Take(ctx, f.cost); err != nil {
		return source{}, err
	}
	f.Picture = d.reduced(asRGB(img, part), at, g.reduction)
	return f, nil
}

// asRGB returns a part of an image in planes.
func asRGB(img *image.RGBA, part image.Rectangle) *planes.Picture {
	p := planes.New(part.Dx(), part.Dy(), planes.RGB, 1, 1)
	for y := range p.Height {
		row := img.Pix[img.PixOffset(img.Rect.Min.X+part.Min.X, img.Rect.Min.Y+part.Min.Y+y):]
		planes.SplitRow(p.Planes[0].Row(y), p.Planes[1].Row(y), p.Planes[2].Row(y), row)
	}
	return p
}

// decodeCost returns an upper bound of the memory for decoding a JPEG to planes in bytes: the
// planes of complete MCUs, as much again to reduce them, and four bytes for each coefficient
// that is buffered. Four inks are converted by way of RGB.
func decodeCost(h *jpeg.Header) int64 {
	across, down, units := 1, 1, 0
	for _, c := range h.Components {
		across, down = max(across, c.H), max(down, c.V)
		units += c.H * c.V
	}
	mcus := int64(ceilDiv(h.Width, 8*across)) * int64(ceilDiv(h.Height, 8*down))
	n := 2*mcus*64*int64(units) + planes.Cost(32, h.Height, planes.RGB, 1, 1) + planes.Cost(h.Width, 32, planes.RGB, 1, 1)
	if h.Buffered() {
		n += mcus * 64 * 4 * int64(units)
	}
	if len(h.Components) == 4 {
		n += 12 * int64(h.Width) * int64(h.Height)
	}
	return n
}

func isGray(c color.RGBA) bool { return c.R == c.G && c.G == c.B }

// paint fills a picture with a colour.
func paint(p *planes.Picture, c color.RGBA) { paintPart(p, image.Rect(0, 0, p.Width, p.Height), c) }

// paintPart fills a part of a picture, which must lie in it, with a colour.
func paintPart(p *planes.Picture, r image.Rectangle, c color.RGBA) {
	values := [3]byte{c.R, c.G, c.B}
	if p.Model != planes.RGB {
		values[0], values[1], values[2] = color.RGBToYCbCr(c.R, c.G, c.B)
	}
	for i := range p.Planes {
		q := &p.Planes[i]
		for y := r.Min.Y / q.V; y < ceilDiv(r.Max.Y, q.V); y++ {
			planes.FillRow(q.Row(y)[r.Min.X/q.H:ceilDiv(r.Max.X, q.H)], values[i])
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
