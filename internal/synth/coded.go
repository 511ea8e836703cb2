package synth

import "image"

// A coded is a cell as its MCUs, row by row, entropy-coded except for the first
// coefficient of each block: that is coded as the difference to the previous block,
// which only the tile knows.
type coded struct {
	blocks []block
	bits   []uint32 // of all blocks, each starting at a word, highest bit first
}

// A block is an 8×8 block of one component.
type block struct {
	sum   int16  // of its 64 samples, each less 128
	start uint16 // its first word
	n     uint16 // how many bits the other coefficients have
}

// code compresses a cell of 3×size×size bytes.
func (c *coder) code(pix []byte, size int) coded {
	w, h := c.mcu()
	out := coded{
		blocks: make([]block, 0, size/w*(size/h)*c.perMCU()),
		bits:   make([]uint32, 0, 3*size*size/64),
	}
	var s samples
	for y := 0; y < size; y += h {
		for x := 0; x < size; x += w {
			s.load(c, pix[3*(y*size+x):], 3*size)
			for i := range c.perMCU() {
				c.codeBlock(&out, &s[i], c.table(max(0, i-c.h*c.v+1)))
			}
		}
	}
	return out
}

// samples are the blocks of one MCU: luminance, then the other two components, less
// 128.
type samples [6]samplesOf

// samplesOf are those of a block.
type samplesOf [64]float32

// load takes an MCU from rows of RGB.
func (s *samples) load(c *coder, pix []byte, stride int) {
	if c.rgb {
		for i := range 64 {
			p := pix[i/8*stride+3*(i%8):]
			s[0][i], s[1][i], s[2][i] = float32(int(p[0])-128), float32(int(p[1])-128), float32(int(p[2])-128)
		}
		return
	}
	for i := range c.h * c.v {
		s[i].luma(pix[i/c.h*8*stride+i%c.h*24:], stride)
	}
	s.chroma(c, pix, stride)
}

// luma computes luminance from 8×8 pixels: JFIF 1.02, in 65536ths.
func (b *samplesOf) luma(pix []byte, stride int) {
	for y := range 8 {
		row := pix[y*stride : y*stride+24]
		for x := range 8 {
			r, g, bl := int32(row[3*x]), int32(row[3*x+1]), int32(row[3*x+2])
			b[8*y+x] = float32((19595*r+38470*g+7471*bl+1<<15)>>16 - 128)
		}
	}
}

// chroma computes the other two components, each from the mean of the pixels that share
// them.
func (s *samples) chroma(c *coder, pix []byte, stride int) {
	cb, cr := &s[c.h*c.v], &s[c.h*c.v+1]
	scale := 1 / float32(65536*c.h*c.v)
	for i := range 64 {
		var r, g, b int32
		for y := range c.v {
			at := (i/8*c.v+y)*stride + 3*(i%8*c.h)
			for x := range c.h {
				p := pix[at+3*x : at+3*x+3]
				r, g, b = r+int32(p[0]), g+int32(p[1]), b+int32(p[2])
			}
		}
		cb[i] = float32(-11059*r-21709*g+32768*b) * scale
		cr[i] = float32(32768*r-27439*g-5329*b) * scale
	}
}

// codeBlock transforms a block and appends it.
func (c *coder) codeBlock(out *coded, b *samplesOf, table int) {
	forward(b)
	start := len(out.bits)
	w := packer{words: out.bits}
	codes, scale := codesAC[table], &c.scale[table]
	run := 0
	for _, z := range zigzag[1:] {
		f := b[z] * scale[z]
		if f > -0.5 && f < 0.5 {
			run++
			continue
		}
		v := int32(f + 0.5)
		if f < 0 {
			v = -int32(0.5 - f)
		}
		for ; run > 15; run -= 16 {
			w.put(codes.code[0xf0], uint(codes.size[0xf0]))
		}
		size, bits := magnitude(min(max(v, -1023), 1023))
		symbol := run<<4 | int(size)
		w.put(codes.code[symbol]<<size|bits, uint(codes.size[symbol])+size)
		run = 0
	}
	if run > 0 {
		w.put(codes.code[0], uint(codes.size[0])) // end of block
	}
	out.bits = w.finish()
	out.blocks = append(out.blocks, block{
		sum:   int16(b[0]),
		start: uint16(start),
		n:     uint16(w.total),
	})
}

