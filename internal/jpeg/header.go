// Package jpeg works on JPEG streams without decoding their pixels: it reads headers, and
// cuts and pads streams by copying their compressed coefficients.
package jpeg

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

const (
	// MaxPixels limits every image that is decoded or rendered: 256 MiB of RGBA.
	MaxPixels = 64 << 20
	// MaxSide is the largest side a JPEG can have (ITU-T T.81 B.2.2).
	MaxSide = 65535
	// maxProgressive limits the pixels of a JPEG that is held as coefficients: a
	// progressive one, or one with a separate scan for each colour. Each pixel takes up to
	// 27 bytes.
	maxProgressive = 16 << 20
)

var (
	// ErrUnsupported reports pixels that are stored in a way that is not supported.
	ErrUnsupported = errors.New("unsupported")
	// ErrTooLarge reports an image that has too many pixels to be decoded, or needs more
	// memory than decoding may use.
	ErrTooLarge = errors.New("too large to be decoded")
	// ErrNotLossless reports pixels that can only be had by decoding them.
	ErrNotLossless = errors.New("the pixels cannot be copied without decoding them")
)

// Markers of ITU-T T.81, table B.1.
const (
	MarkSOF0  = 0xc0 // baseline
	MarkSOF1  = 0xc1 // extended sequential
	MarkSOF2  = 0xc2 // progressive
	MarkDHT   = 0xc4
	MarkJPG   = 0xc8
	MarkDAC   = 0xcc
	MarkSOF15 = 0xcf
	MarkRST0  = 0xd0
	MarkRST7  = 0xd7
	MarkSOI   = 0xd8
	MarkEOI   = 0xd9
	MarkSOS   = 0xda
	MarkDQT   = 0xdb
	MarkDRI   = 0xdd
	MarkAPP0  = 0xe0
	MarkAPP2  = 0xe2
	MarkAPP14 = 0xee
)

// A Segment is a marker with its parameters.
type Segment struct {
	Mark byte
	Data []byte // without the two bytes of length
}

// A Header is the part of a JPEG before the pixels of its first scan.
type Header struct {
	Frame         byte // marker of the frame: the kind of JPEG
	Bits          int  // per sample
	Width, Height int
	Components    []Component
	Adobe         int       // colour transform of APP14, or -1 without one
	Interval      int       // MCUs between restart markers, or 0 without restart markers
	Segments      []Segment // before the first scan
	Scan          []byte    // parameters of the first scan
	Body          int       // where the first scan's pixels begin

	huffman [2][4]codeTable // DC and AC, by identifier
}

// A Component is one colour of a frame.
type Component struct {
	ID   byte
	H, V int // sampling factors
}

// A codeTable is a Huffman table as stored in a DHT segment; without counts if it is
// absent.
type codeTable struct {
	counts, symbols []byte
}

// ReadHeader parses data up to its first pixels, and rejects images that cost too much to
// decode. The data after the header are not checked.
func ReadHeader(data []byte) (*Header, error) {
	h, err := ParseHeader(data)
	if err != nil {
		return nil, err
	}
	return h, h.check(data)
}

// ParseHeader parses data up to its first pixels.
func ParseHeader(data []byte) (*Header, error) {
	if len(data) < 4 || data[0] != 0xff || data[1] != MarkSOI {
		return nil, errors.New("the JPEG does not begin with FF D8")
	}
	h := &Header{Adobe: -1, Segments: make([]Segment, 0, 12)}
	for i := 2; ; {
		seg, next, err := nextSegment(data, i)
		if err == nil {
			err = h.add(seg)
		}
		if err != nil {
			return nil, fmt.Errorf("JPEG at byte %d: %w", i, err)
		}
		if seg.Mark == MarkSOS {
			if h.Frame == 0 {
				return nil, errors.New("the JPEG has no frame header before its pixels")
			}
			h.Body = next
			return h, nil
		}
		i = next
	}
}

// nextSegment returns the segment at i and the position of the next one.
func nextSegment(data []byte, i int) (Segment, int, error) {
	start := i
	for i < len(data) && data[i] == 0xff { // any number of fill bytes, B.1.1.2
		i++
	}
	if i == start || i+3 > len(data) {
		return Segment{}, 0, errors.New("no marker where one is due")
	}
	mark, n := data[i], int(data[i+1])<<8|int(data[i+2])
	if mark < MarkSOF0 || mark >= MarkRST0 && mark <= MarkEOI {
		return Segment{}, 0, fmt.Errorf("marker %02X in front of the pixels", mark)
	}
	i++
	if n < 2 || n > len(data)-i {
		return Segment{}, 0, fmt.Errorf("marker %02X of %d bytes runs past the end", mark, n)
	}
	return Segment{mark, data[i+2 : i+n]}, i + n, nil
}

