package slide

import (
	"bytes"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// maxTables limits tag 347: four tables of each of three kinds take less than 4 KB.
const maxTables = 64 << 10

// app14 declares the three components to be red, green and blue: Adobe's marker with
// transform 0 (Adobe Technical Note 5116, section 18).
const app14 = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"

// A splicer turns the tiles or strips of a directory into complete JPEG streams: it inserts
// the tables of tag 347 (TIFF Technical Note 2), and declares the colours if the stream
// does not.
//
// Declarations in the stream take precedence: JFIF, an Adobe marker, components named R, G
// and B, or subsampled chroma. Without any of these, decoders assume YCbCr for three
// components, and the photometric tag decides.
type splicer struct {
	head   []byte   // SOI, APP14 if the tag says RGB, tables
	rgb    bool     // the tag says RGB: APP14 is in head
	shared tableSet // tables in head
	tables []jpegTable
}

// A jpegTable is one quantization or Huffman table.
type jpegTable struct {
	mark byte // DQT or DHT
	bit  tableSet
	data []byte // without marker and length
}

// readSplicer reads the tables that the tiles or strips of d share.
func readSplicer(d *tiff.Directory, lay *Layout) (*splicer, error) {
	b, err := d.Bytes(tiff.TagJPEGTables)
	if err != nil {
		return nil, err
	}
	if len(b) > maxTables {
		return nil, broken(d, tiff.TagJPEGTables, "the JPEG tables have %d bytes, more than are supported", len(b))
	}
	sp, bad := newSplicer(unpadded(b), lay.Photometric == rgb)
	if bad != nil {
		return nil, broken(d, tiff.TagJPEGTables, "the JPEG tables are damaged: %v", bad)
	}
	return sp, nil
}

// unpadded returns tables without the zeros that some writers append as padding. Zeros
// inside a segment are kept.
func unpadded(tables []byte) []byte {
	for i := 2; i < len(tables); {
		if len(bytes.Trim(tables[i:], "\x00")) == 0 {
			return tables[:i]
		}
		_, _, next, err := segment(tables, i)
		if err != nil {
			break
		}
		i = next
	}
	return tables
}

// newSplicer parses the shared tables b, a JPEG without pixels; nil for no shared tables.
//
// The tables are copied unchanged. Other segments are dropped: a restart interval ends with
// its stream (T.81 B.2.4.4), and an application marker in the tables does not apply to the
// tile.
func newSplicer(b []byte, rgb bool) (*splicer, *jpegError) {
	sp := &splicer{head: []byte{0xff, markSOI}, rgb: rgb}
	if rgb {
		sp.head = append(sp.head, app14...)
	}
	for i := 0; i < len(b); {
		mark, seg, next, err := segment(b, i)
		if err != nil {
			return nil, err
		}
		if mark == markEOI {
			break
		}
		if mark == markDQT || mark == markDHT {
			if bad := sp.add(mark, seg); bad >= 0 {
				return nil, badJPEG(i, "a table ends after %d bytes of its segment", bad)
			}
			sp.head = append(sp.head, b[i:next]...)
		}
		i = next
	}
	return sp, nil
}

// add adds the tables of one segment; bad is the position of a truncated table, or -1.
func (sp *splicer) add(mark byte, seg []byte) (bad int) {
	for i := 0; i < len(seg); {
		n, bit := tableAt(mark, seg[i:])
		if n == 0 {
			return i
		}
		sp.tables = append(sp.tables, jpegTable{mark, bit, bytes.Clone(seg[i : i+n])})
		sp.shared |= bit
		i += n
	}
	return -1
}

// reserve is the number of bytes to reserve before a stream when [splicer.finish] is called:
// head replaces the SOI of the stream.
func (sp *splicer) reserve() int { return len(sp.head) - 2 }

// finish makes dst[base:] a complete stream, and parses its header into h. Its first reserve()
// bytes are free, the rest is the stored tile. Bytes after EOI are removed.
//
// A tile without EOI is rejected, as otherwise a tile whose last blocks were never written
// would be displayed half grey.
func (sp *splicer) finish(dst []byte, base int, h *header) ([]byte, *jpegError) {
	tile := dst[base+sp.reserve():]
	if err := parseHeader(tile, h); err != nil {
		return dst[:base], err
	}
	if h.app1 {
		tile = dropApp1(tile, h)
		dst = dst[:base+sp.reserve()+len(tile)]
	}
	if n := len(tile); tile[n-2] != 0xff || tile[n-1] != markEOI {
		end := bytes.LastIndex(tile[h.end:], []byte{0xff, markEOI})
		if end < 0 {
			return dst[:base], badJPEG(n, "the file is probably incomplete, as there is no end (FF D9) in %d bytes; copy it again", n)
		}
		dst = dst[:len(dst)-n+h.end+end+2]
	}
	if missing := h.needed &^ (h.defined | sp.shared); missing != 0 {
		return dst[:base], badJPEG(0, "its decoding tables are missing: neither it nor tag 347 contains them (set %03x)", uint(missing))
	}
	// The usual tile: all tables are in head, none in the tile, and the tag defines the
	// colours.
	if h.defined&sp.shared == 0 && (!sp.rgb || sp.undecided(h)) {
		copy(dst[base:], sp.head)
		return dst, nil
	}
	return sp.compose(dst, base, h), nil
}

// undecided reports whether the stream does not declare its colours, or declares RGB like
// the tag.
func (sp *splicer) undecided(h *header) bool {
	return h.components == 3 && !h.jfif && h.adobe < 0 && !h.subsampled()
}

// compose inserts only what the tile lacks, and moves the tile up to it.
func (sp *splicer) compose(dst []byte, base int, h *header) []byte {
	var buf [maxHead]byte
	head := append(buf[:0], 0xff, markSOI)
	if sp.rgb && sp.undecided(h) {
		head = append(head, app14...)
	}
	for _, t := range sp.tables {
		if h.defined&t.bit == 0 {
			n := len(t.data) + 2
			head = append(head, 0xff, t.mark, byte(n>>8), byte(n))
			head = append(head, t.data...)
		}
	}
	tile := dst[base+sp.reserve()+2:]
	n := len(head) + len(tile)
	dst = slices.Grow(dst[:base], n)[:base+n]
	copy(dst[base+len(head):], tile)
	copy(dst[base:], head)
	return dst
}

// maxHead is enough for every table once: 4 of 129 and 8 of at most 273 bytes, with marker
// and length. Tables that are defined twice need more, and allocate.
const maxHead = 2 + len(app14) + 4*(4+129) + 8*(4+273)

// asTIFF converts the error of a JPEG at offset off of the file into an error of the tag
// with that offset.
func asTIFF(err *jpegError, off int64, tag tiff.Tag) error {
	if err.unsupported {
		return &tiff.UnsupportedError{Offset: off + int64(err.at), Tag: tag, Msg: err.msg}
	}
	return &tiff.FormatError{Offset: off + int64(err.at), Tag: tag, Msg: err.Error()}
}
