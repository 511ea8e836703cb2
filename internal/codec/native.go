//go:build native && cgo

package codec

/*
#cgo CFLAGS: -O2
#cgo LDFLAGS: -l:libturbojpeg.a -lm
#include <stdlib.h>
#include "native.h"
*/
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"unsafe"

	"github.com/slideatlas/ptiffstore/internal/planes"
)

const native = true

func codecName() string {
	v := int(C.pt_version())
	return fmt.Sprintf("libjpeg-turbo %d.%d.%d", v/1e6, v/1000%1000, v%1000)
}

type message [C.PT_MESSAGE]C.char

func (m *message) error() error { return errors.New(C.GoString(&m[0])) }

func first(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

// source returns what C checks the header against.
func (j *input) source() C.pt_source {
	h := j.head
	s := C.pt_source{width: C.int(h.Width), height: C.int(h.Height), components: C.int(len(h.Components)), denominator: C.int(j.denominator)}
	for i, c := range h.Components {
		s.factors[i] = C.int(c.H<<4 | c.V)
	}
	if j.model() == planes.RGB {
		s.rgb = 1
	}
	return s
}

func (j *input) decode() (*planes.Picture, error) {
	subX, subY, ok := j.subsampling()
	if !ok {
		img, err := j.decodeRGBA()
		if err != nil {
			return nil, err
		}
		defer planes.RecycleRGBA(img)
		return fromRGBA(img), nil
	}
	// All columns, and the rows of MCUs that the part touches.
	n, mcu := j.denominator, 8
	for _, c := range j.head.Components {
		mcu = max(mcu, 8*c.V)
	}
	top := j.part.Min.Y / mcu * mcu
	bottom := min((j.part.Max.Y+mcu-1)/mcu*mcu, j.head.Height)
	x, y := scaled(subX, subY, n)
	p := planes.New((j.head.Width+n-1)/n, (bottom-top+n-1)/n, j.model(), x, y)
	if err := j.decodePlanes(p, top, bottom); err != nil {
		p.Recycle()
		return nil, err
	}
	return p.Part(outer(j.part.Sub(image.Pt(0, top)), n)), nil
}

func (j *input) decodePlanes(p *planes.Picture, top, bottom int) error {
	pix, about := forC(p)
	s, m := j.source(), message{}
	if C.pt_decode_planes(first(j.data), C.size_t(len(j.data)), &s, C.int(top), C.int(bottom), pix[0], pix[1], pix[2], &about[0], &m[0]) != 0 {
		return m.error()
	}
	return nil
}

// forC returns the planes of p for C.
func forC(p *planes.Picture) (pix [3]*C.uint8_t, about [3]C.pt_plane) {
	for i, q := range p.Planes {
		pix[i] = first(q.Pix)
		about[i] = C.pt_plane{stride: C.size_t(q.Stride), rows: C.int(len(q.Pix) / q.Stride), width: C.int(q.Width), height: C.int(q.Height)}
	}
	return pix, about
}

func (j *input) decodeRGBA() (*image.RGBA, error) {
	part := outer(j.part, j.denominator)
	img := planes.NewRGBA(part.Dx(), part.Dy())
	s, m := j.source(), message{}
	if C.pt_decode_rgba(first(j.data), C.size_t(len(j.data)), &s, C.int(part.Min.X), C.int(part.Min.Y), C.int(part.Dx()), C.int(part.Dy()),
		first(img.Pix), C.size_t(img.Stride), &m[0]) != 0 {
		planes.RecycleRGBA(img)
		return nil, m.error()
	}
	return img, nil
}

func encode(p *planes.Picture, quality int) ([]byte, error) {
	pix, about := forC(p)
	sub, rgb := 0x11, 0
	switch p.Model {
	case planes.RGB:
		rgb = 1
	case planes.YCbCr:
		sub = p.Planes[1].H<<4 | p.Planes[1].V
	}
	var out *C.uint8_t
	var n C.size_t
	var m message
	if C.pt_encode_planes(pix[0], pix[1], pix[2], &about[0], C.int(len(p.Planes)), C.int(rgb), C.int(sub), C.int(p.Width), C.int(p.Height), C.int(quality), &out, &n, &m[0]) != 0 {
		return nil, fmt.Errorf("cannot encode %d×%d pixels: %w", p.Width, p.Height, m.error())
	}
	return taken(out, n), nil
}

func encodeRGBA(img *image.RGBA, quality int) ([]byte, error) {
	var out *C.uint8_t
	var n C.size_t
	var m message
	if C.pt_encode_rgba(first(img.Pix), C.size_t(img.Stride), C.int(img.Rect.Dx()), C.int(img.Rect.Dy()), C.int(quality), &out, &n, &m[0]) != 0 {
		return nil, fmt.Errorf("cannot encode %d×%d pixels: %w", img.Rect.Dx(), img.Rect.Dy(), m.error())
	}
	return taken(out, n), nil
}

// taken copies what C allocated, and frees it.
func taken(out *C.uint8_t, n C.size_t) []byte {
	defer C.free(unsafe.Pointer(out))
	return bytes.Clone(unsafe.Slice((*byte)(out), int(n)))
}
