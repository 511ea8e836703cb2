// Package jpegtest writes JPEGs of kinds that Go's encoder does not write, for tests.
package jpegtest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Markers of ITU-T T.81, table B.1.
const (
	markSOF0 = 0xc0
	markDHT  = 0xc4
	markRST0 = 0xd0
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
	markDQT  = 0xdb
	markDRI  = 0xdd
)

// A JPEG describes a JPEG with random coefficients, of a kind that Go's encoder does
// not write.
type JPEG struct {
	W, H     int
	Sampling []int  // of each colour, horizontal<<4 | vertical
	IDs      string // of the colours; 1, 2, 3 … if empty
	Interval int    // MCUs between restart markers
	SparseDC bool   // the DC tables contain only the differences that occur
	LongAC   bool   // AC codes of 16 bits
	Flat     bool   // one colour: DC only, of the values in DC
	DC       [4]int // with Flat
	Head     string // inserted after SOI
	Frame    byte   // marker of the frame; SOF0 if 0
	Seed     uint64
	rng      *rand.Rand
}

// Cases are kinds of JPEG whose coefficients can be copied.
var Cases = []struct {
	Name string
	JPEG JPEG
}{
	{"4:2:0", JPEG{Sampling: []int{0x22, 0x11, 0x11}}},
	{"4:2:2", JPEG{Sampling: []int{0x21, 0x11, 0x11}}},
	{"4:4:0", JPEG{Sampling: []int{0x12, 0x11, 0x11}}},
	{"4:1:1", JPEG{Sampling: []int{0x41, 0x11, 0x11}}},
	{"4:4:4", JPEG{Sampling: []int{0x11, 0x11, 0x11}}},
	{"4:4:4 with factors of 2", JPEG{Sampling: []int{0x21, 0x21, 0x21}}},
	{"gray", JPEG{Sampling: []int{0x11}}},
	{"gray with factors of 2", JPEG{Sampling: []int{0x22}}},
	{"RGB", JPEG{Sampling: []int{0x11, 0x11, 0x11}, IDs: "RGB"}},
	{"restart every MCU", JPEG{Sampling: []int{0x22, 0x11, 0x11}, Interval: 1}},
	{"restart every 7 MCUs", JPEG{Sampling: []int{0x22, 0x11, 0x11}, Interval: 7}},
	{"restart in 4:4:4", JPEG{Sampling: []int{0x11, 0x11, 0x11}, Interval: 10}},
	{"restart in gray", JPEG{Sampling: []int{0x11}, Interval: 3}},
	{"DC tables made to measure", JPEG{Sampling: []int{0x22, 0x11, 0x11}, SparseDC: true, Interval: 2}},
	{"long codes", JPEG{Sampling: []int{0x22, 0x11, 0x11}, LongAC: true}},
	{"extended sequential", JPEG{Sampling: []int{0x22, 0x11, 0x11}, Frame: 0xc1}},
	{"CMYK", JPEG{Sampling: []int{0x11, 0x11, 0x11, 0x11}, Head: Adobe(0)}},
}

