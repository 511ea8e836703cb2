package dicom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// How frames are made of tiles.
const (
	asStored = iota
	decoded  // pixels that are not compressed
	encoded  // JPEGs of the pixels, where those are too many for one file
)

// Pixels are how the frames of an instance store colours.
type pixels struct {
	how           int
	syntax        string
	width, height int // of a frame
	colorModel
	method string // the value of LossyImageCompressionMethod for what is stored; "" if it is lossless
}

// frameBytes returns the bytes of a frame that is not compressed.
func (p *pixels) frameBytes() int64 { return int64(p.width) * int64(p.height) * int64(p.components) }

// Values of LossyImageCompressionMethod, PS3.3 section C.7.6.1.1.5.1. WebP has no value.
const (
	lossyJPEG     = "ISO_10918_1"
	lossyJPEG2000 = "ISO_15444_1"
	lossyWebP     = "WEBP"
)

// storedAs returns how the tiles of a level become frames, as one of them shows: as they are stored if
// there is a transfer syntax that says what they are, otherwise decoded. Tile is nil if none is
// stored. The error is for a damaged tile.
func storedAs(l *slide.Level, tile []byte) (pixels, error) {
	p := pixels{how: decoded, syntax: ExplicitLittleEndian, width: l.TileWidth, height: l.TileHeight, colorModel: colorModel{3, "RGB"}}
	if l.Layout.Samples == 1 && l.Layout.Photometric <= minIsBlack {
		p.colorModel = colorModel{1, "MONOCHROME2"}
	}
	switch l.Layout.Codec {
	case slide.JPEG:
		p.method = lossyJPEG
		if tile == nil {
			return p, nil
		}
		colors, err := colorsOf(tile, l.TileWidth, l.TileHeight)
		if err == nil {
			p.how, p.syntax, p.colorModel = asStored, JPEGBaseline, colors
		} else if !errors.Is(err, errNotBaseline) {
			return p, err
		}
	case slide.JPEG2000:
		p.method = lossyJPEG2000
		if tile == nil {
			return p, nil
		}
		head, err := parseCodestream(codestream(tile))
		if err != nil {
			return p, err
		}
		if head.reversible {
			p.method = ""
		}
		if colors, ok := head.colors(l); ok {
			p.how, p.colorModel, p.syntax = asStored, colors, JPEG2000Lossy
			if head.reversible {
				p.syntax = JPEG2000Lossless
			}
		}
	case slide.WebP:
		p.method = lossyWebP
	}
	return p, nil
}

// maxNative limits pixels that are not compressed: the length of the attribute has 32 bits.
const maxNative = math.MaxUint32 - 1

// decode sets that frames are decoded, and if they are too large together, encoded as JPEG.
func (p *pixels) decode(frames int) {
	p.how, p.syntax = decoded, ExplicitLittleEndian
	if p.photometric != "MONOCHROME2" {
		p.colorModel = colorModel{3, "RGB"}
	}
	if p.frameBytes() > maxNative/int64(frames) {
		p.how, p.syntax, p.colorModel, p.method = encoded, JPEGBaseline, colorModel{3, "YBR_FULL_422"}, lossyJPEG
	}
}

// A colorModel is how frames store colours.
type colorModel struct {
	components  int
	photometric string
}

// errNotBaseline reports a JPEG that has no transfer syntax here.
var errNotBaseline = errors.New("not a baseline JPEG of the size of tiles")

// colorsOf returns the colour model of a JPEG of w × h pixels, as its own markers state it:
// viewers decode by these, and the attribute must say the same (PS3.3 section C.7.6.3.1.2).
func colorsOf(data []byte, w, h int) (colorModel, error) {
	head, err := jpeg.ParseHeader(data)
	if err != nil {
		return colorModel{}, err
	}
	switch {
	case head.Frame != jpeg.MarkSOF0 || head.Bits != 8, head.Width != w || head.Height != h:
		return colorModel{}, errNotBaseline
	case len(head.Components) == 1:
		return colorModel{1, "MONOCHROME2"}, nil
	case len(head.Components) != 3:
		return colorModel{}, errNotBaseline
	case head.RGB():
		return colorModel{3, "RGB"}, nil
	}
	return colorModel{3, "YBR_FULL_422"}, nil // whatever the sampling: PS3.3 section C.8.12.4.1.5
}

// A codestreamHead is the start of a JPEG 2000 codestream.
type codestreamHead struct {
	width, height, components int
	simple                    bool // one tile from 0,0 on, unsigned samples of 8 bits, none of them subsampled
	transform                 bool // the multiple component transformation
	reversible                bool // the wavelets
}

