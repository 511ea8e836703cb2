// Package render turns stored pixels into pictures: it decodes tiles, strips and
// associated images, shrinks and composes them, and encodes what came of it as
// JPEG. A tile that is stored as it is asked for never comes here.
//
// Nothing is drawn in place of what cannot be read: an unreadable tile is an
// error. Only what the scanner skipped as bare glass has the background's colour.
package render

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"sync"
)

const (
	// maxPixels bounds every picture that is decoded or made: 256 MiB of RGBA.
	maxPixels = 64 << 20
	// maxSide is the largest side a JPEG can have (ITU-T T.81 B.2.2).
	maxSide = 65535
)

var (
	// ErrUnsupported reports pixels that are whole, and stored in a way that is
	// not read here.
	ErrUnsupported = errors.New("render: unsupported")
	// ErrNotLossless reports a JPEG that cannot be cropped without decoding it.
	ErrNotLossless = errors.New("render: not to be cropped without loss")
)

var white = color.RGBA{255, 255, 255, 255}

// DecoderName says which JPEG decoder is at work: "Go image/jpeg", or where the
// program was built with the tag turbo "libjpeg-turbo" and its major version. If
// that library cannot be loaded, Go's is used, and the name says why.
func DecoderName() string { return jpegs().name }

// Blank returns a JPEG of one colour, w × h pixels.
func Blank(w, h int, c color.RGBA) ([]byte, error) {
	if err := checkSize(w, h); err != nil {
		return nil, err
	}
	img := newPixels(w, h)
	defer recycle(img)
	fill(img, img.Rect, c)
	return EncodeJPEG(img, defaultQuality)
}

// Crop returns the top left w × h pixels of img, which it shares.
func Crop(img *image.RGBA, w, h int) *image.RGBA {
	return img.SubImage(image.Rect(0, 0, w, h).Add(img.Rect.Min)).(*image.RGBA)
}

// checkSize refuses what is no picture, or too large a one.
func checkSize(w, h int) error {
	if w < 1 || h < 1 || w > maxSide || h > maxSide || w*h > maxPixels {
		return fmt.Errorf("render: %d×%d pixels: at least 1×1, at most %d a side and %d in all", w, h, maxSide, maxPixels)
	}
	return nil
}

// pixels keeps pictures for reuse: tiles are all of one or two sizes, and a
// tile's worth of fresh zeroed memory costs as much as halving it.
var pixels sync.Pool

// newPixels returns a picture of w × h pixels that may show anything.
func newPixels(w, h int) *image.RGBA {
	n := 4 * w * h
	if img, _ := pixels.Get().(*image.RGBA); img != nil && cap(img.Pix) >= n {
		img.Pix, img.Stride, img.Rect = img.Pix[:n], 4*w, image.Rect(0, 0, w, h)
		return img
	}
	return image.NewRGBA(image.Rect(0, 0, w, h))
}

// recycle gives back a picture that nobody looks at any more.
func recycle(img *image.RGBA) {
	const most = 16 << 20 // bytes; larger ones are rare, and not worth holding
	if img != nil && cap(img.Pix) <= most {
		pixels.Put(img)
	}
}

// fill paints r, which must lie in img.
func fill(img *image.RGBA, r image.Rectangle, c color.RGBA) {
	draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
}
