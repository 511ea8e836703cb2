package barcode

import (
	"context"
	"fmt"
	"image"
	"unicode/utf8"

	"github.com/makiuchi-d/gozxing"
)

// Read returns the text and kind of a code in the image. The code may be anywhere,
// turned by multiples of 90°, tilted by some degrees, or white on black; its modules
// should be at least 3 pixels wide. If there are several codes, Read returns one of
// them, preferring QR codes, Data Matrix and Aztec codes to bars. The text includes
// control characters; Codabar's letters at both ends are left out.
//
// The error is [ErrNotFound] if there is no readable code, and wraps that of the
// context if it ends the search. A text is only returned if the code's own checks hold
// and, for bars, if several lines across them agree: a missing barcode is better than a
// wrong one.
//
// The image may be hostile: it is reduced to 4 megapixels first, and panics of the
// underlying library count as no code.
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
				return "", "", fmt.Errorf("search for a barcode cancelled: %w", err)
			}
		}
	}
	return "", "", ErrNotFound
}

// views returns the variants of the picture to be searched, the likeliest first:
// unchanged, smaller to reduce noise, larger for narrow modules, and negative.
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
// methods: with a local and with a global threshold.
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

// attempt returns the text that a function of the library reads, in UTF-8, or "" if it
// panics: the library is a translation that does not check its indices.
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

// fromLatin1 returns the text in UTF-8. Bytes that are not valid UTF-8 are decoded as
// Latin-1, the character set of most kinds: the library returns the bytes of the code,
// and some writers of codes use UTF-8.
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
