// Package iiif reads the addresses of the IIIF Image API, versions 2 and 3, at level 2: it
// says which part of a picture is wanted, how large, and how. It draws nothing.
//
// The specifications are at https://iiif.io/api/image/2.1/ and https://iiif.io/api/image/3.0/.
package iiif

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Most is the longest side, in pixels, of what is drawn to order.
const Most = 2048

// The versions of the API.
const (
	V2 = 2
	V3 = 3
)

// A Picture is what is asked for a part of, in pixels.
type Picture struct {
	Width, Height         int
	TileWidth, TileHeight int
	Zooms                 int // how often it is halved until it is one tile, and one more
}

// A Plan is an address, understood.
type Plan struct {
	X, Y, W, H int    // of the picture
	Width      int    // of the answer, before it is turned
	Height     int    // of the answer, before it is turned
	Mirror     bool   // before it is turned
	Turn       int    // clockwise by 0, 90, 180 or 270°
	Quality    string // default, color, gray or bitonal
	Format     string // jpg or png

	byWidth bool // the height follows from the width
}

// A bad address is an error in words for who has sent it.
func bad(format string, a ...any) error { return fmt.Errorf(format, a...) }

// Parse reads the four parts of an address behind the image's: "0,0,512,512", "256,", "0",
// "default.jpg". The error says what is wrong with it.
func Parse(version int, region, size, rotation, file string, p Picture) (*Plan, error) {
	v := new(Plan)
	for _, err := range []error{v.region(region, p), v.turn(rotation), v.file(file)} {
		if err != nil {
			return nil, err
		}
	}
	if err := v.size(version, size); err != nil {
		return nil, err
	}
	switch {
	case v.Width < 1 || v.Height < 1:
		return nil, bad("size: nothing would be left of the region")
	case v.Width > v.W || v.Height > v.H:
		return nil, bad("size: %d×%d is larger than the region, %d×%d pixels, and nothing is enlarged here", v.Width, v.Height, v.W, v.H)
	}
	return v, nil
}

// region reads full, square, x,y,w,h or pct:x,y,w,h, and cuts it to the picture.
func (v *Plan) region(s string, p Picture) error {
	v.W, v.H = p.Width, p.Height
	switch s {
	case "full":
		return nil
	case "square":
		side := min(p.Width, p.Height)
		v.X, v.Y, v.W, v.H = (p.Width-side)/2, (p.Height-side)/2, side, side
		return nil
	}
	percent, isPercent := strings.CutPrefix(s, "pct:")
	var n [4]float64
	parts := strings.Split(percent, ",")
	if len(parts) != len(n) {
		return bad("region: full, square, x,y,w,h or pct:x,y,w,h")
	}
	for i, part := range parts {
		var ok bool
		if n[i], ok = number(part, isPercent); !ok {
			return bad("region: x, y, width and height are numbers from 0 on, in pixels whole ones")
		}
		if isPercent {
			n[i] *= [2]float64{float64(p.Width), float64(p.Height)}[i%2] / 100
		}
	}
	x, y := math.Round(n[0]), math.Round(n[1])
	right, bottom := min(math.Round(n[0]+n[2]), float64(p.Width)), min(math.Round(n[1]+n[3]), float64(p.Height))
	if x >= right || y >= bottom {
		return bad("region: it is empty, or lies outside of the picture of %d×%d pixels", p.Width, p.Height)
	}
	v.X, v.Y, v.W, v.H = int(x), int(y), int(right-x), int(bottom-y)
	return nil
}

