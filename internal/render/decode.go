package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/image/webp"

	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/slide"
)

// maxBytes limits the decompressed size of one tile or strip.
const maxBytes = 256 << 20

// Decode decodes one tile or strip of w × h pixels with the layout lay. The result is
// opaque: alpha (extra samples 1 and 2) is blended with white, other extra samples are
// ignored. 16-bit samples are scaled to 8 bits.
//
// A JPEG must be a complete stream of w × h pixels, as [slide.Slide.AppendTile] returns it.
// Its colours are determined as in [DecodeJPEG].
//
// The error wraps [ErrUnsupported] for a layout that is not supported; otherwise the data
// are damaged, or w × h is more than 64 million pixels.
func Decode(ctx context.Context, data []byte, lay slide.Layout, w, h int) (*image.RGBA, error) {
	if err := checkSize(w, h); err != nil {
		return nil, err
	}
	switch lay.Codec {
	case slide.JPEG:
		img, err := DecodeJPEG(ctx, data)
		if err == nil && (img.Rect.Dx() != w || img.Rect.Dy() != h) {
			return nil, fmt.Errorf("JPEG of %d×%d pixels, expected %d×%d", img.Rect.Dx(), img.Rect.Dy(), w, h)
		}
		return img, err
	case slide.WebP:
		return decodeWebP(ctx, data, w, h)
	case slide.JPEG2000:
		return jpeg2000Picture(ctx, data, lay, jpeg2000.Options{Width: w, Height: h, Components: lay.Samples})
	}
	if lay.Planes() > 1 {
		return decodePlanes(ctx, data, lay, w, h)
	}
	if need := w * h * lay.Samples * lay.Bits / 8; need > maxBytes {
		return nil, fmt.Errorf("%d×%d pixels of %d samples have %d bytes, at most %d are supported", w, h, lay.Samples, need, maxBytes)
	}
	rows, err := NewRows(ctx, bytes.NewReader(data), int64(len(data)), lay, w, h)
	if err != nil {
		return nil, err
	}
	img, err := takePixels(ctx, w, h)
	if err != nil {
		rows.Close()
		return nil, err
	}
	for y := range h {
		if err := rows.Read(img.Pix[y*img.Stride:][:4*w]); err != nil {
			Discard(ctx, img)
			rows.Close()
			return nil, err
		}
	}
	return img, rows.Close()
}

// decodeWebP decodes a WebP of w × h pixels and blends it with white.
func decodeWebP(ctx context.Context, data []byte, w, h int) (*image.RGBA, error) {
	config, err := webp.DecodeConfig(bytes.NewReader(data))
	if err == nil && (config.Width != w || config.Height != h) {
		err = fmt.Errorf("%d×%d pixels, where %d×%d are due", config.Width, config.Height, w, h)
	}
	if err != nil {
		return nil, fmt.Errorf("WebP data of %d bytes: %w", len(data), err)
	}
	cost := webpCost(data, w, h)
	if err := Take(ctx, cost); err != nil {
		return nil, err
	}
	defer Give(ctx, cost)
	src, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("WebP data of %d bytes: %w", len(data), err)
	}
	fullRange(src)
	if b := src.Bounds(); b.Dx() != w || b.Dy() != h {
		return nil, fmt.Errorf("WebP of %d×%d pixels was decoded to %v", w, h, b)
	}
	img, err := takePixels(ctx, w, h)
	if err != nil {
		return nil, err
	}
	fill(img, img.Rect, white)
	draw.Draw(img, img.Rect, src, src.Bounds().Min, draw.Over)
	return img, nil
}

// fullRange converts the planes of a lossy WebP in place. VP8 codes brightness from 16 to 235
// and colour from 16 to 240 (RFC 6386 section 9.2 with ITU-R BT.601), while the colour model
// of Go, as that of JPEG, uses 0 to 255.
func fullRange(img image.Image) {
	var planes *image.YCbCr
	switch src := img.(type) {
	case *image.YCbCr:
		planes = src
	case *image.NYCbCrA:
		planes = &src.YCbCr
	default:
		return
	}
	for i, y := range planes.Y {
		planes.Y[i] = lumaRange[y]
	}
	for i := range planes.Cb {
		planes.Cb[i], planes.Cr[i] = chromaRange[planes.Cb[i]], chromaRange[planes.Cr[i]]
	}
}

// lumaRange and chromaRange map values of video range to full range.
var lumaRange, chromaRange = rangeTable(16, 219, 0), rangeTable(128, 224, 128)

// rangeTable maps values so that from becomes to, and width becomes 255.
func rangeTable(from, width, to int) *[256]byte {
	t := new([256]byte)
	for i := range t {
		scaled := to + int(math.Round(float64(i-from)*255/float64(width)))
		t[i] = byte(min(max(scaled, 0), 255))
	}
	return t
}

// newZstd returns a decompressor that starts no goroutines and accepts windows up to the
// given size.
func newZstd(r io.Reader, window uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}

// checksum reads on after the last pixel, as decompressors compare the checksum only at the
// end of the data. It ignores any further data.
func checksum(r io.Reader, wrong error) error {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); errors.Is(err, wrong) {
		return fmt.Errorf("the compressed pixels are damaged: %w", err)
	}
	return nil
}

