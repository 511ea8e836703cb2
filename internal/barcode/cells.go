package barcode

import (
	"cmp"
	"context"
	"image"
	"slices"

	"github.com/makiuchi-d/gozxing"
	aztecdecoder "github.com/makiuchi-d/gozxing/aztec/decoder"
	aztecdetector "github.com/makiuchi-d/gozxing/aztec/detector"
	qrdecoder "github.com/makiuchi-d/gozxing/qrcode/decoder"
	qrdetector "github.com/makiuchi-d/gozxing/qrcode/detector"
)

const (
	minSide       = 8      // pixels; the smallest Data Matrix has 8 modules a side
	maxAspect     = 5      // the longest Data Matrix is 8 × 32 modules, plus tilt
	maxComponents = 200000 // more black spots than that are noise
	maxCandidates = 40     // boxes looked at in a picture, largest first
	maxArea       = 4      // pictures' worth of pixels in them: frames lie within frames
)

// candidates returns the boxes of the connected black areas that could be a code
// or its border, the largest first. Of a Data Matrix that is the solid L on two of
// its sides, whose box is the code's.
func candidates(m *gozxing.BitMatrix) []image.Rectangle {
	var boxes []image.Rectangle
	for _, r := range components(m) {
		long, short := max(r.Dx(), r.Dy()), min(r.Dx(), r.Dy())
		if short >= minSide && long <= short*maxAspect {
			boxes = append(boxes, r)
		}
	}
	slices.SortStableFunc(boxes, func(a, b image.Rectangle) int {
		return cmp.Compare(area(b), area(a))
	})
	left := maxArea * m.GetWidth() * m.GetHeight()
	boxes = slices.DeleteFunc(boxes, func(r image.Rectangle) bool {
		if area(r) > left {
			return true
		}
		left -= area(r)
		return false
	})
	return boxes[:min(len(boxes), maxCandidates)]
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }

// A run is a piece of a row that is black all through, from x0 up to x1.
type run struct{ x0, x1, component int }

// components returns the boxes of the areas of black pixels that touch, also at
// their corners, or nil when there are more than maxComponents.
func components(m *gozxing.BitMatrix) []image.Rectangle {
	var (
		parent     []int // of each component, itself for a root
		boxes      []image.Rectangle
		above, row []run
	)
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for y := range m.GetHeight() {
		row = runs(row[:0], m, y)
		k := 0
		for i := range row {
			r := &row[i]
			r.component = -1
			for k < len(above) && above[k].x1 < r.x0 {
				k++
			}
			for j := k; j < len(above) && above[j].x0 <= r.x1; j++ {
				c := root(above[j].component)
				if r.component >= 0 && c != r.component {
					parent[c] = r.component
					boxes[r.component] = boxes[r.component].Union(boxes[c])
				} else {
					r.component = c
				}
			}
			box := image.Rect(r.x0, y, r.x1, y+1)
			if r.component < 0 {
				if len(parent) == maxComponents {
					return nil
				}
				r.component = len(parent)
				parent = append(parent, r.component)
				boxes = append(boxes, box)
			}
			boxes[r.component] = boxes[r.component].Union(box)
		}
		above, row = row, above
	}
	var out []image.Rectangle
	for i, box := range boxes {
		if parent[i] == i {
			out = append(out, box)
		}
	}
	return out
}

// runs appends the black runs of row y to r.
func runs(r []run, m *gozxing.BitMatrix, y int) []run {
	w := m.GetWidth()
	for x := 0; x < w; x++ {
		if !m.Get(x, y) {
			continue
		}
		x0 := x
		for x < w && m.Get(x, y) {
			x++
		}
		r = append(r, run{x0: x0, x1: x})
	}
	return r
}

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

// crop returns the box with a margin around it of which the outer 8 pixels are
// white whatever is there.
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

// maxFinders bounds the squares taken for a QR code's three: the library weighs
// each triple of them.
const maxFinders = 150

func readQR(ctx context.Context, m *gozxing.BitMatrix) (string, error) {
	n := 0
	stop := func(gozxing.ResultPoint) {
		if n++; n > maxFinders || ctx.Err() != nil {
			panic("too many finder patterns") // the only way out; see attempt
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