// number reads a number from 0 on, plain decimal of at most 9 digits before the point.
func number(s string, fraction bool) (float64, bool) {
	whole, rest, dot := strings.Cut(s, ".")
	if len(whole) > 9 || len(rest) > 12 || whole == "" && rest == "" || dot && !fraction {
		return 0, false
	}
	if strings.Trim(whole+rest, "0123456789") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// size reads max, full (version 2), w,h; w,; ,h; !w,h or pct:n.
func (v *Plan) size(version int, s string) error {
	if strings.HasPrefix(s, "^") {
		return bad("size: nothing is enlarged here, so no size begins with ^")
	}
	switch {
	case s == "max":
		v.Width, v.Height = v.fit(Most, Most)
		return nil
	case s == "full" && version == V2:
		if v.Width, v.Height = v.W, v.H; max(v.W, v.H) > Most {
			return bad("size: full is larger than %d pixels a side: ask for max, or for tiles", Most)
		}
		return nil
	case strings.HasPrefix(s, "pct:"):
		n, ok := number(s[len("pct:"):], true)
		if !ok || n <= 0 || n > 100 {
			return bad("size: pct:n is above 0, and 100 at most")
		}
		v.Width, v.Height = scaled(v.W, n/100), scaled(v.H, n/100)
		return v.bounded()
	}
	best, confined := strings.CutPrefix(s, "!")
	left, right, ok := strings.Cut(best, ",")
	w, okW := side(left)
	h, okH := side(right)
	if !ok || !okW || !okH || left == "" && right == "" || confined && (left == "" || right == "") {
		return bad("size: max, w,h or w, or ,h or !w,h or pct:n, in whole pixels from 1 on")
	}
	switch {
	case confined:
		v.Width, v.Height = v.fit(min(w, Most), min(h, Most))
		return nil
	case right == "":
		v.Width, v.Height, v.byWidth = w, scaled(v.H, float64(w)/float64(v.W)), true
	case left == "":
		v.Width, v.Height = scaled(v.W, float64(h)/float64(v.H)), h
	default:
		v.Width, v.Height = w, h
	}
	return v.bounded()
}

// side reads a number of pixels, which may be absent.
func side(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	n, ok := number(s, false)
	return int(n), ok && n >= 1
}

func scaled(n int, by float64) int { return max(1, int(math.Round(float64(n)*by))) }

func (v *Plan) bounded() error {
	if max(v.Width, v.Height) > Most {
		return bad("size: %d×%d is larger than %d pixels a side: ask for tiles", v.Width, v.Height, Most)
	}
	return nil
}

// fit is the largest size of the region's aspect within w × h that is no larger than it.
func (v *Plan) fit(w, h int) (int, int) {
	by := min(1, float64(w)/float64(v.W), float64(h)/float64(v.H))
	return min(w, scaled(v.W, by)), min(h, scaled(v.H, by))
}

func (v *Plan) turn(s string) error {
	rest, mirror := strings.CutPrefix(s, "!")
	v.Mirror = mirror
	n, ok := number(rest, true)
	if !ok || n > 360 || math.Mod(n, 90) != 0 {
		return bad("rotation: 0, 90, 180 or 270, and ! before it to mirror")
	}
	v.Turn = int(n) % 360
	return nil
}

var errFile = errors.New("quality and format: default, color, gray or bitonal, and .jpg or .png")

func (v *Plan) file(s string) error {
	quality, format, _ := strings.Cut(s, ".")
	switch quality {
	case "default", "color", "gray", "bitonal":
	default:
		return errFile
	}
	if format != "jpg" && format != "png" {
		return errFile
	}
	v.Quality, v.Format = quality, format
	return nil
}

// Plain reports whether the pixels are wanted as they are stored, as a JPEG.
func (v *Plan) Plain() bool {
	return !v.Mirror && v.Turn == 0 && v.Format == "jpg" && (v.Quality == "default" || v.Quality == "color")
}

// Tile says which tile the plan is just the picture part of: tile x,y of the picture
// halved k times, cut to the picture. It reports false if it is none.
func (v *Plan) Tile(p Picture) (k, x, y int, ok bool) {
	for k = range p.Zooms {
		tw, th := p.TileWidth<<k, p.TileHeight<<k
		if v.X%tw != 0 || v.Y%th != 0 || v.W != min(tw, p.Width-v.X) || v.H != min(th, p.Height-v.Y) {
			continue
		}
		w, h := ceilShift(v.W, k), ceilShift(v.H, k)
		if v.Width == w && (v.Height == h || v.byWidth) {
			return k, v.X / tw, v.Y / th, true
		}
	}
	return 0, 0, 0, false
}

func ceilShift(n, k int) int { return (n + 1<<k - 1) >> k }

// finest is how many pixels are read rather than half as many a side for a better picture.
const finest = 16 << 20

// Halved is how often the picture is to be halved before the plan is drawn from it: as
// often as leaves more pixels than the answer has, and once less if those of the one and
// the other don't fit together and that is not too many.
func (v *Plan) Halved(p Picture) int {
	k := 0
	for k+1 < p.Zooms && v.W>>(k+1) >= v.Width && v.H>>(k+1) >= v.Height {
		k++
	}
	fits := v.Width<<k == v.W && v.Height<<k == v.H && v.X%(1<<k) == 0 && v.Y%(1<<k) == 0
	if k > 0 && !fits && (v.W>>(k-1))*(v.H>>(k-1)) <= finest {
		k--
	}
	return k
}

// String is the plan, the same for the same picture.
func (v *Plan) String() string {
	mirror := ""
	if v.Mirror {
		mirror = "m"
	}
	return fmt.Sprintf("%d-%d-%d-%d-%dx%d-%s%d-%s-%s", v.X, v.Y, v.W, v.H, v.Width, v.Height, mirror, v.Turn, v.Quality, v.Format)
}
