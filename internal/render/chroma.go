package render

import (
	"fmt"
	"math"

	"github.com/slideatlas/ptiffstore/slide"
)

// checkChroma returns an error unless YCbCr without JPEG can be read.
func checkChroma(lay *slide.Layout) error {
	c := lay.Chroma
	if c == nil || lay.Bits != 8 || lay.Samples != 3 || lay.Predictor > 1 {
		return fmt.Errorf("%w: YCbCr of %d samples with %d bits", ErrUnsupported, lay.Samples, lay.Bits)
	}
	if c.X < 1 || c.X > 4 || c.Y < 1 || c.Y > 4 {
		return fmt.Errorf("subsampling of %d×%d", c.X, c.Y)
	}
	return nil
}

// A chroma converts rows of YCbCr, as libtiff does: the colour of a unit is that of all of
// its pixels.
type chroma struct {
	x, y      int          // pixels of a unit
	luma      [256]float64 // brightness of a code, 0 to 255
	blue, red [256]float64 // Cb and Cr of a code; 0 is grey
}

// Weights of the colours in the brightness (ITU-R BT.601), as in JPEG.
const lumaRed, lumaGreen, lumaBlue = 0.299, 0.587, 0.114

func newChroma(c *slide.Chroma) *chroma {
	t := &chroma{x: c.X, y: c.Y}
	for i := range 256 {
		code := func(channel int, most float64) float64 {
			return math.Trunc((float64(i) - c.Black[channel]) * most / (c.White[channel] - c.Black[channel])) // as libtiff
		}
		t.luma[i], t.blue[i], t.red[i] = code(0, 255), code(1, 127), code(2, 127)
	}
	return t
}

// convert converts row y of a row of units to RGBA.
func (c *chroma) convert(dst, units []byte, y int) {
	n := c.x*c.y + 2
	for x := 0; len(dst) >= 4; x, dst = x+1, dst[4:] {
		unit := units[x/c.x*n:][:n]
		luma, blue, red := c.luma[unit[y*c.x+x%c.x]], c.blue[unit[n-2]], c.red[unit[n-1]]
		r := luma + red*(2-2*lumaRed)
		b := luma + blue*(2-2*lumaBlue)
		g := (luma - lumaBlue*b - lumaRed*r) / lumaGreen
		dst[0], dst[1], dst[2], dst[3] = clamp(r), clamp(g), clamp(b), 255
	}
}

// clamp rounds a value to a byte.
func clamp(v float64) byte { return byte(min(max(math.Round(v), 0), 255)) }
