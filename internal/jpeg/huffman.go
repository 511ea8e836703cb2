package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	lutBits   = 10
	maxDCSize = 11 // bits of a DC difference of 8-bit samples (T.81 table F.1)
)

// standardDC are the DC tables of T.81 K.3.3.1, for luminance and chrominance.
var standardDC = [2]codeTable{
	{[]byte{0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	{[]byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
}

// A code is a decoded Huffman code with its symbol and lengths; 0 is invalid.
type code uint32

// endOfBlock is the step of the AC symbol that ends a block; it is larger than all others.
const endOfBlock = 128

// noCode is the result for bits that are not a code: its length exceeds any possible number
// of bits, it ends a block, and it is no size of a DC difference.
const noCode code = endOfBlock<<24 | 64<<16 | 64<<8 | 0xff

func newCode(symbol byte, length int) code {
	run, size := int(symbol>>4), int(symbol&15)
	step := run + 1
	if symbol == 0 {
		step = endOfBlock
	} else if size == 0 && run < 15 { // only progressive JPEGs have this symbol
		step = 0
	}
	return code(step<<24 | (length+size)<<16 | length<<8 | int(symbol))
}

func (c code) symbol() byte { return byte(c) }

// length is the number of bits of the code itself; total includes the bits of the value
// after it.
func (c code) length() int { return int(c >> 8 & 0xff) }
func (c code) total() int  { return int(c >> 16 & 0xff) }

// step is the number of coefficients by which an AC symbol advances; 0 for an invalid one.
func (c code) step() int { return int(c >> 24) }

// A decodeTable finds the code at the beginning of the next bits.
type decodeTable struct {
	lut     [1 << lutBits]code // of codes of up to lutBits bits
	limit   [17]uint32         // one more than the largest code of that length, as 16 bits
	first   [17]int            // index of the symbol of code 0 of that length, whether or not that code exists
	symbols []byte
}

func newDecodeTable(t codeTable) (*decodeTable, error) {
	if len(t.symbols) == 0 {
		return nil, errors.New("the JPEG has no Huffman table")
	}
	d := &decodeTable{symbols: t.symbols}
	next, i := 0, 0
	for length := 1; length <= 16; length++ {
		n := int(t.counts[length-1])
		if next+n > 1<<length {
			return nil, fmt.Errorf("%w: Huffman table with more codes than there are", ErrNotLossless)
		}
		d.first[length] = i - next
		if length <= lutBits {
			entries := d.lut[next<<(lutBits-length):]
			for _, symbol := range t.symbols[i : i+n] {
				c := newCode(symbol, length)
				for j := range 1 << (lutBits - length) {
					entries[j] = c
				}
				entries = entries[1<<(lutBits-length):]
			}
		}
		i += n
		next += n
		d.limit[length] = uint32(next) << (16 - length)
		next <<= 1
	}
	return d, nil
}

// find returns the code at the top bits of acc.
func (d *decodeTable) find(acc uint64) code {
	if c := d.lut[acc>>(64-lutBits)]; c != 0 {
		return c
	}
	return d.findLong(uint32(acc >> 48))
}

func (d *decodeTable) findLong(next uint32) code {
	for length := lutBits + 1; length <= 16; length++ {
		if next < d.limit[length] {
			return newCode(d.symbols[d.first[length]+int(next>>(16-length))], length)
		}
	}
	return noCode
}

// dcCodes are the codes for the sizes of DC differences.
type dcCodes [maxDCSize + 1]struct {
	bits   uint16
	length int // 0 without a code
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

// A bitReader reads the bits between two markers, without the zero bytes that follow every
// FF (T.81 B.1.1.5).
type bitReader struct {
	data []byte
	at   int
	acc  uint64 // the next bits, at the top, followed by zeros
	n    int    // number of bits in acc; negative if more were consumed
}

// fill makes sure that acc has 32 bits, unless the next marker comes first: no code with
// its value is longer than 31.
func (r *bitReader) fill() {
	if r.n < 32 {
		r.refill()
	}
}

func (r *bitReader) refill() {
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

// skip consumes n bits, which may be more than there are.
func (r *bitReader) skip(n int) {
	r.acc <<= n
	r.n -= n
}

// check reports whether more bits were consumed than there are. Such an error persists, as
// a marker has no bits after it.
func (r *bitReader) check() error {
	if r.n < 0 {
		return errEarly
	}
	return nil
}

// marker skips the bits that fill the last byte, and the marker.
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

// A bitWriter appends bits to data, with a zero byte after every FF.
type bitWriter struct {
	data []byte
	acc  uint64 // the bits not written yet, at the bottom
	n    int    // number of bits in acc, less than 32
}

// put appends the low n ≤ 32 bits of v, whose other bits must be zero.
func (w *bitWriter) put(v uint64, n int) {
	w.acc = w.acc<<n | v
	w.n += n
	if w.n >= 32 {
		w.flush()
	}
}

// flush appends 32 bits.
func (w *bitWriter) flush() {
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

// end fills the last byte with ones, appends EOI, and returns the data.
func (w *bitWriter) end() []byte {
	if pad := -w.n & 7; pad > 0 {
		w.acc = w.acc<<pad | (1<<pad - 1)
		w.n += pad
	}
	for ; w.n > 0; w.n -= 8 {
		w.byte(byte(w.acc >> (w.n - 8)))
	}
	return append(w.data, 0xff, MarkEOI)
}
