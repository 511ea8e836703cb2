package barcode

import (
	"image"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/datamatrix/decoder"
	"github.com/makiuchi-d/gozxing/datamatrix/detector"
)

// symbolSizes lists the modules, columns by rows, that a Data Matrix may have:
// ISO/IEC 16022, table 7.
var symbolSizes = []image.Point{
	{10, 10}, {12, 12}, {14, 14}, {16, 16}, {18, 18}, {20, 20}, {22, 22}, {24, 24},
	{26, 26}, {32, 32}, {36, 36}, {40, 40}, {44, 44}, {48, 48}, {52, 52}, {64, 64},
	{72, 72}, {80, 80}, {88, 88}, {96, 96}, {104, 104}, {120, 120}, {132, 132}, {144, 144},
	{18, 8}, {32, 8}, {26, 12}, {36, 12}, {36, 16}, {48, 16},
}

// readDataMatrix reads the code in the middle of the picture, tilted or not.
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

// readUpright reads the code that fills the box and stands straight in it, however
// small its modules and however close what is beside it.
func readUpright(m *gozxing.BitMatrix, box image.Rectangle) (string, error) {
	for _, size := range symbolSizes {
		if box.Dx() < box.Dy() {
			size.X, size.Y = size.Y, size.X
		}
		dx, dy := box.Dx()*size.Y, box.Dy()*size.X // equal when modules are square
		if box.Dx() < size.X || box.Dy() < size.Y || 8*max(dx-dy, dy-dx) > dx {
			continue
		}
		bits := sample(m, box, size)
		for range 4 {
			if text, err := decodeDataMatrix(bits); err == nil {
				return text, nil
			}
			bits.Rotate90()
		}
	}
	return "", ErrNotFound
}

// sample returns the pixels in the middle of each module of the box.
func sample(m *gozxing.BitMatrix, box image.Rectangle, size image.Point) *gozxing.BitMatrix {
	bits, err := gozxing.NewBitMatrix(size.X, size.Y)
	if err != nil {
		panic(err) // neither side is 0
	}
	for y := range size.Y {
		for x := range size.X {
			if m.Get(box.Min.X+(2*x+1)*box.Dx()/(2*size.X), box.Min.Y+(2*y+1)*box.Dy()/(2*size.Y)) {
				bits.Set(x, y)
			}
		}
	}
	return bits
}

// decodeDataMatrix returns the text of the modules, border included.
func decodeDataMatrix(bits *gozxing.BitMatrix) (string, error) {
	if !hasBorder(bits) {
		return "", ErrNotFound
	}
	r, err := decoder.NewDecoder().Decode(bits)
	if err != nil {
		return "", err
	}
	return r.GetText(), nil
}

// hasBorder reports whether nearly all modules of the border are as they must be:
// solid at the left and the bottom, alternating at the top and the right. The
// library does not ask, and without it print and bars are read as short texts.
func hasBorder(m *gozxing.BitMatrix) bool {
	w, h := m.GetWidth(), m.GetHeight()
	wrong := 0
	for x := range w {
		if !m.Get(x, h-1) {
			wrong++
		}
		if m.Get(x, 0) != (x%2 == 0) {
			wrong++
		}
	}
	for y := range h {
		if !m.Get(0, y) {
			wrong++
		}
		if m.Get(w-1, y) != (y%2 == 1) {
			wrong++
		}
	}
	return wrong*8 <= w+h // 1 in 16
}
