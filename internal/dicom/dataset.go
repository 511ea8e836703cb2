// Package dicom describes slides as DICOM objects: VL Whole Slide Microscopy images, one
// instance for each level. It has the attributes of an instance, writes them as a Part 10
// file and in the JSON model, and exports slides without encoding their tiles again. It
// knows nothing of HTTP.
//
// The standard is DICOM PS3, https://www.dicomstandard.org/current.
package dicom

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Element is an attribute with its value. Which of the fields has the value depends on
// the VR; all are empty if the attribute has no value.
type Element struct {
	Tag     Tag
	VR      VR
	Text    []string  // AE, AS, AT, CS, DA, DS, DT, IS, LO, LT, PN, SH, ST, TM, UC, UI, UR, UT
	Numbers []float64 // FL, FD, SL, SS, SV, UL, US, UV
	Bytes   []byte    // OB, OD, OF, OL, OV, OW, UN, as in a file in little endian
	Items   []Dataset // SQ
}

// A Dataset is a list of attributes in ascending order of their tags.
type Dataset []Element

// Get returns the element with that tag, or nil.
func (d Dataset) Get(t Tag) *Element {
	i, ok := slices.BinarySearchFunc(d, t, func(e Element, t Tag) int { return cmp.Compare(e.Tag, t) })
	if !ok {
		return nil
	}
	return &d[i]
}

// Text returns the first value of a text attribute, or "".
func (d Dataset) Text(t Tag) string {
	if e := d.Get(t); e != nil && len(e.Text) > 0 {
		return e.Text[0]
	}
	return ""
}

// Items returns the items of a sequence; none if it is not there.
func (d Dataset) Items(t Tag) []Dataset {
	if e := d.Get(t); e != nil {
		return e.Items
	}
	return nil
}

// Floats returns the values of an attribute of numbers, or of numbers as text. It returns nil
// if one of them is not finite or no number at all: files are not to be trusted.
func (d Dataset) Floats(t Tag) []float64 {
	e := d.Get(t)
	if e == nil {
		return nil
	}
	out := slices.Clone(e.Numbers)
	for _, s := range e.Text {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return nil
		}
		out = append(out, v)
	}
	for _, v := range out {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return out
}

// Int returns the first value of an attribute of integers, or of integers as text. The second
// result is false if there is no such element.
func (d Dataset) Int(t Tag) (int64, bool) {
	e := d.Get(t)
	switch {
	case e == nil:
	case len(e.Numbers) > 0 && e.Numbers[0] == math.Trunc(e.Numbers[0]) && math.Abs(e.Numbers[0]) <= 1<<53:
		return int64(e.Numbers[0]), true
	case len(e.Text) > 0:
		v, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(e.Text[0]), "+"), 10, 64)
		return v, err == nil
	}
	return 0, false
}

// sort puts the elements in the order of their tags. It returns the index of one whose tag is
// there twice, or -1.
func (d Dataset) sort() int {
	byTag := func(a, b Element) int { return cmp.Compare(a.Tag, b.Tag) }
	if !slices.IsSortedFunc(d, byTag) {
		slices.SortStableFunc(d, byTag)
	}
	for i := 1; i < len(d); i++ {
		if d[i].Tag == d[i-1].Tag {
			return i
		}
	}
	return -1
}

// Set sets an attribute of the dictionaries in this package. Values are strings, integers and
// floating point numbers, one []byte, or the items of a sequence as Datasets; none for an
// attribute without a value, and for a sequence without items. Text is cleaned and cut to the
// limits of its VR. It panics for an attribute or a type of value that is unknown.
func (d *Dataset) Set(t Tag, values ...any) {
	vr := representation(t)
	if vr == "UN" {
		panic(fmt.Sprintf("dicom: no VR of %v", t))
	}
	e := Element{Tag: t, VR: vr}
	for _, v := range values {
		switch v := v.(type) {
		case string:
			if v = clean(vr, v); v != "" {
				e.Text = append(e.Text, v)
			}
		case int:
			e.number(float64(v))
		case float64:
			e.number(v)
		case []byte:
			e.Bytes = v
		case Dataset:
			e.Items = append(e.Items, v)
		default:
			panic(fmt.Sprintf("dicom: %T is no value of %v", v, t))
		}
	}
	i, found := slices.BinarySearchFunc(*d, t, func(e Element, t Tag) int { return cmp.Compare(e.Tag, t) })
	if found {
		(*d)[i] = e
		return
	}
	*d = slices.Insert(*d, i, e)
}

// number adds a number, as text if the VR is one of decimal or integer strings.
func (e *Element) number(v float64) {
	switch e.VR {
	case "DS":
		e.Text = append(e.Text, decimal(v))
	case "IS":
		e.Text = append(e.Text, strconv.FormatInt(int64(v), 10))
	case "FL":
		e.Numbers = append(e.Numbers, float64(float32(v)))
	default:
		e.Numbers = append(e.Numbers, v)
	}
}

// decimal writes a number in at most the 16 characters of a DS.
func decimal(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		panic("dicom: a decimal string of no number")
	}
	for digits := 15; ; digits-- {
		if s := strconv.FormatFloat(v, 'g', digits, 64); len(s) <= 16 {
			return s
		}
	}
}

// limits are the largest numbers of characters (PS3.5 table 6.2-1).
var limits = map[VR]int{"AE": 16, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "PN": 64, "SH": 16, "UI": 64, "LT": 10240}

// clean makes text valid for a VR: without control characters, without the backslash that
// separates values, and cut to the limit. PS3.5 section 6.2 counts characters, not bytes.
func clean(vr VR, s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f, r == '\\' && vr != "LT" && vr != "UT", r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if n := limits[vr]; n > 0 && utf8.RuneCountInString(s) > n {
		s = strings.TrimSpace(string([]rune(s)[:n]))
	}
	return s
}
