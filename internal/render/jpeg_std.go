package render

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	stdjpeg "image/jpeg"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
)

// jfif is SOI and a JFIF 1.1 header with square pixels and no thumbnail. Go's encoder does
// not write them.
const jfif = "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"

var stdJPEG = jpegCodec{name: "Go image/jpeg", decode: stdDecode, encode: stdEncode}

func stdDecode(data []byte, h *jpeg.Header) (*image.RGBA, error) {
	if h.Adobe > 0 && h.CalledRGB() {
		// Like libjpeg, give the Adobe marker precedence over the component names. Go's
		// decoder does so if the stream is JFIF.
		data = append([]byte(jfif), data[2:]...)
	}
	src, err := stdjpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("JPEG of %d bytes: %w", len(data), err)
	}
	if img, ok := src.(*image.RGBA); ok {
		return img, nil
	}
	b := src.Bounds()
	img := newPixels(b.Dx(), b.Dy())
	draw.Draw(img, img.Rect, src, b.Min, draw.Src)
	return img, nil
}

func stdEncode(img *image.RGBA, quality int) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(len(jfif) + img.Rect.Dx()*img.Rect.Dy()/8)
	buf.WriteString(jfif)
	if err := stdjpeg.Encode(&afterSOI{w: &buf}, img, &stdjpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("cannot encode a JPEG: %w", err)
	}
	return buf.Bytes(), nil
}

// afterSOI drops the first two bytes written to it.
type afterSOI struct {
	w    *bytes.Buffer
	seen int
}

func (a *afterSOI) Write(p []byte) (int, error) {
	skip := min(len(p), 2-a.seen)
	a.seen += skip
	a.w.Write(p[skip:])
	return len(p), nil
}
