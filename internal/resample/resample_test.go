package resample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/planes"
)

// noise returns a plane of random samples, half of them black or white, in memory that
// ends with the last sample.
func noise(r *rand.Rand, w, h int) *planes.Plane {
	p := &planes.Plane{Width: w, Height: h, Stride: w + r.IntN(9), H: 1, V: 1}
	p.Pix = make([]byte, p.Stride*(h-1)+w)
	for i := range p.Pix {
		switch r.IntN(4) {
		case 0:
			p.Pix[i] = 255
		case 1:
			p.Pix[i] = 0
		default:
			p.Pix[i] = byte(r.IntN(256))
		}
	}
	return p
}

func empty(w, h int) *planes.Plane {
	return &planes.Plane{Pix: make([]byte, w*h), Stride: w, Width: w, Height: h, H: 1, V: 1}
}

// weight is the definition of the filters, without tables.
func weight(f Filter, j int, center, scale float64) float64 {
	if f == Area {
		return max(0, min(float64(j+1), center+scale/2)-max(float64(j), center-scale/2))
	}
	x := math.Abs(float64(j)+0.5-center) / scale
	switch {
	case x == 0:
		return 1
	case x >= 3:
		return 0
	}
	x *= math.Pi
	return 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
}

// scaled scales src by the definition, in floating point.
func scaled(f Filter, src *planes.Plane, w, h int, x, y, stepX, stepY float64) *planes.Plane {
	axis := func(n, size int, at, step float64) [][]float64 {
		all := make([][]float64, n)
		scale := max(step, 1)
		for i := range all {
			all[i] = make([]float64, size)
			center, sum := at+(float64(i)+0.5)*step, 0.0
			for j := int(center-3*scale) - 2; float64(j) < center+3*scale+2; j++ {
				v := weight(f, j, center, scale)
				all[i][min(max(j, 0), size-1)] += v
				sum += v
			}
			for j := range all[i] {
				all[i][j] /= sum
			}
		}
		return all
	}
	across, down := axis(w, src.Width, x, stepX), axis(h, src.Height, y, stepY)
	dst := empty(w, h)
	for v := range h {
		column := make([]float64, src.Width)
		for j, wy := range down[v] {
			if wy != 0 {
				for i := range column {
					column[i] += wy * float64(src.Pix[j*src.Stride+i])
				}
			}
		}
		for u := range w {
			sum := 0.5
			for i, wx := range across[u] {
				sum += wx * column[i]
			}
			dst.Pix[v*w+u] = byte(min(max(sum, 0), 255))
		}
	}
	return dst
}

// TestPlane compares random scalings with their definition, and the kernels of this build
// with each other bit for bit.
func TestPlane(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		src := noise(r, 1+r.IntN(150), 1+r.IntN(90))
		w, h := 1+r.IntN(100), 1+r.IntN(60)
		f := Filter(i % 2)
		step := func() float64 { return []float64{1, 2, 0.3 + 2*r.Float64(), 1 + 20*r.Float64()}[r.IntN(4)] }
		at := func(n int) float64 {
			return []float64{0, float64(r.IntN(n)), r.Float64() * float64(n), -3.5, float64(r.IntN(n)) + 0.5}[r.IntN(5)]
		}
		x, y, stepX, stepY := at(src.Width), at(src.Height), step(), step()
		name := fmt.Sprintf("%d: filter %d, %d×%d to %d×%d at %v,%v by %v,%v", i, f, src.Width, src.Height, w, h, x, y, stepX, stepY)
		ax, ay := NewAxis(f, w, x, stepX, src.Width), NewAxis(f, h, y, stepY, src.Height)
		got, want := empty(w, h), scaled(f, src, w, h, x, y, stepX, stepY)
		Plane(got, src, ax, ay)
		for j, v := range got.Pix {
			if d := int(v) - int(want.Pix[j]); d < -2 || d > 2 {
				t.Fatalf("%s: sample %d,%d is %d, want %d", name, j%w, j/w, v, want.Pix[j])
			}
		}
		for kernel, scale := range kernels {
			other := empty(w, h)
			scale(other, src, ax, ay)
			for j, v := range got.Pix {
				if v != other.Pix[j] {
					t.Fatalf("%s: sample %d,%d is %d, and %d by %s", name, j%w, j/w, v, other.Pix[j], kernel)
				}
			}
		}
		ax.Recycle()
		ay.Recycle()
	}
}

// TestFlat scales planes of one value, which must stay as they are.
func TestFlat(t *testing.T) {
	for _, v := range []byte{0, 1, 127, 254, 255} {
		src := empty(70, 50)
		for i := range src.Pix {
			src.Pix[i] = v
		}
		for _, step := range []float64{0.37, 1, 1.46, 2, 7.3, 60} {
			for _, f := range []Filter{Lanczos, Area} {
				dst := empty(33, 21)
				Plane(dst, src, NewAxis(f, 33, -2.25, step, 70), NewAxis(f, 21, 3.5, step, 50))
				for i, got := range dst.Pix {
					if got != v {
						t.Fatalf("filter %d, step %v: sample %d is %d, want %d", f, step, i, got, v)
					}
				}
			}
		}
	}
}

// TestCost compares the memory of axes with what is taken for them.
func TestCost(t *testing.T) {
	for _, step := range []float64{0.1, 1, 1.5, 2, 33.3, MaxRatio} {
		a := NewAxis(Lanczos, 100, 0.3, step, 1<<20)
		if got, most := int64(4*len(a.first)+2*len(a.weights)), Cost(100, step); got > most {
			t.Errorf("step %v: an axis of %d bytes, at most %d were expected", step, got, most)
		}
	}
}

func TestHalve(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		src := noise(r, 1+r.IntN(40), 1+r.IntN(10))
		w, h := (src.Width+1)/2, (src.Height+1)/2
		dst := empty(w, h)
		Halve(dst, src)
		for i, got := range dst.Pix {
			sum := 2
			for k := range 4 {
				x, y := min(i%w*2+k%2, src.Width-1), min(i/w*2+k/2, src.Height-1)
				sum += int(src.Pix[y*src.Stride+x])
			}
			if want := byte(sum / 4); got != want {
				t.Fatalf("%d×%d: sample %d,%d is %d, want %d", src.Width, src.Height, i%w, i/w, got, want)
			}
		}
	}
}

// BenchmarkPlane scales a plane of brightness as the four loads of test/bench do. Bytes are
// samples of the result.
func BenchmarkPlane(b *testing.B) {
	for _, tt := range []struct {
		name     string
		from, to int
		at, step float64
	}{
		{"half a sample", 530, 512, 5.5, 1},
		{"750 to 512", 780, 512, 11.3, 750.0 / 512},
		{"1888 to 1024", 1888, 1024, 0, 1888.0 / 1024},
	} {
		src, dst := noise(rand.New(rand.NewPCG(1, 1)), tt.from, tt.from), empty(tt.to, tt.to)
		for name, kernel := range kernels {
			b.Run(tt.name+", "+name, func(b *testing.B) {
				b.SetBytes(int64(tt.to * tt.to))
				b.ReportAllocs()
				for b.Loop() {
					x, y := NewAxis(Lanczos, tt.to, tt.at, tt.step, tt.from), NewAxis(Lanczos, tt.to, tt.at, tt.step, tt.from)
					kernel(dst, src, x, y)
					x.Recycle()
					y.Recycle()
				}
			})
		}
	}
}
