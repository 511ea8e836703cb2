package dicom

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// undefined is the length of what ends by a delimiter.
const undefined = math.MaxUint32

// The tags of items and of the ends of what has no length, PS3.5 section 7.5.
const (
	item              Tag = 0xFFFEE000
	itemDelimiter     Tag = 0xFFFEE00D
	sequenceDelimiter Tag = 0xFFFEE0DD
)

// A parser reads elements through a window of the file, and counts against the limits.
type parser struct {
	r    io.ReaderAt
	size int64
	file File

	window   []byte
	windowAt int64

	elements, items, values, walked int   // of the limits
	read                            int64 // bytes
}

// A scope is the data set that elements are read from.
type scope struct {
	end      int64 // of the file or of the innermost item or sequence with a length
	implicit bool  // elements have no VR
	depth    int
	charset  charset
}

// An element is where an element is in the file.
type element struct {
	at     int64 // its tag
	tag    Tag
	vr     VR
	value  int64 // offset
	length int64 // in bytes; -1 if it ends by a delimiter
}

// bytes returns n bytes of the file, n being small or checked. They are valid until the next
// call.
func (p *parser) bytes(at int64, n int) ([]byte, error) {
	if i := at - p.windowAt; i >= 0 && i+int64(n) <= int64(len(p.window)) {
		return p.window[i : i+int64(n)], nil
	}
	want := int(min(max(int64(n), windowSize), p.size-at))
	if want < n {
		return nil, truncated(at, 0)
	}
	if p.read += int64(want); p.read > maxRead {
		return nil, &UnsupportedError{Offset: at, Msg: "the header of the file has too many bytes"}
	}
	if cap(p.window) < want {
		p.window = make([]byte, want)
	}
	p.window, p.windowAt = p.window[:want], at
	if k, err := p.r.ReadAt(p.window, at); k < want {
		p.window = p.window[:0]
		return nil, fmt.Errorf("cannot read the file at byte %d: %w", at, err)
	}
	return p.window[:n], nil
}

// within is bytes for what must end before end.
func (p *parser) within(at int64, n int, end int64) ([]byte, error) {
	if end-at < int64(n) {
		return nil, p.beyond(at, 0, end)
	}
	return p.bytes(at, n)
}

// beyond is the error of what does not end before end: that of the file, or of an item or
// sequence.
func (p *parser) beyond(at int64, t Tag, end int64) error {
	if end == p.size {
		return truncated(at, t)
	}
	return &FormatError{Offset: at, Tag: t, Msg: "an element is longer than what it is in"}
}

// passed counts the headers that are read.
func (p *parser) passed(at int64) error {
	if p.walked++; p.walked > maxWalk {
		return &UnsupportedError{Offset: at, Msg: "the file has too many elements"}
	}
	return nil
}

// header reads tag, VR and length of the element at an offset, and checks the length (PS3.5
// section 7.1).
func (p *parser) header(at int64, s scope) (element, error) {
	e := element{at: at}
	if err := p.passed(at); err != nil {
		return e, err
	}
	b, err := p.within(at, 8, s.end)
	if err != nil {
		return e, err
	}
	e.tag = Tag(binary.LittleEndian.Uint16(b))<<16 | Tag(binary.LittleEndian.Uint16(b[2:]))
	e.value = at + 8
	length := binary.LittleEndian.Uint32(b[4:])
	switch {
	case e.tag>>16 == 0xFFFE: // items and delimiters
	case s.implicit:
		e.vr = representation(e.tag)
	default:
		e.vr = VR(b[4:6])
		if !isVR(e.vr) {
			return e, p.noVR(e)
		}
		if known := shortLength[e.vr]; known {
			length = uint32(binary.LittleEndian.Uint16(b[6:]))
			break
		}
		if b, err = p.within(at+8, 4, s.end); err != nil {
			return e, err
		}
		length, e.value = binary.LittleEndian.Uint32(b), at+12
	}
	if e.length = int64(length); length == undefined {
		e.length = -1
	} else if e.length > s.end-e.value {
		return e, p.beyond(at, e.tag, s.end)
	}
	return e, nil
}

// noVR is the error of an element without a VR. Zeros are taken for the part of a file that a
// copying program has not filled.
func (p *parser) noVR(e element) error {
	if e.tag == 0 && e.vr == "\x00\x00" {
		return truncated(e.at, 0)
	}
	return &FormatError{Offset: e.at, Tag: e.tag, Msg: fmt.Sprintf("%q is no value representation", e.vr)}
}

// isVR reports whether the letters can be a VR. Unknown ones are those of later editions, and
// have a length of 32 bits (PS3.5 section 7.1.2).
func isVR(vr VR) bool {
	return len(vr) == 2 && 'A' <= vr[0] && vr[0] <= 'Z' && 'A' <= vr[1] && vr[1] <= 'Z'
}

