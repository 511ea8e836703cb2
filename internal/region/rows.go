package region

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"hash/crc32"
	"image"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// AppendRaw appends the pixels of img as rows of RGB without padding.
func AppendRaw(dst []byte, img *image.RGBA) []byte {
	for y := range img.Rect.Dy() {
		dst = appendRGB(dst, row(img, y))
	}
	return dst
}

// row returns a row of img as RGBA.
func row(img *image.RGBA, y int) []byte {
	return img.Pix[y*img.Stride:][:4*img.Rect.Dx()]
}

func appendRGB(dst, rgba []byte) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, len(rgba)/4*3)...)
	out := dst[n:]
	for len(rgba) >= 4 && len(out) >= 3 {
		out[0], out[1], out[2] = rgba[0], rgba[1], rgba[2]
		rgba, out = rgba[4:], out[3:]
	}
	return dst
}

// A PNGWriter writes a PNG band by band. Between bands it keeps a row and a checksum, and no
// compressor.
type PNGWriter struct {
	width, height int
	profile       []byte
	done          int    // rows
	last          []byte // the last row, as RGB
	sum           checksum
}

// A PNGBand is a compressed band.
type PNGBand struct {
	data []byte
	rows int
	last []byte
	sum  checksum
}

// PNGCost is the memory that [PNGWriter.Compress] takes beside a band and its result, in
// bytes.
const PNGCost = 2 << 20

// NewPNG returns a writer of an opaque picture. Profile is an ICC profile to embed, or nil.
func NewPNG(width, height int, profile []byte) *PNGWriter {
	return &PNGWriter{width: width, height: height, profile: profile, last: make([]byte, 3*width), sum: checksum{a: 1}}
}

var compressors = sync.Pool{New: func() any {
	z, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return z
}}

// Compress compresses the next rows of the picture, those of img. It does not change p, so
// that a band may be rendered again until [PNGWriter.Append] is called.
func (p *PNGWriter) Compress(img *image.RGBA) (*PNGBand, error) {
	b := &PNGBand{rows: img.Rect.Dy(), last: make([]byte, 3*p.width)}
	copy(b.last, p.last)
	z, ok := compressors.Get().(*flate.Writer)
	if !ok {
		return nil, errors.ErrUnsupported // of a pool that has nothing else
	}
	defer compressors.Put(z)
	var data bytes.Buffer
	z.Reset(&data) // bands do not refer to each other
	sum := adler32.New()
	sub, up, rgb := make([]byte, 1+3*p.width), make([]byte, 1+3*p.width), make([]byte, 0, 3*p.width)
	for y := range b.rows {
		rgb = appendRGB(rgb[:0], row(img, y))
		line := filter(sub, up, rgb, b.last)
		sum.Write(line)
		if _, err := z.Write(line); err != nil {
			return nil, err
		}
		copy(b.last, rgb)
	}
	end := z.Flush
	if p.done+b.rows == p.height {
		end = z.Close
	}
	if err := end(); err != nil {
		return nil, err
	}
	b.data, b.sum = data.Bytes(), checksumOf(sum.Sum32(), int64(b.rows)*int64(len(sub)))
	return b, nil
}

// Append appends what follows of the picture after the next band.
func (p *PNGWriter) Append(dst []byte, b *PNGBand) ([]byte, error) {
	data := b.data
	if p.done == 0 {
		var err error
		if dst, err = p.begin(dst); err != nil {
			return nil, err
		}
		data = append([]byte{0x78, 0x01}, data...) // zlib, RFC 1950 section 2.2
	}
	p.done += b.rows
	p.last = b.last
	p.sum = p.sum.plus(b.sum)
	if p.done < p.height {
		return appendChunk(dst, "IDAT", data), nil
	}
	dst = appendChunk(dst, "IDAT", binary.BigEndian.AppendUint32(data, p.sum.b<<16|p.sum.a))
	return appendChunk(dst, "IEND", nil), nil
}

// A checksum is that of zlib for n bytes (RFC 1950 section 8.2).
type checksum struct {
	a, b uint32
	n    int64
}

func checksumOf(sum uint32, n int64) checksum { return checksum{sum & 0xffff, sum >> 16, n} }

// plus returns the checksum of the bytes of c and d.
func (c checksum) plus(d checksum) checksum {
	const base = 65521
	n := uint64(d.n % base)
	return checksum{
		a: (c.a + d.a + base - 1) % base,
		b: uint32((uint64(c.b) + uint64(d.b) + n*(uint64(c.a)+base-1)) % base),
		n: c.n + d.n,
	}
}

// begin appends the chunks before the pixels.
func (p *PNGWriter) begin(dst []byte) ([]byte, error) {
	head := binary.BigEndian.AppendUint32(nil, uint32(p.width))
	head = binary.BigEndian.AppendUint32(head, uint32(p.height))
	head = append(head, 8, 2, 0, 0, 0) // bits, RGB, and no interlacing
	dst = appendChunk(append(dst, "\x89PNG\r\n\x1a\n"...), "IHDR", head)
	if p.profile == nil {
		return dst, nil
	}
	var b bytes.Buffer
	b.WriteString("ICC profile\x00\x00") // its name, and zlib
	z := zlib.NewWriter(&b)
	if _, err := z.Write(p.profile); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return appendChunk(dst, "iCCP", b.Bytes()), nil
}

// filter returns the row by the better of two filters of PNG: the difference to the pixel at
// the left, or to that above (PNG section 9.2, and 12.7 about the choice).
func filter(sub, up, rgb, above []byte) []byte {
	sub[0], up[0] = 1, 2
	s, u := sub[1:], up[1:]
	var costSub, costUp int
	for i, v := range rgb {
		left := byte(0)
		if i >= 3 {
			left = rgb[i-3]
		}
		a, b := v-left, v-above[i]
		s[i], u[i] = a, b
		costSub += magnitude(a)
		costUp += magnitude(b)
	}
	if costSub <= costUp {
		return sub
	}
	return up
}

func magnitude(b byte) int {
	n := int(int8(b))
	return max(n, -n)
}

func appendChunk(dst []byte, kind string, data []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	at := len(dst)
	dst = append(append(dst, kind...), data...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[at:]))
}
