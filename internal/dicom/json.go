package dicom

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MarshalJSON encodes the attributes in the DICOM JSON model (PS3.18 annex F). Values of
// bytes are base64. An attribute without a value has only its VR.
func (d Dataset) MarshalJSON() ([]byte, error) { return d.appendJSON(nil, nil) }

// JSON encodes the attributes like [Dataset.MarshalJSON]. Where uri returns an address for an
// attribute of bytes, the address stands in place of them; path is that of [Dataset.Bulk].
func (d Dataset) JSON(uri func(path string, e *Element) string) ([]byte, error) {
	return d.appendJSON(nil, &bulk{uri: uri})
}

// Bulk returns the bytes of an attribute by its path, such as "00480105/1/00282000": the tag of a
// sequence and the number of an item, from 1, for each level, and then the tag; nil for another
// path.
func (d Dataset) Bulk(path string) []byte {
	name, rest, nested := strings.Cut(path, "/")
	n, err := strconv.ParseUint(name, 16, 32)
	if err != nil || len(name) != 8 {
		return nil
	}
	e := d.Get(Tag(n))
	if e == nil || !nested {
		if e == nil {
			return nil
		}
		return e.Bytes
	}
	number, rest, _ := strings.Cut(rest, "/")
	i, err := strconv.Atoi(number)
	if err != nil || i < 1 || i > len(e.Items) {
		return nil
	}
	return e.Items[i-1].Bulk(rest)
}

// A bulk says where the values are that are not in the JSON.
type bulk struct {
	path string // of the data set
	uri  func(path string, e *Element) string
}

func (d Dataset) appendJSON(out []byte, b *bulk) ([]byte, error) {
	out = append(out, '{')
	var err error
	for i := range d {
		e := &d[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `"%v":{"vr":"%s"`, e.Tag, e.VR)
		if out, err = e.appendValue(out, b); err != nil {
			return nil, err
		}
		out = append(out, '}')
	}
	return append(out, '}'), nil
}

// appendValue appends the Value, BulkDataURI or InlineBinary of an element, with a comma
// before it.
func (e *Element) appendValue(out []byte, b *bulk) ([]byte, error) {
	switch {
	case len(e.Items) > 0:
		return e.appendItems(out, b)
	case len(e.Text) > 0:
		return e.appendTexts(out)
	case len(e.Numbers) > 0:
		out = append(out, `,"Value":[`...)
		for i, v := range e.Numbers {
			if i > 0 {
				out = append(out, ',')
			}
			bits := 64
			if e.VR == "FL" {
				bits = 32
			}
			if math.IsNaN(v) || math.IsInf(v, 0) { // JSON has no such numbers
				out = append(out, "null"...)
				continue
			}
			out = strconv.AppendFloat(out, v, 'g', -1, bits)
		}
		return append(out, ']'), nil
	case len(e.Bytes) > 0:
		if b != nil && b.uri != nil {
			if uri := b.uri(b.path+e.Tag.String(), e); uri != "" {
				return fmt.Appendf(out, `,"BulkDataURI":%q`, uri), nil
			}
		}
		out = append(out, `,"InlineBinary":"`...)
		out = base64.StdEncoding.AppendEncode(out, e.Bytes)
		return append(out, '"'), nil
	}
	return out, nil
}

func (e *Element) appendItems(out []byte, b *bulk) ([]byte, error) {
	out = append(out, `,"Value":[`...)
	var err error
	for i, item := range e.Items {
		if i > 0 {
			out = append(out, ',')
		}
		var inner *bulk
		if b != nil {
			inner = &bulk{path: fmt.Sprintf("%s%v/%d/", b.path, e.Tag, i+1), uri: b.uri}
		}
		if out, err = item.appendJSON(out, inner); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

// appendTexts appends text, with DS and IS as numbers and names as objects. Files may have text that is
// no number there: it stays text, as PS3.18 section F.2.2 allows.
func (e *Element) appendTexts(out []byte) ([]byte, error) {
	out = append(out, `,"Value":[`...)
	for i, s := range e.Text {
		if i > 0 {
			out = append(out, ',')
		}
		if s == "" {
			out = append(out, "null"...)
			continue
		}
		if e.VR == "DS" || e.VR == "IS" {
			if v, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
				out = strconv.AppendFloat(out, v, 'g', -1, 64)
				continue
			}
		}
		if e.VR == "PN" {
			var err error
			if out, err = appendName(out, s); err != nil {
				return nil, err
			}
			continue
		}
		text, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return append(out, ']'), nil
}

// appendName appends a name, of which the groups are parted by equals signs (PS3.5 section 6.2.1).
func appendName(out []byte, s string) ([]byte, error) {
	name := map[string]string{}
	groups := strings.SplitN(s, "=", 3)
	for i, key := range []string{"Alphabetic", "Ideographic", "Phonetic"}[:len(groups)] {
		if groups[i] != "" {
			name[key] = groups[i]
		}
	}
	text, err := json.Marshal(name)
	return append(out, text...), err
}
