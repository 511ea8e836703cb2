package render

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	lutBits   = 10
	maxDCSize = 11 // bits of a DC difference of 8-bit samples (T.81 table F.1)
	noCode    = 64 // length of what is no code: more than there can be bits
)

// standardDC are the DC tables of T.81 K.3.3.1, for luminance and chrominance.
var standardDC = [2]codeTable{
	{[]byte{0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	{[]byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
}

// A decodeTable finds the symbol whose code the next bits begin with.
type decodeTable struct {
	lut     [1 << lutBits]uint16 // length<<8 | symbol of codes of up to lutBits bits; 0 if longer
	limit   [17]uint32           // one more than the largest code of that length, as 16 bits
	first   [17]int              // index of the symbol of code 0 of that length, were there one
	symbols []byte
}

func newDecodeTable(t codeTable) (*decodeTable, error) {
	if len(t.symbols) == 0 {
		return nil, errors.New("render: JPEG lacks a Huffman table")
	}
	d := &decodeTable{symbols: t.symbols}
	code, i := 0, 0
	for length := 1; length <= 16; length++ {
		n := int(t.counts[length-1])
		if code+n > 1<<length {
			return nil, fmt.Errorf("%w: Huffman table with more codes than there are", ErrNotLossless)
		}
		d.first[length] = i - code
		if length <= lutBits {
			for _, symbol := range t.symbols[i : i+n] {
				entries := d.lut[code<<(lutBits-length):][:1<<(lutBits-length)]
				for j := range entries {
					entries[j] = uint16(length)<<8 | uint16(symbol)
				}
				code++
			}
		} else {
			code += n
		}
		i += n
		d.limit[length] = uint32(code) << (16 - length)
		code <<= 1
	}
	return d, nil
}

// decode returns the symbol that the top bits of acc are the code of, and how long
// that code is.
func (d *decodeTable) decode(acc uint64) (symbol byte, length int) {
	if e := d.lut[acc>>(64-lutBits)]; e != 0 {
		return byte(e), int(e >> 8)
	}
	next := uint32(acc >> 48)
	for length := lutBits + 1; length <= 16; length++ {
		if next < d.limit[length] {
			return d.symbols[d.first[length]+int(next>>(16-length))], length
		}
	}
	return 0, noCode
}

// dcCodes are the codes of the sizes of DC differences.
type dcCodes [maxDCSize + 1]struct {
	bits   uint16
	length int // 0 if there is none
}

func newDCCodes(t codeTable) *dcCodes {
	codes := new(dcCodes)
	code, i := 0, 0
	for length := 1; length <= len(t.counts); length++ {
		for range t.counts[length-1] {
			if symbol := t.symbols[i]; symbol <= maxDCSize {
				codes[symbol].bits, codes[symbol].length = uint16(code), length
			}
			code++
			i++
		}
		code <<= 1
	}
	return codes
}

// complete reports whether every size has a code.
func (c *dcCodes) complete() bool {
	for i := range c {
		if c[i].length == 0 {
			return false
		}
	}
	return true
}

var errEarly = errors.New("the pixels end early, or hold what is no code")

// A bitReader reads the bits between two markers, with the zero bytes left out
// that stand behind every FF (T.81 B.1.1.5).
type bitReader struct {
	data []byte
	at   int
	acc  uint64 // the next bits, at the top; below them zeros
	n    int    // how many of them there are
}

// fill makes sure that there are 32 bits, unless the next marker is nearer: no
// code with what belongs to it is longer than 31.
func (r *bitReader) fill() {
	if r.n >= 32 {
		return
	}
	if r.at+4 <= len(r.data) {
		if v := binary.BigEndian.Uint32(r.data[r.at:]); !hasFF(v) {
			r.acc |= uint64(v) << (32 - r.n)
			r.n += 32
			r.at += 4
			return
		}
	}
	for r.n < 32 && r.at < len(r.data) {
		b := r.data[r.at]
		if b == 0xff {
			if r.at+1 >= len(r.data) || r.data[r.at+1] != 0 {
				return
			}
			r.at++
		}
		r.at++
		r.acc |= uint64(b) << (56 - r.n)
		r.n += 8
	}
}

// hasFF reports whether one of v's bytes is FF: whether one of ^v is zero.
func hasFF(v uint32) bool { return (^v-0x01010101)&v&0x80808080 != 0 }

// skip passes over n bits.
func (r *bitReader) skip(n int) error {
	if n > r.n {
		return errEarly
	}
	r.acc <<= n
	r.n -= n
	return nil
}

// skipAC passes over the n bits of the symbol at coefficient k and returns the
// next coefficient, 64 at the end of the block (F.2.2.2).
func (r *bitReader) skipAC(k int, symbol byte, n int) (int, error) {
	if err := r.skip(n); err != nil {
		return 0, err
	}
	switch {
	case symbol == 0:
		return 64, nil
	case symbol&15 == 0 && symbol != 0xf0:
		return 0, fmt.Errorf("%w: symbol %02X, which only progressive JPEGs have", ErrNotLossless, symbol)
	}
	if k += int(symbol>>4) + 1; k > 64 {
		return 0, fmt.Errorf("%w: block of more than 64 coefficients", ErrNotLossless)
	}
	return k, nil
}

// marker passes over the bits that fill the last byte, and a marker.
func (r *bitReader) marker(want byte) error {
	r.fill()
	at := r.at
	for at < len(r.data) && r.data[at] == 0xff {
		at++
	}
	if r.n >= 8 || at == r.at || at >= len(r.data) || r.data[at] != want {
		return fmt.Errorf("no restart marker %02X where one is due", want)
	}
	r.at, r.acc, r.n = at+1, 0, 0
	return nil
}

// A bitWriter appends bits to data, with a zero byte behind every FF.
type bitWriter struct {
	data []byte
	acc  uint64 // the bits not yet written, at the bottom
	n    int    // how many of them there are, less than 32
}

// put appends the low n ≤ 32 bits of v, whose others must be zero.
func (w *bitWriter) put(v uint64, n int) {
	w.acc = w.acc<<n | v
	w.n += n
	if w.n < 32 {
		return
	}
	w.n -= 32
	four := uint32(w.acc >> w.n)
	if !hasFF(four) {
		w.data = binary.BigEndian.AppendUint32(w.data, four)
		return
	}
	for i := 24; i >= 0; i -= 8 {
		w.byte(byte(four >> i))
	}
}

func (w *bitWriter) byte(b byte) {
	w.data = append(w.data, b)
	if b == 0xff {
		w.data = append(w.data, 0)
	}
}

// end fills the last byte with ones, appends EOI, and returns everything.
func (w *bitWriter) end() []byte {
	if pad := -w.n & 7; pad > 0 {
		w.acc = w.acc<<pad | (1<<pad - 1)
		w.n += pad
	}
	for ; w.n > 0; w.n -= 8 {
		w.byte(byte(w.acc >> (w.n - 8)))
	}
	return append(w.data, 0xff, markEOI)
}
