package render

import (
	"encoding/binary"
	"image"
)

// halve scales the top left w × h pixels of src to half their size into dst, with the first
// pixel at p. Each pixel is the mean of 2×2; a last column or row without a partner counts
// twice.
func halve(dst *image.RGBA, p image.Point, src *image.RGBA, w, h int) {
	for y := 0; y < h; y += 2 {
		upper := src.Pix[y*src.Stride:][:4*w]
		lower := upper
		if y+1 < h {
			lower = src.Pix[(y+1)*src.Stride:][:4*w]
		}
		halveRow(dst.Pix[dst.PixOffset(p.X, p.Y+y/2):][:4*((w+1)/2)], upper, lower)
	}
}

// halveRow combines two rows into one. It adds two pixels at a time, and every other byte
// of them, so that the sums do not overflow into the next byte.
func halveRow(dst, upper, lower []byte) {
	const even = 0x00ff00ff00ff00ff
	for len(dst) >= 4 && len(upper) >= 8 && len(lower) >= 8 {
		a, b := binary.LittleEndian.Uint64(upper), binary.LittleEndian.Uint64(lower)
		rb := a&even + b&even
		ga := a>>8&even + b>>8&even
		binary.LittleEndian.PutUint32(dst, mean(rb)|mean(ga)<<8)
		dst, upper, lower = dst[4:], upper[8:], lower[8:]
	}
	if len(dst) >= 4 && len(upper) >= 4 && len(lower) >= 4 {
		for i := range 4 {
			dst[i] = byte((uint(upper[i]) + uint(lower[i]) + 1) / 2)
		}
	}
}

// mean adds the sums of two pixels and divides by four, rounding.
func mean(sums uint64) uint32 {
	return (uint32(sums) + uint32(sums>>32) + 0x00020002) >> 2 & 0x00ff00ff
}
