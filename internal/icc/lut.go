package icc

import "encoding/binary"

// buildTable reads a table from the device to the PCS: lut8Type, lut16Type or
// lutAToBType (sections 10.10, 10.11 and 10.12).
func (p *Profile) buildTable(tag string) error {
	b, _ := p.find(tag)
	if len(b) < 32 {
		return damaged(tag)
	}
	if b[8] != 3 || b[9] != 3 {
		return errorf("its table %s has %d channels in and %d out, not 3 and 3", tag, b[8], b[9])
	}
	kind := string(b[:4])
	ok := false
	switch kind {
	case "mft1", "mft2":
		p.stages, ok = parseLUT(b, kind == "mft2")
	case "mAB ":
		p.stages, ok = parseAToB(b)
	default:
		return errorf("its table %s is of type %q, which is not supported", tag, signature(b[:4]))
	}
	if !ok {
		return damaged(tag)
	}
	switch {
	case p.PCS == "XYZ":
		p.decode = decodeXYZ
	case kind == "mft2":
		p.decode = decodeOldLab
	default:
		p.decode = decodeLab
	}
	return nil
}

// decodeXYZ decodes u1Fixed15 numbers: 1.0 is 0x8000 of 0xFFFF.
func decodeXYZ(v *[3]float64) {
	for i := range v {
		v[i] *= 65535.0 / 32768
	}
}

// decodeLab decodes the encoding of 8 bits and of version 4: L* 100 is 0xFFFF, a* 0 is 0x8080.
func decodeLab(v *[3]float64) { labToXYZ(v, 100*v[0], 255*v[1]-128, 255*v[2]-128) }

// decodeOldLab decodes the encoding of lut16Type, in both versions: L* 100 is 0xFF00, a* 0 is 0x8000.
func decodeOldLab(v *[3]float64) {
	labToXYZ(v, v[0]*65535/652.8, v[1]*65535/256-128, v[2]*65535/256-128)
}

func labToXYZ(v *[3]float64, l, a, b float64) {
	y := (l + 16) / 116
	v[0] = d50[0] * labInverse(y+a/500)
	v[1] = d50[1] * labInverse(y)
	v[2] = d50[2] * labInverse(y-b/200)
}

func labInverse(t float64) float64 {
	if t <= 24.0/116 {
		return 108.0 / 841 * (t - 16.0/116)
	}
	return t * t * t
}

// parseLUT reads lut8Type and lut16Type: a matrix, curves, a cube and curves.
func parseLUT(b []byte, wide bool) (s []stage, ok bool) {
	grid := int(b[10])
	size, entries, out, rest := 1, 256, 256, []byte(nil)
	if wide {
		if len(b) < 52 {
			return nil, false
		}
		size, entries, out, rest = 2, int(binary.BigEndian.Uint16(b[48:])), int(binary.BigEndian.Uint16(b[50:])), b[52:]
	} else if len(b) >= 48 {
		rest = b[48:]
	}
	// 4096 is the largest number that lut16Type allows.
	if entries < 2 || entries > 4096 || out < 2 || out > 4096 || grid < 2 || len(b) < 48 {
		return nil, false
	}
	in, rest, ok1 := tables(rest, entries, size)
	cube, rest, ok2 := parseCube(rest, [3]int{grid, grid, grid}, size)
	after, _, ok3 := tables(rest, out, size)
	if !ok1 || !ok2 || !ok3 {
		return nil, false
	}
	var m matrix
	for i := range 9 {
		m.m[i/3][i%3] = s15Fixed16(b[12+4*i:])
	}
	// The matrix is to be 1 where the device is not XYZ. Little CMS applies it all the same.
	if m.m != [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}} {
		s = append(s, &m)
	}
	return append(s, in, cube, after), true
}

// tables takes three curves of n samples from b.
func tables(b []byte, n, size int) (c *curves, rest []byte, ok bool) {
	if len(b) < 3*n*size {
		return nil, nil, false
	}
	c = new(curves)
	for i := range c {
		c[i] = curve{table: b[i*n*size : (i+1)*n*size], bytes: size}
	}
	return c, b[3*n*size:], true
}

