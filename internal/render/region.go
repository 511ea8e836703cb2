package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/planes"
)

// ErrTooMuch reports a view whose aspect ratio is reduced so much that too many pixels
// would have to be read.
var ErrTooMuch = errors.New("too many pixels to read for such a small image")

// EncodePicture returns p as a baseline JPEG (JFIF) with the planes of p; one in RGB as YCbCr
// with chroma of half the width and height. Quality is 1 to 100; 0 means 85.
func EncodePicture(p *planes.Picture, quality int) ([]byte, error) {
	if quality == 0 {
		quality = defaultQuality
	}
	return codec.Encode(p, quality)
}

// AsRGBA returns p as RGBA, and releases p. The caller must [Discard] the image.
func AsRGBA(ctx context.Context, p *planes.Picture) (*image.RGBA, error) {
	defer DiscardPicture(ctx, p)
	if err := Take(ctx, pictureCost(p.Width, p.Height)); err != nil {
		return nil, err
	}
	return p.RGBA(), nil
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
