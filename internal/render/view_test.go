package render

import (
	"context"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

// rendered draws a view as RGBA.
func rendered(t testing.TB, s *slide.Slide, v View, o Options) *image.RGBA {
	t.Helper()
	p, err := Draw(context.Background(), s, v, o)
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	if p.Width != v.Width || p.Height != v.Height {
		t.Fatalf("%+v: %d×%d pixels", v, p.Width, p.Height)
	}
	defer p.Recycle()
	return p.RGBA()
}

// lanczosOf scales a part of an image with a slow and simple algorithm.
func lanczosOf(img *image.RGBA, x, y, w, h float64, width, height int) *image.RGBA {
	size := img.Rect.Size()
	axis := func(i int, at, step float64, n int) map[int]float64 {
		scale := max(step, 1)
		center := at + (float64(i)+0.5)*step
		weights, sum := map[int]float64{}, 0.0
		for j := int(math.Floor(center - 3*scale - 1)); float64(j) < center+3*scale+1; j++ {
			x := math.Abs(float64(j)+0.5-center) / scale * math.Pi
			if x >= 3*math.Pi {
				continue
			}
			v := 1.0
			if x > 0 {
				v = 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
			}
			weights[min(max(j, 0), n-1)] += v
			sum += v
		}
		for j := range weights {
			weights[j] /= sum
		}
		return weights
	}
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	for v := range height {
		down := axis(v, y, h/float64(height), size.Y)
		for u := range width {
			var sum [3]float64
			for i, wx := range axis(u, x, w/float64(width), size.X) {
				for j, wy := range down {
					for c := range sum {
						sum[c] += wx * wy * float64(img.Pix[img.PixOffset(i, j)+c])
					}
				}
			}
			b := func(f float64) byte { return byte(min(max(f+0.5, 0), 255)) }
			out.SetRGBA(u, v, color.RGBA{b(sum[0]), b(sum[1]), b(sum[2]), 255})
		}
	}
	return out
}

// TestDraw compares views of a slide without compression with its pixels, scaled by the
// definition of the filter.
func TestDraw(t *testing.T) {
	pictures := halvings(jpegtest.Tissue(301, 203, 1))
	s := openSlide(t, nil,
		testLevel{picture: pictures[0], tile: 64, raw: true, padding: poison},
		testLevel{picture: pictures[1], tile: 32, raw: true, padding: poison},
		testLevel{picture: Crop(pictures[2], 75, 50), tile: 48, raw: true, padding: poison})
	for name, tt := range map[string]struct {
		v     View
		level int // that it is rendered from
	}{
		"as it is":                  {View{X: 0, Y: 0, W: 301, H: 203, Width: 301, Height: 203, Level: -1}, 0},
		"a part":                    {View{X: 37, Y: 51, W: 100, H: 90, Width: 100, Height: 90, Level: -1}, 0},
		"half a pixel off":          {View{X: 37.5, Y: 51.25, W: 100, H: 90, Width: 100, Height: 90, Level: -1}, 0},
		"a little smaller":          {View{X: 10, Y: 20, W: 150, H: 150, Width: 100, Height: 100, Level: -1}, 0},
		"half":                      {View{X: 20, Y: 30, W: 160, H: 120, Width: 80, Height: 60, Level: -1}, 1},
		"half, odd offset":          {View{X: 21, Y: 31, W: 160, H: 120, Width: 80, Height: 60, Level: -1}, 1},
		"a third":                   {View{X: 21, Y: 31, W: 240, H: 120, Width: 80, Height: 40, Level: -1}, 1},
		"whole":                     {View{X: 0, Y: 0, W: 301, H: 203, Width: 60, Height: 41, Level: -1}, 2},
		"whole, from a level":       {View{X: 0, Y: 0, W: 301, H: 203, Width: 60, Height: 41, Level: 1}, 1},
		"enlarged":                  {View{X: 100, Y: 50, W: 20, H: 10, Width: 60, Height: 30, Level: -1}, 0},
		"narrower in one direction": {View{X: 0, Y: 0, W: 300, H: 60, Width: 75, Height: 60, Level: -1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := math.Exp2(float64(tt.level))
			level := pictures[tt.level]
			if tt.level == 2 {
				level = Crop(level, 75, 50)
			}
			want := lanczosOf(level, tt.v.X/f, tt.v.Y/f, tt.v.W/f, tt.v.H/f, tt.v.Width, tt.v.Height)
			tolerance := 2
			if name == "as it is" || name == "a part" {
				tolerance = 0
			}
			checkPixels(t, rendered(t, s, tt.v, Options{}), want, tolerance)
		})
	}
}

// TestDrawOutside draws views that reach out of the image or lie beside it.
func TestDrawOutside(t *testing.T) {
	for _, raw := range []bool{false, true} {
		blue := color.RGBA{60, 90, 170, 255}
		s := openSlide(t, nil, testLevel{picture: plain(130, 70, blue), tile: 64, raw: raw, padding: poison})
		for _, tt := range []struct {
			v    View
			want image.Rectangle // that shows the image
		}{
			{View{X: -20, Y: -10, W: 100, H: 100, Width: 100, Height: 100, Level: -1}, image.Rect(20, 10, 100, 80)},
			{View{X: -20, Y: -10, W: 200, H: 100, Width: 100, Height: 50, Level: -1}, image.Rect(10, 5, 75, 40)},
			{View{X: 100, Y: 40, W: 60, H: 60, Width: 120, Height: 120, Level: -1}, image.Rect(0, 0, 60, 60)},
			{View{X: 130, Y: 0, W: 60, H: 60, Width: 60, Height: 60, Level: -1}, image.Rectangle{}},
			{View{X: -1e11, Y: 5, W: 60, H: 60, Width: 60, Height: 60, Level: -1}, image.Rectangle{}},
			{View{X: 0, Y: 0, W: 130, H: 70, Width: 1, Height: 1, Level: -1}, image.Rect(0, 0, 1, 1)},
			{View{X: 129.5, Y: 69.5, W: .5, H: .5, Width: 30, Height: 30, Level: -1}, image.Rect(0, 0, 30, 30)},
		} {
			want := plain(tt.v.Width, tt.v.Height, rust)
			fill(want, tt.want, blue)
			v := tt.v
			v.FullChroma = true
			tolerance := 0
			if !raw {
				tolerance = 20 // the padding is in the last blocks
			}
			checkPixels(t, rendered(t, s, v, Options{Background: rust}), want, tolerance)
		}
	}
}

// TestDrawRefuses renders views that are not valid.
func TestDrawRefuses(t *testing.T) {
	s := openSlide(t, nil, testLevel{picture: ramps(130, 70), tile: 64})
	good := View{W: 10, H: 10, Width: 10, Height: 10, Level: -1}
	for name, change := range map[string]func(v *View){
		"no pixels":           func(v *View) { v.Width = 0 },
		"too many pixels":     func(v *View) { v.Width, v.Height = 60000, 60000 },
		"an absent level":     func(v *View) { v.Level = 1 },
		"NaN":                 func(v *View) { v.X = math.NaN() },
		"infinite":            func(v *View) { v.W = math.Inf(1) },
		"nothing":             func(v *View) { v.H = 0 },
		"negative":            func(v *View) { v.H = -1 },
		"far away":            func(v *View) { v.Y = 1e300 },
		"as large as it gets": func(v *View) { v.W, v.Width = 1<<40, 1 },
	} {
		v := good
		change(&v)
		if p, err := Draw(t.Context(), s, v, Options{}); err == nil {
			t.Errorf("%s: a picture of %d×%d pixels", name, p.Width, p.Height)
		}
	}
}

// TestDrawJPEG draws from JPEG tiles in planes, and compares with the same image without
// compression.
func TestDrawJPEG(t *testing.T) {
	img := ramps(500, 400)
	pictures := halvings(img)
	coded := openSlide(t, nil, testLevel{picture: pictures[0], tile: 64, padding: poison}, testLevel{picture: pictures[1], tile: 64, padding: poison})
	raw := openSlide(t, nil, testLevel{picture: pictures[0], tile: 64, raw: true}, testLevel{picture: pictures[1], tile: 64, raw: true})
	for _, v := range []View{
		{W: 500, H: 400, Width: 500, Height: 400, Level: -1},
		{X: 64, Y: 64, W: 64, H: 64, Width: 64, Height: 64, Level: -1},
		{X: 33, Y: 21, W: 201, H: 133, Width: 201, Height: 133, Level: -1},
		{X: 33, Y: 21, W: 201, H: 133, Width: 90, Height: 70, Level: -1},
		{X: 33, Y: 21, W: 401, H: 333, Width: 40, Height: 33, Level: -1},
		{W: 500, H: 400, Width: 31, Height: 25, Level: -1},
		{X: -15, Y: 380, W: 50, H: 50, Width: 50, Height: 50, Level: -1},
	} {
		v.FullChroma = true
		p, err := Draw(t.Context(), coded, v, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if unscaled := v.W == float64(v.Width); (p.Model == planes.YCbCr) == unscaled {
			t.Errorf("%+v: model %d, want planes as stored if they are scaled", v, p.Model)
		}
		checkPixels(t, p.RGBA(), rendered(t, raw, v, Options{}), 12)
	}
}
