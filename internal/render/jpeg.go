package render

import (
	"context"
	"image"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
)

const defaultQuality = 85

// DecodeJPEG decodes a JPEG of 1, 3 or 4 components and at most 64 million pixels. The
// result is opaque.
//
// The colours are determined from the stream as in browsers (the rule of libjpeg): JFIF is
// YCbCr; an Adobe marker (APP14) distinguishes RGB from YCbCr and CMYK from YCCK;
// components named R, G and B are RGB; three other components are YCbCr.
//
// A JPEG that ends early, or is so damaged that a decoder would have to guess, is an error.
// A JPEG that must be held completely before its first pixel is known, such as a
// progressive one, may have 16 million pixels. The error for larger images is
// [ErrTooLarge].
func DecodeJPEG(ctx context.Context, data []byte) (*image.RGBA, error) {
	h, err := jpeg.ReadHeader(data)
	if err != nil {
		return nil, err
	}
	cost := jpegCost(h)
	if err := Take(ctx, cost); err != nil {
		return nil, err
	}
	img, err := codec.DecodeRGBA(data, codec.Options{})
	if err != nil {
		Give(ctx, cost)
		return nil, err
	}
	Give(ctx, cost-pictureCost(img.Rect.Dx(), img.Rect.Dy()))
	return img, nil
}

// EncodeJPEG returns img as a baseline JPEG (JFIF, YCbCr, 4:2:0) without other metadata.
// Quality is 1 to 100; 0 means 85. The alpha of img is ignored.
func EncodeJPEG(img *image.RGBA, quality int) ([]byte, error) {
	if quality == 0 {
		quality = defaultQuality
	}
	return codec.EncodeRGBA(img, quality)
}
