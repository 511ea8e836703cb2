package barcode

import (
	"image"
	"slices"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/datamatrix/decoder"
	"github.com/makiuchi-d/gozxing/datamatrix/detector"
)

// The sizes of a Data Matrix in modules: ISO/IEC 16022, table 7.
var (
	squares    = []int{10, 12, 14, 16, 18, 20, 22, 24, 26, 32, 36, 40, 44, 48, 52, 64, 72, 80, 88, 96, 104, 120, 132, 144}
	rectangles = []image.Point{{18, 8}, {32, 8}, {26, 12}, {36, 12}, {36, 16}, {48, 16}} // columns, rows
)

// readDataMatrix reads the code in the middle of the picture, which may be tilted.
func readDataMatrix(m *gozxing.BitMatrix) (string, error) {
	d, err := detector.NewDetector(m)
	if err != nil {
		return "", err
	}
	found, err := d.Detect()
	if err != nil {
		return "", err
	}
	return decodeDataMatrix(found.GetBits())
}

// readUpright reads an upright code that fills the box. Its modules may be small, and
// other black areas may be close.
func readUpright(m *gozxing.BitMatrix, box image.Rectangle) (string, error) {
	for _, size := range symbolSizes() {
		if box.Dx() < box.Dy() {
			size.X, size.Y = size.Y, size.X
		}
		dx, dy := box.Dx()*size.Y, box.Dy()*size.X // equal if modules are square
		if box.Dx() < size.X || box.Dy() < size.Y || 8*max(dx-dy, dy-dx) > dx {
			continue
		}
		for quarters := range 4 {
			at := module(m, box, size, quarters)
			cols, rows := size.X, size.Y
			if quarters%2 == 1 {
				cols, rows = rows, cols
			}
			if !hasBorder(cols, rows, at) {
				continue
			}
			if text, err := decodeDataMatrix(sample(cols, rows, at)); err == nil {
				return text, nil
			}
		}
	}
	return "", ErrNotFound
}

func symbolSizes() []image.Point {
	sizes := slices.Clone(rectangles)
	for _, n := range squares {
		sizes = append(sizes, image.Pt(n, n))
	}
	return sizes
}

// module returns a function for the pixel in the middle of a module of the box. Size is
// in modules, before turning the box clockwise by quarters.
func module(m *gozxing.BitMatrix, box image.Rectangle, size image.Point, quarters int) func(x, y int) bool {
	return func(x, y int) bool {
		switch quarters {
		case 1:
			x, y = y, size.Y-1-x
		case 2:
			x, y = size.X-1-x, size.Y-1-y
		case 3:
			x, y = size.X-1-y, x
		}
		return m.Get(box.Min.X+(2*x+1)*box.Dx()/(2*size.X), box.Min.Y+(2*y+1)*box.Dy()/(2*size.Y))
	}
}

func sample(cols, rows int, at func(x, y int) bool) *gozxing.BitMatrix {
	bits, err := gozxing.NewBitMatrix(cols, rows)
	if err != nil {
		panic(err) // neither side is 0
	}
	for y := range rows {
		for x := range cols {
			if at(x, y) {
				bits.Set(x, y)
			}
		}
	}
	return bits
}

// decodeDataMatrix returns the text of the modules, which include the border.
func decodeDataMatrix(bits *gozxing.BitMatrix) (string, error) {
	if !hasBorder(bits.GetWidth(), bits.GetHeight(), bits.Get) {
		return "", ErrNotFound
	}
	r, err := decoder.NewDecoder().Decode(bits)
	if err != nil {
		return "", err
	}
	return r.GetText(), nil
}

// hasBorder reports whether nearly all modules of the border are correct: solid at the
// left and the bottom, alternating at the top and the right. The library does not check
// this, and would read print and bars as short texts.
func hasBorder(cols, rows int, at func(x, y int) bool) bool {
	left := (cols + rows) / 8 // modules that may be wrong: 1 in 16
	check := func(ok bool) bool {
		if !ok {
			left--
		}
		return left >= 0
	}
	for x := range cols {
		if !check(at(x, rows-1)) || !check(at(x, 0) == (x%2 == 0)) {
			return false
		}
	}
	for y := range rows {
		if !check(at(0, y)) || !check(at(cols-1, y) == (y%2 == 1)) {
			return false
		}
	}
	return true
}
