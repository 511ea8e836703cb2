package jpeg

import (
	"fmt"
	"image/color"
)

// Flat returns a JPEG of w × h pixels of one colour, as exactly as the quantization of the
// JPEG in like allows, whose sampling, tables and colours it has.
func Flat(like []byte, w, h int, c color.RGBA) ([]byte, error) {
	f, err := newFrame(like)
	if err != nil {
		return nil, err
	}
	if err := CheckSize(w, h); err != nil {
		return nil, err
	}
	s := stitcher{g: &Grid{Background: c}, frame: f, tables: f.tables}
	if f.tables == nil || !f.tables.end {
		s.tables = standardTables(len(f.scan.components))
	}
	s.addBackground()
	s.writeHeader(w, h)
	mcuW, mcuH := f.MCU()
	if err := s.addRun((w + mcuW - 1) / mcuW * ((h + mcuH - 1) / mcuH)); err != nil {
		return nil, fmt.Errorf("a JPEG of one colour: %w", err)
	}
	return s.out.end(), nil
}
