package resample

import (
	"encoding/binary"

	"github.com/slideatlas/ptiffstore/internal/planes"
)

// The first pass scales vertically: a row of sums with sumBits bits of fraction for each row
// of the result. Those of Lanczos are at most 1.6 times the range of a sample in size and
// fit into 16 bits with their sign. The second pass scales that row.
const (
	sumBits   = 6
	sumShift  = weightBits - sumBits
	lastShift = weightBits + sumBits
)

// goKernel scales a plane in Go. It calculates with two numbers in each word, which are made
// positive by adding a bias, so that the lower one borrows nothing from the upper: two columns
// of a row in the first pass, two rows of a column in the second.
func goKernel(dst, src *planes.Plane, x, y *Axis) {
	s := scratch(src.Width)
	defer scratches.Put(s)
	sums := *s
	for i := 0; i < y.n; i += 2 {
		vertical(sums, src, int(y.first[i]), y.weightsOf(i), 0)
		upper := dst.Pix[i*dst.Stride:][:x.n]
		lower := upper
		if i+1 < y.n {
			vertical(sums, src, int(y.first[i+1]), y.weightsOf(i+1), 32)
			lower = dst.Pix[(i+1)*dst.Stride:][:x.n]
		}
		horizontal(upper, lower, sums, x)
	}
}

const (
	lanes   = 0x000000ff_000000ff
	halves  = 0x0000ffff_0000ffff
	sumBias = 1 << 14 // of a sum of the first pass: 256.0
	// bias of both numbers in a word of the first pass, and half of the bits that are shifted out
	firstBias = sumBias<<sumShift + 1<<(sumShift-1)
	biases    = firstBias<<32 | firstBias
)

// vertical sets half of each word of sums, at shift 0 or 32, to the sum of the rows from
// first on. At shift 0 the other half becomes 0.
func vertical(sums []uint64, src *planes.Plane, first int, weights []int16, shift uint) {
	n := src.Width
	rows := src.Pix[first*src.Stride:]
	i := 0
	for ; i+8 <= n; i += 8 {
		var a, b, c, d uint64 = biases, biases, biases, biases
		at := i
		for _, w := range weights {
			v, m := binary.LittleEndian.Uint64(rows[at:at+8]), uint64(int64(w))
			a += v & lanes * m
			b += v >> 8 & lanes * m
			c += v >> 16 & lanes * m
			d += v >> 24 & lanes * m
			at += src.Stride
		}
		a, b, c, d = a>>sumShift&halves, b>>sumShift&halves, c>>sumShift&halves, d>>sumShift&halves
		to := (*[8]uint64)(sums[i:])
		if shift == 0 {
			to[0], to[1], to[2], to[3] = a&0xffff, b&0xffff, c&0xffff, d&0xffff
			to[4], to[5], to[6], to[7] = a>>32, b>>32, c>>32, d>>32
			continue
		}
		const upper = 0xffff << 32
		to[0] |= a << 32
		to[1] |= b << 32
		to[2] |= c << 32
		to[3] |= d << 32
		to[4] |= a & upper
		to[5] |= b & upper
		to[6] |= c & upper
		to[7] |= d & upper
	}
	for ; i < n; i++ {
		sum := firstBias
		at := i
		for _, w := range weights {
			sum += int(rows[at]) * int(w)
			at += src.Stride
		}
		if v := uint64(sum >> sumShift); shift == 0 {
			sums[i] = v
		} else {
			sums[i] |= v << 32
		}
	}
}

// horizontal scales the two rows in sums.
func horizontal(upper, lower []byte, sums []uint64, x *Axis) {
	const round = 1<<(lastShift-1)<<32 | 1<<(lastShift-1)
	for i := range upper {
		weights := x.weights[i*x.pitch:][:x.taps]
		from := sums[x.first[i]:][:len(weights)]
		sum := uint64(round)
		for j, w := range weights {
			sum += from[j] * uint64(int64(w))
		}
		if len(lower) > i {
			lower[i] = sample(uint32(sum >> 32))
		}
		upper[i] = sample(uint32(sum))
	}
}

// sample returns the sample of a sum of the second pass.
func sample(sum uint32) byte {
	const bias = sumBias >> sumBits
	return byte(min(max(int32(sum>>lastShift)-bias, 0), 255))
}

// halveRow combines two rows into one, four samples at a time: the sums of neighbours have
// 16 bits each in a word.
func halveRow(dst, upper, lower []byte) {
	const even, two = 0x00ff00ff00ff00ff, 0x0002000200020002
	for len(dst) >= 4 && len(upper) >= 8 && len(lower) >= 8 {
		a, b := binary.LittleEndian.Uint64(upper), binary.LittleEndian.Uint64(lower)
		s := (a&even + a>>8&even + b&even + b>>8&even + two) >> 2 & even
		s = (s | s>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(dst, uint32(s)|uint32(s>>16))
		dst, upper, lower = dst[4:], upper[8:], lower[8:]
	}
	for i := range dst {
		l, r := 2*i, min(2*i+1, len(upper)-1)
		dst[i] = byte((uint(upper[l]) + uint(upper[r]) + uint(lower[l]) + uint(lower[r]) + 2) / 4)
	}
}
