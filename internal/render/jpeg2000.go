package render

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/bits"

	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/resample"
	"github.com/slideatlas/ptiffstore/slide"
)

// decodeTile decodes tile x,y of a level to its full size.
func decodeTile(ctx context.Context, data []byte, l *slide.Level, x, y int) (*image.RGBA, error) {
	if l.Layout.Codec == slide.JPEG2000 {
		return jpeg2000Picture(ctx, data, l.Layout, jpeg2000Options(l, x, y, 0))
	}
	return Decode(ctx, data, l.Layout, l.TileWidth, l.TileHeight)
}

// jpeg2000Picture decodes JPEG 2000 in a helper process to an image.
func jpeg2000Picture(ctx context.Context, data []byte, lay slide.Layout, o jpeg2000.Options) (*image.RGBA, error) {
	w, h := jpeg2000.Reduced(o.Width, o.Reduce), jpeg2000.Reduced(o.Height, o.Reduce)
	p, err := jpeg2000Planes(ctx, data, o)
	if err != nil {
		return nil, err
	}
	defer p.release(ctx)
	img, err := takePixels(ctx, w, h)
	if err != nil {
		return nil, err
	}
	paintPlanes(img, p.Planes, lay.Photometric == yCbCr)
	extend(img, image.Rect(0, 0, p.Planes[0].Width, p.Planes[0].Height), img.Rect)
	return img, nil
}

// A jpeg2000Source is decoded JPEG 2000.
type jpeg2000Source struct {
	*jpeg2000.Picture
	cost int64 // taken from the budget
}

func (p jpeg2000Source) release(ctx context.Context) {
	p.Recycle()
	Give(ctx, p.cost)
}

// jpeg2000Planes decodes JPEG 2000 in a helper process, whose memory is taken from the budget
// as well.
func jpeg2000Planes(ctx context.Context, data []byte, o jpeg2000.Options) (p jpeg2000Source, err error) {
	p.cost = jpeg2000.Memory(o.Width, o.Height, o.Components)
	if err := Take(ctx, p.cost); err != nil {
		return p, err
	}
	if p.Picture, err = jpeg2000.Decode(ctx, data, o); err == nil {
		return p, nil
	}
	Give(ctx, p.cost)
	if errors.Is(err, jpeg2000.ErrUnavailable) || errors.Is(err, jpeg2000.ErrUnsupported) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return p, err
}

// jpeg2000Options returns how tile x,y of a level is decoded at 1/2^reduce of its size. Tiles at
// the right and bottom edges may be stored without the pixels beyond the image.
func jpeg2000Options(l *slide.Level, x, y, reduce int) jpeg2000.Options {
	return jpeg2000.Options{
		Width: l.TileWidth, Height: l.TileHeight, Reduce: reduce, Components: l.Layout.Samples,
		MinWidth: min(l.TileWidth, l.Width-x*l.TileWidth), MinHeight: min(l.TileHeight, l.Height-y*l.TileHeight),
	}
}

// asJPEG returns tile x,y of a level of JPEG 2000 as a JPEG of full size. Its planes are
// encoded as they are, without becoming pixels between.
func (d *tileRenderer) asJPEG(ctx context.Context, level, x, y int) ([]byte, error) {
	b, err := d.read(ctx, level, x, y)
	if err != nil {
		return nil, err
	}
	defer d.done(ctx)
	l := &d.s.Levels[level]
	p, err := jpeg2000Planes(ctx, b, jpeg2000Options(l, x, y, 0))
	if err != nil {
		return nil, fmt.Errorf("level %d tile %d,%d: %w", level, x, y, err)
	}
	defer p.release(ctx)
	ycc := l.Layout.Photometric == yCbCr
	last := &p.Planes[len(p.Planes)-1]
	if n := last.H * last.V; p.Width == l.TileWidth && p.Height == l.TileHeight && (n == 1 || ycc && n <= 8) { // as JPEG allows it
		return EncodePicture(picture(p.Picture, ycc), d.o.Quality)
	}
	img, err := takePixels(ctx, l.TileWidth, l.TileHeight)
	if err != nil {
		return nil, err
	}
	defer Discard(ctx, img)
	paintPlanes(img, p.Planes, ycc)
	extend(img, image.Rect(0, 0, p.Width, p.Height), img.Rect)
	return EncodeJPEG(img, d.o.Quality)
}