// add adds the contents of one segment to the header.
func (h *Header) add(s Segment) error {
	h.Segments = append(h.Segments, s)
	switch {
	case s.Mark == MarkDHT:
		return h.addTables(s.Data)
	case s.Mark == MarkDRI && len(s.Data) >= 2:
		h.Interval = int(s.Data[0])<<8 | int(s.Data[1])
	case s.Mark == MarkSOS:
		h.Scan = s.Data
	case s.Mark == MarkAPP14 && len(s.Data) >= 12 && string(s.Data[:5]) == "Adobe":
		h.Adobe = int(s.Data[11])
	case s.Mark <= MarkSOF15 && s.Mark != MarkJPG && s.Mark != MarkDAC:
		return h.addFrame(s)
	}
	return nil
}

// addTables parses a DHT segment (B.2.4.2).
func (h *Header) addTables(b []byte) error {
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
func (h *Header) addFrame(s Segment) error {
	b := s.Data
	if h.Frame != 0 {
		return errors.New("a second frame")
	}
	if len(b) < 6 || b[5] < 1 || b[5] > 4 || len(b) != 6+3*int(b[5]) {
		return errors.New("a frame that is cut off, or of more than 4 colours")
	}
	h.Frame, h.Bits = s.Mark, int(b[0])
	h.Height, h.Width = int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4])
	for ; len(b) > 6; b = b[3:] {
		c := Component{b[6], int(b[7] >> 4), int(b[7] & 15)}
		if c.H < 1 || c.H > 4 || c.V < 1 || c.V > 4 {
			return fmt.Errorf("sampling factors of %d×%d", c.H, c.V)
		}
		if slices.ContainsFunc(h.Components, func(o Component) bool { return o.ID == c.ID }) {
			return fmt.Errorf("two colours called %d", c.ID)
		}
		h.Components = append(h.Components, c)
	}
	return nil
}

// check limits the cost of decoding data.
func (h *Header) check(data []byte) error {
	if err := CheckSize(h.Width, h.Height); err != nil {
		return err
	}
	// Every 8×8 block takes at least one bit, the code of its DC difference.
	const most = 8 * 64 // pixels a byte
	if n := len(data) - h.Body; h.Width*h.Height > most*(n+64) {
		return fmt.Errorf("JPEG of %d×%d pixels in %d bytes: the file is incomplete", h.Width, h.Height, n)
	}
	// A progressive scan can skip 32,767 blocks with a few bits, so decoding a small file
	// may take hours. The scripts of libjpeg have 10 scans.
	const maxScans = 100
	if n := scanCount(data, h.Body); h.Frame == MarkSOF2 && n > maxScans {
		return fmt.Errorf("%w: JPEG of %d scans", ErrUnsupported, n)
	}
	if h.Buffered() && h.Width*h.Height > maxProgressive {
		return fmt.Errorf("%w: a progressive JPEG of %d×%d pixels, or one with each colour in a scan of its own: at most %d pixels are decoded; save it as a baseline JPEG",
			ErrTooLarge, h.Width, h.Height, maxProgressive)
	}
	return nil
}

// CalledRGB reports whether the components are named R, G and B.
func (h *Header) CalledRGB() bool {
	c := h.Components
	return len(c) == 3 && c[0].ID == 'R' && c[1].ID == 'G' && c[2].ID == 'B'
}

// Component returns the component with the given id.
func (h *Header) Component(id byte) (Component, bool) {
	i := slices.IndexFunc(h.Components, func(c Component) bool { return c.ID == id })
	if i < 0 {
		return Component{}, false
	}
	return h.Components[i], true
}

// Buffered reports whether decoding needs all coefficients of the JPEG in memory before it
// returns the first pixel.
func (h *Header) Buffered() bool {
	return h.Frame == MarkSOF2 || len(h.Scan) > 0 && int(h.Scan[0]) < len(h.Components)
}

// scanCount returns the number of scans of a JPEG whose first one has its pixels at body.
func scanCount(data []byte, body int) int {
	return bytes.Count(data[body:], []byte{0xff, MarkSOS}) + 1
}

// CheckSize rejects images that are empty or too large.
func CheckSize(w, h int) error {
	if w < 1 || h < 1 || w > MaxSide || h > MaxSide || w*h > MaxPixels {
		return fmt.Errorf("%d×%d pixels: at least 1×1, at most %d a side and %d in all", w, h, MaxSide, MaxPixels)
	}
	return nil
}
