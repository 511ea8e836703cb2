package slide

import "fmt"

// Markers of ITU-T T.81, table B.1.
const (
	markSOF0  = 0xc0 // baseline
	markSOF1  = 0xc1 // extended
	markSOF2  = 0xc2 // progressive
	markDHT   = 0xc4
	markJPG   = 0xc8
	markDAC   = 0xcc
	markSOF15 = 0xcf
	markRST0  = 0xd0
	markSOI   = 0xd8
	markEOI   = 0xd9
	markSOS   = 0xda
	markDQT   = 0xdb
	markAPP0  = 0xe0
	markAPP1  = 0xe1
	markAPP2  = 0xe2
	markAPP14 = 0xee
	markAPP15 = 0xef
	markCOM   = 0xfe
	markTEM   = 0x01
)

// A tableSet is the set of defined tables: bits 0–3 are quantization tables, 4–7 DC and
// 8–11 AC Huffman tables.
type tableSet uint16

func quantBit(id byte) tableSet          { return 1 << (id & 3) }
func huffmanBit(class, id byte) tableSet { return 1 << (4 + class&1<<2 + id&3) }

// A header is the information of a JPEG before its first scan.
type header struct {
	width, height int
	sof           byte
	components    int
	sampling      [4]byte // horizontal and vertical factor of each component
	jfif          bool
	app1          bool     // it has Exif or XMP data, whose orientation browsers apply
	adobe         int      // colour transform of APP14, or -1 without one
	defined       tableSet // tables in the header
	needed        tableSet // tables the first scan refers to
	end           int      // where the compressed data of the first scan begin
}

// subsampled reports whether the second and third component have fewer pixels
// than the first, as only chroma has.
func (h *header) subsampled() bool {
	return h.components == 3 && (h.sampling[1] != h.sampling[0] || h.sampling[2] != h.sampling[0])
}

// A jpegError is an error at an offset of a JPEG.
type jpegError struct {
	at          int
	unsupported bool // complete, but of a kind that browsers do not display
	msg         string
}

func (e *jpegError) Error() string { return fmt.Sprintf("JPEG at byte %d: %s", e.at, e.msg) }

func badJPEG(at int, format string, args ...any) *jpegError {
	return &jpegError{at: at, msg: fmt.Sprintf(format, args...)}
}

// parseHeader reads b from its SOI to its first SOS. It allocates only for errors.
func parseHeader(b []byte, h *header) *jpegError {
	*h = header{adobe: -1}
	if len(b) < 4 || b[0] != 0xff || b[1] != markSOI {
		return noSOI(b)
	}
	for i := 2; ; {
		mark, seg, next, err := segment(b, i)
		if err != nil {
			return err
		}
		switch {
		case mark == markSOS:
			h.end = next
			return h.scan(seg, i)
		case mark == markDHT || mark == markDQT:
			var bad int
			if h.defined, bad = tablesIn(mark, seg, h.defined); bad >= 0 {
				return badJPEG(i, "a table ends after %d bytes of its segment", bad)
			}
		case mark == markEOI:
			return badJPEG(i, "it ends before its first pixel")
		case mark == markAPP0:
			h.jfif = h.jfif || len(seg) >= 5 && string(seg[:5]) == "JFIF\x00"
		case mark == markAPP1:
			h.app1 = true
		case mark == markAPP14 && len(seg) >= 12 && string(seg[:5]) == "Adobe":
			h.adobe = int(seg[11])
		case mark >= markSOF0 && mark <= markSOF15 && mark != markJPG && mark != markDAC:
			if err := h.frame(mark, seg, i); err != nil {
				return err
			}
		}
		i = next
	}
}

// dropApp1 removes the Exif and XMP segments from the header h of b in place: a browser
// would turn a tile with an Exif orientation. Slides have their orientation in TIFF tags.
func dropApp1(b []byte, h *header) []byte {
	for i := 2; i < h.end; {
		mark, _, next, err := segment(b, i)
		if err != nil {
			return b // cannot be, as the header has been parsed
		}
		if mark == markAPP1 {
			b = append(b[:i], b[next:]...)
			h.end -= next - i
			continue
		}
		i = next
	}
	return b
}

