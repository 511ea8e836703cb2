package render

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/slide"
)

// decodeTile decodes tile x,y of a level to its full size.
func decodeTile(ctx context.Context, data []byte, l *slide.Level, x, y int) (*image.RGBA, error) {
	if l.Layout.Codec == slide.JPEG2000 {
		return decodeJPEG2000(ctx, data, l, x, y, 0)
	}
	return Decode(ctx, data, l.Layout, l.TileWidth, l.TileHeight)
}

// decodeJPEG2000 decodes tile x,y of a level at 1/2^reduce of its size, rounded up. Tiles at
// the right and bottom edges may be stored without the pixels beyond the image; these repeat
// the last ones then.
func decodeJPEG2000(ctx context.Context, data []byte, l *slide.Level, x, y, reduce int) (*image.RGBA, error) {
	return jpeg2000Picture(ctx, data, l.Layout, jpeg2000.Options{
		Width: l.TileWidth, Height: l.TileHeight, Reduce: reduce, Components: l.Layout.Samples,
		MinWidth: min(l.TileWidth, l.Width-x*l.TileWidth), MinHeight: min(l.TileHeight, l.Height-y*l.TileHeight),
	})
}

// jpeg2000Picture decodes JPEG 2000 in a helper process, whose memory is taken from the
// budget as well.
func jpeg2000Picture(ctx context.Context, data []byte, lay slide.Layout, o jpeg2000.Options) (*image.RGBA, error) {
	w, h := jpeg2000.Reduced(o.Width, o.Reduce), jpeg2000.Reduced(o.Height, o.Reduce)
	cost := jpeg2000.Memory(o.Width, o.Height, o.Components)
	if err := Take(ctx, cost); err != nil {
		return nil, err
	}
	defer Give(ctx, cost)
	p, err := jpeg2000.Decode(ctx, data, o)
	switch {
	case errors.Is(err, jpeg2000.ErrUnavailable), errors.Is(err, jpeg2000.ErrUnsupported):
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	case err != nil:
		return nil, err
	}
	img, err := takePixels(ctx, w, h)
	if err != nil {
		return nil, err
	}
	paintPlanes(img, p.Planes, lay.Photometric == yCbCr)
	extend(img, image.Rect(0, 0, p.Planes[0].Width, p.Planes[0].Height), img.Rect)
	return img, nil
}

// paintPlanes paints planes to the top left of img, which is at least as large: one of grey, or
// three of colours. Samples that cover several pixels are repeated, as OpenSlide does.
func paintPlanes(img *image.RGBA, planes []jpeg2000.Plane, ycc bool) {
	first := &planes[0]
	for y := range first.Height {
		dst := img.Pix[y*img.Stride:][:4*first.Width]
		if len(planes) == 1 {
			for x, v := range first.Pix[y*first.Width:][:first.Width] {
				dst[4*x], dst[4*x+1], dst[4*x+2], dst[4*x+3] = v, v, v, 255
			}
			continue
		}
		c1, c2 := &planes[1], &planes[2]
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

// halfTile decodes a tile of a zoom level at half its size, from fewer resolutions of the
// JPEG 2000 that is stored. It reports false if the zoom level is stored differently, or that
// fails.
func (d *tileRenderer) halfTile(ctx context.Context, z, x, y int) (*image.RGBA, bool) {
	level := d.s.Zooms[z].Level
	if level < 0 || d.s.Levels[level].Layout.Codec != slide.JPEG2000 {
		return nil, false
	}
	l := &d.s.Levels[level]
	if d.makeRoom(ctx, d.s.TileBytes(level, x, y)) != nil {
		return nil, false
	}
	b, err := d.s.AppendTile(d.buf[:0], level, x, y)
	if err != nil {
		return nil, false
	}
	d.buf = b
	img, err := decodeJPEG2000(ctx, b, l, x, y, 1)
	if err != nil {
		return nil, false
	}
	// The zoom level still has the pixels that the level has lost.
	w, h := d.valid(z, x, y)
	Stretch(img, (min(w, l.Width-x*d.tileW)+1)/2, (min(h, l.Height-y*d.tileH)+1)/2, (w+1)/2, (h+1)/2)
	return img, true
}
