// Package region parses requests for a region of a slide, and computes which part of the
// image is rendered at which size, and in which bands. It draws nothing and knows no HTTP.
package region

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	// MaxSide is the longest side of a result, in pixels.
	MaxSide = 16384
	// maxCoordinate limits coordinates and sizes in pixels of level 0: no slide is as large,
	// and products of such numbers are exact.
	maxCoordinate = 100_000_000
	// maxNumber is the longest number that is parsed, in bytes.
	maxNumber = 40
)

// ErrTooLarge reports a result with more than [MaxSide] pixels a side. Other errors of this
// package report a request that is not valid, or not for this image. The text of all is for
// the client.
var ErrTooLarge = errors.New("the result is too large")

// A Unit is what coordinates count.
type Unit string

// The units.
const (
	Pixels      Unit = "px" // of level 0
	Micrometres Unit = "um"
)

// A Format is how the result is encoded.
type Format string

// The formats.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	TIFF Format = "tiff" // a lossless cut-out, with a pyramid
	Raw  Format = "raw"  // 8-bit RGB, rows without padding
)

// A Fill is what becomes of a region that reaches out of the image.
type Fill string

// The fills.
const (
	Background Fill = "background" // the part outside has the background colour
	Clip       Fill = "clip"       // the region is cut at the edges of the image
)

// A Color is what is done with the colour profile of the slide.
type Color string

// The colours.
const (
	AsStored Color = "none"  // samples as they are stored
	SRGB     Color = "srgb"  // converted
	Embed    Color = "embed" // samples as they are stored, and the profile beside them
)

// A Request is a parsed query. Values that are absent are zero, unless a comment says
// otherwise.
type Request struct {
	X, Y          float64 // top left corner, in Unit
	W, H          float64 // size, in Unit
	Unit          Unit    // Pixels if absent
	Width, Height int     // of the result, in pixels
	Level         int     // stored level to read pixels of; -1 if absent
	MPP           float64 // µm for each pixel of the result
	Magnification float64 // of the result, such as 20
	Format        Format  // JPEG if absent
	Quality       int     // of a JPEG, 1 to 100
	Fill          Fill    // Background if absent
	Color         Color   // AsStored if absent
}

// Keys are the parameters of a request.
var Keys = []string{"x", "y", "w", "h", "unit", "width", "height", "level", "mpp", "magnification", "format", "quality", "fill", "icc"}

// bad returns an error about a request, in words for the client.
func bad(format string, a ...any) error { return fmt.Errorf(format, a...) }

// Parse parses a query string. Ignored are keys that every route has, such as v.
func Parse(query string, ignored ...string) (*Request, error) {
	values, err := url.ParseQuery(query)
	if err != nil || query != "" && slices.Contains(strings.Split(query, "&"), "") {
		return nil, bad("the query is malformed: write name=value, joined by &, with everything else percent-encoded")
	}
	if err := checkKeys(values, ignored); err != nil {
		return nil, err
	}
	r := &Request{Level: -1, Unit: Pixels, Format: JPEG, Fill: Background, Color: AsStored}
	for _, key := range Keys {
		if v := values.Get(key); v != "" {
			if err := r.set(key, v); err != nil {
				return nil, err
			}
		}
	}
	return r, r.check(values)
}

// checkKeys refuses keys that are unknown, repeated or without a value.
func checkKeys(values url.Values, ignored []string) error {
	for key, v := range values {
		known := slices.Contains(Keys, key)
		switch {
		case !known && !slices.Contains(ignored, key):
			return bad("unknown parameter %s: the parameters are %s", shown(key), strings.Join(Keys, ", "))
		case len(v) > 1:
			return bad("%s is given %d times: give it once", key, len(v))
		case known && v[0] == "":
			return bad("%s has no value: leave it out or give one", key)
		}
	}
	return nil
}

// shown returns a text of the client in the form for errors.
func shown(s string) string {
	if s == "" || len(s) > maxNumber || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "?"
	}
	return strconv.Quote(s)
}

// set parses one value.
func (r *Request) set(key, v string) (err error) {
	switch key {
	case "x":
		r.X, err = number(key, v, false)
	case "y":
		r.Y, err = number(key, v, false)
	case "w":
		r.W, err = number(key, v, true)
	case "h":
		r.H, err = number(key, v, true)
	case "mpp":
		r.MPP, err = number(key, v, true)
	case "magnification":
		r.Magnification, err = number(key, v, true)
	case "width":
		r.Width, err = side(key, v)
	case "height":
		r.Height, err = side(key, v)
	case "level":
		r.Level, err = integer(key, v, 0, 99, "the number of a stored level: 0 is the largest")
	case "quality":
		r.Quality, err = integer(key, v, 1, 100, "a number from 1 to 100")
	case "unit":
		r.Unit, err = oneOf(key, v, Pixels, Micrometres)
	case "format":
		r.Format, err = format(v)
	case "fill":
		r.Fill, err = oneOf(key, v, Background, Clip)
	case "icc":
		r.Color, err = oneOf(key, v, AsStored, SRGB, Embed)
	}
	return err
}

