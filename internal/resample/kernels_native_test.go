//go:build native && cgo

package resample

import "github.com/slideatlas/ptiffstore/internal/planes"

// kernels are those of this build, by name.
var kernels = map[string]func(dst, src *planes.Plane, x, y *Axis){
	"Go":   goKernel,
	"C":    kernel,
	"SSE2": func(dst, src *planes.Plane, x, y *Axis) { cKernel(dst, src, x, y, true) },
}