// parseAToB reads lutAToBType: curves A, a cube, curves M, a matrix and curves B. All but
// the last may be missing.
func parseAToB(b []byte) (s []stage, ok bool) {
	at := func(field int) []byte {
		off := binary.BigEndian.Uint32(b[field:])
		if off < 32 || int64(off) > int64(len(b)) {
			return nil
		}
		return b[off:]
	}
	has := func(field int) bool { return binary.BigEndian.Uint32(b[field:]) != 0 }
	const fieldB, fieldMatrix, fieldM, fieldCube, fieldA = 12, 16, 20, 24, 28
	add := func(next stage, good bool) bool {
		s = append(s, next)
		return good
	}
	if has(fieldA) && !add(threeCurves(at(fieldA))) {
		return nil, false
	}
	if has(fieldCube) && !add(cubeAToB(at(fieldCube))) {
		return nil, false
	}
	if has(fieldM) && !add(threeCurves(at(fieldM))) {
		return nil, false
	}
	if has(fieldMatrix) && !add(matrixAToB(at(fieldMatrix))) {
		return nil, false
	}
	return s, has(fieldB) && add(threeCurves(at(fieldB)))
}

// threeCurves reads three curves, each padded to four bytes.
func threeCurves(b []byte) (*curves, bool) {
	c := new(curves)
	for i := range c {
		one, n, ok := parseCurve(b)
		if !ok {
			return nil, false
		}
		c[i] = one
		b = b[min((n+3)&^3, len(b)):]
	}
	return c, true
}

// matrixAToB reads the matrix of 3 × 4: its last column, which is added, comes last.
func matrixAToB(b []byte) (*matrix, bool) {
	if len(b) < 48 {
		return nil, false
	}
	m := new(matrix)
	for i := range 9 {
		m.m[i/3][i%3] = s15Fixed16(b[4*i:])
	}
	for i := range m.add {
		m.add[i] = s15Fixed16(b[36+4*i:])
	}
	return m, true
}

// cubeAToB reads a cube with a header of 20 bytes: points of up to 16 dimensions, and the bytes
// of a sample.
func cubeAToB(b []byte) (*cube, bool) {
	if len(b) < 20 || b[16] != 1 && b[16] != 2 {
		return nil, false
	}
	c, _, ok := parseCube(b[20:], [3]int{int(b[0]), int(b[1]), int(b[2])}, int(b[16]))
	return c, ok
}

// A cube is a table of three dimensions, the first of which runs slowest, with three samples at each point.
type cube struct {
	data  []byte
	bytes int // of a sample: 1 or 2
	n     [3]int
}

func parseCube(b []byte, n [3]int, size int) (c *cube, rest []byte, ok bool) {
	for _, side := range n {
		if side < 2 { // a cube of one point has nothing to interpolate
			return nil, nil, false
		}
	}
	need := n[0] * n[1] * n[2] * 3 * size
	if need > len(b) {
		return nil, nil, false
	}
	return &cube{b[:need], size, n}, b[need:], true
}

// apply interpolates between the four corners of the tetrahedron that the colour lies in: from the
// lowest corner of its cell along the axis with the largest fraction, then the next ones.
func (c *cube) apply(v *[3]float64) {
	step := [3]int{c.n[1] * c.n[2] * 3, c.n[2] * 3, 3}
	var frac [3]float64
	at := 0
	for i := range v {
		pos := clip(v[i]) * float64(c.n[i]-1)
		cell := min(int(pos), c.n[i]-2)
		frac[i] = pos - float64(cell)
		at += cell * step[i]
	}
	order := [3]int{0, 1, 2}
	sortDescending(&order, &frac)
	var sum [3]float64
	weight := 1.0
	for k := 0; ; k++ {
		next := 0.0
		if k < 3 {
			next = frac[order[k]]
		}
		for i := range sum {
			sum[i] += (weight - next) * sample(c.data, c.bytes, at+i)
		}
		if k == 3 {
			break
		}
		weight = next
		at += step[order[k]]
	}
	*v = sum
}

// sortDescending sorts three axes by their fractions.
func sortDescending(order *[3]int, frac *[3]float64) {
	swap := func(i, j int) {
		if frac[order[i]] < frac[order[j]] {
			order[i], order[j] = order[j], order[i]
		}
	}
	swap(0, 1)
	swap(1, 2)
	swap(0, 1)
}
