package synth

import (
	"encoding/binary"
	"math"
)

// A Subsampling is the number of colour samples for 2×2 samples of luminance.
type Subsampling string

// The subsamplings of tiles. The zero value is Sub420.
const (
	Sub420 Subsampling = "420" // one, as slide scanners write it
	Sub422 Subsampling = "422" // two side by side
	Sub444 Subsampling = "444" // all four
)

// A Tables is the place of the quantisation and Huffman tables of JPEG tiles. The zero
// value is Shared.
type Tables string

// The places that writers use.
const (
	Shared    Tables = "shared"     // in tag 347 only; the tiles are abbreviated
	Repeated  Tables = "repeated"   // in tag 347 and once more in every tile
	InTiles   Tables = "in tiles"   // in every tile; no tag 347
	QuantOnly Tables = "quant only" // tag 347 has the quantisation tables, the tiles have the Huffman tables: GDAL
)

// A coder makes baseline JPEGs of 8 bits, T.81. It is safe for concurrent use.
type coder struct {
	components int // 3
	rgb        bool
	firstID    byte // of the components: 0 or 1
	h, v       int  // blocks of the first component across and down an MCU
	quant      [2][64]byte
	scale      [2][64]float32 // what a coefficient of forward is multiplied by to quantise it
}

// quantLuma and quantChroma are T.81 tables K.1 and K.2.
var quantLuma = [64]int{
	16, 11, 10, 16, 24, 40, 51, 61,
	12, 12, 14, 19, 26, 58, 60, 55,
	14, 13, 16, 24, 40, 57, 69, 56,
	14, 17, 22, 29, 51, 87, 80, 62,
	18, 22, 37, 56, 68, 109, 103, 77,
	24, 35, 55, 64, 81, 104, 113, 92,
	49, 64, 78, 87, 103, 121, 120, 101,
	72, 92, 95, 98, 112, 100, 103, 99,
}

var quantChroma = [64]int{
	17, 18, 24, 47, 99, 99, 99, 99,
	18, 21, 26, 66, 99, 99, 99, 99,
	24, 26, 56, 99, 99, 99, 99, 99,
	47, 66, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
}

// zigzag gives the place in the block of the coefficients in the order of T.81
// figure A.6.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// newCoder returns a coder of colour. RGB is never subsampled.
func newCoder(quality int, s Subsampling, rgb bool) *coder {
	c := &coder{components: 3, rgb: rgb, firstID: 1, h: 2, v: 2}
	switch {
	case s == Sub444 || rgb:
		c.h, c.v = 1, 1
	case s == Sub422:
		c.v = 1
	}
	c.setQuality(quality)
	return c
}

// setQuality scales the tables of annex K like libjpeg: 50 leaves them unchanged.
func (c *coder) setQuality(quality int) {
	percent := 200 - 2*quality
	if quality < 50 {
		percent = 5000 / quality
	}
	for t, table := range [2]*[64]int{&quantLuma, &quantChroma} {
		for i, z := range zigzag {
			q := min(max((table[z]*percent+50)/100, 1), 255)
			c.quant[t][i] = byte(q)
			c.scale[t][z] = float32(1 / (float64(q) * 8 * aanScale[z%8] * aanScale[z/8]))
		}
	}
}

// table is the index of the tables of a component: in RGB all use the first.
func (c *coder) table(component int) int {
	if component == 0 || c.rgb {
		return 0
	}
	return 1
}

// mcu is the size of an MCU in pixels.
func (c *coder) mcu() (w, h int) { return 8 * c.h, 8 * c.v }

// perMCU is how many blocks an MCU has.
func (c *coder) perMCU() int { return c.h*c.v + c.components - 1 }

// tables returns the contents of tag 347: tables between SOI and EOI.
func (c *coder) tables(t Tables) []byte {
	b := c.appendQuant([]byte{0xff, 0xd8})
	if t != QuantOnly {
		b = c.appendHuffman(b)
	}
	return append(b, 0xff, 0xd9)
}

