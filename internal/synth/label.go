package synth

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/slideatlas/ptiffstore/internal/barcode"
)

const (
	labelWidth, labelHeight = 620, 660
	macroWidth, macroHeight = 1816, 660
)

var (
	paper = color.RGBA{0xf7, 0xf5, 0xee, 0xff}
	ink   = color.RGBA{0x22, 0x24, 0x2a, 0xff}
)

// drawLabel renders the label of a slide: a code in a corner and lines of text.
func drawLabel(seed uint64, text string) (*image.RGBA, error) {
	img := image.NewRGBA(image.Rect(0, 0, labelWidth, labelHeight))
	draw.Draw(img, img.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	if text != "" {
		code, err := barcode.Draw(barcode.DataMatrix, text, 12)
		if err != nil {
			return nil, err
		}
		at := image.Pt(labelWidth-code.Bounds().Dx()-24, 24)
		draw.Draw(img, code.Bounds().Sub(code.Bounds().Min).Add(at), code, code.Bounds().Min, draw.Src)
	}
	lines := []struct {
		text string
		bold bool
		size float64
	}{
		{text, true, 56},
		{"H&E", true, 64},
		{"Block A" + string(rune('1'+seed%4)), false, 44},
		{"Department of Pathology", false, 38},
	}
	y := 360.0
	for _, l := range lines {
		if err := write(img, 36, int(y), l.text, l.bold, l.size); err != nil {
			return nil, err
		}
		y += l.size * 1.35
	}
	return img, nil
}

// write draws a line of text on its base line, smaller if it would not fit.
func write(img *image.RGBA, x, y int, text string, bold bool, size float64) error {
	ttf := goregular.TTF
	if bold {
		ttf = gobold.TTF
	}
	f, err := opentype.Parse(ttf)
	if err != nil {
		return err
	}
	text = strings.ToValidUTF8(text, "?")
	for {
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return err
		}
		d := font.Drawer{Dst: img, Src: image.NewUniform(ink), Face: face, Dot: fixed.P(x, y)}
		if d.MeasureString(text).Ceil() <= img.Rect.Dx()-2*x || size < 10 {
			d.DrawString(text)
			return nil
		}
		size *= 0.85
	}
}

// drawMacro renders the glass as a camera sees it: the label's end on the left, the
// tissue, and a frame around the scanned area.
func drawMacro(view *image.RGBA, seed uint64) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, macroWidth, macroHeight))
	light := func(x, y int) float64 {
		u, v := float64(x)/macroWidth-0.5, float64(y)/macroHeight-0.5
		return 232 - 46*(u*u+v*v) + 2*noise(seed+77, float64(x)/40, float64(y)/40)
	}
	for y := range macroHeight {
		for x := range macroWidth {
			l := light(x, y)
			c := color.RGBA{byte(l), byte(l + 1), byte(l + 3), 0xff}
			if x < 520 {
				c = color.RGBA{byte(l * 0.93), byte(l * 0.9), byte(l * 0.82), 0xff} // the frosted end
			}
			if edge := min(x, macroWidth-1-x, y, macroHeight-1-y); edge < 10 {
				dark := float64(edge) / 10
				c.R, c.G, c.B = byte(float64(c.R)*dark), byte(float64(c.G)*dark), byte(float64(c.B)*dark)
			}
			img.SetRGBA(x, y, c)
		}
	}
	area := image.Rect(580, 60, macroWidth-60, macroHeight-60)
	drawTissue(img, fitted(area, view.Rect), view)
	return img
}

// fitted is the largest rectangle of the aspect of r in the middle of area.
func fitted(area, r image.Rectangle) image.Rectangle {
	scale := math.Min(float64(area.Dx())/float64(r.Dx()), float64(area.Dy())/float64(r.Dy()))
	w, h := max(1, int(scale*float64(r.Dx()))), max(1, int(scale*float64(r.Dy())))
	at := image.Pt(area.Min.X+(area.Dx()-w)/2, area.Min.Y+(area.Dy()-h)/2)
	return image.Rectangle{at, at.Add(image.Pt(w, h))}
}

// drawTissue multiplies the glass by the picture of the slide: white is transparent.
func drawTissue(img *image.RGBA, to image.Rectangle, view *image.RGBA) {
	for y := to.Min.Y; y < to.Max.Y; y++ {
		for x := to.Min.X; x < to.Max.X; x++ {
			c := view.RGBAAt((x-to.Min.X)*view.Rect.Dx()/to.Dx(), (y-to.Min.Y)*view.Rect.Dy()/to.Dy())
			g := img.RGBAAt(x, y)
			film := func(glass, tissue byte, white float64) byte {
				return byte(min(float64(glass)*float64(tissue)/white, 255))
			}
			img.SetRGBA(x, y, color.RGBA{film(g.R, c.R, float64(glassColour[0])), film(g.G, c.G, float64(glassColour[1])), film(g.B, c.B, float64(glassColour[2])), 0xff})
		}
	}
	frame := color.RGBA{0x2b, 0x7a, 0x4b, 0xff}
	for i := range 2 {
		r := to.Inset(-6 - i)
		for x := r.Min.X; x < r.Max.X; x++ {
			img.SetRGBA(x, r.Min.Y, frame)
			img.SetRGBA(x, r.Max.Y-1, frame)
		}
		for y := r.Min.Y; y < r.Max.Y; y++ {
			img.SetRGBA(r.Min.X, y, frame)
			img.SetRGBA(r.Max.X-1, y, frame)
		}
	}
}