// narrow scales 16-bit samples to 8 bits in place, and undoes the predictor.
func narrow(row []byte, lay *slide.Layout) []byte {
	hi, lo := 1, 0
	if lay.BigEndian {
		hi, lo = 0, 1
	}
	if lay.Predictor == 2 {
		for i, p := 2*lay.Samples, 0; i < len(row); i, p = i+2, p+2 {
			v := uint16(row[i+hi])<<8 | uint16(row[i+lo])
			v += uint16(row[p+hi])<<8 | uint16(row[p+lo])
			row[i+hi], row[i+lo] = byte(v>>8), byte(v)
		}
	}
	n := len(row) / 2
	for i := range n {
		v := uint32(row[2*i+hi])<<8 | uint32(row[2*i+lo])
		row[i] = byte((v*255 + 32895) >> 16) // v/257, rounded
	}
	return row[:n]
}

// widen expands samples of 1, 2 or 4 bits, the highest first, to 8 bits.
func widen(dst, src []byte, bits int) {
	per, most := 8/bits, byte(1<<bits-1)
	for i := range dst {
		dst[i] = src[i/per] >> (8 - bits - i%per*bits) & most * (255 / most)
	}
}

// A converter converts a row of 8-bit samples to RGBA.
type converter func(dst, src []byte)

// Values of tag 262, photometric interpretation.
const (
	minIsWhite = 0
	minIsBlack = 1
	trueColor  = 2
	palette    = 3
	inks       = 5
	yCbCr      = 6
)

// newConverter returns the converter of a layout, or [ErrUnsupported].
func newConverter(lay *slide.Layout) (converter, error) {
	if lay.Photometric == yCbCr {
		return nil, checkChroma(lay)
	}
	fine := lay.Samples == 1 && lay.Predictor < 2 && lay.Photometric != palette && (lay.Bits == 1 || lay.Bits == 2 || lay.Bits == 4)
	if lay.Bits != 8 && lay.Bits != 16 && !fine {
		return nil, fmt.Errorf("%w: %d bits a sample (only 8 and 16 are read, and for grey 1, 2 and 4)", ErrUnsupported, lay.Bits)
	}
	colors := map[int]int{minIsWhite: 1, minIsBlack: 1, trueColor: 3, palette: 1, inks: 4}[lay.Photometric]
	if colors == 0 || lay.Photometric == palette && lay.Bits != 8 {
		return nil, fmt.Errorf("%w: photometric interpretation %d of %d bits", ErrUnsupported, lay.Photometric, lay.Bits)
	}
	if lay.Samples < colors || lay.Samples > 64 {
		return nil, fmt.Errorf("%d samples per pixel, but photometric interpretation %d has %d", lay.Samples, lay.Photometric, colors)
	}
	if lay.Photometric == palette && len(lay.ColorMap) != 3<<8 {
		return nil, fmt.Errorf("the palette has %d values instead of 768", len(lay.ColorMap))
	}
	return overWhite(lay, colors, opaque(lay)), nil
}

// opaque converts the colours of a layout, and sets alpha to 255.
func opaque(lay *slide.Layout) converter {
	n := lay.Samples
	switch lay.Photometric {
	case trueColor:
		return func(dst, src []byte) {
			for ; len(dst) >= 4 && len(src) >= n; dst, src = dst[4:], src[n:] {
				dst[0], dst[1], dst[2], dst[3] = src[0], src[1], src[2], 255
			}
		}
	case inks:
		return func(dst, src []byte) {
			for ; len(dst) >= 4 && len(src) >= n; dst, src = dst[4:], src[n:] {
				dst[0], dst[1], dst[2] = color.CMYKToRGB(src[0], src[1], src[2], src[3])
				dst[3] = 255
			}
		}
	}
	table := colorTable(lay)
	return func(dst, src []byte) {
		for ; len(dst) >= 4 && len(src) >= n; dst, src = dst[4:], src[n:] {
			copy(dst, table[src[0]][:])
		}
	}
}

// colorTable returns the colour of each value of a single sample.
func colorTable(lay *slide.Layout) *[256][4]byte {
	t := new([256][4]byte)
	for i := range t {
		v := byte(i)
		switch lay.Photometric {
		case minIsWhite:
			v = 255 - v
			fallthrough
		case minIsBlack:
			t[i] = [4]byte{v, v, v, 255}
		case palette: // all reds, then all greens, then all blues, of 16 bits
			m := lay.ColorMap
			t[i] = [4]byte{byte(m[i] >> 8), byte(m[256+i] >> 8), byte(m[512+i] >> 8), 255}
		}
	}
	return t
}

// overWhite blends the result of convert with white if the layout has alpha (tag 338: 1 is
// associated, with premultiplied colours, 2 is not).
func overWhite(lay *slide.Layout, colors int, convert converter) converter {
	if lay.Samples <= colors || len(lay.ExtraSamples) == 0 {
		return convert
	}
	kind := lay.ExtraSamples[0]
	if kind != 1 && kind != 2 {
		return convert
	}
	return func(dst, src []byte) {
		convert(dst, src)
		for i := 0; i+4 <= len(dst); i += 4 {
			alpha := uint32(src[i/4*lay.Samples+colors])
			for j, c := range dst[i : i+3] {
				v := uint32(c) * 255
				if kind == 2 {
					v = uint32(c) * alpha
				}
				dst[i+j] = byte(min((v+255*(255-alpha)+127)/255, 255))
			}
		}
	}
}
