package region

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A JPEGWriter joins baseline JPEGs of horizontal bands to one, without decoding: each band
// is a restart interval (ITU-T T.81 B.2.4.4 and E.1.4).
type JPEGWriter struct {
	width, height, rows int
	head                []byte // up to the scan of the first band, with height 0
	bands, done         int
}

// NewJPEG returns a writer of a picture of width × height pixels in bands of rows pixels.
func NewJPEG(width, height, rows int) *JPEGWriter {
	return &JPEGWriter{width: width, height: height, rows: rows, bands: (height + rows - 1) / rows}
}

var errBand = errors.New("the JPEG of a band cannot be joined")

// Append appends what follows of the picture after the next band, a complete JPEG. All bands
// must have the same tables and sampling.
func (j *JPEGWriter) Append(dst, band []byte) ([]byte, error) {
	b, err := parseBand(band)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBand, err)
	}
	rows := min(j.rows, j.height-j.done*j.rows)
	if j.done >= j.bands || b.width != j.width || b.height != rows {
		return nil, fmt.Errorf("%w: band %d has %d×%d pixels", errBand, j.done, b.width, b.height)
	}
	head := bytes.Clone(band[:b.scan])
	binary.BigEndian.PutUint16(head[b.size:], 0)
	switch {
	case j.done == 0:
		interval := (j.width + b.mcuWidth - 1) / b.mcuWidth * (j.rows / b.mcuHeight)
		if j.bands > 1 && (j.rows%b.mcuHeight != 0 || interval > 0xffff) {
			return nil, fmt.Errorf("%w: bands of %d rows with MCUs of %d×%d pixels", errBand, j.rows, b.mcuWidth, b.mcuHeight)
		}
		j.head = bytes.Clone(head)
		binary.BigEndian.PutUint16(head[b.size:], uint16(j.height))
		dst = append(dst, head[:b.sos]...)
		if j.bands > 1 {
			dst = binary.BigEndian.AppendUint16(append(dst, 0xff, 0xdd, 0, 4), uint16(interval))
		}
		dst = append(dst, head[b.sos:]...)
	case !bytes.Equal(head, j.head):
		return nil, fmt.Errorf("%w: band %d has other tables than the first", errBand, j.done)
	default:
		dst = append(dst, 0xff, 0xd0+byte((j.done-1)%8))
	}
	dst = append(dst, band[b.scan:len(band)-2]...)
	if j.done++; j.done == j.bands {
		dst = append(dst, 0xff, 0xd9)
	}
	return dst, nil
}

// A band is the structure of a baseline JPEG with one scan.
type band struct {
	width, height       int // pixels
	mcuWidth, mcuHeight int // pixels
	size, sos, scan     int // offsets: of the height in SOF, of SOS, and of the entropy-coded data
}

func parseBand(b []byte) (band, error) {
	var p band
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 || b[len(b)-2] != 0xff || b[len(b)-1] != 0xd9 {
		return p, errors.New("not a complete JPEG")
	}
	for at := 2; ; {
		if at+4 > len(b) || b[at] != 0xff {
			return p, errors.New("a damaged marker")
		}
		n := int(binary.BigEndian.Uint16(b[at+2:]))
		if n < 2 || at+2+n > len(b)-2 {
			return p, errors.New("a segment that is too long")
		}
		segment := b[at+4 : at+2+n]
		switch m := b[at+1]; {
		case m == 0xda: // SOS
			if p.size == 0 {
				return p, errors.New("a scan before its frame")
			}
			p.sos, p.scan = at, at+2+n
			return p, checkScan(b[p.scan : len(b)-2])
		case m == 0xc0 || m == 0xc1: // baseline, or extended sequential
			if err := p.frame(segment); err != nil {
				return p, err
			}
			p.size = at + 5
		case m == 0xdd || m >= 0xc2 && m <= 0xcf && m != 0xc4 && m != 0xcc:
			return p, fmt.Errorf("the marker %#x", m)
		}
		at += 2 + n
	}
}

// frame reads size and sampling.
func (p *band) frame(s []byte) error {
	if p.size != 0 || len(s) < 6 || len(s) < 6+3*int(s[5]) {
		return errors.New("a damaged frame")
	}
	p.height, p.width = int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
	across, down := 1, 1
	for i := range int(s[5]) {
		across, down = max(across, int(s[7+3*i]>>4)), max(down, int(s[7+3*i]&15))
	}
	if s[5] == 1 { // the sampling of a single component does not count
		across, down = 1, 1
	}
	p.mcuWidth, p.mcuHeight = 8*across, 8*down
	return nil
}

// checkScan refuses markers within the entropy-coded data, which can only be restarts or the
// beginning of another scan.
func checkScan(b []byte) error {
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 {
			return nil
		}
		if i+1 >= len(b) || b[i+1] != 0 {
			return errors.New("a marker within the scan")
		}
		b = b[i+2:]
	}
}
