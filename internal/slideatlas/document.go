package slideatlas

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// An ID is the ObjectId of a document as 24 lower-case hex digits, "" if unknown. It names
// the document in URLs of SlideAtlas.
type ID string

// ParseID returns the id that a text spells, and whether it spells one.
func ParseID(s string) (ID, bool) {
	if len(s) != 24 {
		return "", false
	}
	if _, err := hex.DecodeString(s); err != nil {
		return "", false
	}
	return ID(strings.ToLower(s)), true
}

// A Secret is a password. Formatting, logging and encoding never show it.
type Secret struct{ text string }

// Reveal returns the password, "" without one.
func (s Secret) Reveal() string { return s.text }

// String returns a placeholder.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "(hidden)"
}

// GoString returns a placeholder.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const (
	maxText     = 16 << 10 // bytes of a text that are kept
	maxList     = 100_000  // items of a list that are kept
	maxWarnings = 100      // of a document
)

// errDocument is the error of bytes that are not a BSON document.
var errDocument = errors.New("the document is damaged")

// A record decodes the fields of a document. A field with an unexpected value counts as
// absent, and is reported in warnings.
type record struct {
	fields   map[string]bson.RawValue
	path     string // of the fields in the document, with a period behind it
	warnings []string
}

// open returns the record of a document. If a field occurs twice, the first one counts, as
// in MongoDB. The error is that of bytes that are not a document.
func open(doc bson.Raw) (*record, error) {
	r := &record{fields: map[string]bson.RawValue{}}
	err := each(doc, func(name string, v bson.RawValue) error {
		if _, twice := r.fields[name]; !twice {
			r.fields[name] = v
		}
		return nil
	})
	return r, err
}

// each calls f for the fields of a document in their order. It does not descend into
// embedded documents, so documents of any depth are safe. It stops at an error of f.
func each(doc bson.Raw, f func(name string, v bson.RawValue) error) error {
	if len(doc) < 5 || uint64(binary.LittleEndian.Uint32(doc)) != uint64(len(doc)) || doc[len(doc)-1] != 0 {
		return errDocument
	}
	rest := []byte(doc[4 : len(doc)-1])
	for len(rest) > 0 {
		t := bson.Type(rest[0])
		name, value, found := bytes.Cut(rest[1:], []byte{0})
		if !found {
			return errDocument
		}
		n, ok := size(t, value)
		if !ok {
			return errDocument
		}
		if err := f(string(name), bson.RawValue{Type: t, Value: value[:n]}); err != nil {
			return err
		}
		rest = value[n:]
	}
	return nil
}

// size returns the size of a value in bytes, and false if b does not begin with one.
func size(t bson.Type, b []byte) (int, bool) {
	head, counted, extra := 0, false, 0 // counted: the value begins with a length
	switch t {
	case bson.TypeUndefined, bson.TypeNull, bson.TypeMinKey, bson.TypeMaxKey:
	case bson.TypeBoolean:
		head = 1
	case bson.TypeInt32:
		head = 4
	case bson.TypeDouble, bson.TypeDateTime, bson.TypeTimestamp, bson.TypeInt64:
		head = 8
	case bson.TypeObjectID:
		head = 12
	case bson.TypeDecimal128:
		head = 16
	case bson.TypeString, bson.TypeJavaScript, bson.TypeSymbol:
		counted, extra = true, 4
	case bson.TypeBinary:
		counted, extra = true, 5
	case bson.TypeDBPointer:
		counted, extra = true, 4+12
	case bson.TypeEmbeddedDocument, bson.TypeArray, bson.TypeCodeWithScope:
		counted = true // the length includes its own four bytes
	case bson.TypeRegex:
		for range 2 {
			i := bytes.IndexByte(b[head:], 0)
			if i < 0 {
				return 0, false
			}
			head += i + 1
		}
	default:
		return 0, false
	}
	n := int64(head)
	if counted {
		if len(b) < 4 {
			return 0, false
		}
		n = int64(int32(binary.LittleEndian.Uint32(b))) + int64(extra)
		if n < int64(max(extra, 4)) {
			return 0, false
		}
	}
	return int(n), n <= int64(len(b))
}

func (r *record) warn(field, format string, args ...any) {
	if len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, r.path+field+": "+fmt.Sprintf(format, args...))
	}
}

// get returns a field, and whether it is there and not null.
func (r *record) get(field string) (bson.RawValue, bool) {
	v, ok := r.fields[field]
	return v, ok && v.Type != bson.TypeNull && v.Type != bson.TypeUndefined
}

func (r *record) has(field string) bool {
	_, ok := r.get(field)
	return ok
}

// text returns a text field, "" if it is absent. Long texts are cut, and bytes that are not
// UTF-8 replaced.
func (r *record) text(field string) string {
	v, ok := r.get(field)
	if !ok {
		return ""
	}
	s, ok := textOf(v)
	if !ok {
		r.warn(field, "is a %s instead of a text", v.Type)
	}
	return s
}

