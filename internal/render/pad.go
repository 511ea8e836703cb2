package render

import (
	"fmt"
	"math/bits"
)

// PadJPEG returns a JPEG of w × h pixels whose top left is data, without loss: it copies the
// compressed coefficients instead of decoding them to pixels, as [CropJPEG] does. What is
// added at the right and at the bottom is white, from the next complete block on. If there is
// nothing to add it returns data itself.
//
// The error is that of [CropJPEG]. It also wraps [ErrNotLossless] if the JPEG has no code for
// a block of one colour.
func PadJPEG(data []byte, w, h int) ([]byte, error) {
	head, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	if err := checkSize(w, h); err != nil {
		return nil, err
	}
	if w < head.width || h < head.height {
		return nil, fmt.Errorf("cannot pad a JPEG of %d×%d pixels to %d×%d", head.width, head.height, w, h)
	}
	if w == head.width && h == head.height {
		return data, nil
	}
	c, err := newCropper(head, data, w, h)
	if err != nil {
		return nil, err
	}
	p := padder{cropper: c, rows: (head.height + c.mcuH - 1) / c.mcuH}
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
func (p *padder) addBlocks(head *header) error {
	p.blocks = map[*scanned]whiteBlock{}
	steps := dcSteps(head)
	for i := range p.scanned {
		// The scan has the components in any order.
		id, ac := head.scan[1+2*i], head.scan[2+2*i]&3
		var b whiteBlock
		var ok bool
		if b.end, b.endLength, ok = endCode(head.huffman[1][ac]); !ok {
			return fmt.Errorf("%w: no code ends a block", ErrNotLossless)
		}
		for j, c := range head.components {
			if c.id != id {
				continue
			}
			step, ok := steps[c.id]
			if !ok {
				return fmt.Errorf("JPEG: component %d has no quantization table", c.id)
			}
			if j == 0 || head.rgb() {
				// The samples are shifted by 128, and the DC is their mean times 8.
				b.dc = (127*8 + step/2) / step
			}
		}
		p.blocks[&p.scanned[i]] = b
	}
	return nil
}

// rgb reports whether the components are red, green and blue for decoders: see
// [slide.Slide.AppendTile].
func (h *header) rgb() bool {
	if len(h.components) != 3 {
		return false
	}
	for _, s := range h.segments {
		if s.mark == markAPP0 && len(s.data) >= 5 && string(s.data[:5]) == "JFIF\x00" {
			return false
		}
	}
	return h.adobe == 0 || h.adobe < 0 && h.calledRGB()
}

// dcSteps returns the quantization step of the DC of each component, by its id (B.2.4.1).
func dcSteps(head *header) map[byte]int {
	var tables [4]int
	steps := map[byte]int{}
	for _, s := range head.segments {
		for b := s.data; s.mark == markDQT && len(b) > 1; {
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
		if s.mark == head.frame {
			for i := 6; i+2 < len(s.data); i += 3 {
				steps[s.data[i]] = int(s.data[i+2] & 3)
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
