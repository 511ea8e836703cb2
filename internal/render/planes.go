package render

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/slide"
)

// decodePlanes decodes a tile or strip whose colours are stored apart, as
// [slide.Layout.Planes] describes.
func decodePlanes(ctx context.Context, data []byte, lay slide.Layout, w, h int) (*image.RGBA, error) {
	convert, err := newConverter(&lay)
	if err != nil {
		return nil, err
	}
	if lay.Bits < 8 || lay.Photometric == yCbCr {
		return nil, fmt.Errorf("%w: photometric interpretation %d of %d bits in planes", ErrUnsupported, lay.Photometric, lay.Bits)
	}
	if n := int64(w) * int64(lay.Samples); n > maxBytes {
		return nil, fmt.Errorf("a row has %d samples, at most %d are supported", n, maxBytes)
	}
	planes, err := openPlanes(ctx, data, lay, w, h)
	var img *image.RGBA
	if err == nil {
		img, err = interleave(ctx, planes, convert, w, h)
	}
	for _, p := range planes {
		if closed := p.Close(); err == nil {
			err = closed
		}
	}
	if err != nil && img != nil {
		Discard(ctx, img)
		img = nil
	}
	return img, err
}

// openPlanes opens the planes in data. The caller closes them, also after an error.
func openPlanes(ctx context.Context, data []byte, lay slide.Layout, w, h int) (planes []*Rows, err error) {
	one := lay
	one.Photometric, one.Samples, one.Planar, one.ExtraSamples = minIsBlack, 1, 1, nil
	for i := range lay.Samples {
		var part []byte
		if part, data, err = nextPlane(data); err != nil {
			return planes, fmt.Errorf("colour %d of %d: %w", i, lay.Samples, err)
		}
		rows, err := NewRows(ctx, bytes.NewReader(part), int64(len(part)), one, w, h)
		if err != nil {
			return planes, fmt.Errorf("colour %d of %d: %w", i, lay.Samples, err)
		}
		planes = append(planes, rows)
	}
	return planes, nil
}

// nextPlane returns the bytes of the first plane in data, and the rest.
func nextPlane(data []byte) (plane, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errors.New("it is missing")
	}
	n, rest := binary.BigEndian.Uint32(data), data[4:]
	if uint64(n) > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("it has %d bytes instead of %d", len(rest), n)
	}
	return rest[:n], rest[n:], nil
}

// interleave reads all planes row by row.
func interleave(ctx context.Context, planes []*Rows, convert converter, w, h int) (*image.RGBA, error) {
	row := make([]byte, w*len(planes)) // less than the picture
	img, err := takePixels(ctx, w, h)
	if err != nil {
		return nil, err
	}
	for y := range h {
		for i, p := range planes {
			if err := p.fill(); err != nil {
				Discard(ctx, img)
				return nil, fmt.Errorf("colour %d of %d: %w", i, len(planes), err)
			}
			p.y++
			for x, v := range p.eightBit()[:w] {
				row[x*len(planes)+i] = v
			}
		}
		convert(img.Pix[y*img.Stride:][:4*w], row)
	}
	return img, nil
}
