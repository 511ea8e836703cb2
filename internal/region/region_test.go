package region

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// slide40 has 40,000 × 30,000 pixels of 0.25 µm and three levels.
var slide40 = &Image{
	Width: 40000, Height: 30000, MPPX: 0.25, MPPY: 0.25, ObjectivePower: 40,
	Levels: []Level{{40000, 30000, 1, 1}, {10000, 7500, 4, 4}, {2500, 1875, 16, 16}},
}

func TestPlan(t *testing.T) {
	flat := *slide40
	flat.MPPY = 0.5
	bare := &Image{Width: 1000, Height: 800, Levels: []Level{{1000, 800, 1, 1}, {333, 266, 3.003, 3.003}}}
	square := &Image{Width: 400, Height: 300, Y: 212, Levels: []Level{{512, 512, 1, 1}, {256, 256, 2, 2}}}
	tests := []struct {
		name, query string
		im          *Image
		want        Plan
	}{
		{"unscaled", "x=10&y=20&w=512&h=256", slide40, Plan{Box: Box{10, 20, 512, 256}, Width: 512, Height: 256}},
		{"fractional", "x=10.5&y=20&w=512.4&h=256", slide40, Plan{Box: Box{10.5, 20, 512, 256}, Width: 512, Height: 256}},
		{"less than a pixel", "x=5&y=5&w=0.2&h=3e-1", slide40, Plan{Box: Box{5, 5, 1, 1}, Width: 1, Height: 1}},
		{"rest of the image", "x=39000&y=29500", slide40, Plan{Box: Box{39000, 29500, 1000, 500}, Width: 1000, Height: 500}},
		{"rest from a fraction", "x=39000.5&y=29500.5", slide40, Plan{Box: Box{39000.5, 29500.5, 999, 499}, Width: 999, Height: 499}},
		{"whole image by width", "width=1000", slide40, Plan{Box: Box{0, 0, 40000, 30000}, Width: 1000, Height: 750}},
		{"by height", "x=0&y=0&w=1001&h=500&height=250", slide40, Plan{Box: Box{0, 0, 1001, 500}, Width: 501, Height: 250}},
		{"by both", "x=0&y=0&w=1000&h=500&width=100&height=100", slide40, Plan{Box: Box{0, 0, 1000, 500}, Width: 100, Height: 100}},
		{"micrometres", "x=100&y=200&w=128&h=64&unit=um", slide40, Plan{Box: Box{400, 800, 512, 256}, Width: 512, Height: 256}},
		{"micrometres of flat pixels", "x=100&y=200&w=128&h=64&unit=um", &flat, Plan{Box: Box{400, 400, 512, 128}, Width: 512, Height: 128}},
		{"mpp", "x=0&y=0&w=1000&h=600&mpp=1", slide40, Plan{Box: Box{0, 0, 1000, 600}, Width: 250, Height: 150}},
		{"mpp, exact scale", "x=0&y=0&w=1003&h=601&mpp=1", slide40, Plan{Box: Box{0, 0, 1004, 600}, Width: 251, Height: 150}},
		{"mpp of flat pixels", "x=0&y=0&w=1000&h=600&mpp=1", &flat, Plan{Box: Box{0, 0, 1000, 600}, Width: 250, Height: 300}},
		{"patch by mpp", "x=100&y=100&width=256&height=128&mpp=0.5", slide40, Plan{Box: Box{100, 100, 512, 256}, Width: 256, Height: 128}},
		{"magnification", "x=0&y=0&w=1000&h=600&magnification=10", slide40, Plan{Box: Box{0, 0, 1000, 600}, Width: 250, Height: 150}},
		{"magnification of the pixel size", "width=100&height=50&magnification=10", &Image{Width: 4000, Height: 3000, MPPX: 0.5, MPPY: 0.5, Levels: slide40.Levels}, Plan{Box: Box{0, 0, 200, 100}, Width: 100, Height: 50}},
		{"level 0", "x=7&y=9&width=3&height=4&level=0", slide40, Plan{Box: Box{7, 9, 3, 4}, Width: 3, Height: 4, Level: 0}},
		{"level 1", "x=7&y=9&width=3&height=4&level=1", slide40, Plan{Box: Box{4, 8, 12, 16}, Width: 3, Height: 4, Level: 1}},
		{"level 1, negative", "x=-1&y=-5&width=3&height=4&level=1", slide40, Plan{Box: Box{-4, -8, 12, 16}, Width: 3, Height: 4, Level: 1, Inside: Box{0, 0, 8, 8}, Clipped: true}},
		{"position of a level's pixel", "x=30.029999999999998&y=0&width=1&height=1&level=1", bare, Plan{Box: Box{10 * 3.003, 0, 3.003, 3.003}, Width: 1, Height: 1, Level: 1}},
		{"level of a part", "x=0&y=1&width=10&height=10&level=1", square, Plan{Box: Box{0, 0, 20, 20}, Width: 10, Height: 10, Level: 1}},
		{"out of the image", "x=-10&y=-20&w=100&h=100", slide40, Plan{Box: Box{-10, -20, 100, 100}, Width: 100, Height: 100, Inside: Box{0, 0, 90, 80}, Clipped: true}},
		{"around the image", "x=-10&y=-10&w=1020&h=820", bare, Plan{Box: Box{-10, -10, 1020, 820}, Width: 1020, Height: 820, Inside: Box{0, 0, 1000, 800}, Clipped: true}},
		{"clip", "x=-10&y=-20&w=100&h=100&fill=clip", slide40, Plan{Box: Box{0, 0, 90, 80}, Width: 90, Height: 80, Inside: Box{0, 0, 90, 80}, Clipped: true}},
		{"clip, scaled", "x=-100&y=0&w=1000&h=500&width=500&fill=clip", slide40, Plan{Box: Box{0, 0, 900, 500}, Width: 450, Height: 250, Inside: Box{0, 0, 900, 500}, Clipped: true}},
		{"clip a level", "x=-9&y=7498&width=10&height=10&level=1&fill=clip", &Image{Width: 40000, Height: 7500, Levels: slide40.Levels}, Plan{Box: Box{0, 7496, 28, 4}, Width: 7, Height: 1, Level: 1, Inside: Box{0, 7496, 28, 4}, Clipped: true}},
		{"clip inside", "x=10&y=20&w=100&h=100&fill=clip", slide40, Plan{Box: Box{10, 20, 100, 100}, Width: 100, Height: 100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Parse(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Plan(tt.im)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if !strings.Contains(tt.query, "level") {
				want.Level = -1
			}
			if !want.Clipped {
				want.Inside = want.Box
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.query, diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	unknown := &Image{Width: 1000, Height: 800, Levels: []Level{{1000, 800, 1, 1}}}
	tests := []struct{ query, want string }{
		{"x=NaN", "x=\"NaN\" is not a number"},
		{"x=Inf", "is not a number"},
		{"w=-Infinity", "is not a number"},
		{"x=0x10", "is not a number"},
		{"x=1e999", "is not a number"},
		{"x=1,5", "is not a number"},
		{"x=1e9", "out of range"},
		{"x=-1e9", "out of range"},
		{"w=1000000000", "out of range"},
		{"w=0", "must be above 0"},
		{"h=-5", "must be above 0"},
		{"h=0.0", "must be above 0"},
		{"x=" + strings.Repeat("1", 41), "is not a number"},
		{"width=0", "at least 1"},
		{"width=-1", "at least 1"},
		{"width=1.5", "at least 1"},
		{"width=%2B5", "at least 1"},
		{"width=16385", "too large"},
		{"width=99999999999999999999", "too large"},
		{"width=-99999999999999999999", "at least 1"},
		{"w=20000&h=10", "too large"},
		{"w=1e8&h=1e8", "too large"},
		{"width=10&w=1&h=100000", "too large"},
		{"mpp=0&w=1&h=1", "must be above 0"},
		{"mpp=1e-300&w=1&h=1", "size of a pixel"},
		{"mpp=1&width=10&height=10", "size of a pixel of this image is unknown"},
		{"unit=um&w=1&h=1", "size of a pixel of this image is unknown"},
		{"magnification=20", "unknown"},
		{"unit=mm", "px or um"},
		{"fill=white", "background or clip"},
		{"icc=adobe", "none or srgb or embed"},
		{"format=gif", "jpeg or png or tiff or raw"},
		{"format=webp", "not supported"},
		{"quality=101", "1 to 100"},
		{"quality=90&format=png", "lossless"},
		{"level=1&width=1&height=1", "levels 0 to 0"},
		{"level=-1&width=1&height=1", "stored level"},
		{"level=0", "level needs width and height"},
		{"level=0&width=5", "level needs width and height"},
		{"level=0&w=5&h=5", "instead of w and h"},
		{"level=0&mpp=1&width=1&height=1", "give one of them"},
		{"mpp=1&magnification=2", "give one of them"},
		{"mpp=1&w=1&h=1&width=4&height=4", "but not both"},
		{"mpp=1&width=4", "width and height both"},
		{"format=raw&icc=embed", "cannot hold"},
		{"format=tiff&width=5", "lossless cut-out"},
		{"format=tiff&icc=srgb", "leave icc out"},
		{"format=tiff&fill=background", "leave fill out"},
		{"X=1", `unknown parameter "X"`},
		{"zoom=1", "unknown parameter"},
		{"%00=1", "unknown parameter ?"},
		{"x=1&x=1", "given 2 times"},
		{"x=", "no value"},
		{"x", "no value"},
		{"v=1&v=2", "given 2 times"},
		{"x=1&&y=2", "malformed"},
		{"x=%zz", "malformed"},
		{"x=1;y=2", "malformed"},
		{"x=1000&y=0&w=5&h=5", "outside of the image"},
		{"x=-5&y=0&w=5&h=5", "outside of the image"},
		{"x=2000", "outside of the image"},
		{"x=2000&fill=clip&w=5&h=5", "outside of the image"},
		{"level=0&x=1000&width=1&height=1", "outside of the image"},
	}
	for _, tt := range tests {
		r, err := Parse(tt.query, "v")
		if err == nil {
			_, err = r.Plan(unknown)
		}
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.query, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrTooLarge) != strings.Contains(tt.want, "too large") {
			t.Errorf("%s: %v, want %q", tt.query, err, tt.want)
		}
	}
}

// Bands cover the result without gaps, and have the scale of the whole.
func TestBands(t *testing.T) {
	for _, p := range []Plan{
		{Box: Box{0, 0, 16384, 16384}, Width: 16384, Height: 16384},
		{Box: Box{0, 0, 32766, 16384}, Width: 16383, Height: 100},
		{Box: Box{5, 7, 3, 64}, Width: 1, Height: 16384},
		{Box: Box{-5, 0.5, 9999, 12345}, Width: 10001, Height: 7777},
	} {
		b := NewBands(&p, false, 0)
		rows, y, at := 0, p.Y, 0.0
		for i := range b.Count() {
			one := b.Plan(i)
			if math.Abs(one.Y-y) > 1e-6 || one.X != p.X || one.W != p.W || one.Height < 1 || one.Height%16 != 0 && i != b.Count()-1 {
				t.Errorf("%v: band %d is %v", p, i, one)
			}
			if blocks := (one.Width + 7) / 8 * ((one.Height + 7) / 8); blocks > 65535 {
				t.Errorf("%v: band %d has %d blocks", p, i, blocks)
			}
			rows, y = rows+one.Height, one.Y+one.H
			at += one.H
		}
		if rows != p.Height || math.Abs(at-p.H) > 1e-6 {
			t.Errorf("%v: the bands have %d rows, %v pixels of level 0", p, rows, at)
		}
	}
}

// Bands of a turned picture are those parts that become its rows.
func TestTurnedBands(t *testing.T) {
	p := &Plan{Box: Box{100, 200, 16000, 8000}, Width: 8000, Height: 4000}
	rows := float64(2 * (bandPixels / 8000 &^ 15))
	turned := float64(2 * (bandPixels / 4000 &^ 15))
	for _, tt := range []struct {
		mirror bool
		turn   int
		want   Box // of the first band
	}{
		{false, 0, Box{100, 200, 16000, rows}},
		{true, 0, Box{100, 200, 16000, rows}},
		{false, 180, Box{100, 8200 - rows, 16000, rows}},
		{false, 90, Box{100, 200, turned, 8000}},
		{true, 90, Box{16100 - turned, 200, turned, 8000}},
		{false, 270, Box{16100 - turned, 200, turned, 8000}},
		{true, 270, Box{100, 200, turned, 8000}},
	} {
		b := NewBands(p, tt.mirror, tt.turn)
		if got := b.Plan(0); got.Box != tt.want {
			t.Errorf("mirrored %v, turned by %d: the first band is %v, want %v", tt.mirror, tt.turn, got.Box, tt.want)
		}
		if (b.Width == 4000) != (tt.turn%180 == 90) || b.Width*b.Height != 8000*4000 {
			t.Errorf("turned by %d: %d×%d", tt.turn, b.Width, b.Height)
		}
	}
}

// FuzzRequest fails if a plan is not within the limits.
func FuzzRequest(f *testing.F) {
	for _, q := range []string{
		"x=1&y=2&w=3&h=4", "x=-1.5&y=1e3&w=3&h=4&unit=um&mpp=.5", "level=1&x=3&y=4&width=5&height=6&fill=clip", "width=100&format=png&icc=srgb",
		"magnification=20&width=512&height=512", "format=tiff&x=5", "w=1e-300&h=1e8&width=16384", "x=NaN&w=Inf",
	} {
		f.Add(q, 40000, 30000, 0, 0, 0.25, 4.0)
		f.Add(q, 1, 1, 100, 212, 1e-9, 1.0000001)
	}
	f.Fuzz(func(t *testing.T, query string, width, height, x, y int, mpp, downsample float64) {
		const most = 1 << 26
		if width < 1 || height < 1 || x < 0 || y < 0 || width > most || height > most || x > most || y > most || !(downsample >= 1) || downsample > 1e6 {
			return
		}
		im := &Image{Width: width, Height: height, X: x, Y: y, MPPX: mpp, MPPY: mpp / 2, Levels: []Level{{width + x, height + y, 1, 1}, {width, height, downsample, downsample / 1.001}}}
		r, err := Parse(query, "v")
		if err != nil {
			return
		}
		p, err := r.Plan(im)
		if err != nil {
			return
		}
		if p.Width < 1 || p.Height < 1 || p.Width > MaxSide || p.Height > MaxSide {
			t.Fatalf("%q: %d×%d pixels", query, p.Width, p.Height)
		}
		for _, n := range []float64{p.X, p.Y, p.W, p.H, p.Inside.W, p.Inside.H} {
			if math.IsNaN(n) || math.IsInf(n, 0) {
				t.Fatalf("%q: %+v", query, p)
			}
		}
		if p.W <= 0 || p.H <= 0 || p.Inside.empty() || p.Inside.X < 0 || p.Inside.Y < 0 || p.Inside.X+p.Inside.W > float64(width)*(1+1e-9) || NewBands(p, false, 90).Count() < 1 {
			t.Fatalf("%q: %+v", query, p)
		}
	})
}
