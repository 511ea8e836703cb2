// Package strictjson decodes JSON from outside so that a check and the code behind it
// read the same values.
//
// encoding/json takes the last of equal keys, and lets "Store" and "ſtore" (U+017F) stand
// for "store". A check that reads one of them is useless if later code reads the other.
// This package accepts a key only once and only spelled exactly as documented, at every
// level; otherwise it decodes nothing.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Unmarshal is [json.Unmarshal] for input of users and programs. It refuses repeated
// keys, keys that are not spelled exactly like a field of v, and unknown keys. On an
// error v is unchanged.
func Unmarshal(data []byte, v any) error { return unmarshal(data, v, true) }

// UnmarshalKnown is [Unmarshal] for data of another version or another program: it
// ignores unknown keys.
func UnmarshalKnown(data []byte, v any) error { return unmarshal(data, v, false) }

func unmarshal(data []byte, v any, closed bool) error {
	if !json.Valid(data) {
		return json.Unmarshal(data, v) // returns the syntax error, and decodes nothing
	}
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return json.Unmarshal(data, v) // returns the error that v is not a pointer
	}
	c := checker{dec: json.NewDecoder(bytes.NewReader(data)), closed: closed}
	c.dec.UseNumber()
	if err := c.value(t.Elem()); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// A checker reads valid JSON along with the type that it will be decoded into.
type checker struct {
	dec    *json.Decoder
	closed bool // unknown keys are refused
	depth  int  // of the objects and lists around the next value
}

// maxDepth is how deep objects and lists may be nested. No input of this program needs
// more than six.
const maxDepth = 64

// value checks the next value. t is nil if its keys are unknown.
func (c *checker) value(t reflect.Type) error {
	token, err := c.dec.Token()
	if err != nil {
		return err
	}
	if c.depth++; c.depth > maxDepth {
		return fmt.Errorf("it is nested more than %d levels deep", maxDepth)
	}
	defer func() { c.depth-- }()
	switch t = target(t); token {
	case json.Delim('{'):
		err = c.object(t)
	case json.Delim('['):
		err = c.array(t)
	default:
		return nil
	}
	if err == nil {
		_, err = c.dec.Token() // the end
	}
	return err
}

func (c *checker) array(t reflect.Type) error {
	var elem reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		elem = t.Elem()
	}
	for c.dec.More() {
		if err := c.value(elem); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) object(t reflect.Type) error {
	seen := map[string]bool{}
	for c.dec.More() {
		token, err := c.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return fmt.Errorf("the key %.40q is given more than once", key)
		}
		seen[key] = true
		elem, err := c.member(t, key)
		if err != nil {
			return err
		}
		if err := c.value(elem); err != nil {
			return err
		}
	}
	return nil
}

// member returns the type of the value of a key of t, or nil if it is unknown.
func (c *checker) member(t reflect.Type, key string) (reflect.Type, error) {
	switch {
	case t == nil:
		return nil, nil
	case t.Kind() == reflect.Map:
		return t.Elem(), nil
	case t.Kind() != reflect.Struct:
		return nil, nil
	}
	folded := ""
	for name, field := range fields(t) {
		if name == key {
			return field, nil
		}
		if strings.EqualFold(name, key) {
			folded = name
		}
	}
	switch {
	case folded != "":
		return nil, fmt.Errorf("the key %.40q must be written %q", key, folded)
	case c.closed:
		return nil, fmt.Errorf("the key %.40q is not known", key)
	}
	return nil, nil
}

// target returns the type whose keys a value of t has: t without pointers, or nil if t
// decodes itself or is an interface.
func target(t reflect.Type) reflect.Type {
	unmarshaler := reflect.TypeFor[json.Unmarshaler]()
	for t != nil {
		switch {
		case t.Kind() == reflect.Interface || t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler):
			return nil
		case t.Kind() != reflect.Pointer:
			return t
		}
		t = t.Elem()
	}
	return nil
}

// fields calls yield with the keys of a struct and the types of their values.
func fields(t reflect.Type) func(yield func(string, reflect.Type) bool) {
	return func(yield func(string, reflect.Type) bool) { eachField(t, yield) }
}

func eachField(t reflect.Type, yield func(string, reflect.Type) bool) bool {
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "":
			if in := target(f.Type); in != nil && in.Kind() == reflect.Struct {
				if !eachField(in, yield) {
					return false
				}
				continue
			}
		}
		if name == "" {
			name = f.Name
		}
		if !yield(name, f.Type) {
			return false
		}
	}
	return true
}