// picture returns decoded planes as a picture of the same samples.
func picture(p *jpeg2000.Picture, ycc bool) *planes.Picture {
	out := &planes.Picture{Width: p.Planes[0].Width, Height: p.Planes[0].Height, Model: planes.RGB}
	switch {
	case len(p.Planes) == 1:
		out.Model = planes.Gray
	case ycc:
		out.Model = planes.YCbCr
	}
	for _, l := range p.Planes {
		out.Planes = append(out.Planes, planes.Plane{Pix: l.Pix, Stride: l.Width, Width: l.Width, Height: l.Height, H: l.H, V: l.V})
	}
	return out
}

// paintPlanes paints planes to the top left of img, which is at least as large: one of grey, or
// three of colours. Samples that cover several pixels are repeated, as OpenSlide does.
func paintPlanes(img *image.RGBA, from []jpeg2000.Plane, ycc bool) {
	first := &from[0]
	for y := range first.Height {
		dst := img.Pix[y*img.Stride:][:4*first.Width]
		if len(from) == 1 {
			for x, v := range first.Pix[y*first.Width:][:first.Width] {
				dst[4*x], dst[4*x+1], dst[4*x+2], dst[4*x+3] = v, v, v, 255
			}
			continue
		}
		c1, c2 := &from[1], &from[2]
		row := min(y/c1.V, c1.Height-1) * c1.Width
		p0, p1, p2 := first.Pix[y*first.Width:][:first.Width], c1.Pix[row:][:c1.Width], c2.Pix[row:][:c1.Width]
		if !ycc && c1.H == 1 {
			p1, p2 = p1[:len(p0)], p2[:len(p0)]
			for x, v := range p0 {
				d := dst[4*x : 4*x+4 : 4*x+4]
				d[0], d[1], d[2], d[3] = v, p1[x], p2[x], 255
			}
			continue
		}
		for x, v := range p0 {
			k := min(x/c1.H, c1.Width-1)
			d := dst[4*x : 4*x+4 : 4*x+4]
			d[0], d[1], d[2], d[3] = v, p1[k], p2[k], 255
			if ycc {
				d[0], d[1], d[2] = fromYCC(int32(v), int32(p1[k])-128, int32(p2[k])-128)
			}
		}
	}
}

// fromYCC converts YCbCr of full range as libjpeg and OpenSlide do: ITU-R BT.601 with 16
// fraction bits, each term rounded.
func fromYCC(y, cb, cr int32) (r, g, b byte) {
	return saturate(y + (91881*cr+1<<15)>>16), saturate(y + (-22554*cb-46802*cr+1<<15)>>16), saturate(y + (116130*cb+1<<15)>>16)
}

func saturate(v int32) byte { return byte(min(max(v, 0), 255)) }

// A reduced image of JPEG 2000 has the low frequencies of its wavelets. Its sample n is centred
// on pixel n·2^k of the image, not between pixels as the mean of a block is: see ITU-T T.800
// annex F. So it lies by (2^k-1)/2 of the image's pixels further to the top left.

// shift returns how far samples of the grid, reduced, lie from the middle of the pixels that
// they stand for, in samples.
func (d *drawing) shift() float64 {
	if d.from.level < 0 || d.s.Levels[d.from.level].Layout.Codec != slide.JPEG2000 {
		return 0
	}
	return 0.5 - 0.5/float64(d.from.reduction)
}

