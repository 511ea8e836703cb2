package jpeg

import (
	"fmt"
	"math/bits"
)

// Pad returns a JPEG of w × h pixels whose top left is data, without loss: it copies the
// compressed coefficients instead of decoding them to pixels, as [Crop] does. What is
// added at the right and at the bottom is white, from the next complete block on. If there is
// nothing to add it returns data itself.
//
// The error is that of [Crop]. It also wraps [ErrNotLossless] if the JPEG has no code for
// a block of one colour.
func Pad(data []byte, w, h int) ([]byte, error) {
	head, err := ReadHeader(data)
	if err != nil {
		return nil, err
	}
	if err := CheckSize(w, h); err != nil {
		return nil, err
	}
	if w < head.Width || h < head.Height {
		return nil, fmt.Errorf("cannot pad a JPEG of %d×%d pixels to %d×%d", head.Width, head.Height, w, h)
	}
	if w == head.Width && h == head.Height {
		return data, nil
	}
	c, err := newCropper(head, data, w, h)
	if err != nil {
		return nil, err
	}
	p := padder{cropper: c, rows: (head.Height + c.mcuH - 1) / c.mcuH}
	if err := p.addBlocks(head); err != nil {
		return nil, err
	}
	if err := p.padRows(); err != nil {
		return nil, fmt.Errorf("JPEG of %d bytes, near byte %d: %w", len(data), c.in.at, err)
	}
	return c.out.end(), nil
}

// A padder copies the first scan of a JPEG, and adds white MCUs.
type padder struct {
	*cropper
	rows   int // MCUs of the JPEG
	blocks map[*scanned]whiteBlock
}

// A whiteBlock is a block of white pixels of one component.
type whiteBlock struct {
	dc        int
	end       uint64 // code of the symbol that ends the block
	endLength int
}

// addBlocks determines the white block of each component.
func (p *padder) addBlocks(head *Header) error {
	p.blocks = map[*scanned]whiteBlock{}
	steps := dcSteps(head)
	for i := range p.scanned {
		// The scan has the components in any order.
		id, ac := head.Scan[1+2*i], head.Scan[2+2*i]&3
		var b whiteBlock
		var ok bool
		if b.end, b.endLength, ok = endCode(head.huffman[1][ac]); !ok {
			return fmt.Errorf("%w: no code ends a block", ErrNotLossless)
		}
		for j, c := range head.Components {
			if c.ID != id {
				continue
			}
			step, ok := steps[c.ID]
			if !ok {
				return fmt.Errorf("JPEG: component %d has no quantization table", c.ID)
			}
			if j == 0 || head.RGB() {
				// The samples are shifted by 128, and the DC is their mean times 8.
				b.dc = (127*8 + step/2) / step
			}
		}
		p.blocks[&p.scanned[i]] = b
	}
	return nil
}

// RGB reports whether the components are red, green and blue for decoders: see
// [slide.Slide.AppendTile].
func (h *Header) RGB() bool {
	if len(h.Components) != 3 {
		return false
	}
	for _, s := range h.Segments {
		if s.Mark == MarkAPP0 && len(s.Data) >= 5 && string(s.Data[:5]) == "JFIF\x00" {
			return false
		}
	}
	return h.Adobe == 0 || h.Adobe < 0 && h.CalledRGB()
}

// dcSteps returns the quantization step of the DC of each component, by its id (B.2.4.1).
func dcSteps(head *Header) map[byte]int {
	var tables [4]int
	steps := map[byte]int{}
	for _, s := range head.Segments {
		for b := s.Data; s.Mark == MarkDQT && len(b) > 1; {
			n := 64 << min(b[0]>>4, 1)
			if len(b) < 1+n {
				break
			}
			tables[b[0]&3] = int(b[1])
			if b[0]>>4 > 0 {
				tables[b[0]&3] = int(b[1])<<8 | int(b[2])
			}
			b = b[1+n:]
		}
		if s.Mark == head.Frame {
			for i := 6; i+2 < len(s.Data); i += 3 {
				steps[s.Data[i]] = int(s.Data[i+2] & 3)
			}
		}
	}
	for id, table := range steps {
		if tables[table] == 0 {
			delete(steps, id)
			continue
		}
		steps[id] = tables[table]
	}
	return steps
}

// endCode returns the code of the symbol that ends a block.
func endCode(t codeTable) (code uint64, length int, ok bool) {
	i := 0
	for l := 1; l <= len(t.counts); l++ {
		for range t.counts[l-1] {
			if t.symbols[i] == 0 {
				return code, l, bits.Len64(code) <= l
			}
			code++
			i++
		}
		code <<= 1
	}
	return 0, 0, false
}

// padRows copies the MCUs, and adds white ones behind each row and behind the last one.
func (p *padder) padRows() error {
	for y := range p.keepRows {
		for x := range p.keepColumns {
			if y >= p.rows || x >= p.columns {
				if err := p.addMCU(); err != nil {
					return err
				}
				continue
			}
			if err := p.restart(); err != nil {
				return err
			}
			if err := p.copyMCU(true); err != nil {
				return err
			}
		}
	}
	return nil
}

// addMCU writes a white MCU.
func (p *padder) addMCU() error {
	for _, s := range p.cropper.blocks {
		white, read := p.blocks[s], s.value
		s.value = white.dc
		err := p.writeDC(s)
		s.value = read
		if err != nil {
			return err
		}
		p.out.put(white.end, white.endLength)
	}
	return nil
}
