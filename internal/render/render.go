// Package render decodes tiles, strips and associated images, scales and composes them,
// and encodes the result as JPEG. Tiles that are stored as they are requested do not need
// it.
//
// An unreadable tile is an error and never replaced by a blank one. Only tiles that the
// scanner skipped have the background colour.
package render

import (
	"image"
	"image/color"
	"image/draw"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/planes"
)

// maxPixels limits every image that is decoded or rendered.
const maxPixels = jpeg.MaxPixels

// ErrUnsupported reports pixels that are stored in a way that is not supported.
var ErrUnsupported = jpeg.ErrUnsupported

var white = color.RGBA{255, 255, 255, 255}

// DecoderName returns the name of the JPEG decoder in use, see [codec.Name].
func DecoderName() string { return codec.Name() }

// Blank returns a JPEG of w × h pixels in one colour.
func Blank(w, h int, c color.RGBA) ([]byte, error) {
	if err := checkSize(w, h); err != nil {
		return nil, err
	}
	img := newPixels(w, h)
	defer recycle(img)
	fill(img, img.Rect, c)
	return EncodeJPEG(img, defaultQuality)
}

// Crop returns the top left w × h pixels of img. The result shares the pixels of img.
func Crop(img *image.RGBA, w, h int) *image.RGBA {
	return img.SubImage(image.Rect(0, 0, w, h).Add(img.Rect.Min)).(*image.RGBA)
}

// checkSize rejects images that are empty or too large.
func checkSize(w, h int) error { return jpeg.CheckSize(w, h) }

// newPixels returns an image of w × h pixels with undefined contents.
func newPixels(w, h int) *image.RGBA { return planes.NewRGBA(w, h) }

// recycle returns an image for reuse. The caller must not use it afterwards.
func recycle(img *image.RGBA) { planes.RecycleRGBA(img) }

// fill paints r, which must lie in img.
func fill(img *image.RGBA, r image.Rectangle, c color.RGBA) {
	draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
}