// noSOI returns the error for data that are not a JPEG.
func noSOI(b []byte) *jpegError {
	for _, c := range b {
		if c != 0 {
			return badJPEG(0, "it does not begin with FF D8")
		}
	}
	return badJPEG(0, zerosOnly)
}

// segment returns the marker at i, its parameters, and where the next one begins.
func segment(b []byte, i int) (mark byte, seg []byte, next int, err *jpegError) {
	start := i
	for i < len(b) && b[i] == 0xff { // any number of fill bytes, B.1.1.2
		i++
	}
	if i == start || i >= len(b) {
		return 0, nil, 0, badJPEG(start, "a marker is missing")
	}
	mark = b[i]
	i++
	if mark == markSOI || mark == markEOI || mark == markTEM || mark&^7 == markRST0 {
		return mark, nil, i, nil
	}
	if i+2 > len(b) {
		return 0, nil, 0, badJPEG(start, "it ends inside its header")
	}
	n := int(b[i])<<8 | int(b[i+1])
	if n < 2 || i+n > len(b) {
		return 0, nil, 0, badJPEG(start, "marker %02X of %d bytes runs past the end", mark, n)
	}
	return mark, b[i+2 : i+n], i + n, nil
}

// tablesIn adds the tables of a DQT or DHT segment to set; bad is the position of a
// truncated table, or -1.
func tablesIn(mark byte, seg []byte, set tableSet) (_ tableSet, bad int) {
	for i := 0; i < len(seg); {
		n, bit := tableAt(mark, seg[i:])
		if n == 0 {
			return set, i
		}
		set |= bit
		i += n
	}
	return set, -1
}

// tableAt returns the size of the table at the start of b (B.2.4.1 and B.2.4.2), or 0 if it
// is truncated.
func tableAt(mark byte, b []byte) (n int, bit tableSet) {
	class, id := b[0]>>4, b[0]&15
	if mark == markDQT {
		n = 1 + 64<<min(class, 1)
		bit = quantBit(id)
	} else {
		if len(b) < 17 {
			return 0, 0
		}
		n = 17
		for _, c := range b[1:17] {
			n += int(c)
		}
		bit = huffmanBit(class, id)
	}
	if n > len(b) || class > 1 || id > 3 {
		return 0, 0
	}
	return n, bit
}

// frame reads a SOF segment (B.2.2).
func (h *header) frame(mark byte, seg []byte, at int) *jpegError {
	switch {
	case mark > markSOF2:
		return &jpegError{at, true, fmt.Sprintf("lossless, hierarchical and arithmetic JPEG (marker %02X) is not supported", mark)}
	case h.sof != 0:
		return badJPEG(at, "it has a second frame")
	case len(seg) < 6 || len(seg) < 6+3*int(seg[5]):
		return badJPEG(at, "its frame header is cut off")
	case seg[0] != 8:
		return &jpegError{at, true, fmt.Sprintf("JPEG with %d bits per sample is not supported", seg[0])}
	}
	h.sof = mark
	h.height = int(seg[1])<<8 | int(seg[2])
	h.width = int(seg[3])<<8 | int(seg[4])
	h.components = int(seg[5])
	if h.components != 1 && h.components != 3 {
		return &jpegError{at, true, fmt.Sprintf("JPEG with %d colour components is not supported", h.components)}
	}
	for i := range h.components {
		c := seg[6+3*i:]
		h.sampling[i] = c[1]
		h.needed |= quantBit(c[2])
	}
	return nil
}

// scan reads a SOS segment (B.2.3).
func (h *header) scan(seg []byte, at int) *jpegError {
	if h.sof == 0 {
		return badJPEG(at, "its frame header is missing")
	}
	if len(seg) < 1 || len(seg) < 4+2*int(seg[0]) {
		return badJPEG(at, "its scan header is cut off")
	}
	if h.sof == markSOF2 {
		return nil // later scans of a progressive JPEG may bring their own tables
	}
	for i := range int(seg[0]) {
		t := seg[2+2*i]
		h.needed |= huffmanBit(0, t>>4) | huffmanBit(1, t)
	}
	return nil
}