// head returns a tile of w×h pixels up to its entropy-coded segment.
func (c *coder) head(t Tables, w, h int) []byte {
	b := []byte{0xff, 0xd8}
	if t == Repeated || t == InTiles {
		b = c.appendQuant(b)
	}
	b = c.appendFrame(b, w, h)
	if t != Shared {
		b = c.appendHuffman(b)
	}
	return c.appendScan(b)
}

// appendMarker appends a marker segment.
func appendMarker(b []byte, marker byte, payload []byte) []byte {
	b = append(b, 0xff, marker)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)+2))
	return append(b, payload...)
}

func (c *coder) appendQuant(b []byte) []byte {
	for t := range c.table(c.components-1) + 1 {
		b = appendMarker(b, 0xdb, append([]byte{byte(t)}, c.quant[t][:]...))
	}
	return b
}

func (c *coder) appendHuffman(b []byte) []byte {
	for t := range c.table(c.components-1) + 1 {
		for class, h := range [2]*huffman{codesDC[t], codesAC[t]} {
			b = appendMarker(b, 0xc4, append(append([]byte{byte(class<<4 | t)}, h.count[:]...), h.values...))
		}
	}
	return b
}

func (c *coder) appendFrame(b []byte, w, h int) []byte {
	p := []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), byte(c.components)}
	for i := range c.components {
		sampling := byte(0x11)
		if i == 0 {
			sampling = byte(c.h<<4 | c.v)
		}
		p = append(p, c.firstID+byte(i), sampling, byte(c.table(i)))
	}
	return appendMarker(b, 0xc0, p)
}

func (c *coder) appendScan(b []byte) []byte {
	p := []byte{byte(c.components)}
	for i := range c.components {
		p = append(p, c.firstID+byte(i), byte(c.table(i)*0x11))
	}
	return appendMarker(b, 0xda, append(p, 0, 63, 0))
}

// aanScale is the factor by which the coefficients of forward are too large along one
// axis: the method of Arai, Agui and Nakajima (1988) includes it in the quantisation.
var aanScale = func() (s [8]float64) {
	s[0] = 1
	for k := 1; k < 8; k++ {
		s[k] = math.Cos(float64(k)*math.Pi/16) * math.Sqrt2
	}
	return s
}()

// forward transforms a block in place: its coefficients come out 8·aanScale·aanScale
// times as large as T.81 defines them.
func forward(b *samplesOf) {
	for i := 0; i < 64; i += 8 {
		forward8(&b[i], &b[i+1], &b[i+2], &b[i+3], &b[i+4], &b[i+5], &b[i+6], &b[i+7])
	}
	for i := range 8 {
		forward8(&b[i], &b[i+8], &b[i+16], &b[i+24], &b[i+32], &b[i+40], &b[i+48], &b[i+56])
	}
}

// forward8 transforms eight values with five multiplications.
func forward8(p0, p1, p2, p3, p4, p5, p6, p7 *float32) {
	const (
		c2 = 0.541196100 // √2·sin(π/8)
		c4 = 0.707106781 // cos(π/4)
		c6 = 0.382683433 // sin(π/8)
		c8 = 1.306562965 // √2·cos(π/8)
	)
	s07, d07 := *p0+*p7, *p0-*p7
	s16, d16 := *p1+*p6, *p1-*p6
	s25, d25 := *p2+*p5, *p2-*p5
	s34, d34 := *p3+*p4, *p3-*p4

	e0, e3 := s07+s34, s07-s34
	e1, e2 := s16+s25, s16-s25
	*p0, *p4 = e0+e1, e0-e1
	z := (e2 + e3) * c4
	*p2, *p6 = e3+z, e3-z

	o0, o1, o2 := d34+d25, d25+d16, d16+d07
	z5 := (o0 - o2) * c6
	z2 := o0*c2 + z5
	z4 := o2*c8 + z5
	z3 := o1 * c4
	r, q := d07+z3, d07-z3
	*p5, *p3 = q+z2, q-z2
	*p1, *p7 = r+z4, r-z4
}
