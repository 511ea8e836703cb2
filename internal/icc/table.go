package icc

// Side is the number of points along each side of a [Table]. 33 with 16 bits is within 0.1 ΔE00 of the
// profile; 17 is not, as curves are steep near white.
const Side = 33

// TableBytes is the length of [Table.Bytes].
const TableBytes = Side * Side * Side * 3

// A Table converts pixels to sRGB. It is safe for concurrent use.
type Table struct {
	// points has R, G, B and 0 of 16 bits at each point, red fastest.
	points [Side * Side * Side * 4]uint16
}

// Table evaluates the profile at 33³ points, which takes some 20 ms.
func (p *Profile) Table() *Table {
	t := new(Table)
	p.grid(Side, func(i int, v [3]float64) bool {
		for k := range v {
			t.points[4*i+k] = uint16(v[k]*65535 + 0.5)
		}
		return true
	})
	return t
}

// Bytes returns the table in 8 bits: R, G and B at each of 33³ points, of which red runs
// fastest, then green, then blue, as texImage3D of WebGL takes them.
func (t *Table) Bytes() []byte {
	out := make([]byte, 0, TableBytes)
	for i := 0; i < len(t.points); i += 4 {
		for k := range 3 {
			out = append(out, byte((uint32(t.points[i+k])+128)/257))
		}
	}
	return out
}

// cells and fractions say for each value of 8 bits between which points it lies: after
// cells, and fractions / 255 of the way to the next.
var cells, fractions = func() (c, f [256]uint32) {
	for v := range uint32(256) {
		c[v], f[v] = v*(Side-1)/255, v*(Side-1)%255
	}
	return c, f
}()

// Steps to the next point along each axis.
const (
	stepR = 4
	stepG = 4 * Side
	stepB = 4 * Side * Side
)

// Convert converts pixels of 4 bytes, R, G, B and A, of src into dst, which may be the same.
// Alpha stays, and is to be 255. It converts as many as both have.
func (t *Table) Convert(dst, src []byte) {
	n := min(len(dst), len(src)) &^ 3
	dst, src = dst[:n], src[:n]
	var r, g, b byte
	var or, og, ob byte
	known := false // or, og, ob belong to r, g, b: slides have long runs of one colour
	for i := 0; i+4 <= len(src) && i+4 <= len(dst); i += 4 {
		s, d := src[i:i+4:i+4], dst[i:i+4:i+4]
		if !known || s[0] != r || s[1] != g || s[2] != b {
			r, g, b, known = s[0], s[1], s[2], true
			or, og, ob = t.at(r, g, b)
		}
		d[0], d[1], d[2], d[3] = or, og, ob, s[3]
	}
}

// at interpolates in the tetrahedron of one pixel.
func (t *Table) at(r, g, b byte) (or, og, ob byte) {
	f0, f1, f2 := fractions[r], fractions[g], fractions[b]
	at := cells[r]*stepR + cells[g]*stepG + cells[b]*stepB
	s0, s1, s2 := uint32(stepR), uint32(stepG), uint32(stepB)
	if f0 < f1 {
		f0, f1, s0, s1 = f1, f0, s1, s0
	}
	if f1 < f2 {
		f1, f2, s1, s2 = f2, f1, s2, s1
	}
	if f0 < f1 {
		f0, f1, s0, s1 = f1, f0, s1, s0
	}
	// A fraction of 0 does not move on: the step may lead out of the table at its end, and
	// the point has no weight.
	p0 := at
	p1, p2, p3 := p0, p0, p0
	if f0 > 0 {
		p1 = p0 + s0
		p2, p3 = p1, p1
	}
	if f1 > 0 {
		p2 = p1 + s1
		p3 = p2
	}
	if f2 > 0 {
		p3 = p2 + s2
	}
	w0, w1, w2, w3 := 255-f0, f0-f1, f1-f2, f2
	a, c, e, h := t.points[p0:p0+3:p0+3], t.points[p1:p1+3:p1+3], t.points[p2:p2+3:p2+3], t.points[p3:p3+3:p3+3]
	const half, full = 65535 / 2, 65535 // 255 for the weights and 257 for 16 bits to 8
	or = byte((w0*uint32(a[0]) + w1*uint32(c[0]) + w2*uint32(e[0]) + w3*uint32(h[0]) + half) / full)
	og = byte((w0*uint32(a[1]) + w1*uint32(c[1]) + w2*uint32(e[1]) + w3*uint32(h[1]) + half) / full)
	ob = byte((w0*uint32(a[2]) + w1*uint32(c[2]) + w2*uint32(e[2]) + w3*uint32(h[2]) + half) / full)
	return or, og, ob
}