// number parses a number, which may have a fraction, and must be above 0 if positive is set.
func number(key, v string, positive bool) (float64, error) {
	n, err := math.NaN(), error(nil)
	if len(v) <= maxNumber && strings.Trim(v, "+-0123456789.eE") == "" { // no hexadecimal numbers, infinities and NaN
		n, err = strconv.ParseFloat(v, 64)
	}
	switch {
	case err != nil || math.IsNaN(n):
		return 0, bad("%s=%s is not a number", key, shown(v))
	case n < -maxCoordinate || n > maxCoordinate:
		return 0, bad("%s=%s is out of range: no image has 100 million pixels a side", key, shown(v))
	case positive && n <= 0:
		return 0, bad("%s=%s must be above 0", key, shown(v))
	}
	return n, nil
}

// side parses a size of the result.
func side(key, v string) (int, error) {
	n, err := integer(key, v, 1, math.MaxInt32, "a number of pixels, at least 1")
	if err == nil && n > MaxSide {
		return 0, fmt.Errorf("%w: %s=%d, at most %d pixels a side are possible; request several regions", ErrTooLarge, key, n, MaxSide)
	}
	return n, err
}

func integer(key, v string, least, most int, what string) (int, error) {
	n, err := strconv.Atoi(v)
	if errors.Is(err, strconv.ErrRange) && v[0] != '-' && most > MaxSide {
		n, err = most, nil // for side to say that it is too large
	}
	if err != nil || n < least || n > most || v[0] == '+' {
		return 0, bad("%s=%s must be %s", key, shown(v), what)
	}
	return n, nil
}

func oneOf[T ~string](key, v string, list ...T) (T, error) {
	if i := slices.Index(list, T(v)); i >= 0 {
		return list[i], nil
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = string(list[i])
	}
	return "", bad("%s=%s must be %s", key, shown(v), strings.Join(names, " or "))
}

func format(v string) (Format, error) {
	switch v {
	case "jpg":
		return JPEG, nil
	case "tif":
		return TIFF, nil
	case "webp":
		return "", bad("format=webp is not supported, as there is no encoder in Go that is maintained and supports lossy WebP: use jpeg, or png without loss")
	}
	return oneOf("format", v, JPEG, PNG, TIFF, Raw)
}

// check refuses parameters that contradict each other, and says what to do.
func (r *Request) check(given url.Values) error {
	has := func(keys ...string) string {
		for _, key := range keys {
			if given.Has(key) {
				return key
			}
		}
		return ""
	}
	switch {
	case r.MPP > 0 && r.Magnification > 0:
		return bad("mpp and magnification both set the scale: give one of them")
	case r.Level >= 0 && has("mpp", "magnification") != "":
		return bad("level and %s both set the scale: give one of them", has("mpp", "magnification"))
	case r.Level >= 0 && has("w", "h") != "":
		return bad("level reads stored pixels: give width and height, in pixels of the level, instead of w and h; or leave level out to scale the region")
	case r.Level >= 0 && (r.Width == 0 || r.Height == 0):
		return bad("level needs width and height, in pixels of the level")
	case (r.MPP > 0 || r.Magnification > 0) && (r.Width > 0 || r.Height > 0) && has("w", "h") != "":
		return bad("%s sets the scale: give w and h, or width and height, but not both", has("mpp", "magnification"))
	case (r.MPP > 0 || r.Magnification > 0) && (r.Width > 0) != (r.Height > 0):
		return bad("%s needs width and height both, or w and h", has("mpp", "magnification"))
	case given.Has("quality") && r.Format != JPEG:
		return bad("quality is for format=jpeg: leave it out, as %s is lossless", r.Format)
	case r.Format == Raw && r.Color == Embed:
		return bad("format=raw cannot hold a colour profile: use icc=none or icc=srgb, and get the profile from the route /icc")
	}
	return r.checkTIFF(has)
}

func (r *Request) checkTIFF(has func(...string) string) error {
	scaling := has("width", "height", "level", "mpp", "magnification")
	switch {
	case r.Format != TIFF:
		return nil
	case scaling != "":
		return bad("format=tiff is a lossless cut-out with all levels: leave %s out, or use format=png", scaling)
	case r.Color == SRGB:
		return bad("format=tiff keeps the stored samples and the colour profile: leave icc out, or use format=png")
	case has("fill") != "" && r.Fill == Background:
		return bad("format=tiff has only what is in the image: leave fill out, or use format=png")
	}
	return nil
}
