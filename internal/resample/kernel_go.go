//go:build !native || !cgo

package resample

import "github.com/slideatlas/ptiffstore/internal/planes"

func kernel(dst, src *planes.Plane, x, y *Axis) { goKernel(dst, src, x, y) }
