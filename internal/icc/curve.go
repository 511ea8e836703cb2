package icc

import (
	"encoding/binary"
	"math"
)

// A stage is one step from the pixels of a device to the PCS.
type stage interface{ apply(v *[3]float64) }

// curves are the curves of three channels.
type curves [3]curve

func (c *curves) apply(v *[3]float64) {
	for i := range v {
		v[i] = c[i].at(v[i])
	}
}

// A curve is a table, linear between its entries, or a function.
type curve struct {
	table []byte // big-endian samples of bytes bytes; nil for a function
	bytes int    // 1 or 2
	kind  int    // of the function, section 10.18
	param [7]float64
}

// identity is X¹.
var identity = curve{param: [7]float64{1}}

// curve reads a tag that is a curve.
func (p *Profile) curve(tag string) (curve, error) {
	b, ok := p.find(tag)
	if !ok {
		return curve{}, errorf("it has no tag %s", tag)
	}
	c, _, ok := parseCurve(b)
	if !ok {
		return curve{}, damaged(tag)
	}
	return c, nil
}

// parseCurve reads a curve of type curv or para (sections 10.6 and 10.18) and returns its length.
func parseCurve(b []byte) (c curve, size int, ok bool) {
	if len(b) < 12 {
		return c, 0, false
	}
	switch string(b[:4]) {
	case "curv":
		n := int64(binary.BigEndian.Uint32(b[8:]))
		if n*2 > int64(len(b)-12) {
			return c, 0, false
		}
		size = 12 + 2*int(n)
		switch n {
		case 0:
			return identity, size, true
		case 1:
			return curve{param: [7]float64{float64(binary.BigEndian.Uint16(b[12:])) / 256}}, size, true
		}
		return curve{table: b[12:size], bytes: 2}, size, true
	case "para":
		c.kind = int(binary.BigEndian.Uint16(b[8:]))
		params := [...]int{1, 3, 4, 5, 7}
		if c.kind >= len(params) || len(b) < 12+4*params[c.kind] {
			return c, 0, false
		}
		for i := range params[c.kind] {
			c.param[i] = s15Fixed16(b[12+4*i:])
		}
		return c, 12 + 4*params[c.kind], true
	}
	return c, 0, false
}

// at returns the value of the curve. Values outside 0 to 1 are possible only for functions.
func (c *curve) at(x float64) float64 {
	if c.table != nil {
		return c.lookup(x)
	}
	y := c.function(x)
	if math.IsNaN(y) {
		return 0
	}
	return min(max(y, -1e6), 1e6)
}

func (c *curve) lookup(x float64) float64 {
	last := len(c.table)/c.bytes - 1
	pos := clip(x) * float64(last)
	i := int(pos)
	y := sample(c.table, c.bytes, i)
	if i < last {
		y += (pos - float64(i)) * (sample(c.table, c.bytes, i+1) - y)
	}
	return y
}

// function evaluates the functions of table 68; power is 0 for a negative base.
func (c *curve) function(x float64) float64 {
	g, a, b, cc, d, e, f := c.param[0], c.param[1], c.param[2], c.param[3], c.param[4], c.param[5], c.param[6]
	switch c.kind {
	case 0:
		if g == 1 {
			return x
		}
		return power(x, g)
	case 1: // CIE 122
		if a == 0 || x < -b/a {
			return 0
		}
		return power(a*x+b, g)
	case 2: // IEC 61966-3
		if a == 0 || x < -b/a {
			return cc
		}
		return power(a*x+b, g) + cc
	case 3: // sRGB
		if x < d {
			return cc * x
		}
		return power(a*x+b, g)
	}
	if x < d {
		return cc*x + f
	}
	return power(a*x+b, g) + e
}

func power(x, g float64) float64 {
	if x <= 0 {
		return 0
	}
	return math.Pow(x, g)
}

// A matrix is a matrix of 3 × 3 and an offset.
type matrix struct {
	m   [3][3]float64
	add [3]float64
}

func (m *matrix) apply(v *[3]float64) {
	in := *v
	for i, row := range m.m {
		v[i] = row[0]*in[0] + row[1]*in[1] + row[2]*in[2] + m.add[i]
	}
}

// sample returns entry i of a table of samples of 1 or 2 bytes as 0 to 1.
func sample(table []byte, size, i int) float64 {
	if size == 1 {
		return float64(table[i]) / 255
	}
	return float64(binary.BigEndian.Uint16(table[2*i:])) / 65535
}

// clip returns x within 0 to 1, and 0 for what is not a number.
func clip(x float64) float64 {
	if !(x > 0) {
		return 0
	}
	return min(x, 1)
}

func s15Fixed16(b []byte) float64 {
	return float64(int32(binary.BigEndian.Uint32(b))) / 65536 //nolint:gosec // it is signed
}
