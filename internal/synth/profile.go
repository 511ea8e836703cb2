package synth

import (
	"encoding/binary"
	"math"
)

// ScannerProfile returns an ICC profile of a scanner whose red is green and whose green is red,
// with a gamma of 1.4: an image that was not converted with it looks wrong at once. It is of version 2, with a
// matrix and curves.
func ScannerProfile() []byte {
	// Colorants of sRGB relative to D50.
	red, green, blue := [3]float64{0.43607, 0.22249, 0.01392}, [3]float64{0.38515, 0.71687, 0.09708}, [3]float64{0.14307, 0.06061, 0.7141}
	u32 := func(v ...int) (b []byte) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, uint32(x))
		}
		return b
	}
	xyz := func(v [3]float64) []byte {
		b := append([]byte("XYZ "), u32(0)...)
		for _, x := range v {
			b = append(b, u32(int(math.Round(x*65536)))...)
		}
		return b
	}
	const name = "Red and green swapped\x00"
	desc := append(append([]byte("desc"), u32(0, len(name))...), name...)
	desc = append(desc, make([]byte, 4+4+2+1+67)...)
	const gamma = 358 // in 256ths
	curve := append(append([]byte("curv"), u32(0, 1)...), binary.BigEndian.AppendUint16(nil, gamma)...)
	tags := []struct {
		name string
		data []byte
	}{
		{"desc", desc},
		{"cprt", append(append([]byte("text"), u32(0)...), "none\x00"...)},
		{"wtpt", xyz([3]float64{0.9642, 1, 0.8249})},
		{"rXYZ", xyz(green)},
		{"gXYZ", xyz(red)},
		{"bXYZ", xyz(blue)},
		{"rTRC", curve},
		{"gTRC", curve},
		{"bTRC", curve},
	}
	head := make([]byte, 128)
	copy(head[8:], []byte{2, 0x10})
	copy(head[12:], "scnrRGB XYZ ")
	copy(head[36:], "acsp")
	copy(head[68:], xyz([3]float64{0.9642, 1, 0.8249})[8:])
	list, data := u32(len(tags)), []byte(nil)
	for _, t := range tags {
		list = append(append(list, t.name...), u32(128+4+12*len(tags)+len(data), len(t.data))...)
		data = append(data, t.data...)
		data = append(data, make([]byte, -len(data)&3)...)
	}
	b := append(append(head, list...), data...)
	copy(b, u32(len(b)))
	return b
}
