package jpeg2000

import "encoding/binary"

// Markers of a codestream: ITU-T T.800 annex A.
const (
	markSOC = 0xff4f // start of codestream
	markCOD = 0xff52 // coding style
	markCOC = 0xff53 // coding style of one component
	markSIZ = 0xff51 // image and components
	markSOT = 0xff90 // start of a tile-part: the end of the main header
)

// Reductions returns how many resolutions of a codestream or JP2 file can be left out, as its
// main header says: the largest possible [Options.Reduce]. It is 0 for data that it does not
// understand. Parts of an image may have fewer, which [Decode] reports as [ErrUnsupported].
func Reductions(data []byte) int {
	b, ok := codestream(data)
	if !ok || len(b) < 4 || binary.BigEndian.Uint16(b) != markSOC {
		return 0
	}
	levels, index := 32, 1 // index is the size in bytes of a component's number
	known := false
	for b = b[2:]; len(b) >= 4; {
		mark, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if mark == markSOT {
			break
		}
		if mark < 0xff00 || n < 2 || n > len(b)-2 {
			return 0
		}
		segment := b[4 : 2+n]
		at := -1
		switch mark {
		case markSIZ:
			if len(segment) >= 36 && binary.BigEndian.Uint16(segment[34:]) > 256 {
				index = 2
			}
		case markCOD:
			at, known = 5, true
		case markCOC:
			at = index + 1
		}
		if at >= len(segment) {
			return 0
		}
		if at >= 0 {
			levels = min(levels, int(segment[at]))
		}
		b = b[2+n:]
	}
	if !known {
		return 0
	}
	return levels
}

// codestream returns the codestream in data, which may be in a JP2 file: ITU-T T.800 annex I.
func codestream(data []byte) ([]byte, bool) {
	const signature, contents = 0x6a502020, 0x6a703263 // "jP  " and "jp2c"
	if len(data) < 12 || binary.BigEndian.Uint32(data[4:]) != signature {
		return data, true
	}
	for len(data) >= 16 {
		n, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
		if n == 1 {
			n, head = binary.BigEndian.Uint64(data[8:]), 16
		}
		if binary.BigEndian.Uint32(data[4:]) == contents {
			return data[head:], true // up to its end, or that of the file
		}
		if n < head || n > uint64(len(data)) {
			return nil, false
		}
		data = data[n:]
	}
	return nil, false
}
