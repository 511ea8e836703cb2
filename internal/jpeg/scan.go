package jpeg

import (
	"errors"
	"fmt"
)

// A scan says how the MCUs of a baseline JPEG are stored, all of them in one scan.
type scan struct {
	components []scanComponent // in the order of the scan
	blocks     []uint8         // the component of each block of an MCU, in the order in which they are stored
	mcuW, mcuH int             // pixels
}

// A scanComponent is a colour of a scan.
type scanComponent struct {
	Component
	dc, ac           byte // identifiers of its Huffman tables
	dcTable, acTable *decodeTable
}

// newScan reads the SOS segment (B.2.3). The error wraps [ErrNotLossless] for a JPEG whose
// coefficients cannot be copied.
func newScan(head *Header) (*scan, error) {
	if (head.Frame != MarkSOF0 && head.Frame != MarkSOF1) || head.Bits != 8 {
		return nil, fmt.Errorf("%w: JPEG of %d bits with marker %02X", ErrNotLossless, head.Bits, head.Frame)
	}
	b := head.Scan
	if len(b) < 1 || len(b) != 4+2*int(b[0]) {
		return nil, errors.New("the JPEG is incomplete: it ends in its scan header")
	}
	if int(b[0]) != len(head.Components) {
		return nil, fmt.Errorf("%w: JPEG of more than one scan", ErrNotLossless)
	}
	s := &scan{mcuW: 8, mcuH: 8}
	var tables [2][4]*decodeTable
	for i := range head.Components {
		id, dc, ac := b[1+2*i], b[2+2*i]>>4&3, b[2+2*i]&3
		comp, ok := head.Component(id)
		if !ok {
			return nil, fmt.Errorf("JPEG: the scan has component %d, which the frame does not have", id)
		}
		for class, t := range [2]byte{dc, ac} {
			if tables[class][t] != nil {
				continue
			}
			var err error
			if tables[class][t], err = newDecodeTable(head.huffman[class][t]); err != nil {
				return nil, err
			}
		}
		s.components = append(s.components, scanComponent{comp, dc, ac, tables[0][dc], tables[1][ac]})
	}
	return s, s.addBlocks()
}

// addBlocks lists the blocks of an MCU.
func (s *scan) addBlocks() error {
	if len(s.components) == 1 { // with one colour the blocks are not interleaved, and an MCU is one block: A.2.2
		s.blocks = []uint8{0}
		return nil
	}
	for i, c := range s.components {
		s.mcuW, s.mcuH = max(s.mcuW, 8*c.H), max(s.mcuH, 8*c.V)
		for range c.H * c.V {
			s.blocks = append(s.blocks, uint8(i))
		}
	}
	if len(s.blocks) > 10 { // B.2.3
		return fmt.Errorf("%w: JPEG of %d blocks an MCU", ErrNotLossless, len(s.blocks))
	}
	return nil
}