// Markers of a codestream, ITU-T T.800 table A.2.
const (
	j2kSOC = 0xff4f
	j2kSIZ = 0xff51
	j2kCOD = 0xff52
	j2kCOM = 0xff64
	j2kSOT = 0xff90
)

// parseCodestream reads the main header (ITU-T T.800 sections A.5.1 and A.6.1).
func parseCodestream(b []byte) (head codestreamHead, err error) {
	u := binary.BigEndian
	damaged := &FormatError{Msg: "the pixels are damaged: they are no JPEG 2000 codestream"}
	if len(b) < 4 || u.Uint16(b) != j2kSOC {
		return head, damaged
	}
	seen := false
	for at := 2; at+4 <= len(b); {
		marker, n := u.Uint16(b[at:]), int(u.Uint16(b[at+2:]))
		end := at + 2 + n
		if marker == j2kSOT {
			break
		}
		if marker < 0xff00 || n < 2 || end > len(b) {
			return head, damaged
		}
		body := b[at+4 : end]
		switch marker {
		case j2kSIZ:
			if len(body) < 36 || len(body) < 36+3*int(u.Uint16(body[34:])) {
				return head, damaged
			}
			head.components = int(u.Uint16(body[34:]))
			head.width, head.height = int(u.Uint32(body[2:])), int(u.Uint32(body[6:]))
			head.simple = u.Uint32(body[10:]) == 0 && u.Uint32(body[14:]) == 0
			for i := range head.components {
				c := body[36+3*i:]
				head.simple = head.simple && c[0] == 7 && c[1] == 1 && c[2] == 1
			}
		case j2kCOD:
			if len(body) < 10 {
				return head, damaged
			}
			head.transform, head.reversible, seen = body[4] == 1, body[9] == 1, true
		}
		at = end
	}
	if !seen || head.components == 0 {
		return head, damaged
	}
	return head, nil
}

// colors returns the colour model of codestreams of a level. It reports false if no value of the
// attribute says what they are: YCbCr without the transformation of the codestream, as Aperio
// writes it, can be declared, but readers do not expect it in JPEG 2000.
func (h *codestreamHead) colors(l *slide.Level) (colorModel, bool) {
	if !h.simple || h.width != l.TileWidth || h.height != l.TileHeight || h.components != l.Layout.Samples {
		return colorModel{}, false
	}
	switch {
	case h.components == 1 && l.Layout.Photometric == minIsBlack:
		return colorModel{1, "MONOCHROME2"}, true
	case h.components != 3 || l.Layout.Photometric != trueColor:
		return colorModel{}, false
	case !h.transform:
		return colorModel{3, "RGB"}, true
	case h.reversible:
		return colorModel{3, "YBR_RCT"}, true
	}
	return colorModel{3, "YBR_ICT"}, true
}

// codestream returns the codestream in a tile, which may be a JP2 file (ITU-T T.800 section I.4).
func codestream(b []byte) []byte {
	const signature = "\x00\x00\x00\x0cjP  \r\n\x87\n"
	if !bytes.HasPrefix(b, []byte(signature)) {
		return b
	}
	for rest := b; len(rest) >= 8; {
		n, head := uint64(binary.BigEndian.Uint32(rest)), uint64(8)
		if n == 1 && len(rest) >= 16 {
			n, head = binary.BigEndian.Uint64(rest[8:]), 16
		}
		if n == 0 { // to the end of the file
			n = uint64(len(rest))
		}
		if n < head || n > uint64(len(rest)) {
			break
		}
		if string(rest[4:8]) == "jp2c" {
			return rest[head:n]
		}
		rest = rest[n:]
	}
	return b
}

// blankComments overwrites the comments in the main header of a codestream.
func blankComments(b []byte) {
	u := binary.BigEndian
	for at := 2; at+4 <= len(b); {
		marker, n := u.Uint16(b[at:]), int(u.Uint16(b[at+2:]))
		if marker == j2kSOT || marker < 0xff00 || n < 2 || at+2+n > len(b) {
			return
		}
		if marker == j2kCOM && n > 4 {
			for i := at + 6; i < at+2+n; i++ {
				b[i] = ' '
			}
		}
		at += 2 + n
	}
}

// ErrUnlike reports a tile that is stored in another way than the attributes of its level say.
var ErrUnlike = errors.New("the tile is stored in another way than the others of its level")
