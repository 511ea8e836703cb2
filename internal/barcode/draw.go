package barcode

import (
	"fmt"
	"image"
	"image/color"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/aztec"
	"github.com/boombuler/barcode/codabar"
	"github.com/boombuler/barcode/code128"
	"github.com/boombuler/barcode/code39"
	"github.com/boombuler/barcode/code93"
	"github.com/boombuler/barcode/datamatrix"
	"github.com/boombuler/barcode/ean"
	"github.com/boombuler/barcode/qr"
	"github.com/boombuler/barcode/twooffive"
)

const (
	// maxModule bounds a module's width in pixels: a QR code of 177 modules then stays
	// below 12,000 pixels a side.
	maxModule = 64

	// maxText bounds the text in bytes before it reaches an encoder; the largest code, a
	// QR code of version 40, holds 7,089 digits.
	maxText = 7089

	aztecECC = 33 // percent of error correction; the standard recommends 23 and more
)

// quiet is the width of each kind's quiet zone in modules, at least that of its
// standard.
var quiet = map[Kind]int{
	DataMatrix: 2, QR: 4, Aztec: 2,
	Code128: 10, Code39: 10, Code93: 10, Codabar: 10, ITF: 10, EAN8: 9, EAN13: 11,
}

// Draw renders the code of the text in black on white, with modules of modulePx pixels
// and the quiet zone of the kind. The image is an [*image.Gray] whose bounds begin at
// 0,0. Codes of bars are a fifth as high as they are wide, and at least 20 modules.
//
// DataMatrix holds Latin-1, QR holds any text, Aztec and Code 128 hold ASCII; the
// others hold their own alphabets. Check digits and Codabar's letters at both ends are
// added; EAN may have its check digit already. The error means that the kind cannot
// hold the text.
func Draw(kind Kind, text string, modulePx int) (image.Image, error) {
	if modulePx < 1 || modulePx > maxModule {
		return nil, fmt.Errorf("barcode modules of %d pixels, expected 1 to %d", modulePx, maxModule)
	}
	if text == "" || len(text) > maxText {
		return nil, fmt.Errorf("barcode text of %d bytes, expected 1 to %d", len(text), maxText)
	}
	code, err := encode(kind, text)
	if err != nil {
		return nil, fmt.Errorf("cannot draw %q as %s: %w", text, kind, err)
	}
	size := code.Bounds().Size()
	if size.Y == 1 { // bars
		size.Y = max(20, size.X/5)
	}
	q := quiet[kind]
	img := image.NewGray(image.Rect(0, 0, (size.X+2*q)*modulePx, (size.Y+2*q)*modulePx))
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	for y := range size.Y {
		for x := range size.X {
			c := color.GrayModel.Convert(code.At(x, min(y, code.Bounds().Dy()-1))).(color.Gray)
			if c.Y < 0x80 {
				fillBlack(img, (x+q)*modulePx, (y+q)*modulePx, modulePx)
			}
		}
	}
	return img, nil
}

// encode returns the code with modules of one pixel and no quiet zone.
func encode(kind Kind, text string) (barcode.Barcode, error) {
	switch kind {
	case DataMatrix:
		b, err := latin1(text)
		if err != nil {
			return nil, err
		}
		if b[0] == datamatrix.FNC1 {
			return nil, fmt.Errorf("a leading %q would mean FNC1", text[:2])
		}
		return datamatrix.Encode(string(b))
	case QR:
		return qr.Encode(text, qr.M, qr.Auto)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r > 0x7f }); i >= 0 {
		return nil, fmt.Errorf("byte %d is not ASCII", i)
	}
	switch kind {
	case Aztec:
		return aztec.Encode([]byte(text), aztecECC, aztec.DEFAULT_LAYERS)
	case Code128:
		return code128.Encode(text)
	case Code39:
		return code39.Encode(text, false, false)
	case Code93:
		return code93.Encode(text, true, false)
	case Codabar:
		return codabar.Encode("A" + text + "A")
	case ITF:
		return twooffive.Encode(text, true)
	case EAN8, EAN13:
		if digits := map[Kind]int{EAN8: 7, EAN13: 12}[kind]; len(text) != digits && len(text) != digits+1 {
			return nil, fmt.Errorf("%d digits: want %d, and the check digit if known", len(text), digits)
		}
		return ean.Encode(text)
	}
	return nil, fmt.Errorf("unknown kind")
}

// latin1 returns the text in ISO 8859-1, DataMatrix's own character set.
func latin1(text string) ([]byte, error) {
	b := make([]byte, 0, len(text))
	for i, r := range text {
		if r > 0xff {
			return nil, fmt.Errorf("byte %d: %q is not in Latin-1", i, r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

func fillBlack(img *image.Gray, x0, y0, size int) {
	for y := y0; y < y0+size; y++ {
		clear(img.Pix[img.PixOffset(x0, y):img.PixOffset(x0+size, y)])
	}
}
