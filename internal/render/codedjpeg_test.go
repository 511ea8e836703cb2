package render

import (
	"image"
	"image/color"
	"math"
	"math/bits"
	"math/rand/v2"
)

// A codedJPEG describes a JPEG with random coefficients, of a kind that Go's encoder does
// not write.
type codedJPEG struct {
	w, h     int
	sampling []int  // of each colour, horizontal<<4 | vertical
	ids      string // of the colours; 1, 2, 3 … if empty
	interval int    // MCUs between restart markers
	sparseDC bool   // the DC tables contain only the differences that occur
	longAC   bool   // AC codes of 16 bits
	flat     bool   // one colour: DC only, of the values in dc
	dc       [4]int // with flat
	head     string // inserted after SOI
	frame    byte   // marker of the frame; SOF0 if 0
	seed     uint64
	rng      *rand.Rand
}

// A symbolTable is a Huffman table for encoding, with codes of one or two lengths.
type symbolTable struct {
	counts  [16]byte
	symbols []byte
	code    map[byte]uint64
	length  map[byte]int
}

// newSymbolTable assigns the shorter codes to the first symbols, as many as leave room for
// the others.
func newSymbolTable(symbols []byte, short, shortLength, longLength int) *symbolTable {
	t := &symbolTable{symbols: symbols, code: map[byte]uint64{}, length: map[byte]int{}}
	code, length := uint64(0), shortLength
	for i, s := range symbols {
		if i == short {
			code <<= longLength - shortLength
			length = longLength
		}
		t.counts[length-1]++
		t.code[s], t.length[s] = code, length
		code++
	}
	return t
}

func (t *symbolTable) segment(class, id byte) []byte {
	return append(append([]byte{class<<4 | id}, t.counts[:]...), t.symbols...)
}

// encode returns the JPEG.
func (j codedJPEG) encode() []byte {
	j.rng = rand.New(rand.NewPCG(j.seed, 1))
	blocks := j.blocks()
	dc := j.dcTable(blocks)
	var acSymbols []byte
	for size := range 11 {
		for run := range 16 {
			if size > 0 || run == 0 || run == 15 {
				acSymbols = append(acSymbols, byte(run<<4|size))
			}
		}
	}
	ac := newSymbolTable(acSymbols, len(acSymbols), 8, 8)
	if j.longAC {
		ac = newSymbolTable(acSymbols, 50, 6, 16)
	}
	out := append([]byte{0xff, markSOI}, j.head...)
	quant := make([]byte, 65)
	for i := range 64 {
		quant[1+i] = byte(4 + i/8)
	}
	out = appendSegment(out, markDQT, quant)
	out = appendSegment(out, max(j.frame, markSOF0), j.frameSegment())
	out = appendSegment(out, markDHT, append(dc.segment(0, 0), ac.segment(1, 0)...))
	if j.interval > 0 {
		out = appendSegment(out, markDRI, []byte{byte(j.interval >> 8), byte(j.interval)})
	}
	scan := []byte{byte(len(j.sampling))}
	for i := range j.sampling {
		scan = append(scan, j.id(i), 0)
	}
	out = appendSegment(out, markSOS, append(scan, 0, 63, 0))
	return j.writeScan(out, blocks, dc, ac)
}

func (j *codedJPEG) id(i int) byte {
	if j.ids != "" {
		return j.ids[i]
	}
	return byte(i + 1)
}

func (j *codedJPEG) frameSegment() []byte {
	b := []byte{8, byte(j.h >> 8), byte(j.h), byte(j.w >> 8), byte(j.w), byte(len(j.sampling))}
	for i, s := range j.sampling {
		b = append(b, j.id(i), byte(s), 0)
	}
	return b
}

// mcus returns the number of MCUs, and the component of each block of an MCU.
func (j *codedJPEG) mcus() (n int, order []int) {
	if len(j.sampling) == 1 {
		return (j.w + 7) / 8 * ((j.h + 7) / 8), []int{0}
	}
	h, v := 1, 1
	for i, s := range j.sampling {
		h, v = max(h, s>>4), max(v, s&15)
		for range (s >> 4) * (s & 15) {
			order = append(order, i)
		}
	}
	return (j.w + 8*h - 1) / (8 * h) * ((j.h + 8*v - 1) / (8 * v)), order
}

// A block is 64 coefficients in zigzag order, the first as a difference.
type codedBlock [64]int

func (j *codedJPEG) blocks() []codedBlock {
	n, order := j.mcus()
	var all []codedBlock
	var last [4]int
	for mcu := range n {
		if j.interval > 0 && mcu%j.interval == 0 {
			last = [4]int{}
		}
		for _, comp := range order {
			var b codedBlock
			value := last[comp] + j.rng.IntN(61) - 30
			if j.rng.IntN(20) == 0 {
				value = j.rng.IntN(2000) - 1000
			}
			value = max(-250, min(250, value))
			if j.flat {
				value = j.dc[comp]
			} else {
				for range j.rng.IntN(12) {
					k := 1 + min(62, int(math.Abs(j.rng.NormFloat64()*20)))
					b[k] = int(j.rng.NormFloat64() * 40 / float64(k))
				}
			}
			b[0] = value - last[comp]
			last[comp] = value
			all = append(all, b)
		}
	}
	return all
}

func (j *codedJPEG) dcTable(blocks []codedBlock) *symbolTable {
	used := [12]bool{}
	for _, b := range blocks {
		used[bits.Len(uint(max(b[0], -b[0])))] = true
	}
	var symbols []byte
	for s, u := range used {
		if u || !j.sparseDC {
			symbols = append(symbols, byte(s))
		}
	}
	return newSymbolTable(symbols, len(symbols), 4, 4)
}

func (j *codedJPEG) writeScan(out []byte, blocks []codedBlock, dc, ac *symbolTable) []byte {
	w := bitWriter{data: out}
	_, order := j.mcus()
	for i, b := range blocks {
		if mcu := i / len(order); j.interval > 0 && i%len(order) == 0 && mcu > 0 && mcu%j.interval == 0 {
			w = bitWriter{data: w.end()}
			w.data[len(w.data)-1] = byte(markRST0 + (mcu/j.interval-1)%8)
		}
		put := func(t *symbolTable, run, v int) {
			size := bits.Len(uint(max(v, -v)))
			if v < 0 {
				v += 1<<size - 1
			}
			s := byte(run<<4 | size)
			w.put(t.code[s]<<size|uint64(v), t.length[s]+size)
		}
		put(dc, 0, b[0])
		run := 0
		for k := 1; k < 64; k++ {
			if b[k] == 0 {
				run++
				continue
			}
			for ; run > 15; run -= 16 {
				put(ac, 15, 0)
			}
			put(ac, run, b[k])
			run = 0
		}
		if run > 0 {
			put(ac, 0, 0)
		}
	}
	return w.end()
}

// tissue returns an image with edges, gradients and noise.
func tissue(w, h int, seed uint64) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, 2))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := 40 * (math.Sin(float64(x)/9) + math.Cos(float64(y)/13))
			n := float64(rng.IntN(17))
			c := color.RGBA{byte(190 + v/2 + n), byte(120 + v + n), byte(170 + v/3 + n), 255}
			if (x/40+y/30)%5 == 0 {
				c = color.RGBA{byte(90 + n), byte(50 + n), byte(140 + n), 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}
