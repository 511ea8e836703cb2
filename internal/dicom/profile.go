package dicom

import (
	"encoding/binary"
	"math"
	"sync"
)

// sRGBProfile returns the ICC profile of a slide without one: sRGB, as a profile of version 4
// and of the input class (PS3.3 section C.11.15). Its bytes are always the same.
var sRGBProfile = sync.OnceValue(func() []byte {
	text := func(s string) []byte { // multiLocalizedUnicodeType, ICC.1 section 10.15
		b := append([]byte("mluc"), 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12, 'e', 'n', 'U', 'S')
		b = binary.BigEndian.AppendUint32(b, uint32(2*len(s)))
		b = binary.BigEndian.AppendUint32(b, 28)
		for _, r := range s {
			b = binary.BigEndian.AppendUint16(b, uint16(r))
		}
		return b
	}
	numbers := func(kind string, head []byte, v ...float64) []byte {
		b := append(append([]byte(kind), 0, 0, 0, 0), head...)
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(x*65536))))
		}
		return b
	}
	// IEC 61966-2-1: the curve as a parametric one of type 3, the primaries adapted to D50.
	curve := numbers("para", []byte{0, 3, 0, 0}, 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045)
	tags := []struct {
		name string
		data []byte
	}{
		{"desc", text("sRGB")},
		{"cprt", text("No copyright, use freely")},
		{"wtpt", numbers("XYZ ", nil, 0.9642, 1, 0.8249)},
		{"rXYZ", numbers("XYZ ", nil, 0.43607, 0.22249, 0.01392)},
		{"gXYZ", numbers("XYZ ", nil, 0.38515, 0.71687, 0.09708)},
		{"bXYZ", numbers("XYZ ", nil, 0.14307, 0.06061, 0.71410)},
		{"rTRC", curve},
		{"gTRC", curve},
		{"bTRC", curve},
	}
	head := make([]byte, 128)
	head[8] = 4 // version
	copy(head[12:], "scnrRGB XYZ ")
	copy(head[24:], []byte{7, 0xe8, 0, 1, 0, 1}) // 2024-01-01
	copy(head[36:], "acsp")
	copy(head[68:], numbers("", nil, 0.9642, 1, 0.8249)[4:])
	out := binary.BigEndian.AppendUint32(head, uint32(len(tags)))
	at := len(out) + 12*len(tags)
	var body []byte
	for _, t := range tags {
		out = append(out, t.name...)
		out = binary.BigEndian.AppendUint32(out, uint32(at+len(body)))
		out = binary.BigEndian.AppendUint32(out, uint32(len(t.data)))
		body = append(body, t.data...)
		body = append(body, make([]byte, -len(body)&3)...)
	}
	out = append(out, body...)
	binary.BigEndian.PutUint32(out, uint32(len(out)))
	return out
})
