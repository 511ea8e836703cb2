package icc

import (
	"encoding/binary"
	"math"
)

// This file makes profiles as scanners write them. Debian has none for RGB with a table.

// A spec describes a profile to make.
type spec struct {
	class, space, pcs string
	major             byte
	intent            uint32
	tags              []tag
}

type tag struct {
	name string
	data []byte
}

func be16(v ...int) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, uint16(x))
	}
	return b
}

func be32(v ...int) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, uint32(x))
	}
	return b
}

func fixed(v ...float64) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(x*65536))))
	}
	return b
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// build returns the profile.
func (s spec) build() []byte {
	tags := append([]tag{
		{"desc", join([]byte("desc"), be32(0, 5), []byte("made\x00"), make([]byte, 4+4+2+1+67))},
		{"cprt", join([]byte("text"), be32(0), []byte("none\x00"))},
		{"wtpt", join([]byte("XYZ "), be32(0), fixed(d50[0], d50[1], d50[2]))},
	}, s.tags...)
	if s.major >= 4 {
		for i, text := range []string{"made", "none"} {
			var u []byte
			for _, c := range text {
				u = append(u, be16(int(c))...)
			}
			tags[i].data = join([]byte("mluc"), be32(0, 1, 12), []byte("enUS"), be32(len(u), 28), u)
		}
	}
	head := make([]byte, headerSize)
	head[8] = s.major
	copy(head[12:], s.class)
	copy(head[16:], (s.space + "    ")[:4])
	copy(head[20:], (s.pcs + "    ")[:4])
	copy(head[24:], be16(2026, 1, 2, 3, 4, 5))
	copy(head[36:], "acsp")
	copy(head[64:], be32(int(s.intent)))
	copy(head[68:], fixed(d50[0], d50[1], d50[2]))
	list, data := be32(len(tags)), []byte(nil)
	start := headerSize + 4 + tagSize*len(tags)
	for _, t := range tags {
		list = join(list, []byte(t.name), be32(start+len(data), len(t.data)))
		data = append(data, t.data...)
		data = append(data, make([]byte, -len(data)&3)...)
	}
	b := join(head, list, data)
	copy(b, be32(len(b)))
	return b
}

// scanner is the XYZ that a scanner with wide primaries, a curve of its own and a black that is
// not quite black means by its pixels.
func scanner(r, g, b float64) [3]float64 {
	light := func(v, gamma float64) float64 { return 0.004 + 0.996*math.Pow(v, gamma) }
	v := [3]float64{light(r, 1.7), light(g, 1.9), light(b, 2.1)}
	m := matrix{m: [3][3]float64{{0.6097, 0.2052, 0.1493}, {0.3111, 0.6256, 0.0633}, {0.0195, 0.0609, 0.7445}}}
	m.apply(&v)
	// A little cross talk, so that no matrix describes it.
	v[0] *= 1 - 0.05*g*(1-b)
	v[2] *= 1 - 0.08*r*(1-g)
	return v
}

