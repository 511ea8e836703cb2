package barcode

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/f64"
	"golang.org/x/image/math/fixed"
)

// mustDraw renders a code or fails the test.
func mustDraw(t testing.TB, kind Kind, text string, modulePx int) *image.Gray {
	t.Helper()
	img, err := Draw(kind, text, modulePx)
	if err != nil {
		t.Fatal(err)
	}
	return img.(*image.Gray)
}

// label returns an image like a slide scanner's photograph of a label, 760 × 700
// pixels: lines of print, a dark surround, and the code at a position; code may be nil.
func label(code image.Image, at image.Point) *image.RGBA {
	l := image.NewRGBA(image.Rect(0, 0, 760, 700))
	draw.Draw(l, l.Rect, image.NewUniform(color.Gray{Y: 70}), image.Point{}, draw.Src)
	draw.Draw(l, l.Rect.Inset(30), image.NewUniform(color.RGBA{R: 240, G: 238, B: 230, A: 255}), image.Point{}, draw.Src)
	for i, line := range []string{"S24-00817 A1", "H&E  LEVEL 2", "UNIVERSITY HOSPITAL", "07/11/2024 IIIIII", "|||| # MIB-1 ||||"} {
		print3(l, image.Pt(60, 60+i*45), line)
	}
	if code != nil {
		b := code.Bounds()
		draw.Draw(l, b.Sub(b.Min).Add(at), code, b.Min, draw.Over)
	}
	return l
}

// print3 writes a line in letters of 21 × 39 pixels.
func print3(dst draw.Image, at image.Point, line string) {
	m := image.NewGray(image.Rect(0, 0, 7*len(line), 13))
	draw.Draw(m, m.Rect, image.White, image.Point{}, draw.Src)
	d := font.Drawer{Dst: m, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(0, 11)}
	d.DrawString(line)
	r := image.Rectangle{Min: at, Max: at.Add(m.Rect.Size().Mul(3))}
	xdraw.BiLinear.Scale(dst, r, m, m.Rect, draw.Src, nil)
}

// tilted returns the picture turned clockwise, on white.
func tilted(img image.Image, degrees float64) *image.RGBA {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	w, h := float64(img.Bounds().Dx()), float64(img.Bounds().Dy())
	tw, th := math.Abs(w*cos)+math.Abs(h*sin), math.Abs(w*sin)+math.Abs(h*cos)
	dst := image.NewRGBA(image.Rect(0, 0, int(math.Round(tw)), int(math.Round(th))))
	draw.Draw(dst, dst.Rect, image.White, image.Point{}, draw.Src)
	m := f64.Aff3{cos, -sin, (tw - cos*w + sin*h) / 2, sin, cos, (th - sin*w - cos*h) / 2}
	xdraw.BiLinear.Transform(dst, m, img, img.Bounds(), draw.Over, nil)
	return dst
}

// compressed returns the picture after JPEG compression with quality q.
func compressed(t testing.TB, img image.Image, q int) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: q}); err != nil {
		t.Fatal(err)
	}
	out, err := jpeg.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// noisy returns the picture in gray, at 0.7 of its contrast, with noise of standard
// deviation sigma and light that falls off to half at the right.
func noisy(img image.Image, sigma float64) *image.Gray {
	random := rand.New(rand.NewPCG(1, 2))
	g := image.NewGray(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(g, g.Rect, img, img.Bounds().Min, draw.Src)
	for i, v := range g.Pix {
		light := 1 - .5*float64(i%g.Stride)/float64(g.Stride)
		g.Pix[i] = uint8(max(0, min(255, light*(40+.7*float64(v))+sigma*random.NormFloat64())))
	}
	return g
}
