package dicom

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// MarshalJSON encodes the attributes in the DICOM JSON model (PS3.18 annex F). Values of
// bytes are base64. An attribute without a value has only its VR.
func (d Dataset) MarshalJSON() ([]byte, error) { return d.appendJSON(nil, nil) }

// JSON encodes the attributes like [Dataset.MarshalJSON]. Where uri returns an address for an
// attribute, the address stands in place of its bytes; path has the tags of the sequences
// that it is in.
func (d Dataset) JSON(uri func(path []Tag, t Tag) string) ([]byte, error) {
	return d.appendJSON(nil, &bulk{uri: uri})
}

// A bulk says where the values are that are not in the JSON.
type bulk struct {
	path []Tag
	uri  func(path []Tag, t Tag) string
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
			out = strconv.AppendFloat(out, v, 'g', -1, bits)
		}
		return append(out, ']'), nil
	case len(e.Bytes) > 0:
		if b != nil && b.uri != nil {
			if uri := b.uri(b.path, e.Tag); uri != "" {
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
	var inner *bulk
	if b != nil {
		inner = &bulk{path: append(b.path[:len(b.path):len(b.path)], e.Tag), uri: b.uri}
	}
	out = append(out, `,"Value":[`...)
	var err error
	for i, item := range e.Items {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = item.appendJSON(out, inner); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

// appendTexts appends text, with DS and IS as numbers and names as objects.
func (e *Element) appendTexts(out []byte) ([]byte, error) {
	out = append(out, `,"Value":[`...)
	for i, s := range e.Text {
		if i > 0 {
			out = append(out, ',')
		}
		if e.VR == "DS" || e.VR == "IS" {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return nil, fmt.Errorf("the value %q of %v is no number", s, e.Tag)
			}
			out = strconv.AppendFloat(out, v, 'g', -1, 64)
			continue
		}
		text, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		if e.VR == "PN" {
			out = fmt.Appendf(out, `{"Alphabetic":%s}`, text)
			continue
		}
		out = append(out, text...)
	}
	return append(out, ']'), nil
}
