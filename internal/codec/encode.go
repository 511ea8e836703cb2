package codec

import (
	"encoding/binary"
	"math/bits"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/planes"
)

// An encoder writes a baseline JPEG in Go, with the arithmetic and the order of segments of
// libjpeg: of the same planes both make the same bytes. Go's image/jpeg takes twice as long,
// and always halves chroma.
type encoder struct {
	bitWriter
	quantizers [2]quantizer
	dc, ac     [2]codes
	components []component
	mcus, rows int // MCUs of a row, and rows of them
}

// A component is a plane to be encoded.
type component struct {
	*planes.Plane
	h, v          int // blocks of an MCU
	columns, rows int // blocks that have samples of the picture
	table         int
	last          int32 // first coefficient of the block before
}

// encodePlanes encodes gray or YCbCr, as checkPlanes allows.
func encodePlanes(p *planes.Picture, quality int) []byte {
	e := &encoder{}
	h, v := 1, 1
	if len(p.Planes) > 1 {
		h, v = p.Planes[1].H, p.Planes[1].V
	}
	e.mcus, e.rows = ceilDiv(p.Width, 8*h), ceilDiv(p.Height, 8*v)
	for i := range p.Planes {
		c := component{Plane: &p.Planes[i], h: 1, v: 1, table: min(i, 1)}
		if i == 0 {
			c.h, c.v = h, v
		}
		c.columns, c.rows = ceilDiv(c.Width, 8), ceilDiv(c.Height, 8)
		e.components = append(e.components, c)
	}
	e.out = make([]byte, 0, p.Width*p.Height/8+1<<10)
	e.head(p.Width, p.Height, quality)
	for y := range e.rows {
		for x := range e.mcus {
			for i := range e.components {
				e.mcu(&e.components[i], x, y)
			}
		}
	}
	e.flush()
	return append(e.out, 0xff, 0xd9)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// head writes the segments before the pixels.
func (e *encoder) head(width, height, quality int) {
	e.out = append(e.out, jfif...)
	n := min(len(e.components), 2)
	for i := range n {
		table := quantization(i, quality)
		e.quantizers[i].set(&table)
		e.out = jpeg.AppendSegment(e.out, jpeg.MarkDQT, append([]byte{byte(i)}, table[:]...))
	}
	frame := []byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width), byte(len(e.components))}
	scan := []byte{byte(len(e.components))}
	for i, c := range e.components {
		frame = append(frame, byte(i+1), byte(c.h<<4|c.v), byte(c.table))
		scan = append(scan, byte(i+1), byte(c.table<<4|c.table))
	}
	e.out = jpeg.AppendSegment(e.out, jpeg.MarkSOF0, frame)
	for i := range n {
		dc, ac := jpeg.StandardTables(i)
		e.dc[i].set(dc.Data)
		e.ac[i].set(ac.Data)
		e.out = jpeg.AppendSegment(jpeg.AppendSegment(e.out, dc.Mark, dc.Data), ac.Mark, ac.Data)
	}
	e.out = jpeg.AppendSegment(e.out, jpeg.MarkSOS, append(scan, 0, 63, 0))
}

// mcu writes the blocks of a component in one MCU.
func (e *encoder) mcu(c *component, x, y int) {
	var b block
	for row := y * c.v; row < (y+1)*c.v; row++ {
		for column := x * c.h; column < (x+1)*c.h; column++ {
			if column >= c.columns || row >= c.rows { // a block like the one before
				e.put(uint32(e.dc[c.table].bits[0]), uint(e.dc[c.table].length[0]))
				e.put(uint32(e.ac[c.table].bits[0]), uint(e.ac[c.table].length[0]))
				continue
			}
			b.load(c.Plane, 8*column, 8*row)
			b.transform()
			e.block(c, &b)
		}
	}
}

// block writes the coefficients of a block (T.81 F.1.2).
func (e *encoder) block(c *component, b *block) {
	q, dc, ac := &e.quantizers[c.table], &e.dc[c.table], &e.ac[c.table]
	v := q.quantize(b[0], 0)
	size, extra := magnitude(v - c.last)
	c.last = v
	e.put(uint32(dc.bits[size&15])<<size|extra, uint(dc.length[size&15])+size)
	run := uint(0)
	for k := 1; k < 64; k++ {
		f := b[zigzag[k]&63]
		if f < q.least[k] && -f < q.least[k] {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			e.put(uint32(ac.bits[0xf0]), uint(ac.length[0xf0]))
		}
		// No value that the transform gives, divided by 1 and rounded, needs more than the
		// 10 bits of a baseline JPEG.
		size, extra := magnitude(q.quantize(f, k))
		symbol := (run<<4 | size) & 255
		e.put(uint32(ac.bits[symbol])<<size|extra, uint(ac.length[symbol])+size)
		run = 0
	}
	if run > 0 {
		e.put(uint32(ac.bits[0]), uint(ac.length[0])) // end of block
	}
}

