package barcode

import (
	"context"
	"image"

	"github.com/makiuchi-d/gozxing"
	aztecdecoder "github.com/makiuchi-d/gozxing/aztec/decoder"
	aztecdetector "github.com/makiuchi-d/gozxing/aztec/detector"
	qrdecoder "github.com/makiuchi-d/gozxing/qrcode/decoder"
	qrdetector "github.com/makiuchi-d/gozxing/qrcode/detector"
)

// maxFinders bounds the candidates for a QR code's finder patterns: the library tries
// each triple of them.
const maxFinders = 150

// findCells looks for a code made of square cells.
func findCells(ctx context.Context, g *image.Gray) (string, Kind) {
	for _, m := range binarized(g) {
		if text := attempt(func() (string, error) { return readQR(ctx, m) }); text != "" {
			return text, QR
		}
		for _, box := range candidates(m) {
			if ctx.Err() != nil {
				return "", ""
			}
			if text := attempt(func() (string, error) { return readUpright(m, box) }); text != "" {
				return text, DataMatrix
			}
			for _, margin := range []int{2, 2 + max(box.Dx(), box.Dy())/8} {
				c := crop(m, box, margin)
				if text := attempt(func() (string, error) { return readDataMatrix(c) }); text != "" {
					return text, DataMatrix
				}
				if text := attempt(func() (string, error) { return readAztec(c) }); text != "" {
					return text, Aztec
				}
			}
		}
	}
	return "", ""
}

func readQR(ctx context.Context, m *gozxing.BitMatrix) (string, error) {
	n := 0
	stop := func(gozxing.ResultPoint) {
		if n++; n > maxFinders || ctx.Err() != nil {
			panic("too many finder patterns") // the library offers no other way to stop it; see attempt
		}
	}
	hints := map[gozxing.DecodeHintType]any{
		gozxing.DecodeHintType_TRY_HARDER:                 true,
		gozxing.DecodeHintType_NEED_RESULT_POINT_CALLBACK: gozxing.ResultPointCallback(stop),
	}
	d, err := qrdetector.NewDetector(m).Detect(hints)
	if err != nil {
		return "", err
	}
	r, err := qrdecoder.NewDecoder().Decode(d.GetBits(), hints)
	if err != nil {
		return "", err
	}
	return r.GetText(), nil
}

func readAztec(m *gozxing.BitMatrix) (string, error) {
	found, err := aztecdetector.NewDetector(m).Detect(false)
	if err != nil {
		return "", err
	}
	r, err := aztecdecoder.NewDecoder().Decode(found)
	if err != nil {
		return "", err
	}
	return r.GetText(), nil
}

// crop returns the box with a margin around it, whose outer 8 pixels are set to white.
func crop(m *gozxing.BitMatrix, box image.Rectangle, margin int) *gozxing.BitMatrix {
	const white = 8
	r := box.Inset(-margin).Intersect(image.Rect(0, 0, m.GetWidth(), m.GetHeight()))
	c, err := gozxing.NewBitMatrix(r.Dx()+2*white, r.Dy()+2*white)
	if err != nil {
		panic(err) // neither side is 0
	}
	for y := range r.Dy() {
		for x := range r.Dx() {
			if m.Get(r.Min.X+x, r.Min.Y+y) {
				c.Set(x+white, y+white)
			}
		}
	}
	return c
}
