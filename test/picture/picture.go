// Package picture has what tests compare rendered pictures with: straightforward scaling, means
// and differences. The Makefile compiles it without the race detector, under which these
// loops over pixels took half the time of the tests that use them.
package picture

import (
	"image"
	"image/color"
	"image/draw"
	"math"
)

// RGBA returns a copy of a picture with its corner at 0,0.
func RGBA(src image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: src.Bounds().Size()})
	draw.Draw(out, out.Rect, src, src.Bounds().Min, draw.Src)
	return out
}

// FromRGB returns a picture of rows of red, green and blue bytes.
func FromRGB(rows []byte, w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(out.Pix[4*i:], rows[3*i:][:3])
		out.Pix[4*i+3] = 255
	}
	return out
}

// Difference is the mean difference of the bytes of two pictures, or -1 if their sizes differ.
func Difference(a, b *image.RGBA) float64 {
	if a.Rect.Size() != b.Rect.Size() {
		return -1
	}
	sum := 0
	for i := range a.Pix {
		d := int(a.Pix[i]) - int(b.Pix[i])
		sum += max(d, -d)
	}
	return float64(sum) / float64(len(a.Pix))
}

// Mean returns the mean colour of a part of a picture.
func Mean(m *image.RGBA, r image.Rectangle) color.RGBA {
	r = r.Intersect(m.Rect)
	var sum [3]int
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c := m.RGBAAt(x, y)
			sum[0], sum[1], sum[2] = sum[0]+int(c.R), sum[1]+int(c.G), sum[2]+int(c.B)
		}
	}
	n := max(r.Dx()*r.Dy(), 1)
	return color.RGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), 255}
}

// Reduced returns a picture, which begins at 0,0, with its corner at a point, reduced by n in both
// directions: each pixel is the mean of what it covers of the picture.
func Reduced(src *image.RGBA, n int, at image.Point) *image.RGBA {
	end := at.Add(src.Rect.Max)
	out := image.NewRGBA(image.Rect(at.X/n, at.Y/n, (end.X+n-1)/n, (end.Y+n-1)/n))
	for y := out.Rect.Min.Y; y < out.Rect.Max.Y; y++ {
		for x := out.Rect.Min.X; x < out.Rect.Max.X; x++ {
			out.SetRGBA(x, y, Mean(src, image.Rect(x*n, y*n, (x+1)*n, (y+1)*n).Sub(at)))
		}
	}
	return out
}

// Checkered returns a picture of w × h pixels with edges and smooth colours: every place
// looks different.
func Checkered(w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			tone := 60 * float64((x/32+y/32)%2)
			out.SetRGBA(x, y, color.RGBA{
				uint8(60 + tone + 100*float64(x)/float64(w)), uint8(60 + tone + 100*float64(y)/float64(h)),
				uint8(80 + tone + 40*math.Sin(float64(x+2*y)/200)), 255,
			})
		}
	}
	return out
}

// Scaled returns the pixels r of a picture, which begins at 0,0, at another size, scaled by
// Lanczos-3.
func Scaled(src *image.RGBA, r image.Rectangle, w, h int) *image.RGBA {
	columns, rows := lanczos(r.Dx(), w), lanczos(r.Dy(), h)
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	narrow := make([][]float64, r.Dy()) // rows of w pixels, red, green and blue
	for y := range narrow {
		narrow[y] = make([]float64, 3*w)
		for x, from := range columns {
			for i, weight := range from.weights {
				for c, v := range src.Pix[src.PixOffset(r.Min.X+from.first+i, r.Min.Y+y):][:3] {
					narrow[y][3*x+c] += weight * float64(v)
				}
			}
		}
	}
	for y, from := range rows {
		for x := range w {
			var sum [3]float64
			for i, weight := range from.weights {
				for c := range sum {
					sum[c] += weight * narrow[from.first+i][3*x+c]
				}
			}
			for c, v := range sum {
				out.Pix[out.PixOffset(x, y)+c] = uint8(min(max(math.Round(v), 0), 255))
			}
			out.Pix[out.PixOffset(x, y)+3] = 255
		}
	}
	return out
}

// A source is what a pixel is made of: successive pixels, the first of them, and their weights.
type source struct {
	first   int
	weights []float64
}

// lanczos returns, for each of m pixels, the weights of the n pixels that it is made of.
func lanczos(n, m int) []source {
	scale := float64(n) / float64(m)
	all := make([]source, m)
	for i := range all {
		center, total := (float64(i)+0.5)*scale, 0.0
		all[i].first = max(int(center-3*scale), 0)
		for j := all[i].first; j < min(int(center+3*scale)+1, n); j++ {
			weight := lobe((float64(j) + 0.5 - center) / scale)
			all[i].weights = append(all[i].weights, weight)
			total += weight
		}
		for j := range all[i].weights {
			all[i].weights[j] /= total
		}
	}
	return all
}

// lobe is the kernel of Lanczos-3.
func lobe(x float64) float64 {
	x *= math.Pi
	switch {
	case x == 0:
		return 1
	case math.Abs(x) >= 3*math.Pi:
		return 0
	}
	return 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
}