// Adobe is an APP14 segment with the given colour transform.
func Adobe(transform byte) string {
	return "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + string(transform)
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

// Encode returns the JPEG.
func (j JPEG) Encode() []byte {
	j.rng = rand.New(rand.NewPCG(j.Seed, 1))
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
	if j.LongAC {
		ac = newSymbolTable(acSymbols, 50, 6, 16)
	}
	out := append([]byte{0xff, markSOI}, j.Head...)
	quant := make([]byte, 65)
	for i := range 64 {
		quant[1+i] = byte(4 + i/8)
	}
	out = appendSegment(out, markDQT, quant)
	out = appendSegment(out, max(j.Frame, markSOF0), j.frameSegment())
	out = appendSegment(out, markDHT, append(dc.segment(0, 0), ac.segment(1, 0)...))
	if j.Interval > 0 {
		out = appendSegment(out, markDRI, []byte{byte(j.Interval >> 8), byte(j.Interval)})
	}
	scan := []byte{byte(len(j.Sampling))}
	for i := range j.Sampling {
		scan = append(scan, j.id(i), 0)
	}
	out = appendSegment(out, markSOS, append(scan, 0, 63, 0))
	return j.writeScan(out, blocks, dc, ac)
}

func (j *JPEG) id(i int) byte {
	if j.IDs != "" {
		return j.IDs[i]
	}
	return byte(i + 1)
}

func (j *JPEG) frameSegment() []byte {
	b := []byte{8, byte(j.H >> 8), byte(j.H), byte(j.W >> 8), byte(j.W), byte(len(j.Sampling))}
	for i, s := range j.Sampling {
		b = append(b, j.id(i), byte(s), 0)
	}
	return b
}

// mcus returns the number of MCUs, and the component of each block of an MCU.
func (j *JPEG) mcus() (n int, order []int) {
	if len(j.Sampling) == 1 {
		return (j.W + 7) / 8 * ((j.H + 7) / 8), []int{0}
	}
	h, v := 1, 1
	for i, s := range j.Sampling {
		h, v = max(h, s>>4), max(v, s&15)
		for range (s >> 4) * (s & 15) {
			order = append(order, i)
		}
	}
	return (j.W + 8*h - 1) / (8 * h) * ((j.H + 8*v - 1) / (8 * v)), order
}

// A block is 64 coefficients in zigzag order, the first as a difference.
type codedBlock [64]int

func (j *JPEG) blocks() []codedBlock {
	n, order := j.mcus()
	var all []codedBlock
	var last [4]int
	for mcu := range n {
		if j.Interval > 0 && mcu%j.Interval == 0 {
			last = [4]int{}
		}
		for _, comp := range order {
			var b codedBlock
			value := last[comp] + j.rng.IntN(61) - 30
			if j.rng.IntN(20) == 0 {
				value = j.rng.IntN(2000) - 1000
			}
			value = max(-250, min(250, value))
			if j.Flat {
				value = j.DC[comp]
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

func (j *JPEG) dcTable(blocks []codedBlock) *symbolTable {
	used := [12]bool{}
	for _, b := range blocks {
		used[bits.Len(uint(max(b[0], -b[0])))] = true
	}
	var symbols []byte
	for s, u := range used {
		if u || !j.SparseDC {
			symbols = append(symbols, byte(s))
		}
	}
	return newSymbolTable(symbols, len(symbols), 4, 4)
}

func (j *JPEG) writeScan(out []byte, blocks []codedBlock, dc, ac *symbolTable) []byte {
	w := bitWriter{data: out}
	_, order := j.mcus()
	for i, b := range blocks {
		if mcu := i / len(order); j.Interval > 0 && i%len(order) == 0 && mcu > 0 && mcu%j.Interval == 0 {
			w = bitWriter{data: w.end()}
			w.data[len(w.data)-1] = byte(markRST0 + (mcu/j.Interval-1)%8)
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

// A bitWriter appends bits to data, with a zero byte after every FF.
type bitWriter struct {
	data []byte
	acc  uint64 // the bits not written yet, at the bottom
	n    int    // number of bits in acc, less than 8
}

// put appends the low n bits of v.
func (w *bitWriter) put(v uint64, n int) {
	w.acc = w.acc<<n | v
	for w.n += n; w.n >= 8; w.n -= 8 {
		b := byte(w.acc >> (w.n - 8))
		w.data = append(w.data, b)
		if b == 0xff {
			w.data = append(w.data, 0)
		}
	}
}

// end fills the last byte with ones, appends EOI, and returns the data.
func (w *bitWriter) end() []byte {
	if pad := -w.n & 7; pad > 0 {
		w.put(1<<pad-1, pad)
	}
	return append(w.data, 0xff, markEOI)
}

func appendSegment(out []byte, mark byte, data []byte) []byte {
	n := len(data) + 2
	return append(append(out, 0xff, mark, byte(n>>8), byte(n)), data...)
}

// SameCrop compares the JPEG in data with the top left w × h pixels of whole.
func SameCrop(whole image.Image, data []byte, w, h int) error {
	crop, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("decoding the crop: %w", err)
	}
	if want := image.Rect(0, 0, w, h); crop.Bounds() != want {
		return fmt.Errorf("bounds %v, want %v", crop.Bounds(), want)
	}
	for y := range h {
		for x := range w {
			if got, want := crop.At(x, y), whole.At(x, y); got != want {
				return fmt.Errorf("pixel %d,%d is %v, want %v", x, y, got, want)
			}
		}
	}
	return nil
}

// Replace replaces the first old in data, which must be there.
func Replace(data, old, with []byte) []byte {
	if !bytes.Contains(data, old) {
		panic(fmt.Sprintf("% x is not in the data", old))
	}
	return bytes.Replace(data, old, with, 1)
}

// Tissue returns an image with edges, gradients and noise.
func Tissue(w, h int, seed uint64) *image.RGBA {
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