// shortLength has the VRs whose length has 16 bits.
var shortLength = map[VR]bool{
	"AE": true, "AS": true, "AT": true, "CS": true, "DA": true, "DS": true, "DT": true, "FL": true, "FD": true, "IS": true, "LO": true,
	"LT": true, "PN": true, "SH": true, "SL": true, "SS": true, "ST": true, "TM": true, "UI": true, "UL": true, "US": true,
}

// representation returns the VR of an attribute where a file does not have it.
func representation(t Tag) VR {
	if vr, ok := representations[t]; ok {
		return vr
	}
	if vr, ok := readRepresentations[t]; ok {
		return vr
	}
	return "UN"
}

// keep reads the value of an element into a data set, and returns where the next element is.
// Private attributes, group lengths and padding are passed.
func (p *parser) keep(d *Dataset, e element, s *scope) (int64, error) {
	group := e.tag >> 16
	switch {
	case group == 0xFFFE:
		return 0, &FormatError{Offset: e.at, Tag: e.tag, Msg: misplaced}
	case group%2 == 1, e.tag&0xFFFF == 0, group == 0xFFFC, e.tag == 0x7FE00008, e.tag == 0x7FE00009:
		return p.skip(e, *s)
	}
	if p.elements++; p.elements > maxElements {
		return 0, &UnsupportedError{Offset: e.at, Tag: e.tag, Msg: "the file has too many elements"}
	}
	if e.length < 0 && e.vr != "SQ" && e.vr != "UN" { // compressed pixels of an icon
		return p.skip(e, *s)
	}
	vr := e.vr
	if vr == "UN" { // the writer did not know the attribute; the value has no VRs (PS3.5 section 6.2.2)
		vr = representation(e.tag)
	}
	if vr == "SQ" || e.length < 0 {
		items, next, err := p.sequence(e, *s)
		if err != nil {
			return 0, err
		}
		*d = append(*d, Element{Tag: e.tag, VR: "SQ", Items: items})
		return next, nil
	}
	v, err := p.value(e, vr, s.charset)
	if err != nil {
		return 0, err
	}
	if e.tag == SpecificCharacterSet {
		s.charset = newCharset(v.Text)
	}
	*d = append(*d, v)
	return e.value + e.length, nil
}

// inside returns the scope of what is in a sequence.
func (p *parser) inside(e element, s scope) (scope, error) {
	if s.depth++; s.depth > maxDepth {
		return s, &UnsupportedError{Offset: e.at, Tag: e.tag, Msg: fmt.Sprintf("more than %d sequences are within each other", maxDepth)}
	}
	s.implicit = s.implicit || e.vr == "UN"
	if e.length >= 0 {
		s.end = e.value + e.length
	}
	return s, nil
}

// sequence reads the items of a sequence, and returns where it ends.
func (p *parser) sequence(e element, s scope) ([]Dataset, int64, error) {
	var items []Dataset
	next, err := p.eachItem(e, s, func(it element, s scope) (int64, error) {
		if p.items++; p.items > maxItems {
			return 0, &UnsupportedError{Offset: it.at, Tag: e.tag, Msg: "the file has too many items of sequences"}
		}
		d := Dataset{}
		next, err := p.eachElement(it, s, func(e element, s *scope) (int64, error) { return p.keep(&d, e, s) })
		if err != nil {
			return 0, err
		}
		items = append(items, d)
		return next, sorted(d, it.at)
	})
	return items, next, err
}

