// Package icc reads ICC colour profiles and computes what their colours are in sRGB.
//
// It evaluates what scanners and pictures carry: profiles of versions 2 and 4 for RGB, by a
// matrix and curves or by a table, and for gray by a curve. The results agree with those of
// Little CMS 2, which the tests compare them with.
//
// Profiles come with uploads. No count in one is believed before the bytes for it are at hand,
// tables are used where they lie, and the work for a profile does not depend on its size.
//
// Sections are those of ICC.1:2022 (version 4.4), https://www.color.org/specification/ICC.1-2022-05.pdf.
package icc

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Sizes of section 7: the header, then the number of tags, then 12 bytes for each.
const (
	headerSize = 128
	tagSize    = 12
)

// An Error says why a profile cannot be used: it is damaged, or of a kind that has no meaning
// for a slide.
type Error struct{ Msg string }

func (e *Error) Error() string { return "the colour profile cannot be used: " + e.Msg }

func errorf(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// A Profile is a profile that can be evaluated. It keeps the bytes that it was parsed from, and
// is safe for concurrent use.
type Profile struct {
	Header
	stages []stage // from RGB to the encoded PCS, or from gray to the light of a neutral
	decode func(*[3]float64)
	scale  [3]float64 // black point compensation: XYZ·scale + offset
	offset [3]float64
}

// A Header is what a profile says about itself.
type Header struct {
	Name    string // of tag desc; "" without one
	Class   string // such as "scnr" for a scanner and "mntr" for a display, see section 7.2.5
	Space   string // of its pixels, such as "RGB", "GRAY" or "CMYK"
	PCS     string // profile connection space: "XYZ" or "Lab"
	Version string // such as "2.4.0"
	Size    int    // bytes

	major  byte
	intent uint32
	tags   []byte // 12 bytes a tag
	data   []byte
}

// Rendering intents, section 7.2.15.
const (
	perceptual = iota
	relative
	saturation
)

// ReadHeader reads the header and the name of a profile. An [*Error] reports that b is not an
// ICC profile, or an incomplete one.
func ReadHeader(b []byte) (Header, error) {
	if len(b) < headerSize+4 || string(b[36:40]) != "acsp" {
		return Header{Size: len(b)}, errorf("it is damaged: it is not an ICC profile")
	}
	h := Header{
		Class: signature(b[12:16]), Space: signature(b[16:20]), PCS: signature(b[20:24]),
		Version: fmt.Sprintf("%d.%d.%d", b[8], b[9]>>4, b[9]&15), Size: len(b),
		major: b[8], intent: binary.BigEndian.Uint32(b[64:68]),
	}
	if n := int64(binary.BigEndian.Uint32(b)); n > int64(len(b)) {
		return h, errorf("it is damaged: it has %d of its %d bytes", len(b), n)
	} else if n >= headerSize+4 {
		b = b[:n]
	}
	n := int64(binary.BigEndian.Uint32(b[headerSize:]))
	if rest := b[headerSize+4:]; n*tagSize > int64(len(rest)) {
		return h, errorf("it is damaged: its list of %d tags is longer than the profile", n)
	}
	h.data, h.tags = b, b[headerSize+4:headerSize+4+n*tagSize]
	h.Name = h.name()
	return h, nil
}

// Parse reads a profile. An [*Error] says what is wrong with it. It does not change b, which
// must not be changed afterwards.
func Parse(b []byte) (*Profile, error) {
	h, err := ReadHeader(b)
	if err != nil {
		return nil, err
	}
	p := &Profile{Header: h}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := p.build(); err != nil {
		return nil, err
	}
	return p, nil
}

// check refuses profiles that are not for the pixels of an image.
func (p *Profile) check() error {
	switch {
	case p.major < 2 || p.major > 4:
		return errorf("version %s is not supported, only 2 and 4", p.Version)
	case p.Class == "link" || p.Class == "abst" || p.Class == "nmcl":
		return errorf("it is of class %q, not the profile of a scanner or display", p.Class)
	case p.Space != "RGB" && p.Space != "GRAY":
		return errorf("it is for %s pixels, not for RGB", p.Space)
	case p.PCS != "XYZ" && p.PCS != "Lab":
		return errorf("its connection space is %q, neither XYZ nor Lab", p.PCS)
	}
	return nil
}

// signature returns a signature of four bytes without the spaces at its end, and with other
// bytes than printable ones replaced.
func signature(b []byte) string {
	out := make([]byte, 0, 4)
	for _, c := range b {
		if c < ' ' || c > '~' {
			c = '?'
		}
		out = append(out, c)
	}
	for len(out) > 0 && out[len(out)-1] == ' ' {
		out = out[:len(out)-1]
	}
	return string(out)
}

// find returns the data of a tag, and whether the profile has it. The data are nil if they are
// not within the profile, or shorter than the type and reserved bytes with which they begin.
func (h *Header) find(name string) ([]byte, bool) {
	for t := h.tags; len(t) >= tagSize; t = t[tagSize:] {
		if string(t[:4]) != name {
			continue
		}
		off, n := int64(binary.BigEndian.Uint32(t[4:])), int64(binary.BigEndian.Uint32(t[8:]))
		if off+n > int64(len(h.data)) || n < 8 {
			return nil, true
		}
		return h.data[off : off+n : off+n], true
	}
	return nil, false
}

func (h *Header) has(names ...string) bool {
	for _, n := range names {
		if _, ok := h.find(n); !ok {
			return false
		}
	}
	return true
}

// build chooses the way from the device to XYZ, as Little CMS does: the table of the intent,
// the perceptual one, the matrix.
func (p *Profile) build() error {
	intent := p.intent
	if intent > saturation {
		intent = relative // absolute: white is to stay white
	}
	table := [...]string{"A2B0", "A2B1", "A2B2"}[intent]
	colorants := p.has("rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC")
	var err error
	switch {
	case p.Space == "GRAY":
		err = p.buildGray()
	case p.has(table):
		err = p.buildTable(table)
	case p.has("A2B0"):
		err = p.buildTable("A2B0")
	case colorants:
		err = p.buildMatrix()
	case p.has("A2B1"):
		err = p.buildTable("A2B1")
	default:
		err = errorf("it has neither a table (A2B0) nor a complete matrix with curves (rXYZ, rTRC, …)")
	}
	if err != nil {
		return err
	}
	p.compensate(intent, p.Space == "GRAY" || colorants)
	return nil
}

// buildMatrix reads colorants and curves, section 8.3.3. They lead to XYZ whatever the PCS.
func (p *Profile) buildMatrix() error {
	var c curves
	var m matrix
	for i, color := range []string{"r", "g", "b"} {
		var err error
		if c[i], err = p.curve(color + "TRC"); err != nil {
			return err
		}
		b, _ := p.find(color + "XYZ")
		if len(b) < 20 || string(b[:4]) != "XYZ " {
			return damaged(color + "XYZ")
		}
		for k := range 3 {
			m.m[k][i] = s15Fixed16(b[8+4*k:])
		}
	}
	p.stages, p.decode = []stage{&c, &m}, func(*[3]float64) {}
	return nil
}

// buildGray reads the curve of gray, section 8.3.2. Each channel takes the same way, so that
// pictures in three channels stay gray.
func (p *Profile) buildGray() error {
	k, err := p.curve("kTRC")
	if err != nil {
		return err
	}
	p.stages, p.decode = []stage{&curves{k, k, k}}, func(*[3]float64) {}
	if p.PCS == "Lab" {
		p.decode = func(v *[3]float64) {
			for i := range v {
				v[i] = labInverse((100*v[i] + 16) / 116)
			}
		}
	}
	return nil
}

func damaged(tag string) error { return errorf("it is damaged: its tag %s cannot be read", tag) }

// pcs returns the XYZ of a colour relative to D50, before black point compensation. For gray
// it is the light of each channel.
func (p *Profile) pcs(v [3]float64) [3]float64 {
	for _, s := range p.stages {
		s.apply(&v)
	}
	p.decode(&v)
	return v
}

// encode returns the sRGB, 0 to 1, of what pcs returns.

func (p *Profile) encode(v [3]float64) [3]float64 {
	for i := range v {
		v[i] = v[i]*p.scale[i] + p.offset[i]
	}
	if p.Space != "GRAY" {
		toLinear.apply(&v)
	}
	for i := range v {
		v[i] = gamma(v[i])
	}
	return v
}

// d50 is the white of the PCS, section 7.2.16.
var d50 = [3]float64{0.9642, 1, 0.8249}

// toLinear leads from XYZ relative to D50 to linear sRGB: the inverse of the colorants of the sRGB profile of the ICC
// (IEC 61966-2-1, adapted to D50 after Bradford).
var toLinear = matrix{m: [3][3]float64{
	{3.1341122, -1.6173925, -0.4906334},
	{-0.9787873, 1.9162796, 0.0334547},
	{0.0719830, -0.2289859, 1.4053851},
}}

// gamma encodes light for sRGB, clipped to 0 to 1.
func gamma(v float64) float64 {
	switch {
	case !(v > 0):
		return 0
	case v >= 1:
		return 1
	case v <= 0.0031308:
		return 12.92 * v
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}

// light is the inverse of gamma.
func light(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

// blackV4 is the black of perceptual tables of version 4, annex D.
var blackV4 = [3]float64{0.00336, 0.0034731, 0.00287}

// compensate computes the black point compensation that Little CMS applies to perceptual and
// saturation intents with its own sRGB profile, which is of version 4. The black of tables of version 4
// is fixed; else it is the darkest colour of the device.
func (p *Profile) compensate(intent uint32, shaper bool) {
	p.scale = [3]float64{1, 1, 1}
	p.offset = [3]float64{}
	if intent == relative {
		return
	}
	black := blackV4
	if p.major < 4 || shaper {
		if p.major < 4 && !shaper && !p.has([...]string{"A2B0", "A2B1", "A2B2"}[intent]) {
			return
		}
		black = p.darkest()
	}
	for i, white := range d50 {
		if p.Space == "GRAY" {
			black[i], white = black[1], 1
		}
		p.scale[i] = white / (white - black[i])
		p.offset[i] = -white * black[i] / (white - black[i])
	}
}

// darkest returns the XYZ of a neutral as light as the black of the device.
func (p *Profile) darkest() [3]float64 {
	y := min(max(p.pcs([3]float64{})[1], 0), 1)
	const tooLight = 0.1841865 // L* 50: not a black
	if !(y <= tooLight) {
		y = 0
	}
	return [3]float64{y * d50[0], y, y * d50[2]}
}

// SRGB reports whether there is nothing to convert: whether the colours of a grid of 17³ come out
// within half a step of 255 of what they are, or as close to it in light as the colorants of different
// sRGB profiles are, which near black is up to a step.
func (p *Profile) SRGB() bool {
	const side = 17
	const rounding = 0.0003
	near := true
	p.grid(side, func(i int, v [3]float64) bool {
		for k, in := range [3]int{i % side, i / side % side, i / side / side} {
			want := float64(in) / (side - 1)
			if math.Abs(v[k]-want) > 0.5/255 && math.Abs(light(v[k])-light(want)) > rounding {
				near = false
			}
		}
		return near
	})
	return near
}

// grid converts the colours of a cube of side³ points, red fastest, until f returns false.
func (p *Profile) grid(side int, f func(i int, v [3]float64) bool) {
	// The first curves are the same for all points of a plane.
	axis := make([][3]float64, side)
	rest := p.stages
	c, curved := p.stages[0].(*curves)
	for i := range axis {
		x := float64(i) / float64(side-1)
		axis[i] = [3]float64{x, x, x}
		if curved {
			c.apply(&axis[i])
		}
	}
	if curved {
		rest = rest[1:]
	}
	for i := range side * side * side {
		v := [3]float64{axis[i%side][0], axis[i/side%side][1], axis[i/side/side][2]}
		for _, s := range rest {
			s.apply(&v)
		}
		p.decode(&v)
		if !f(i, p.encode(v)) {
			return
		}
	}
}
