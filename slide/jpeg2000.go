package slide

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Markers of a codestream, ITU-T T.800 table A.2.
const (
	j2kSOC = 0xff4f // start of codestream
	j2kSIZ = 0xff51 // image and tile size
	j2kSOT = 0xff90 // start of tile-part
	j2kEOC = 0xffd9 // end of codestream
)

// jp2Signature begins a JP2 file, ITU-T T.800 section I.5.1.
const jp2Signature = "\x00\x00\x00\x0cjP  \r\n\x87\n"

var (
	errNotJPEG2000 = errors.New("they are not JPEG 2000 data")
	errShortStream = errors.New("the codestream ends early")
)

// codestream returns the codestream in b: b itself, or a box of the JP2 file b.
func codestream(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte(jp2Signature)) {
		return b, nil
	}
	for len(b) >= 8 { // ITU-T T.800 section I.4
		n, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		if n == 1 && len(b) >= 16 {
			n, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if n == 0 { // to the end of the file
			n = uint64(len(b))
		}
		if n < head {
			return nil, errNotJPEG2000
		}
		if n > uint64(len(b)) {
			return nil, errShortStream
		}
		if string(b[4:8]) == "jp2c" {
			return b[head:n], nil
		}
		b = b[n:]
	}
	return nil, errShortStream
}

// jpeg2000Size returns the size of the image of a codestream, in pixels.
func jpeg2000Size(b []byte) (w, h uint32, err error) {
	if len(b) < 24 {
		return 0, 0, errShortStream
	}
	u := binary.BigEndian
	if u.Uint16(b) != j2kSOC || u.Uint16(b[2:]) != j2kSIZ {
		return 0, 0, errNotJPEG2000
	}
	// ITU-T T.800 table A.9: the sizes include the offset of the image, which is to be 0.
	return u.Uint32(b[8:]), u.Uint32(b[12:]), nil
}

// checkJPEG2000 rejects a tile that does not begin as JPEG 2000, or has an image that is
// larger than a tile of l. Images of the right and bottom edges may be smaller.
func (l *Level) checkJPEG2000(b []byte, off int64, tag tiff.Tag) error {
	stream, err := codestream(b)
	var w, h uint32
	if err == nil {
		w, h, err = jpeg2000Size(stream)
	}
	switch {
	case err == nil && w <= uint32(l.TileWidth) && h <= uint32(l.TileHeight):
		return nil
	case err == nil:
		err = fmt.Errorf("the image has %d×%d pixels instead of %d×%d", w, h, l.TileWidth, l.TileHeight)
	case !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }):
		return &tiff.FormatError{Offset: off, Tag: tag, Msg: zerosOnly}
	}
	return &tiff.FormatError{Offset: off, Tag: tag, Msg: fmt.Sprintf("the pixels are damaged: %d bytes of JPEG 2000: %v", len(b), err)}
}

// checkStream reports whether the codestream in b is complete: it steps from tile-part to
// tile-part until the end, without decoding any (ITU-T T.800 section A.4).
func checkStream(b []byte) error {
	b, err := codestream(b)
	if err != nil {
		return err
	}
	u, at := binary.BigEndian, 2
	for {
		if len(b)-at < 2 {
			return errShortStream
		}
		marker, step := int(u.Uint16(b[at:])), 0
		switch {
		case marker == j2kEOC:
			return nil
		case len(b)-at < 12:
			return errShortStream
		case marker == j2kSOT:
			if step = int(u.Uint32(b[at+6:])); step == 0 { // to the end of the codestream
				return checkEnd(b[at:])
			}
			if step < 14 {
				return errNotJPEG2000
			}
		case marker < 0xff00:
			return errNotJPEG2000
		default:
			step = 2 + int(u.Uint16(b[at+2:]))
		}
		if step > len(b)-at {
			return errShortStream
		}
		at += step
	}
}

// checkEnd looks for the end of a codestream, behind which there may be padding.
func checkEnd(b []byte) error {
	if !bytes.HasSuffix(bytes.TrimRight(b, "\x00"), []byte{j2kEOC >> 8, j2kEOC & 0xff}) {
		return errShortStream
	}
	return nil
}