// eachItem calls visit with each item of a sequence, which returns where it ends. It returns
// where the sequence ends.
func (p *parser) eachItem(e element, s scope, visit func(element, scope) (int64, error)) (int64, error) {
	s, err := p.inside(e, s)
	if err != nil {
		return 0, err
	}
	at := e.value
	for e.length < 0 || at < s.end {
		it, err := p.header(at, s)
		if err != nil {
			return 0, err
		}
		switch {
		case it.tag == sequenceDelimiter && e.length < 0:
			return it.value, nil
		case it.tag != item:
			return 0, &FormatError{Offset: at, Tag: e.tag, Msg: "a sequence has something else than items"}
		}
		if at, err = visit(it, s); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// eachElement calls visit with each element of an item, which returns where it ends. It returns
// where the item ends.
func (p *parser) eachElement(it element, s scope, visit func(element, *scope) (int64, error)) (int64, error) {
	if it.length >= 0 {
		s.end = it.value + it.length
	}
	at := it.value
	for it.length < 0 || at < s.end {
		e, err := p.header(at, s)
		if err != nil {
			return 0, err
		}
		if e.tag == itemDelimiter && it.length < 0 {
			return e.value, nil
		}
		if e.tag>>16 == 0xFFFE {
			return 0, &FormatError{Offset: at, Tag: e.tag, Msg: misplaced}
		}
		if at, err = visit(e, &s); err != nil {
			return 0, err
		}
	}
	return at, nil
}

const misplaced = "an item or a delimiter is at the place of an attribute"

// skip returns where an element ends. One without a length is walked: it has items of
// elements, or fragments of bytes.
func (p *parser) skip(e element, s scope) (int64, error) {
	if e.length >= 0 {
		return e.value + e.length, nil
	}
	fragments := e.vr == "OB" || e.vr == "OW"
	if !fragments && e.vr != "SQ" && (e.vr != "UN" && !s.implicit) {
		return 0, &FormatError{Offset: e.at, Tag: e.tag, Msg: fmt.Sprintf("a value of VR %s has no length", e.vr)}
	}
	return p.eachItem(e, s, func(it element, s scope) (int64, error) {
		if it.length >= 0 {
			return it.value + it.length, nil
		}
		if fragments {
			return 0, &FormatError{Offset: it.at, Tag: e.tag, Msg: "a fragment has no length"}
		}
		return p.eachElement(it, s, func(e element, s *scope) (int64, error) { return p.skip(e, *s) })
	})
}

// value reads a value that is no sequence.
func (p *parser) value(e element, vr VR, cs charset) (Element, error) {
	out := Element{Tag: e.tag, VR: vr}
	kind, known := kinds[vr]
	if !known { // a VR of a later edition
		out.VR = "UN"
	}
	// The memory of the value: a header for each text, 64 bits for each number.
	cost := e.length
	switch {
	case vr == "AT":
		cost *= 6
	case kind.size > 0:
		cost *= 8 / int64(kind.size)
	}
	if err := p.charge(e, cost); err != nil || e.length == 0 {
		return out, err
	}
	b, err := p.bytes(e.value, int(e.length))
	if err != nil {
		return out, err
	}
	switch {
	case kind.size > 0:
		return out, out.decodeNumbers(e, b, kind)
	case !kind.text:
		out.Bytes = append([]byte(nil), b...)
		return out, nil
	}
	s := cs.decode(vr, b)
	if kind.single {
		if s = trim(vr, s); s != "" {
			out.Text = []string{s}
		}
		return out, nil
	}
	if err := p.charge(e, 16*int64(strings.Count(s, `\`))); err != nil {
		return out, err
	}
	if s = trim(vr, s); s != "" {
		out.Text = strings.Split(s, `\`)
	}
	for i, v := range out.Text {
		out.Text[i] = trim(vr, v)
	}
	return out, nil
}

// charge counts memory that a value takes.
func (p *parser) charge(e element, n int64) error {
	if n > int64(maxValues-p.values) {
		return &UnsupportedError{Offset: e.at, Tag: e.tag, Msg: fmt.Sprintf("the values of the file take more than %d MiB", maxValues>>20)}
	}
	p.values += int(n)
	return nil
}

// A kind says how the values of a VR are read.
type kind struct {
	text, single bool // single: a backslash does not separate values
	size         int  // of a number, in bytes
}

var (
	manyTexts = kind{text: true}
	oneText   = kind{text: true, single: true}
)

// kinds has the VRs of PS3.5 section 6.2.
var kinds = map[VR]kind{
	"AE": manyTexts, "AS": manyTexts, "CS": manyTexts, "DA": manyTexts, "DS": manyTexts, "DT": manyTexts, "IS": manyTexts, "LO": manyTexts,
	"PN": manyTexts, "SH": manyTexts, "TM": manyTexts, "UC": manyTexts, "UI": manyTexts,
	"LT": oneText, "ST": oneText, "UR": oneText, "UT": oneText,
	"AT": {size: 4}, "FL": {size: 4}, "FD": {size: 8}, "SL": {size: 4}, "SS": {size: 2}, "SV": {size: 8},
	"UL": {size: 4}, "US": {size: 2}, "UV": {size: 8},
	"OB": {}, "OD": {}, "OF": {}, "OL": {}, "OV": {}, "OW": {}, "UN": {},
}

// decodeNumbers sets the numbers of a value. Tags become text, as the JSON model has them.
func (e *Element) decodeNumbers(at element, b []byte, k kind) error {
	if len(b)%k.size != 0 {
		return &FormatError{Offset: at.at, Tag: at.tag, Msg: fmt.Sprintf("a value of VR %s has %d bytes", e.VR, len(b))}
	}
	for ; len(b) > 0; b = b[k.size:] {
		if e.VR == "AT" {
			t := Tag(binary.LittleEndian.Uint16(b))<<16 | Tag(binary.LittleEndian.Uint16(b[2:]))
			e.Text = append(e.Text, t.String())
			continue
		}
		e.Numbers = append(e.Numbers, decodeNumber(e.VR, b))
	}
	return nil
}

func decodeNumber(vr VR, b []byte) float64 {
	le := binary.LittleEndian
	switch vr {
	case "FL":
		return float64(math.Float32frombits(le.Uint32(b)))
	case "FD":
		return math.Float64frombits(le.Uint64(b))
	case "SL":
		return float64(int32(le.Uint32(b)))
	case "SS":
		return float64(int16(le.Uint16(b)))
	case "SV":
		return float64(int64(le.Uint64(b)))
	case "UL":
		return float64(le.Uint32(b))
	case "US":
		return float64(le.Uint16(b))
	}
	return float64(le.Uint64(b)) // UV
}