// magnitude returns the number of bits of v, and these (T.81 F.1.2.1).
func magnitude(v int32) (size uint, extra uint32) {
	sign := v >> 31
	size = uint(bits.Len32(uint32((v ^ sign) - sign)))
	return size, uint32(v+sign) & (1<<size - 1)
}

// codes are the Huffman codes of a table.
type codes struct {
	bits   [256]uint16
	length [256]uint8
}

// set reads the data of a DHT segment.
func (c *codes) set(table []byte) {
	counts, symbols := table[1:17], table[17:]
	code, i := 0, 0
	for n, count := range counts {
		for range count {
			c.bits[symbols[i]], c.length[symbols[i]] = uint16(code), uint8(n+1)
			code++
			i++
		}
		code <<= 1
	}
}

// A quantizer divides the coefficients of a block, in the order of the zigzag.
type quantizer struct {
	half, reciprocal [64]uint32
	least            [64]int32 // the smallest value that does not become 0
}

// set takes the divisors in the order of the zigzag.
func (q *quantizer) set(table *[64]byte) {
	for k, d := range table {
		divisor := uint32(d) * scale
		q.half[k], q.least[k] = divisor/2, int32(divisor-divisor/2)
		q.reciprocal[k] = (1<<reciprocalBits + divisor - 1) / divisor
	}
}

const (
	// scale is what the transform multiplies coefficients by.
	scale = 8
	// reciprocalBits make the product exact: values are below 1<<15, and divisors below 1<<11.
	reciprocalBits = 26
)

// quantize divides v by divisor k, and rounds halves away from 0.
func (q *quantizer) quantize(v int32, k int) int32 {
	sign := v >> 31
	n := uint64(uint32((v^sign)-sign) + q.half[k&63])
	return (int32(n*uint64(q.reciprocal[k&63])>>reciprocalBits) ^ sign) - sign
}

// quantization returns a table of T.81 K.1 for a quality of 1 to 100, scaled as libjpeg does,
// in the order of the zigzag.
func quantization(number, quality int) (table [64]byte) {
	percent := 200 - 2*quality
	if quality < 50 {
		percent = 5000 / quality
	}
	for k, z := range zigzag {
		table[k] = byte(min(max((int(annexK[number][z])*percent+50)/100, 1), 255))
	}
	return table
}

// annexK are the tables of T.81 K.1 for luminance and chrominance, row by row.
var annexK = [2][64]byte{
	{
		16, 11, 10, 16, 24, 40, 51, 61,
		12, 12, 14, 19, 26, 58, 60, 55,
		14, 13, 16, 24, 40, 57, 69, 56,
		14, 17, 22, 29, 51, 87, 80, 62,
		18, 22, 37, 56, 68, 109, 103, 77,
		24, 35, 55, 64, 81, 104, 113, 92,
		49, 64, 78, 87, 103, 121, 120, 101,
		72, 92, 95, 98, 112, 100, 103, 99,
	},
	{
		17, 18, 24, 47, 99, 99, 99, 99,
		18, 21, 26, 66, 99, 99, 99, 99,
		24, 26, 56, 99, 99, 99, 99, 99,
		47, 66, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99,
	},
}

// zigzag is the order of coefficients in a stream (T.81 figure A.6).
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// A bitWriter appends bits to entropy-coded data, and a zero byte after each of 0xff.
type bitWriter struct {
	out []byte
	acc uint64
	n   uint // bits of acc that are not in out yet, below 32
}

// put appends the lowest n bits of v, at most 32, which has no others.
func (w *bitWriter) put(v uint32, n uint) {
	w.acc = w.acc<<(n&63) | uint64(v)
	if w.n += n; w.n >= 32 {
		w.n -= 32
		w.word(uint32(w.acc >> (w.n & 63)))
	}
}

func (w *bitWriter) word(v uint32) {
	if (^v-0x01010101)&v&0x80808080 == 0 { // no byte is 0xff
		w.out = binary.BigEndian.AppendUint32(w.out, v)
		return
	}
	for shift := 24; shift >= 0; shift -= 8 {
		w.byte(byte(v >> shift))
	}
}

func (w *bitWriter) byte(b byte) {
	if w.out = append(w.out, b); b == 0xff {
		w.out = append(w.out, 0)
	}
}

// flush fills the last byte with ones.
func (w *bitWriter) flush() {
	w.put(0x7f, 7)
	for ; w.n >= 8; w.n -= 8 {
		w.byte(byte(w.acc >> (w.n - 8)))
	}
	w.n = 0
}
