package render

import (
	"context"
	"fmt"
	"image"
)

const defaultQuality = 85

// A jpegCodec decodes and encodes JPEG. Each program has one: see jpegs.
type jpegCodec struct {
	name   string
	blends bool // chroma of fewer pixels is blended with that beside, also above and below
	decode func(data []byte, h *header) (*image.RGBA, error)
	encode func(img *image.RGBA, quality int) ([]byte, error)
}

// DecodeJPEG returns the pixels of a JPEG of 1, 3 or 4 colours, at most 64
// million of them, all of them opaque.
//
// What the colours are the stream itself says, and is understood as browsers do
// (libjpeg's rule): JFIF is YCbCr, an Adobe marker (APP14) tells RGB from YCbCr
// and CMYK from YCCK, components called R, G and B are those, and three others
// are YCbCr.
//
// A JPEG that ends early, or is damaged so that a decoder would have to guess, is
// an error. One that has to be held as a whole before its first pixel is known, as
// progressive ones have, may have 16 million pixels; more is [ErrTooLarge].
func DecodeJPEG(ctx context.Context, data []byte) (*image.RGBA, error) {
	h, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	cost := h.cost()
	if err := Take(ctx, cost); err != nil {
		return nil, err
	}
	img, err := jpegs().decode(data, h)
	if err != nil {
		Give(ctx, cost)
		return nil, err
	}
	Give(ctx, cost-pictureCost(img.Rect.Dx(), img.Rect.Dy()))
	if img.Rect.Dx() != h.width || img.Rect.Dy() != h.height {
		return nil, fmt.Errorf("render: JPEG of %d×%d pixels came out as %v", h.width, h.height, img.Rect)
	}
	return img, nil
}

// EncodeJPEG returns img as a baseline JPEG (JFIF, YCbCr, 4:2:0) with no other
// metadata. Quality is 1 to 100; 0 means 85. The alpha of img is ignored.
func EncodeJPEG(img *image.RGBA, quality int) ([]byte, error) {
	if err := checkSize(img.Rect.Dx(), img.Rect.Dy()); err != nil {
		return nil, err
	}
	if quality == 0 {
		quality = defaultQuality
	}
	if quality < 1 || quality > 100 {
		return nil, fmt.Errorf("render: JPEG quality %d: it must be between 1 and 100", quality)
	}
	return jpegs().encode(img, quality)
}
