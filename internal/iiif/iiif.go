// Package iiif parses the URLs of the IIIF Image API, versions 2 and 3, at compliance level
// 2: which part of an image is requested, at which size, and in which format. It does not
// render anything.
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

// MaxSide is the longest side of a rendered region, in pixels.
const MaxSide = 16384

// The versions of the API.
const (
	V2 = 2
	V3 = 3
)

// An Image is the image that requests are for.
type Image struct {
	Width, Height         int     // pixels
	TileWidth, TileHeight int     // pixels
	Zooms                 int     // number of zoom levels: halving it Zooms-1 times gives a single tile
	MPP                   float64 // µm per pixel; 0 if unknown
	X, Y                  int     // where the image begins in its levels, in pixels of the largest one
}

// A Plan is a parsed request.
type Plan struct {
	X, Y, W, H int    // region of the image, in pixels
	Width      int    // of the result before rotation, in pixels
	Height     int    // of the result before rotation, in pixels
	Mirror     bool   // before rotation
	Turn       int    // clockwise rotation: 0, 90, 180 or 270°
	Quality    string // default, color, gray or bitonal
	Format     string // jpg or png

	byWidth bool // the height follows from the width
}

// bad returns an error about a URL, in words for the client.
func bad(format string, a ...any) error { return fmt.Errorf(format, a...) }

// Parse parses the four parts of a URL after the image, such as "0,0,512,512", "256,", "0"
// and "default.jpg". The error is meant for the client.
func Parse(version int, region, size, rotation, file string, p Image) (*Plan, error) {
	v := new(Plan)
	for _, err := range []error{v.region(region, p), v.turn(rotation), v.file(file)} {
		if err != nil {
			return nil, err
		}
	}
	if err := v.size(version, size); err != nil {
		return nil, err
	}
	k, _, _, isTile := v.Tile(p)
	if isTile { // "w," of a tile, whose height is rounded up
		v.Height = ceilShift(v.H, k)
	}
	switch {
	case v.Width < 1 || v.Height < 1:
		return nil, bad("size: the result would have no pixels")
	case max(v.Width, v.Height) > MaxSide && !isTile:
		return nil, bad("size: %d×%d is larger than %d pixels a side; request tiles", v.Width, v.Height, MaxSide)
	case v.Width > v.W || v.Height > v.H:
		return nil, bad("size: %d×%d is larger than the region, %d×%d pixels; enlarging is not supported", v.Width, v.Height, v.W, v.H)
	}
	return v, nil
}

// region parses full, square, x,y,w,h or pct:x,y,w,h, and crops it to the image.
func (v *Plan) region(s string, p Image) error {
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
		return bad("region: must be full, square, x,y,w,h or pct:x,y,w,h")
	}
	for i, part := range parts {
		var ok bool
		if n[i], ok = number(part, isPercent); !ok {
			return bad("region: x, y, width and height must be numbers of at least 0, in pixels integers")
		}
		if isPercent {
			n[i] *= [2]float64{float64(p.Width), float64(p.Height)}[i%2] / 100
		}
	}
	x, y := math.Round(n[0]), math.Round(n[1])
	right, bottom := min(math.Round(n[0]+n[2]), float64(p.Width)), min(math.Round(n[1]+n[3]), float64(p.Height))
	if x >= right || y >= bottom {
		return bad("region: it is empty or outside the image, which has %d×%d pixels", p.Width, p.Height)
	}
	v.X, v.Y, v.W, v.H = int(x), int(y), int(right-x), int(bottom-y)
	return nil
}

