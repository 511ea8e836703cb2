package resample

import (
	"sync"

	"github.com/slideatlas/ptiffstore/internal/planes"
)

// Plane scales src to dst. The size of dst is the number of samples of the axes; that of src
// is the size that the axes were made for.
func Plane(dst, src *planes.Plane, x, y *Axis) {
	switch {
	case dst.Width != x.n || dst.Height != y.n || src.Width != x.size || src.Height != y.size:
		panic("resample: an axis does not fit the plane")
	case x.taps == 1 && y.taps == 1:
		copyPlane(dst, src, x, y)
	default:
		kernel(dst, src, x, y)
	}
}

// copyPlane copies samples as they are.
func copyPlane(dst, src *planes.Plane, x, y *Axis) {
	left := int(x.first[0])
	run := int(x.first[x.n-1]) - left + 1
	for i := range y.n {
		to := dst.Pix[i*dst.Stride:][:x.n]
		from := src.Pix[int(y.first[i])*src.Stride:][:src.Width]
		if run == x.n {
			copy(to, from[left:])
			continue
		}
		for j, k := range x.first {
			to[j] = from[k]
		}
	}
}

// Halve scales src to half its size, each sample the mean of 2×2, rounded half up. The last
// column or row without a partner counts twice. The size of dst is that of src, halved and
// rounded up.
func Halve(dst, src *planes.Plane) {
	for y := range dst.Height {
		upper := src.Pix[2*y*src.Stride:][:src.Width]
		lower := upper
		if 2*y+1 < src.Height {
			lower = src.Pix[(2*y+1)*src.Stride:][:src.Width]
		}
		halveRow(dst.Pix[y*dst.Stride:][:dst.Width], upper, lower)
	}
}

// scratches has memory for rows between the two passes.
var scratches sync.Pool

// scratch returns n words with any contents. It is returned by scratches.Put.
func scratch(n int) *[]uint64 {
	if p, _ := scratches.Get().(*[]uint64); p != nil && cap(*p) >= n {
		*p = (*p)[:n]
		return p
	}
	s := make([]uint64, n)
	return &s
}

// ScratchCost returns the memory in bytes that scaling a plane so many samples wide takes
// beside source, result and axes.
func ScratchCost(width int) int64 { return 8 * int64(width+2*pitch) }
