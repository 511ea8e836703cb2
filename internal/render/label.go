package render

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/slideatlas/ptiffstore/internal/barcode"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	labelSide    = 400 // pixels of a label that is rendered from the barcode
	labelMargin  = 16
	labelQuality = 92
	// shortCode is the maximum size in bytes of a text that is rendered as DataMatrix. For
	// a longer text the modules of a DataMatrix are smaller than those of a QR code.
	shortCode = 48
)

// Label returns the label of the slide as a JPEG, upright: the stored one, or if the file has
// none, one of 400 × 400 pixels rendered from the barcode, with its text below. Made reports
// that it was rendered. Without a barcode the error is [slide.ErrNoAssociated]; a stored label
// that cannot be read is an error.
func Label(ctx context.Context, s *slide.Slide) (b []byte, made bool, err error) {
	p, err := ReadAssociated(ctx, s, "label")
	if errors.Is(err, slide.ErrNoAssociated) {
		img, err := drawLabel(s.Barcode)
		if err != nil {
			return nil, false, err
		}
		b, err = EncodeJPEG(img, labelQuality)
		return b, true, err
	}
	if err != nil {
		return nil, false, err
	}
	if b := p.JPEG(); b != nil && s.LabelTurn() == 0 {
		return b, false, nil
	}
	img, err := uprightLabel(ctx, s, p)
	if err != nil {
		return nil, false, fmt.Errorf("label: %w", err)
	}
	b, err = EncodeJPEG(img, labelQuality)
	return b, false, err
}

// uprightLabel returns the pixels of the stored label p of s, rotated so that it is upright.
func uprightLabel(ctx context.Context, s *slide.Slide, p *slide.AssociatedImage) (*image.RGBA, error) {
	img, err := DecodeAssociated(ctx, p)
	if err != nil || s.LabelTurn() == 0 {
		return img, err
	}
	if err := Take(ctx, pictureCost(img.Rect.Dx(), img.Rect.Dy())); err != nil {
		return nil, err
	}
	turned := Turn(img, false, s.LabelTurn())
	Discard(ctx, img)
	return turned, nil
}

// drawLabel renders the code of text in black on white, with the text below.
func drawLabel(text string) (*image.RGBA, error) {
	if text == "" {
		return nil, slide.ErrNoAssociated
	}
	img := image.NewRGBA(image.Rect(0, 0, labelSide, labelSide))
	fill(img, img.Rect, white)
	top, err := drawText(img, text)
	if err != nil {
		return nil, err
	}
	code, err := drawCode(text, top-labelMargin)
	if err != nil {
		return nil, err
	}
	size := code.Bounds().Size()
	at := image.Pt((labelSide-size.X)/2, (top-size.Y)/2)
	draw.Draw(img, image.Rectangle{at, at.Add(size)}, code, code.Bounds().Min, draw.Src)
	return img, nil
}

// drawCode returns the code of text, as large as fits into side × side pixels with modules
// of whole pixels: DataMatrix for a short text, otherwise QR, which can hold any text.
func drawCode(text string, side int) (image.Image, error) {
	kinds := []barcode.Kind{barcode.DataMatrix, barcode.QR}
	if len(text) > shortCode {
		kinds = kinds[1:]
	}
	var errs []error
	for _, kind := range kinds {
		code, err := barcode.Draw(kind, text, 1)
		if err == nil {
			code, err = barcode.Draw(kind, text, max(1, side/code.Bounds().Dx()))
		}
		if err == nil && code.Bounds().Dx() > side {
			err = fmt.Errorf("a %s code of %d modules does not fit on a label", kind, code.Bounds().Dx())
		}
		if err == nil {
			return code, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// monospace is the font of rendered labels: it has Latin, Greek and Cyrillic letters, and
// distinguishes 0 from O.
var monospace = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(gomono.TTF) })

// drawText writes text at the bottom of img, in the largest size at which it does not
// exceed the number of lines for that size, and returns its top edge.
func drawText(img *image.RGBA, text string) (top int, err error) {
	f, err := monospace()
	if err != nil {
		return 0, err
	}
	const width = labelSide - 2*labelMargin
	for _, try := range []struct{ size, lines int }{{40, 1}, {28, 2}, {20, 3}, {14, 4}} {
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: float64(try.size), DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return 0, err
		}
		advance, _ := face.GlyphAdvance('0')
		lines := wrap(text, max(1, width/advance.Ceil()))
		if len(lines) > try.lines && try.size > 14 {
			face.Close()
			continue
		}
		lines = lines[:min(len(lines), try.lines)] // the code contains the rest
		height := face.Metrics().Height.Ceil()
		top = labelSide - labelMargin - height*len(lines)
		drawLines(img, face, lines, top)
		face.Close()
		break
	}
	return top, nil
}

func drawLines(img *image.RGBA, face font.Face, lines []string, top int) {
	d := font.Drawer{Dst: img, Src: image.Black, Face: face}
	m := face.Metrics()
	for i, line := range lines {
		x := (fixed.I(labelSide) - d.MeasureString(line)) / 2
		d.Dot = fixed.Point26_6{X: fixed.I(x.Round()), Y: fixed.I(top+i*m.Height.Ceil()) + m.Ascent}
		d.DrawString(line)
	}
}

// wrap breaks text into lines of n characters, and replaces control characters by blanks.
func wrap(text string, n int) []string {
	var lines []string
	rest := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
	for len(rest) > n {
		lines = append(lines, string(rest[:n]))
		rest = rest[n:]
	}
	return append(lines, string(rest))
}