func textOf(v bson.RawValue) (string, bool) {
	if v.Type != bson.TypeString && v.Type != bson.TypeSymbol || len(v.Value) < 5 {
		return "", false
	}
	b := v.Value[4 : len(v.Value)-1]
	if len(b) > maxText {
		b = b[:maxText]
		for len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		if len(b) > 0 && b[len(b)-1] >= utf8.RuneSelf {
			b = b[:len(b)-1]
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), true
}

// id returns a field with the id of a document, "" if it is absent.
func (r *record) id(field string) ID {
	v, ok := r.get(field)
	if !ok {
		return ""
	}
	id, ok := idOf(v)
	if !ok {
		r.warn(field, "is not the id of a document")
	}
	return id
}

// idOf also accepts ids that are spelled, and embedded documents that have an id: programs
// of SlideAtlas stored both.
func idOf(v bson.RawValue) (ID, bool) {
	switch v.Type {
	case bson.TypeObjectID:
		return ID(hex.EncodeToString(v.Value)), true
	case bson.TypeString:
		s, _ := textOf(v)
		return ParseID(s)
	case bson.TypeEmbeddedDocument:
		var id ID
		err := each(v.Value, func(name string, v bson.RawValue) error {
			if id == "" && (name == "_id" || name == "$id") && v.Type != bson.TypeEmbeddedDocument {
				id, _ = idOf(v)
			}
			return nil
		})
		return id, err == nil && id != ""
	}
	return "", false
}

// number returns a numeric field, and whether it is there.
func (r *record) number(field string) (float64, bool) {
	v, ok := r.get(field)
	if !ok {
		return 0, false
	}
	n, ok := numberOf(v)
	if !ok {
		r.warn(field, "is not a number")
	}
	return n, ok
}

func numberOf(v bson.RawValue) (float64, bool) {
	switch v.Type {
	case bson.TypeDouble:
		n := math.Float64frombits(binary.LittleEndian.Uint64(v.Value))
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	case bson.TypeInt32:
		return float64(int32(binary.LittleEndian.Uint32(v.Value))), true
	case bson.TypeInt64:
		return float64(int64(binary.LittleEndian.Uint64(v.Value))), true
	case bson.TypeString:
		s, _ := textOf(v)
		n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return 0, false
}

// integer returns a numeric field from low to high, and whether it is there.
func (r *record) integer(field string, low, high int) (int, bool) {
	n, ok := r.number(field)
	if !ok {
		return 0, false
	}
	if n != math.Trunc(n) || n < float64(low) || n > float64(high) {
		r.warn(field, "is %v instead of an integer from %d to %d", n, low, high)
		return 0, false
	}
	return int(n), true
}

// numbers returns the numbers of a list, at most limit. They are nil if the list is absent
// or one of its items is not a number.
func (r *record) numbers(field string, limit int) []float64 {
	var list []float64
	ok := true
	r.list(field, func(v bson.RawValue) {
		n, isNumber := numberOf(v)
		ok = ok && isNumber
		if len(list) < limit {
			list = append(list, n)
		}
	})
	if !ok {
		r.warn(field, "has an item that is not a number")
		return nil
	}
	return list
}

// list calls f for the items of a list. An embedded document counts as a list of one item.
func (r *record) list(field string, f func(v bson.RawValue)) {
	v, ok := r.get(field)
	switch {
	case !ok:
		return
	case v.Type == bson.TypeEmbeddedDocument:
		f(v)
		return
	case v.Type != bson.TypeArray:
		r.warn(field, "is a %s instead of a list", v.Type)
		return
	}
	n := 0
	err := each(v.Value, func(_ string, v bson.RawValue) error {
		if n++; n <= maxList {
			f(v)
		}
		return nil
	})
	if err != nil {
		r.warn(field, "the list is damaged")
	}
	if n > maxList {
		r.warn(field, "only the first %d of %d items are used", maxList, n)
	}
}

// records calls f for the documents of a list. Warnings of f are those of r.
func (r *record) records(field string, f func(*record)) {
	i := 0
	r.list(field, func(v bson.RawValue) {
		name := field + "." + strconv.Itoa(i)
		i++
		if v.Type != bson.TypeEmbeddedDocument {
			r.warn(name, "is a %s instead of a document", v.Type)
			return
		}
		e, err := open(v.Value)
		if err != nil {
			r.warn(name, "%v", err)
			return
		}
		e.path = r.path + name + "."
		f(e)
		r.warnings = append(r.warnings, e.warnings[:min(len(e.warnings), maxWarnings-len(r.warnings))]...)
	})
}

// ids returns the ids of a list.
func (r *record) ids(field string) []ID {
	var list []ID
	r.list(field, func(v bson.RawValue) {
		if id, ok := idOf(v); ok {
			list = append(list, id)
		} else {
			r.warn(field, "has an item that is not the id of a document")
		}
	})
	return list
}

// texts returns the texts of a list.
func (r *record) texts(field string) []string {
	var list []string
	r.list(field, func(v bson.RawValue) {
		if s, ok := textOf(v); ok {
			list = append(list, s)
		} else {
			r.warn(field, "has an item that is not a text")
		}
	})
	return list
}

// date returns a date field in UTC. It is zero if the field is absent or has a date before
// 1970, such as that of stores that were never synced.
func (r *record) date(field string) time.Time {
	v, ok := r.get(field)
	if !ok {
		return time.Time{}
	}
	if v.Type != bson.TypeDateTime {
		r.warn(field, "is a %s instead of a date", v.Type)
		return time.Time{}
	}
	ms := int64(binary.LittleEndian.Uint64(v.Value))
	if ms <= 0 {
		return time.Time{}
	}
	t := time.UnixMilli(ms).UTC()
	if t.Year() > 9999 {
		r.warn(field, "is a date after the year 9999")
		return time.Time{}
	}
	return t
}

// truth returns whether a field is there and true. Numbers other than 0 are true.
func (r *record) truth(field string) bool {
	v, ok := r.get(field)
	if !ok {
		return false
	}
	if v.Type == bson.TypeBoolean {
		return v.Value[0] != 0
	}
	n, ok := numberOf(v)
	if !ok {
		r.warn(field, "is a %s instead of a truth value", v.Type)
	}
	return n != 0
}
