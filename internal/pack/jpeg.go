package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/tiff"
)

// Values of tag 262.
const (
	minIsBlack = 1
	rgb        = 2
	yCbCr      = 6
)

// A kind is what the directory of a TIFF states about all JPEGs of a level.
type kind struct {
	components  int
	photometric int
	h, v        int // subsampling of the chroma; 1 without
}

func (k kind) String() string {
	switch k.photometric {
	case minIsBlack:
		return "grey"
	case rgb:
		return "RGB"
	}
	return fmt.Sprintf("YCbCr with a subsampling of %d×%d", k.h, k.v)
}

// kindOf returns the kind and the size of a complete JPEG. The colours are those that decoders
// assume: JFIF means YCbCr, otherwise the marker of Adobe decides. The error is a
// [*tiff.UnsupportedError] for a JPEG that no tags describe.
func kindOf(b []byte) (k kind, w, h int, err error) {
	jfif, adobe := false, -1
	var frame []byte
	for i := 2; i+4 <= len(b); {
		if b[i] != 0xff {
			break
		}
		mark := b[i+1]
		if mark == 0xff { // a fill byte
			i++
			continue
		}
		end := i + 2 + int(binary.BigEndian.Uint16(b[i+2:]))
		if end > len(b) || mark == 0xda {
			break
		}
		seg := b[i+4 : max(end, i+4)]
		switch {
		case mark == 0xe0 && bytes.HasPrefix(seg, []byte("JFIF\x00")):
			jfif = true
		case mark == 0xee && len(seg) >= 12 && bytes.HasPrefix(seg, []byte("Adobe")):
			adobe = int(seg[11])
		case mark >= 0xc0 && mark <= 0xcf && mark != 0xc4 && mark != 0xc8 && mark != 0xcc:
			frame = seg
		}
		i = end
	}
	if len(frame) < 6 || len(frame) < 6+3*int(frame[5]) {
		return k, 0, 0, &tiff.FormatError{Msg: "the JPEG has no frame header"}
	}
	h, w = int(binary.BigEndian.Uint16(frame[1:])), int(binary.BigEndian.Uint16(frame[3:]))
	k.components, k.h, k.v = int(frame[5]), int(frame[7]>>4), int(frame[7]&15)
	switch {
	case k.components == 1 && frame[7] == 0x11:
		k.photometric = minIsBlack
	case k.components == 1:
		return k, w, h, &tiff.UnsupportedError{Msg: fmt.Sprintf("a grey JPEG with the sampling factors %02x, which other programs do not read from a TIFF", frame[7])}
	case k.components != 3:
		return k, w, h, &tiff.UnsupportedError{Msg: fmt.Sprintf("a JPEG of %d components", k.components)}
	case frame[10] != 0x11 || frame[13] != 0x11 || k.h < 1 || k.v < 1 || k.h > 4 || k.v > 4 || k.h == 3 || k.v == 3:
		return k, w, h, &tiff.UnsupportedError{Msg: fmt.Sprintf("a JPEG with the sampling factors %02x %02x %02x, which a TIFF cannot state", frame[7], frame[10], frame[13])}
	case jfif || adobe > 0:
		k.photometric = yCbCr
	case adobe == 0:
		k.photometric = rgb
	case frame[6] == 'R' && frame[9] == 'G' && frame[12] == 'B':
		return k, w, h, &tiff.UnsupportedError{Msg: "a JPEG that states its colours only by the names of its components, R, G and B"}
	default:
		k.photometric = yCbCr
	}
	if k.photometric == rgb && (k.h != 1 || k.v != 1) {
		return k, w, h, &tiff.UnsupportedError{Msg: "an RGB JPEG with subsampling"}
	}
	return k, w, h, nil
}

// blank returns a white JPEG of side × side pixels: a baseline one, in which each block takes
// two bits.
func blank(k kind, side int) []byte {
	b := []byte{0xff, 0xd8}
	segment := func(mark byte, data ...byte) {
		b = append(b, 0xff, mark, byte((len(data)+2)>>8), byte(len(data)+2))
		b = append(b, data...)
	}
	if k.photometric == rgb {
		segment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")...)
	} else {
		segment(0xe0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")...)
	}
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...)...) // a DC of 127 is white
	frame := []byte{8, byte(side >> 8), byte(side), byte(side >> 8), byte(side), byte(k.components)}
	scan := []byte{byte(k.components)}
	for i := range k.components {
		factors := byte(0x11)
		if i == 0 {
			factors = byte(k.h<<4 | k.v)
		}
		frame = append(frame, byte(i+1), factors, 0)
		scan = append(scan, byte(i+1), 0)
	}
	segment(0xc0, frame...)
	// DC differences of no bits and of seven bits; the only AC symbol ends the block.
	segment(0xc4, append(append([]byte{0x00}, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 7)...)
	segment(0xc4, append(append([]byte{0x10}, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0)...)
	segment(0xda, append(scan, 0, 63, 0)...)
	return append(append(b, k.blankBlocks(side)...), 0xff, 0xd9)
}

// blankBlocks returns the compressed data of a white JPEG.
func (k kind) blankBlocks(side int) []byte {
	var bits []byte // one a byte
	across, down := (side+8*k.h-1)/(8*k.h), (side+8*k.v-1)/(8*k.v)
	for mcu := range across * down {
		for c := range k.components {
			blocks := 1
			if c == 0 {
				blocks = k.h * k.v
			}
			for i := range blocks {
				if mcu == 0 && i == 0 && (c == 0 || k.photometric == rgb) {
					bits = append(bits, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0) // 127 more than 0
				} else {
					bits = append(bits, 0, 0)
				}
			}
		}
	}
	var b []byte
	for len(bits)%8 != 0 {
		bits = append(bits, 1)
	}
	for i := 0; i < len(bits); i += 8 {
		var v byte
		for _, bit := range bits[i : i+8] {
			v = v<<1 | bit
		}
		if b = append(b, v); v == 0xff {
			b = append(b, 0)
		}
	}
	return b
}

// repaint decodes a JPEG, pads it with white up to side, beginning at a point, and encodes it
// again, with chroma of half the resolution.
func repaint(ctx context.Context, b []byte, side int, at image.Point) ([]byte, error) {
	m, err := render.DecodeJPEG(ctx, b)
	if err != nil {
		return nil, err
	}
	k, _, _, err := kindOf(b)
	if err != nil {
		return nil, err
	}
	const quality = 95
	var out bytes.Buffer
	var to draw.Image = image.NewRGBA(image.Rect(0, 0, side, side))
	if k.photometric == minIsBlack {
		to = image.NewGray(image.Rect(0, 0, side, side))
	}
	draw.Draw(to, to.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(to, m.Bounds().Sub(m.Bounds().Min).Add(at), m, m.Bounds().Min, draw.Src)
	err = jpeg.Encode(&out, to, &jpeg.Options{Quality: quality})
	return out.Bytes(), err
}