func toLab(xyz [3]float64) [3]float64 {
	f := func(t float64) float64 {
		if t > 216.0/24389 {
			return math.Cbrt(t)
		}
		return (24389.0/27*t + 16) / 116
	}
	x, y, z := f(xyz[0]/d50[0]), f(xyz[1]/d50[1]), f(xyz[2]/d50[2])
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// encoded is what a table of this type has for the pixel, 0 to 1.
func encoded(kind, pcs string, xyz [3]float64) (v [3]float64) {
	if pcs == "XYZ" {
		for i := range v {
			v[i] = clip(xyz[i] * 32768 / 65535)
		}
		return v
	}
	lab := toLab(xyz)
	if kind == "mft2" {
		return [3]float64{clip(lab[0] * 652.8 / 65535), clip((lab[1] + 128) * 256 / 65535), clip((lab[2] + 128) * 256 / 65535)}
	}
	return [3]float64{clip(lab[0] / 100), clip((lab[1] + 128) / 255), clip((lab[2] + 128) / 255)}
}

// points returns the points of a cube of side n, blue fastest, whose coordinates the curves before it
// raised to the power of bend.
func points(kind, pcs string, n, size int, bend float64) (b []byte) {
	at := func(i int) float64 { return math.Pow(float64(i)/float64(n-1), 1/bend) }
	for i := range n * n * n {
		v := encoded(kind, pcs, scanner(at(i/n/n), at(i/n%n), at(i%n)))
		for _, x := range v {
			if size == 1 {
				b = append(b, byte(x*255+0.5))
			} else {
				b = append(b, be16(int(x*65535+0.5))...)
			}
		}
	}
	return b
}

// ramp returns a table of n samples of x to the power of g.
func ramp(n, size int, g float64) (b []byte) {
	for i := range n {
		x := math.Pow(float64(i)/float64(n-1), g)
		if size == 1 {
			b = append(b, byte(x*255+0.5))
		} else {
			b = append(b, be16(int(x*65535+0.5))...)
		}
	}
	return b
}

// lut returns lut8Type or lut16Type.
func lut(kind, pcs string, n int) []byte {
	size, entries := 2, 1024
	sizes := be16(entries, 2)
	last := ramp(2, 2, 1)
	if kind == "mft1" {
		size, entries, sizes = 1, 256, nil
		last = ramp(256, 1, 1)
	}
	curve := ramp(entries, size, 1.2)
	return join([]byte(kind), be32(0), []byte{3, 3, byte(n), 0}, fixed(1, 0, 0, 0, 1, 0, 0, 0, 1), sizes,
		curve, curve, curve, points(kind, pcs, n, size, 1.2), last, last, last)
}

// aToB returns lutAToBType, with as many of its steps as asked for. A matrix without a cube takes linear RGB to XYZ.
func aToB(pcs string, n, size int, withM bool) []byte {
	para := func(kind int, p ...float64) []byte { return join([]byte("para"), be32(0), be16(kind, 0), fixed(p...)) }
	three := func(c []byte) []byte { return join(c, c, c) }
	identity := join([]byte("curv"), be32(0, 0))
	a, cubes, m, mat, last := []byte(nil), []byte(nil), []byte(nil), []byte(nil), three(identity)
	if n > 0 {
		a = three(para(0, 1.2))
		grid := make([]byte, 20)
		copy(grid, []byte{byte(n), byte(n), byte(n)})
		grid[16] = byte(size)
		cubes = join(grid, points("mAB ", pcs, n, size, 1.2))
		cubes = append(cubes, make([]byte, -len(cubes)&3)...)
	}
	if withM {
		m = three(para(3, 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045))
		h := 32768.0 / 65535
		mat = fixed(0.6097*h, 0.2052*h, 0.1493*h, 0.3111*h, 0.6256*h, 0.0633*h, 0.0195*h, 0.0609*h, 0.7445*h, 0.002, 0.002, 0.001)
		if n > 0 { // after a cube they are to change little
			m = three(para(0, 1.02))
			mat = fixed(0.99, 0.01, 0, 0, 1, 0, 0, 0.005, 0.98, 0.001, 0, -0.001)
		}
		last = three(identity)
	}
	offsets := make([]byte, 0, 20)
	at := 32
	body := []byte(nil)
	for _, part := range [][]byte{last, mat, m, cubes, a} { // in the order of the header
		if part == nil {
			offsets = append(offsets, be32(0)...)
			continue
		}
		offsets = append(offsets, be32(at+len(body))...)
		body = append(body, part...)
	}
	return join([]byte("mAB "), be32(0), []byte{3, 3, 0, 0}, offsets, body)
}

// shaper returns the tags of a matrix profile with a curve.
func shaper(curve []byte) []tag {
	xyz := func(v ...float64) []byte { return join([]byte("XYZ "), be32(0), fixed(v...)) }
	return []tag{
		{"rXYZ", xyz(0.6097, 0.3111, 0.0195)},
		{"gXYZ", xyz(0.2052, 0.6256, 0.0609)},
		{"bXYZ", xyz(0.1493, 0.0633, 0.7445)},
		{"rTRC", curve},
		{"gTRC", curve},
		{"bTRC", curve},
	}
}

// made returns the profiles that the tests make, by name.
func made() map[string][]byte {
	m := map[string][]byte{}
	for _, pcs := range []string{"Lab", "XYZ"} {
		for _, major := range []byte{2, 4} {
			v := string('0' + major)
			for _, kind := range []string{"mft1", "mft2"} {
				if kind == "mft1" && pcs == "XYZ" {
					continue // 8 bits of XYZ are too few for anybody
				}
				m[kind+" "+pcs+" v"+v] = spec{"scnr", "RGB", pcs, major, 0, []tag{{"A2B0", lut(kind, pcs, 17)}}}.build()
			}
		}
		m["mAB 16 "+pcs] = spec{"scnr", "RGB", pcs, 4, 0, []tag{{"A2B0", aToB(pcs, 17, 2, false)}}}.build()
		m["mAB M "+pcs] = spec{"scnr", "RGB", pcs, 4, 0, []tag{{"A2B0", aToB(pcs, 17, 2, true)}}}.build()
	}
	m["mAB 8 Lab"] = spec{"mntr", "RGB", "Lab", 4, 0, []tag{{"A2B0", aToB("Lab", 33, 1, false)}}}.build()
	m["mAB matrix"] = spec{"scnr", "RGB", "XYZ", 4, 0, []tag{{"A2B0", aToB("XYZ", 0, 0, true)}}}.build()
	m["mft2 and matrix"] = spec{"scnr", "RGB", "XYZ", 4, 0, append(shaper(join([]byte("curv"), be32(0, 1), be16(0x1cd))), tag{"A2B0", lut("mft2", "XYZ", 9)})}.build()
	for kind, p := range [][]float64{
		{1.8},
		{2.1, 0.95, 0.05},
		{2.1, 0.9, 0.02, 0.03},
		{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045},
		{2.2, 0.9, 0.08, 0.1, 0.05, 0.01, 0.005},
	} {
		c := join([]byte("para"), be32(0), be16(kind, 0), fixed(p...))
		m["para "+string(rune('0'+kind))] = spec{"scnr", "RGB", "XYZ", 4, 0, shaper(c)}.build()
	}
	for n, c := range map[string][]byte{
		"identity": be32(0, 0),
		"gamma":    join(be32(0, 1), be16(0x1cd)),
		"table":    join(be32(0, 256), ramp(256, 2, 2.0)),
	} {
		m["curv "+n] = spec{"scnr", "RGB", "XYZ", 2, 0, shaper(join([]byte("curv"), c))}.build()
	}
	return m
}

// small returns profiles of few bytes with each kind of tag, to be damaged.
func small() []spec {
	return []spec{
		{"scnr", "RGB", "Lab", 2, 0, []tag{{"A2B0", tiny("mft2", "Lab")}}},
		{"scnr", "RGB", "Lab", 2, 0, []tag{{"A2B0", tiny("mft1", "Lab")}}},
		{"scnr", "RGB", "XYZ", 4, 0, []tag{{"A2B0", aToB("XYZ", 2, 2, true)}}},
		{"mntr", "RGB", "Lab", 4, 1, []tag{{"A2B1", aToB("Lab", 2, 1, false)}}},
		{"mntr", "RGB", "XYZ", 2, 0, shaper(join([]byte("curv"), be32(0, 4), ramp(4, 2, 2)))},
		{"mntr", "RGB", "XYZ", 4, 0, shaper(join([]byte("para"), be32(0), be16(4, 0), fixed(2.2, 0.9, 0.08, 0.1, 0.05, 0.01, 0.005)))},
		{"mntr", "GRAY", "XYZ", 2, 0, []tag{{"kTRC", join([]byte("curv"), be32(0, 1), be16(0x1cd))}}},
	}
}

// tiny returns lut8Type or lut16Type with a cube of two points a side.
func tiny(kind, pcs string) []byte {
	size, entries, sizes := 2, 2, be16(2, 2)
	if kind == "mft1" {
		size, entries, sizes = 1, 256, nil
	}
	curve := ramp(entries, size, 1)
	return join([]byte(kind), be32(0), []byte{3, 3, 2, 0}, fixed(1, 0, 0, 0, 1, 0, 0, 0, 1), sizes,
		curve, curve, curve, points(kind, pcs, 2, size, 1), curve, curve, curve)
}
