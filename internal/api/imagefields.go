package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// fields are the names of fields of an image that a request selects; nil selects all.
type fields []string

// imageJSON are the JSON names of the fields of an image, in order, and their indexes.
var imageJSON, imageIndex = func() (names []string, index map[string]int) {
	index = map[string]int{}
	t := reflect.TypeFor[image]()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("json"); name != "" {
			names, index[name] = append(names, name), i
		}
	}
	return names, index
}()

// labelFields are the fields that are or may be patient data: see withoutLabels.
var labelFields = []string{"barcode", "label", "file_name", "folder", "external_id", "reason", "aliases", "properties", "accession", "part", "block", "corrected"}

// newFields checks the names.
func newFields(names []string) (fields, error) {
	for _, name := range names {
		if !slices.Contains(imageJSON, name) {
			return nil, fmt.Errorf("fields: %s is not a field of an image; the fields are %s", shown(name), strings.Join(imageJSON, ", "))
		}
	}
	return names, nil
}

// labels reports whether a field that may be patient data is selected.
func (f fields) labels() bool {
	return len(f) == 0 || slices.ContainsFunc(labelFields, func(name string) bool { return slices.Contains(f, name) })
}

// MarshalJSON returns the selected fields, in the order in which all would be.
func (v image) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the encoder of the response escapes
	if len(v.fields) == 0 {
		type all image
		err := e.Encode(all(v))
		return b.Bytes(), err
	}
	of := reflect.ValueOf(v)
	b.WriteByte('{')
	for _, name := range imageJSON {
		if !slices.Contains(v.fields, name) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", name)
		if err := e.Encode(of.Field(imageIndex[name]).Interface()); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
