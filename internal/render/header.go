package render

import (
	"errors"
	"fmt"
	"slices"
)

// Markers of ITU-T T.81, table B.1.
const (
	markSOF0  = 0xc0 // baseline
	markSOF1  = 0xc1 // extended sequential
	markSOF2  = 0xc2 // progressive
	markDHT   = 0xc4
	markJPG   = 0xc8
	markDAC   = 0xcc
	markSOF15 = 0xcf
	markRST0  = 0xd0
	markRST7  = 0xd7
	markSOI   = 0xd8
	markEOI   = 0xd9
	markSOS   = 0xda
	markDQT   = 0xdb
	markDRI   = 0xdd
	markAPP0  = 0xe0
	markAPP2  = 0xe2
	markAPP14 = 0xee
)

// A segment is a marker with its parameters.
type segment struct {
	mark byte
	data []byte // without the two bytes of length
}

// A header is the part of a JPEG before the pixels of its first scan.
type header struct {
	frame         byte // marker of the frame: the kind of JPEG
	bits          int  // per sample
	width, height int
	components    []component
	adobe         int             // colour transform of APP14, or -1 without one
	interval      int             // MCUs between restart markers, or 0 without restart markers
	huffman       [2][4]codeTable // DC and AC, by identifier
	segments      []segment       // before the first scan
	scan          []byte          // parameters of the first scan
	body          int             // where the first scan's pixels begin
}

type component struct {
	id   byte
	h, v int // sampling factors
}

// A codeTable is a Huffman table as stored in a DHT segment; without counts if it is
// absent.
type codeTable struct {
	counts, symbols []byte
}

// readHeader parses data up to its first pixels, and rejects images that cost too much to
// decode. The data after the header are not checked.
func readHeader(data []byte) (*header, error) {
	h, err := parseHeader(data)
	if err != nil {
		return nil, err
	}
	return h, h.check(data)
}

// parseHeader parses data up to its first pixels.
func parseHeader(data []byte) (*header, error) {
	if len(data) < 4 || data[0] != 0xff || data[1] != markSOI {
		return nil, errors.New("the JPEG does not begin with FF D8")
	}
	h := &header{adobe: -1, segments: make([]segment, 0, 12)}
	for i := 2; ; {
		seg, next, err := nextSegment(data, i)
		if err == nil {
			err = h.add(seg)
		}
		if err != nil {
			return nil, fmt.Errorf("JPEG at byte %d: %w", i, err)
		}
		if seg.mark == markSOS {
			if h.frame == 0 {
				return nil, errors.New("the JPEG has no frame header before its pixels")
			}
			h.body = next
			return h, nil
		}
		i = next
	}
}

// nextSegment returns the segment at i and the position of the next one.
func nextSegment(data []byte, i int) (segment, int, error) {
	start := i
	for i < len(data) && data[i] == 0xff { // any number of fill bytes, B.1.1.2
		i++
	}
	if i == start || i+3 > len(data) {
		return segment{}, 0, errors.New("no marker where one is due")
	}
	mark, n := data[i], int(data[i+1])<<8|int(data[i+2])
	if mark < markSOF0 || mark >= markRST0 && mark <= markEOI {
		return segment{}, 0, fmt.Errorf("marker %02X in front of the pixels", mark)
	}
	i++
	if n < 2 || n > len(data)-i {
		return segment{}, 0, fmt.Errorf("marker %02X of %d bytes runs past the end", mark, n)
	}
	return segment{mark, data[i+2 : i+n]}, i + n, nil
}

// add adds the contents of one segment to the header.
func (h *header) add(s segment) error {
	h.segments = append(h.segments, s)
	switch {
	case s.mark == markDHT:
		return h.addTables(s.data)
	case s.mark == markDRI && len(s.data) >= 2:
		h.interval = int(s.data[0])<<8 | int(s.data[1])
	case s.mark == markSOS:
		h.scan = s.data
	case s.mark == markAPP14 && len(s.data) >= 12 && string(s.data[:5]) == "Adobe":
		h.adobe = int(s.data[11])
	case s.mark <= markSOF15 && s.mark != markJPG && s.mark != markDAC:
		return h.addFrame(s)
	}
	return nil
}

// addTables parses a DHT segment (B.2.4.2).
func (h *header) addTables(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 || b[0]>>4 > 1 || b[0]&15 > 3 {
			return errors.New("a Huffman table is cut off or has no proper name")
		}
		n := 0
		for _, c := range b[1:17] {
			n += int(c)
		}
		if n > 256 || n > len(b)-17 {
			return fmt.Errorf("a Huffman table of %d symbols in %d bytes", n, len(b)-17)
		}
		h.huffman[b[0]>>4][b[0]&15] = codeTable{b[1:17], b[17 : 17+n]}
		b = b[17+n:]
	}
	return nil
}

// addFrame parses a SOF segment (B.2.2).
func (h *header) addFrame(s segment) error {
	b := s.data
	if h.frame != 0 {
		return errors.New("a second frame")
	}
	if len(b) < 6 || b[5] < 1 || b[5] > 4 || len(b) != 6+3*int(b[5]) {
		return errors.New("a frame that is cut off, or of more than 4 colours")
	}
	h.frame, h.bits = s.mark, int(b[0])
	h.height, h.width = int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4])
	for ; len(b) > 6; b = b[3:] {
		c := component{b[6], int(b[7] >> 4), int(b[7] & 15)}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return fmt.Errorf("sampling factors of %d×%d", c.h, c.v)
		}
		if slices.ContainsFunc(h.components, func(o component) bool { return o.id == c.id }) {
			return fmt.Errorf("two colours called %d", c.id)
		}
		h.components = append(h.components, c)
	}
	return nil
}

// check limits the cost of decoding data.
func (h *header) check(data []byte) error {
	if err := checkSize(h.width, h.height); err != nil {
		return err
	}
	// Every 8×8 block takes at least one bit, the code of its DC difference.
	const most = 8 * 64 // pixels a byte
	if n := len(data) - h.body; h.width*h.height > most*(n+64) {
		return fmt.Errorf("JPEG of %d×%d pixels in %d bytes: the file is incomplete", h.width, h.height, n)
	}
	// A progressive scan can skip 32,767 blocks with a few bits, so decoding a small file
	// may take hours. The scripts of libjpeg have 10 scans.
	const maxScans = 100
	if n := scanCount(data, h.body); h.frame == markSOF2 && n > maxScans {
		return fmt.Errorf("%w: JPEG of %d scans", ErrUnsupported, n)
	}
	if h.buffered() && h.width*h.height > maxProgressive {
		return fmt.Errorf("%w: a progressive JPEG of %d×%d pixels, or one with each colour in a scan of its own: at most %d pixels are decoded; save it as a baseline JPEG",
			ErrTooLarge, h.width, h.height, maxProgressive)
	}
	return nil
}

// calledRGB reports whether the components are named R, G and B.
func (h *header) calledRGB() bool {
	c := h.components
	return len(c) == 3 && c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
}

// component returns the component with the given id.
func (h *header) component(id byte) (component, bool) {
	i := slices.IndexFunc(h.components, func(c component) bool { return c.id == id })
	if i < 0 {
		return component{}, false
	}
	return h.components[i], true
}
