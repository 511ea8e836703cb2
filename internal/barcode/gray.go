package barcode

import (
	"image"
	"image/color"
)

// maxPixels bounds the picture that is searched, to limit time and memory; photographs
// of labels have about 0.5 megapixels.
const maxPixels = 4 << 20

// maxSamples bounds how many pixels of the source are sampled for each pixel of a
// reduced picture, per axis.
const maxSamples = 3

// luminance returns the picture in gray on white, reduced by an integer factor to at
// most maxPixels. Its bounds begin at 0,0 and its rows are contiguous. It is nil for a
// picture that is too narrow for any code or too wide.
func luminance(img image.Image) *image.Gray {
	b := img.Bounds()
	const maxSide = 1 << 28
	if b.Dx() <= 0 || b.Dy() <= 0 || b.Dx() > maxSide || b.Dy() > maxSide {
		return nil
	}
	f := 1
	for int64(b.Dx()/f)*int64(b.Dy()/f) > maxPixels {
		f++
	}
	if b.Dx()/f < minSide || b.Dy()/f < minSide {
		return nil
	}
	at := gray16At(img)
	n := min(f, maxSamples)
	g := image.NewGray(image.Rect(0, 0, b.Dx()/f, b.Dy()/f))
	for y := range g.Rect.Max.Y {
		for x := range g.Rect.Max.X {
			var sum uint32
			for j := range n {
				for i := range n {
					sum += uint32(at(b.Min.X+x*f+i*f/n, b.Min.Y+y*f+j*f/n))
				}
			}
			g.Pix[y*g.Stride+x] = uint8(sum / uint32(n*n) >> 8)
		}
	}
	return g
}

// gray16At returns the fastest function for the luminance of the picture's pixels, 16
// bits deep. Transparent pixels are white.
func gray16At(img image.Image) func(x, y int) uint16 {
	switch img := img.(type) {
	case *image.Gray:
		return func(x, y int) uint16 { return uint16(img.GrayAt(x, y).Y) * 0x101 }
	case *image.YCbCr:
		return func(x, y int) uint16 { return uint16(img.Y[img.YOffset(x, y)]) * 0x101 }
	case image.RGBA64Image:
		return func(x, y int) uint16 { return gray16(img.RGBA64At(x, y)) }
	}
	return func(x, y int) uint16 {
		r, g, b, a := img.At(x, y).RGBA()
		return gray16(color.RGBA64{R: uint16(r), G: uint16(g), B: uint16(b), A: uint16(a)})
	}
}

// gray16 weighs the colours like image/color, by JFIF.
func gray16(c color.RGBA64) uint16 {
	y := (19595*uint32(c.R) + 38470*uint32(c.G) + 7471*uint32(c.B) + 1<<15) >> 16
	return uint16(min(y+0xffff-uint32(c.A), 0xffff))
}

// halve returns the picture at half its size, each pixel the mean of four.
func halve(g *image.Gray) *image.Gray {
	h := image.NewGray(image.Rect(0, 0, g.Rect.Dx()/2, g.Rect.Dy()/2))
	for y := range h.Rect.Dy() {
		a := g.Pix[2*y*g.Stride:]
		b := g.Pix[(2*y+1)*g.Stride:]
		for x := range h.Rect.Dx() {
			sum := int(a[2*x]) + int(a[2*x+1]) + int(b[2*x]) + int(b[2*x+1])
			h.Pix[y*h.Stride+x] = uint8((sum + 2) / 4)
		}
	}
	return h
}

// double returns the picture at twice its size, interpolated between the middles of the
// pixels.
func double(g *image.Gray) *image.Gray {
	w, h := g.Rect.Dx(), g.Rect.Dy()
	d := image.NewGray(image.Rect(0, 0, 2*w, 2*h))
	for y := range 2 * h {
		near := g.Pix[y/2*g.Stride:]
		far := g.Pix[clamp(y/2+y%2*2-1, h)*g.Stride:]
		for x := range 2 * w {
			i, j := x/2, clamp(x/2+x%2*2-1, w)
			sum := 9*int(near[i]) + 3*int(near[j]) + 3*int(far[i]) + int(far[j])
			d.Pix[y*d.Stride+x] = uint8((sum + 8) / 16)
		}
	}
	return d
}

// invert returns the negative.
func invert(g *image.Gray) *image.Gray {
	n := image.NewGray(g.Rect)
	for i, v := range g.Pix {
		n.Pix[i] = 0xff - v
	}
	return n
}

func clamp(i, n int) int { return max(0, min(i, n-1)) }
