// Package resample scales planes of 8-bit samples: by Lanczos-3, by the mean of areas, and
// by exact halving.
//
// A plane is scaled along both axes, each of which has its own weights. All sums are of
// integers, in the same order of rounding in Go and in C, so that both kernels give the same
// samples.
package resample

import (
	"math"
	"sync"
)

// A Filter decides how much each source sample adds to a sample of the result.
type Filter uint8

const (
	// Lanczos is the sinc function windowed by its own central lobe, three samples a side
	// (of the result when scaling down, of the source when enlarging).
	Lanczos Filter = iota
	// Area is the mean of the area that a sample of the result covers.
	Area
)

const (
	// One is the sum of the weights of a sample: 1.0 with 14 bits of fraction. Weights may
	// be negative and above 1.0, and fit into 16 bits.
	one        = 1 << weightBits
	weightBits = 14
	// pitch is the multiple to which the weights of a sample are padded with zeros: what
	// the C kernel reads at once.
	pitch = 8
	// MaxRatio is the largest number of source samples for one of the result. Beyond it most
	// weights would be 0.
	MaxRatio = one
)

// An Axis has the weights of one axis. Make it with [NewAxis], and return it with
// [Axis.Recycle] when it is not used any more.
type Axis struct {
	n, size int     // samples of the result and of the source
	taps    int     // source samples for each one of the result
	pitch   int     // taps rounded up
	first   []int32 // the first source sample of each
	weights []int16 // pitch for each; those beyond taps are 0
	// inner is the range of samples with the same weights, each beginning one source
	// sample after the previous: a convolution. Empty unless the scale is 1.
	innerFrom, innerTo int
}

var axes sync.Pool

// NewAxis returns the weights for n samples that cover source samples from at on, each of
// them step source samples: sample i has its center at at + (i+½)·step, where source sample
// j covers j to j+1. Source samples before 0 and after size-1 are those at the edges.
//
// N and size must be at least 1, step positive and at most [MaxRatio].
func NewAxis(f Filter, n int, at, step float64, size int) *Axis {
	a, _ := axes.Get().(*Axis)
	if a == nil {
		a = new(Axis)
	}
	a.n, a.size = n, size
	if a.whole(at, step) {
		return a
	}
	scale := max(step, 1)
	support, taps := f.reach(scale)
	a.resize(min(taps, size))
	wide := make([]float64, taps)
	for i := range n {
		center := at + (float64(i)+0.5)*step
		from := int(math.Floor(center - support + 0.5)) // the first sample whose center is within the support
		if f == Area {
			from = int(math.Floor(center - support))
		}
		inner := step == 1 && from >= 0 && from+taps <= size
		if inner && a.innerTo == i && a.innerFrom < i {
			a.first[i] = int32(from)
			copy(a.weightsOf(i), a.weightsOf(i-1))
			a.innerTo++
			continue
		}
		f.weigh(wide, center, scale, from)
		a.set(i, from, wide)
		if inner {
			a.innerFrom, a.innerTo = i, i+1
		}
	}
	return a
}

// reach returns how far from its center a sample of the result has source samples, and how
// many these are at most.
func (f Filter) reach(scale float64) (support float64, taps int) {
	if f == Area {
		return scale / 2, int(math.Ceil(scale)) + 1
	}
	return 3 * scale, int(math.Ceil(6 * scale))
}

// whole sets the weights of an axis whose samples are source samples, and reports whether
// that is so.
func (a *Axis) whole(at, step float64) bool {
	if step != 1 || at != math.Floor(at) {
		return false
	}
	a.resize(1)
	for i := range a.n {
		a.first[i] = int32(min(max(int(at)+i, 0), a.size-1))
		a.weights[i*a.pitch] = one
	}
	return true
}

// resize allocates weights for n samples of so many taps each, with all weights 0.
func (a *Axis) resize(taps int) {
	a.taps, a.pitch = taps, (taps+pitch-1)/pitch*pitch
	a.innerFrom, a.innerTo = 0, 0
	if cap(a.first) < a.n {
		a.first = make([]int32, a.n)
	}
	a.first = a.first[:a.n]
	if m := a.n * a.pitch; cap(a.weights) < m {
		a.weights = make([]int16, m)
	} else {
		a.weights = a.weights[:m]
		clear(a.weights)
	}
}

// Recycle returns a for later use. The caller must not use it afterwards.
func (a *Axis) Recycle() {
	const most = 1 << 20 // weights; longer axes are rare
	if cap(a.weights) <= most {
		axes.Put(a)
	}
}

// Cost returns the memory of an axis in bytes, at most.
func Cost(n int, step float64) int64 {
	taps := int64(math.Ceil(6*max(step, 1))) + 1 + pitch
	return int64(n) * (4 + 2*taps)
}

// Margin returns how many source samples before the first one that a result covers, and
// after the last one, have a part in it.
func (f Filter) Margin(step float64) int {
	if f == Area {
		return 1
	}
	return int(math.Ceil(3*max(step, 1))) + 1
}

func (a *Axis) weightsOf(i int) []int16 { return a.weights[i*a.pitch:][:a.taps] }

// set sets the weights of sample i to those of the source samples from from on, scaled so
// that they add up to one. What lies beyond the edges is added to the edge.
func (a *Axis) set(i, from int, wide []float64) {
	sum := 0.0
	for _, w := range wide {
		sum += w
	}
	start := min(max(from, 0), a.size-a.taps)
	a.first[i] = int32(start)
	to := a.weightsOf(i)
	put := func(j, w int) { to[min(max(from+j, 0), a.size-1)-start] += int16(w) }
	if len(wide) > manyTaps {
		// The weights are small numbers. Rounding where they begin and end leaves no
		// remainder, which would be larger than any of them.
		at, before := 0.0, 0
		for j, w := range wide {
			at += w * one / sum
			next := int(math.Floor(at + 0.5))
			put(j, next-before)
			before = next
		}
		put(len(wide)-1, one-before)
		return
	}
	total, largest := 0, 0
	for j, w := range wide {
		put(j, int(math.Floor(w*one/sum+0.5)))
	}
	for j, w := range to {
		total += int(w)
		if w > to[largest] {
			largest = j
		}
	}
	to[largest] += int16(one - total)
}

// manyTaps is the number of taps from which on their weights are rounded together.
const manyTaps = 256

// weigh sets w to the weights of the source samples from from on, for a sample at center.
func (f Filter) weigh(w []float64, center, scale float64, from int) {
	if f == Area {
		left, right := center-scale/2, center+scale/2
		for j := range w {
			at := float64(from + j)
			w[j] = max(0, min(at+1, right)-max(at, left))
		}
		return
	}
	for j := range w {
		w[j] = lanczos((float64(from+j) + 0.5 - center) / scale)
	}
}

// lanczos returns the weight at distance x, from a table: with straight lines between 2048
// values per unit the error is below 1e-6.
func lanczos(x float64) float64 {
	x = math.Abs(x) * tableStep
	i := int(x)
	if i >= len(lanczosTable)-1 {
		return 0
	}
	a := lanczosTable[i]
	return a + (lanczosTable[i+1]-a)*(x-float64(i))
}

const tableStep = 2048

var lanczosTable = func() *[3*tableStep + 1]float64 {
	t := new([3*tableStep + 1]float64)
	t[0] = 1
	for i := 1; i < len(t)-1; i++ {
		x := math.Pi * float64(i) / tableStep
		t[i] = 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
	}
	return t
}()
