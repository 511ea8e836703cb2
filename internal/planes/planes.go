// Package planes holds images as planes of 8-bit samples, as JPEG stores them: brightness in
// full, chroma often at a half or a quarter of the size. Rendering in planes saves the
// conversion to RGB and back, and does not blur chroma once more.
package planes

import (
	"image"
	"math/bits"
	"sync"
)

// A Model says what the samples of the planes are.
type Model uint8

const (
	// Gray is one plane of brightness.
	Gray Model = iota
	// YCbCr is brightness and two planes of chroma, by ITU-R BT.601 over the whole range of
	// 0 to 255, as in JFIF.
	YCbCr
	// RGB is red, green and blue.
	RGB
)

// A Picture is an image as planes of 8-bit samples.
type Picture struct {
	Width, Height int // pixels
	Model         Model
	Planes        []Plane // 1 for Gray, else 3

	planes [3]Plane
	memory []byte
}

// A Plane is the samples of one component, row by row.
type Plane struct {
	Pix           []byte // row y begins at y*Stride; Stride and rows may be padded to whole MCUs
	Stride        int    // bytes
	Width, Height int    // samples that belong to the picture
	H, V          int    // pixels that a sample covers: 1, 2 or 4
}

const (
	// padColumns and padRows are the multiples to which planes are padded: at least an MCU,
	// which has at most 32 × 32 samples.
	padColumns, padRows = 32, 32
	// slack follows the last plane, so that vector instructions may read past a row's end.
	slack = 64
)

// New returns a picture of w × h pixels with undefined samples. In a YCbCr picture, a chroma
// sample covers subX × subY pixels, of 1, 2 or 4 each; for other models both must be 1. The
// rows and columns of all planes are padded to multiples of 32 samples.
func New(w, h int, m Model, subX, subY int) *Picture {
	p := &Picture{Width: w, Height: h, Model: m}
	n := int(Cost(w, h, m, subX, subY))
	p.memory = pooled(n)
	p.Planes = p.planes[:count(m)]
	at := 0
	for i := range p.Planes {
		x, y := covered(i, subX, subY)
		pw, ph := ceilDiv(w, x), ceilDiv(h, y)
		stride, rows := pad(pw, padColumns), pad(ph, padRows)
		p.Planes[i] = Plane{Pix: p.memory[at : at+stride*rows], Stride: stride, Width: pw, Height: ph, H: x, V: y}
		at += stride * rows
	}
	return p
}

// Cost returns the memory of a picture in bytes, with the arguments of New.
func Cost(w, h int, m Model, subX, subY int) int64 {
	n := int64(slack)
	for i := range count(m) {
		x, y := covered(i, subX, subY)
		n += int64(pad(ceilDiv(w, x), padColumns)) * int64(pad(ceilDiv(h, y), padRows))
	}
	return n
}

// count returns the number of planes of a model.
func count(m Model) int {
	if m == Gray {
		return 1
	}
	return 3
}

// covered returns how many pixels a sample of plane i covers.
func covered(i, subX, subY int) (x, y int) {
	if i == 0 {
		return 1, 1
	}
	return subX, subY
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func pad(n, to int) int { return ceilDiv(n, to) * to }

// Recycle returns the memory of p for reuse. Neither p nor a part of it may be used
// afterwards.
func (p *Picture) Recycle() {
	if p != nil && p.memory != nil {
		putMemory(p.memory)
		p.memory, p.Planes = nil, nil
	}
}

// Part returns the pixels r of p, which shares the samples of p. The chroma of the part
// begins at the sample that covers its first pixel, so r.Min should be a multiple of the
// pixels that a sample covers. Recycling the part recycles p.
func (p *Picture) Part(r image.Rectangle) *Picture {
	r = r.Intersect(image.Rect(0, 0, p.Width, p.Height))
	if r.Empty() {
		return &Picture{Model: p.Model, memory: p.memory}
	}
	part := &Picture{Width: r.Dx(), Height: r.Dy(), Model: p.Model, memory: p.memory}
	part.Planes = part.planes[:len(p.Planes)]
	for i, q := range p.Planes {
		x, y := r.Min.X/q.H, r.Min.Y/q.V
		part.Planes[i] = Plane{
			Pix: q.Pix[y*q.Stride+x:], Stride: q.Stride, H: q.H, V: q.V,
			Width: ceilDiv(r.Max.X, q.H) - x, Height: ceilDiv(r.Max.Y, q.V) - y,
		}
	}
	return part
}

// Row returns the samples of row y, without padding.
func (q *Plane) Row(y int) []byte { return q.Pix[y*q.Stride:][:q.Width] }

// FillRow sets all samples of a row to v.
func FillRow(row []byte, v byte) {
	for i := range row {
		row[i] = v
	}
}

// SplitRow copies the pixels of a row of RGBA, as many as r has samples, into rows of red, green
// and blue.
func SplitRow(r, g, b, rgba []byte) {
	n := len(r)
	g, b, rgba = g[:n], b[:n], rgba[:4*n]
	for i := range r {
		r[i], g[i], b[i] = rgba[4*i], rgba[4*i+1], rgba[4*i+2]
	}
}

// memories pools memory for reuse, by the number of bits of its size: tiles are all of one or
// two sizes, and a tile's worth of fresh zeroed memory costs as much as halving it.
var memories [26]sync.Pool

func pooled(n int) []byte {
	if i := bits.Len(uint(n)); i < len(memories) {
		if b, _ := memories[i].Get().(*[]byte); b != nil && cap(*b) >= n {
			return (*b)[:n]
		}
	}
	return make([]byte, n)
}

func putMemory(b []byte) {
	if i := bits.Len(uint(cap(b))); i < len(memories) { // larger ones are rare
		memories[i].Put(&b)
	}
}

// rgbas pools images, apart from their memory.
var rgbas sync.Pool

// NewRGBA returns an image of w × h pixels with undefined contents.
func NewRGBA(w, h int) *image.RGBA {
	img, _ := rgbas.Get().(*image.RGBA)
	if img == nil {
		img = new(image.RGBA)
	}
	img.Pix, img.Stride, img.Rect = pooled(4*w*h), 4*w, image.Rect(0, 0, w, h)
	return img
}

// RecycleRGBA returns an image, which must be an entire one of [NewRGBA], for reuse. The
// caller must not use it afterwards.
func RecycleRGBA(img *image.RGBA) {
	if img != nil {
		putMemory(img.Pix)
		img.Pix = nil
		rgbas.Put(img)
	}
}