// wavelets decodes a tile of JPEG 2000, reduced.
func (d *drawing) wavelets(ctx context.Context, x, y int, r image.Rectangle) (source, error) {
	g := &d.from
	b, err := d.read(ctx, g.level, x, y)
	if errors.Is(err, slide.ErrMissingTile) {
		return d.converted(ctx, x, y, r)
	}
	if err != nil {
		return source{}, err
	}
	l := &d.s.Levels[g.level]
	reduce := bits.TrailingZeros(uint(g.reduction))
	if !g.complete(x, y) || jpeg2000.Reductions(b) < reduce {
		reduce = 0 // padding would get into the pixels beside it
	}
	p, err := jpeg2000Planes(ctx, b, jpeg2000Options(l, x, y, reduce))
	if errors.Is(err, ErrUnsupported) && reduce > 0 { // a part of it has fewer resolutions
		reduce = 0
		p, err = jpeg2000Planes(ctx, b, jpeg2000Options(l, x, y, 0))
	}
	if err != nil {
		return source{}, d.failed(x, y, err)
	}
	defer p.release(ctx)
	f, err := d.ownPlanes(ctx, p.Picture, l.Layout.Photometric == yCbCr)
	if err != nil {
		return source{}, err
	}
	f.at = g.tile(x, y).Min
	if reduce > 0 || g.reduction == 1 {
		return f, nil
	}
	defer f.release(ctx)
	image := g.image.Sub(image.Pt(x*g.tileW, y*g.tileH)).Max
	small, err := f.lowFrequencies(ctx, min(image.X, f.Width), min(image.Y, f.Height), g.reduction)
	small.at = f.at
	return small, err
}

// ownPlanes copies decoded planes. They become RGB if the tiles have different kinds, or gray
// ones have areas that are not gray.
func (d *drawing) ownPlanes(ctx context.Context, p *jpeg2000.Picture, ycc bool) (source, error) {
	from := picture(p, ycc)
	last := &from.Planes[len(from.Planes)-1]
	if n := last.H * last.V; d.mixed || from.Model == planes.Gray && !isGray(d.o.Background) || from.Model == planes.RGB && n > 1 {
		img, err := takePixels(ctx, from.Width, from.Height)
		if err != nil {
			return source{}, err
		}
		defer Discard(ctx, img)
		paintPlanes(img, p.Planes, ycc)
		f := source{cost: planes.Cost(from.Width, from.Height, planes.RGB, 1, 1)}
		if err := Take(ctx, f.cost); err != nil {
			return source{}, err
		}
		f.Picture = asRGB(img, img.Rect)
		return f, nil
	}
	own, err := takePicture(ctx, from.Width, from.Height, from.Model, last.H, last.V)
	if err != nil {
		return source{}, err
	}
	for i := range own.Planes {
		to, q := &own.Planes[i], &from.Planes[i]
		for y := range to.Height {
			copy(to.Row(y), q.Row(y))
		}
	}
	return source{Picture: own, cost: heldBy(own)}, nil
}

// lowFrequencies returns the top left w × h pixels at 1/n of their size, where the wavelets of
// JPEG 2000 would put them.
func (f *source) lowFrequencies(ctx context.Context, w, h, n int) (source, error) {
	last := &f.Planes[len(f.Planes)-1]
	small, err := takePicture(ctx, ceilDiv(w, n), ceilDiv(h, n), f.Model, last.H, last.V)
	if err != nil {
		return source{}, err
	}
	out := source{Picture: small, cost: heldBy(small)}
	cost := resample.Cost(small.Width, float64(n)) + resample.Cost(small.Height, float64(n)) + resample.ScratchCost(w)
	if err := Take(ctx, cost); err != nil {
		out.release(ctx)
		return source{}, err
	}
	defer Give(ctx, cost)
	at := (1 - float64(n)) / 2
	for i := range small.Planes {
		to, from := &small.Planes[i], f.Planes[i]
		from.Width, from.Height = ceilDiv(w, from.H), ceilDiv(h, from.V)
		across := resample.NewAxis(resample.Lanczos, to.Width, at, float64(n), from.Width)
		down := resample.NewAxis(resample.Lanczos, to.Height, at, float64(n), from.Height)
		resample.Plane(to, &from, across, down)
		across.Recycle()
		down.Recycle()
	}
	return out, nil
}

// reducible returns the stored level of JPEG 2000 that zoom level z is derived from by leaving
// out resolutions, or -1.
func (d *tileRenderer) reducible(z int) int {
	downsample := math.Ldexp(1, d.s.MaxZoom()-z)
	for i := len(d.s.Levels) - 1; i >= 0; i-- {
		if l := &d.s.Levels[i]; 2*l.Downsample == downsample && l.Layout.Codec == slide.JPEG2000 && l.TileWidth == d.tileW && l.TileHeight == d.tileH {
			return i
		}
	}
	return -1
}