// number parses a decimal number without sign and with at most 9 digits before the point.
func number(s string, fraction bool) (float64, bool) {
	integer, rest, dot := strings.Cut(s, ".")
	if len(integer) > 9 || len(rest) > 12 || integer == "" && rest == "" || dot && !fraction {
		return 0, false
	}
	if strings.Trim(integer+rest, "0123456789") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// size parses max, full (version 2), w,h; w,; ,h; !w,h or pct:n.
func (v *Plan) size(version int, s string) error {
	if strings.HasPrefix(s, "^") {
		return bad("size: enlarging is not supported; remove the ^")
	}
	switch {
	case s == "max":
		v.Width, v.Height = v.fit(MaxSide, MaxSide)
		return nil
	case s == "full" && version == V2:
		if v.Width, v.Height = v.W, v.H; max(v.W, v.H) > MaxSide {
			return bad("size: full is larger than %d pixels a side; request max or tiles", MaxSide)
		}
		return nil
	case strings.HasPrefix(s, "pct:"):
		n, ok := number(s[len("pct:"):], true)
		if !ok || n <= 0 || n > 100 {
			return bad("size: the n of pct:n must be above 0 and at most 100")
		}
		v.Width, v.Height = scaled(v.W, n/100), scaled(v.H, n/100)
		return nil
	}
	best, confined := strings.CutPrefix(s, "!")
	left, right, ok := strings.Cut(best, ",")
	w, okW := side(left)
	h, okH := side(right)
	if !ok || !okW || !okH || left == "" && right == "" || confined && (left == "" || right == "") {
		return bad("size: must be max, w,h or w, or ,h or !w,h or pct:n, in integer pixels of at least 1")
	}
	switch {
	case confined:
		v.Width, v.Height = v.fit(min(w, MaxSide), min(h, MaxSide))
		return nil
	case right == "":
		v.Width, v.Height, v.byWidth = w, scaled(v.H, float64(w)/float64(v.W)), true
	case left == "":
		v.Width, v.Height = scaled(v.W, float64(h)/float64(v.H)), h
	default:
		v.Width, v.Height = w, h
	}
	return nil
}

// side parses a number of pixels, which may be absent.
func side(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	n, ok := number(s, false)
	return int(n), ok && n >= 1
}

func scaled(n int, by float64) int { return max(1, int(math.Round(float64(n)*by))) }

// fit returns the largest size with the aspect ratio of the region that fits into w × h and
// is no larger than the region.
func (v *Plan) fit(w, h int) (int, int) {
	by := min(1, float64(w)/float64(v.W), float64(h)/float64(v.H))
	return min(w, scaled(v.W, by)), min(h, scaled(v.H, by))
}

func (v *Plan) turn(s string) error {
	rest, mirror := strings.CutPrefix(s, "!")
	v.Mirror = mirror
	n, ok := number(rest, true)
	if !ok || n > 360 || math.Mod(n, 90) != 0 {
		return bad("rotation: must be 0, 90, 180 or 270, with ! before it to mirror")
	}
	v.Turn = int(n) % 360
	return nil
}

var errFile = errors.New("quality and format: must be default, color, gray or bitonal, and .jpg or .png")

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

// Plain reports whether the request is for a JPEG without mirroring, rotation or change of
// colour.
func (v *Plan) Plain() bool {
	return !v.Mirror && v.Turn == 0 && v.Format == "jpg" && (v.Quality == "default" || v.Quality == "color")
}

// Tile returns the tile that the plan requests: tile x,y of the image halved k times,
// cropped to the image. It reports false if the plan does not request exactly one tile.
func (v *Plan) Tile(p Image) (k, x, y int, ok bool) {
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

// String returns a key that is equal for plans with the same result.
func (v *Plan) String() string {
	mirror := ""
	if v.Mirror {
		mirror = "m"
	}
	return fmt.Sprintf("%d-%d-%d-%d-%dx%d-%s%d-%s-%s", v.X, v.Y, v.W, v.H, v.Width, v.Height, mirror, v.Turn, v.Quality, v.Format)
}

// Canonical returns the canonical path of the result below the URL of the image: region,
// size, rotation, and quality with format (Image API 3.0 section 4.7, 2.1 section 4.7).
func (v *Plan) Canonical(version int, p Image) string {
	region := fmt.Sprintf("%d,%d,%d,%d", v.X, v.Y, v.W, v.H)
	if v.X == 0 && v.Y == 0 && v.W == p.Width && v.H == p.Height {
		region = "full"
	}
	maxW, maxH := v.fit(MaxSide, MaxSide)
	size := fmt.Sprintf("%d,%d", v.Width, v.Height)
	switch {
	case version == V3 && v.Width == maxW && v.Height == maxH:
		size = "max"
	case version == V2 && v.Width == v.W && v.Height == v.H:
		size = "full"
	case version == V2 && scaled(v.H, float64(v.Width)/float64(v.W)) == v.Height:
		size = fmt.Sprintf("%d,", v.Width)
	}
	mirror, quality := "", v.Quality
	if v.Mirror {
		mirror = "!"
	}
	if quality == "color" {
		quality = "default"
	}
	return fmt.Sprintf("%s/%s/%s%d/%s.%s", region, size, mirror, v.Turn, quality, v.Format)
}
