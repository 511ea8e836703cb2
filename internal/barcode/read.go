package barcode

import (
	"context"
	"fmt"
	"image"
	"unicode/utf8"

	"github.com/makiuchi-d/gozxing"
)

// Read returns the text and kind of a code in the picture. It may lie anywhere, be
// turned by quarters and tilted by some degrees, and stand white on black; its
// modules should be 3 pixels wide or more. Of several codes one is returned, a QR
// code, Data Matrix or Aztec code rather than bars. What a code says is returned
// whole, control characters too; Codabar's letters at both ends are left out.
//
// The error is [ErrNotFound] if there is no code or none that can be read, and
// wraps that of the context if it ends the search. A text is only returned when
// the code's own checks hold and, for bars, when several lines across them agree:
// a slide without a barcode is better than one with another's.
//
// The picture may be any, also a hostile one: it is reduced to 4 megapixels first,
// and what the library underneath makes of it, panics included, is no code.
func Read(ctx context.Context, img image.Image) (text string, kind Kind, err error) {
	g := luminance(img)
	if g == nil {
		return "", "", ErrNotFound
	}
	for _, view := range views(g) {
		v := view()
		for _, find := range []func(context.Context, *image.Gray) (string, Kind){findCells, findBars} {
			if text, kind := find(ctx, v); text != "" {
				return text, kind, nil
			}
			if err := ctx.Err(); err != nil {
				return "", "", fmt.Errorf("barcode: search given up: %w", err)
			}
		}
	}
	return "", "", ErrNotFound
}

// views returns the pictures in which a code is looked for, the likeliest first:
// as it is, smaller against noise, larger for narrow modules, and negative.
func views(g *image.Gray) []func() *image.Gray {
	v := []func() *image.Gray{
		func() *image.Gray { return g },
		func() *image.Gray { return halve(g) },
	}
	if n := g.Rect.Dx() * g.Rect.Dy(); 4*n <= maxPixels {
		v = append(v, func() *image.Gray { return double(g) })
	}
	return append(v, func() *image.Gray { return invert(g) })
}

// binarized returns the picture in black and white by each of the library's two
// rules: by a threshold that follows the light, and by one for the whole.
func binarized(g *image.Gray) []*gozxing.BitMatrix {
	src, err := gozxing.NewPlanarYUVLuminanceSource(g.Pix, g.Rect.Dx(), g.Rect.Dy(), 0, 0, g.Rect.Dx(), g.Rect.Dy(), false)
	if err != nil {
		return nil
	}
	var out []*gozxing.BitMatrix
	for _, b := range []gozxing.Binarizer{gozxing.NewHybridBinarizer(src), gozxing.NewGlobalHistgramBinarizer(src)} {
		if m, err := b.GetBlackMatrix(); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// attempt returns what a function of the library reads, in UTF-8, and no text where
// it panics: it is a translation that trusts its indices.
func attempt(f func() (string, error)) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	text, err := f()
	if err != nil {
		return ""
	}
	return fromLatin1(text)
}

// fromLatin1 returns the text in UTF-8, each byte that is not taken for Latin-1,
// the character set of most kinds: the library returns bytes as they are in the
// code, and some who draw codes put UTF-8 into them.
func fromLatin1(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var out []rune
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 {
			r = rune(text[0])
		}
		out = append(out, r)
		text = text[n:]
	}
	return string(out)
}
