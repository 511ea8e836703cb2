package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"

	"github.com/slideatlas/ptiffstore/slide"
)

// regionPixels limits the pixels to read for one region: the maximum that is rendered, at
// the next larger zoom level, and twice that for a region that is reduced in one direction
// only.
const regionPixels = 32 << 20

// ErrTooMuch reports a region whose aspect ratio is reduced so much that too many pixels
// would have to be read.
var ErrTooMuch = errors.New("too many pixels to read for such a small image")

// Region renders the part r of the image as w × h pixels, from the image halved the given
// number of times. It does not enlarge: r must have at least w × h pixels in the halved
// image. Each pixel is the mean of the area it covers. Areas that the scanner skipped have
// the background colour; a tile that cannot be read is an error.
//
// R is in pixels of level 0 from the corner of [slide.Slide.Bounds]. What of it lies beyond
// the image is not averaged.
func Region(ctx context.Context, s *slide.Slide, r image.Rectangle, halved, w, h int, o Options) (*image.RGBA, error) {
	if halved < 0 || halved > s.MaxZoom() {
		return nil, slide.ErrNoTile
	}
	if p := within(s, r, halved); p.Dx()*p.Dy() > regionPixels {
		return nil, ErrTooMuch
	}
	return region(ctx, s, r, halved, w, h, o)
}

// within returns the pixels of the image halved so many times that the part r of the image
// touches, in pixels of the zoom level.
func within(s *slide.Slide, r image.Rectangle, halved int) image.Rectangle {
	zoom := &s.Zooms[s.MaxZoom()-halved]
	r = r.Add(s.Bounds.Min)
	end := image.Pt(min(ceilShift(s.Bounds.Max.X, halved), zoom.Width), min(ceilShift(s.Bounds.Max.Y, halved), zoom.Height))
	return image.Rect(r.Min.X>>halved, r.Min.Y>>halved, min(ceilShift(r.Max.X, halved), end.X), min(ceilShift(r.Max.Y, halved), end.Y))
}

// region is [Region] without a limit.
func region(ctx context.Context, s *slide.Slide, r image.Rectangle, halved, w, h int, o Options) (*image.RGBA, error) {
	z, part := s.MaxZoom()-halved, within(s, r, halved)
	if w < 1 || h < 1 || w > part.Dx() || h > part.Dy() {
		return nil, fmt.Errorf("invalid region: %d×%d pixels scaled to %d×%d", part.Dx(), part.Dy(), w, h)
	}
	d := newTileRenderer(s, o)
	if err := takeShrinker(ctx, part.Dx(), part.Dy(), w, h); err != nil {
		return nil, err
	}
	at := r.Min.Add(s.Bounds.Min)
	sh := shrinkerOf(
		sharesAt(part.Dx(), windowed(part.Min.X, part.Dx(), halved, at.X, r.Dx(), w)),
		sharesAt(part.Dy(), windowed(part.Min.Y, part.Dy(), halved, at.Y, r.Dy(), h)), w, h,
	)
	_, err := d.addTiles(ctx, sh, part, d.tileW, d.tileH, func(x, y int) (*image.RGBA, error) { return d.of(ctx, z, x, y) })
	if err != nil {
		return nil, err
	}
	return sh.picture(), nil
}

// windowed returns a function of the position of pixel first+i of the halved image, of which
// count are used. The position is in 65536ths of a pixel of the result, which renders the n
// pixels of level 0 from at on as m pixels. Pixels outside that range have no width, and the
// last one ends with it.
func windowed(first, count, halved, at, n, m int) func(i int) int {
	return func(i int) int {
		if i == count {
			return m << 16
		}
		return min(max((first+i)<<halved-at, 0), n) * (m << 16) / n
	}
}

// of returns a tile of a zoom level as pixels. A derived one is decoded from
// [Options.Tile].
func (d *tileRenderer) of(ctx context.Context, z, x, y int) (*image.RGBA, error) {
	if d.s.Zooms[z].Level >= 0 || d.o.Tile == nil {
		return d.tile(ctx, z, x, y)
	}
	b, err := d.o.Tile(ctx, z, x, y)
	if err != nil {
		return nil, err
	}
	return DecodeJPEG(ctx, b)
}

func ceilShift(n, k int) int { return (n + 1<<k - 1) >> k }

// Turn mirrors img if mirror is set, and then rotates it clockwise by 0, 90, 180 or 270°.
func Turn(img *image.RGBA, mirror bool, degrees int) *image.RGBA {
	if !mirror && degrees == 0 {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	if degrees%180 != 0 {
		out = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			u, v := x, y
			if mirror {
				u = w - 1 - u
			}
			switch degrees {
			case 90:
				u, v = h-1-v, u
			case 180:
				u, v = w-1-u, h-1-v
			case 270:
				u, v = v, w-1-u
			}
			copy(out.Pix[v*out.Stride+4*u:][:4], img.Pix[y*img.Stride+4*x:][:4])
		}
	}
	return out
}

// Gray converts img to grayscale in place, with the luma of ITU-R BT.601 as in JPEG. With
// bitonal the pixels are black or white.
func Gray(img *image.RGBA, bitonal bool) {
	for i := 0; i+3 < len(img.Pix); i += 4 {
		p := img.Pix[i:][:3]
		y := byte((299*uint32(p[0]) + 587*uint32(p[1]) + 114*uint32(p[2]) + 500) / 1000)
		if bitonal {
			y = byte(int8(y) >> 7) // 255 from 128 on
		}
		p[0], p[1], p[2] = y, y, y
	}
}

// EncodePNG returns img, which must be opaque, as a PNG.
func EncodePNG(img *image.RGBA) ([]byte, error) {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
		return nil, fmt.Errorf("cannot encode a PNG: %w", err)
	}
	return b.Bytes(), nil
}