// A packer appends bits to words.
type packer struct {
	words []uint32
	acc   uint64
	n     uint // bits of acc that are not yet in words
	total uint
}

// put appends the lowest n ≤ 32 bits of v.
func (p *packer) put(v uint32, n uint) {
	p.acc = p.acc<<n | uint64(v)
	p.n += n
	p.total += n
	if p.n >= 32 {
		p.n -= 32
		p.words = append(p.words, uint32(p.acc>>p.n))
	}
}

// finish fills the last word with zeros and returns all.
func (p *packer) finish() []uint32 {
	if p.n > 0 {
		p.words = append(p.words, uint32(p.acc<<(32-p.n)))
	}
	return p.words
}

// A shift is added to a whole MCU, in 16ths of a sample and in the components
// of the JPEG.
type shift [3]int32

// shift turns one of red, green and blue into one of the components.
func (c *coder) shift(by shift) shift {
	if c.rgb {
		return by
	}
	r, g, b := by[0], by[1], by[2]
	return shift{
		(19595*r + 38470*g + 7471*b) >> 16,
		(-11059*r - 21709*g + 32768*b) >> 16,
		(32768*r - 27439*g - 5329*b) >> 16,
	}
}

// A segment is the entropy-coded segment of one tile.
type segment struct {
	bitWriter
	c    *coder
	last [3]int32 // first coefficients of the blocks before
}

// mcu appends MCU number i of a cell.
func (s *segment) mcu(cell *coded, i int, by shift) {
	first := s.c.h * s.c.v
	per := first + s.c.components - 1
	for j := range per {
		b := &cell.blocks[i*per+j]
		component := max(0, j-first+1)
		t := s.c.table(component)
		q := 8 * int32(s.c.quant[t][0])
		dc := divide(int32(b.sum)+4*by[component], q)
		dc = min(max(dc, -8192/q), 8128/q)
		size, bits := magnitude(dc - s.last[component])
		s.last[component] = dc
		codes := codesDC[t]
		s.put(codes.code[size]<<size|bits, uint(codes.size[size])+size)
		s.copyBits(cell.bits[b.start:], uint(b.n))
	}
}

// copyBits appends the first n bits of words.
func (s *segment) copyBits(words []uint32, n uint) {
	for ; n >= 32; n -= 32 {
		s.put(words[0], 32)
		words = words[1:]
	}
	if n > 0 {
		s.put(words[0]>>(32-n), n)
	}
}

// divide rounds to the nearest.
func divide(a, b int32) int32 {
	if a < 0 {
		return -((-a + b/2) / b)
	}
	return (a + b/2) / b
}

// image compresses the rows from y0 to y1 of a picture. Incomplete MCUs repeat the last
// column and row.
func (c *coder) image(img *image.RGBA, y0, y1 int, t Tables) []byte {
	w, h := c.mcu()
	width := img.Bounds().Dx()
	s := segment{c: c}
	s.b = c.head(t, width, y1-y0)
	var in samples
	pix := make([]byte, 3*w*h)
	for y := y0; y < y1; y += h {
		for x := 0; x < width; x += w {
			for i := range w * h {
				at := img.PixOffset(min(x+i%w, width-1), min(y+i/w, y1-1))
				copy(pix[3*i:3*i+3], img.Pix[at:])
			}
			in.load(c, pix, 3*w)
			var mcu coded
			for i := range c.perMCU() {
				c.codeBlock(&mcu, &in[i], c.table(max(0, i-c.h*c.v+1)))
			}
			s.mcu(&mcu, 0, shift{})
		}
	}
	s.flush()
	return append(s.b, 0xff, 0xd9)
}
