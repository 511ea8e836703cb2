//go:build native && cgo

package resample

/*
#cgo CFLAGS: -O3 -std=gnu11 -Wall -Wno-unused-function
#include "kernel.h"
*/
import "C"

import (
	"runtime"
	"unsafe"

	"github.com/slideatlas/ptiffstore/internal/planes"
)

// kernel scales a plane in C, with the vectors that the processor has.
func kernel(dst, src *planes.Plane, x, y *Axis) { cKernel(dst, src, x, y, false) }

// cKernel is [kernel]; with base it uses only the instructions that every processor has.
func cKernel(dst, src *planes.Plane, x, y *Axis, base bool) {
	s := scratch((src.Width + 16 + 3) / 4) // of 2 bytes a column
	defer scratches.Put(s)
	var pin runtime.Pinner
	defer pin.Unpin()
	cx, cy := x.c(&pin), y.c(&pin)
	from, to := (*C.uint8_t)(&src.Pix[0]), (*C.uint8_t)(&dst.Pix[0])
	sums := (*C.int16_t)(unsafe.Pointer(&(*s)[0]))
	if base {
		C.resample_plane_base(from, C.ptrdiff_t(src.Stride), C.int(src.Width), to, C.ptrdiff_t(dst.Stride), &cx, &cy, sums)
		return
	}
	C.resample_plane(from, C.ptrdiff_t(src.Stride), C.int(src.Width), to, C.ptrdiff_t(dst.Stride), &cx, &cy, sums)
}

func (a *Axis) c(pin *runtime.Pinner) C.resample_axis {
	pin.Pin(&a.first[0])
	pin.Pin(&a.weights[0])
	return C.resample_axis{
		n: C.int(a.n), taps: C.int(a.taps), pitch: C.int(a.pitch), inner_from: C.int(a.innerFrom), inner_to: C.int(a.innerTo),
		first: (*C.int32_t)(&a.first[0]), weights: (*C.int16_t)(&a.weights[0]),
	}
}
