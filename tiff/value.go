package tiff

import (
	"bytes"
	"fmt"
	"math"
)

const (
	// MaxBytes is the largest field that [Directory.Bytes] and [Directory.Text] read, in
	// bytes. Descriptions with embedded images have some hundred kilobytes, colour profiles
	// a few megabytes.
	MaxBytes = 64 << 20
	// maxArray limits the fields that [Directory.Array] reads, in bytes: 64 million tiles,
	// where a slide of 2²⁰ pixels square has 4 million. A sparse file can claim more
	// without taking any space on disk.
	maxArray = 512 << 20
)

// Uint returns the first value of an integer field, or def if the field is absent. The
// error is a [*FormatError] if the field has another type, no value or a negative one.
func (d *Directory) Uint(tag Tag, def uint64) (uint64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return def, nil
	}
	a, err := d.array(e, 1)
	if err != nil {
		return 0, err
	}
	if a.Len() == 0 {
		return 0, &FormatError{e.at, tag, "the field has no value"}
	}
	return a.At(0), nil
}

// Uints returns all values of an integer field, or nil if it is absent. The error is a
// [*FormatError] if the field has another type, more than limit values or a negative
// one.
func (d *Directory) Uints(tag Tag, limit int) ([]uint64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return nil, nil
	}
	if e.Count > uint64(limit) {
		return nil, &FormatError{e.at, tag, fmt.Sprintf("the field has %d values, expected at most %d", e.Count, limit)}
	}
	a, err := d.array(e, e.Count)
	if err != nil {
		return nil, err
	}
	v := make([]uint64, a.Len())
	for i := range v {
		v[i] = a.At(i)
	}
	return v, nil
}

// Float returns the first value of a numeric field of any type, or def if the field is
// absent or a fraction with denominator 0. The value may be infinite or NaN if the
// file stores that. The error is a [*FormatError] if the field is text or has no
// value.
func (d *Directory) Float(tag Tag, def float64) (float64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return def, nil
	}
	b, err := d.values(e, 1, MaxBytes)
	if err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, &FormatError{e.at, tag, "the field has no value"}
	}
	return d.number(e, b, def)
}

// Floats returns all values of a numeric field of any type, or nil if it is absent; 0 for a
// fraction with denominator 0. The error is a [*FormatError] if the field is text or has
// more than limit values.
func (d *Directory) Floats(tag Tag, limit int) ([]float64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return nil, nil
	}
	if e.Count > uint64(limit) {
		return nil, &FormatError{e.at, tag, fmt.Sprintf("the field has %d values, expected at most %d", e.Count, limit)}
	}
	b, err := d.values(e, e.Count, MaxBytes)
	if err != nil || e.Count == 0 {
		return nil, err
	}
	v, size := make([]float64, e.Count), len(b)/int(e.Count)
	for i := range v {
		if v[i], err = d.number(e, b[i*size:][:size], 0); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// number returns one value of a numeric field, stored as b.
func (d *Directory) number(e Entry, b []byte, def float64) (float64, error) {
	n := d.file.number
	switch e.Type {
	case Byte, Short, Long, IFD, Long8, IFD8:
		return float64(n(b)), nil
	case SByte:
		return float64(int8(n(b))), nil
	case SShort:
		return float64(int16(n(b))), nil
	case SLong:
		return float64(int32(n(b))), nil
	case SLong8:
		return float64(int64(n(b))), nil
	case Rational:
		return fraction(float64(n(b[:4])), float64(n(b[4:])), def), nil
	case SRational:
		return fraction(float64(int32(n(b[:4]))), float64(int32(n(b[4:]))), def), nil
	case Float:
		return float64(math.Float32frombits(uint32(n(b)))), nil
	case Double:
		return math.Float64frombits(n(b)), nil
	}
	return 0, &FormatError{e.at, e.Tag, fmt.Sprintf("the field has type %v, expected a number", e.Type)}
}

func fraction(num, den, def float64) float64 {
	if den == 0 {
		return def
	}
	return num / den
}

// Bytes returns the contents of a field of bytes or text (BYTE, ASCII, SBYTE,
// UNDEFINED), or nil if it is absent. The error is a [*FormatError] if the field has
// another type or does not lie within the file, and an [*UnsupportedError] if it is
// larger than [MaxBytes].
func (d *Directory) Bytes(tag Tag) ([]byte, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return nil, nil
	}
	switch e.Type {
	case Byte, ASCII, SByte, Undefined:
		return d.values(e, e.Count, MaxBytes)
	}
	return nil, &FormatError{e.at, tag, fmt.Sprintf("the field has type %v, expected bytes or text", e.Type)}
}

// Text returns [Directory.Bytes] as a string, without trailing NULs and white space.
func (d *Directory) Text(tag Tag) (string, error) {
	b, err := d.Bytes(tag)
	return string(bytes.TrimRight(b, "\x00 \t\r\n")), err
}

// values returns the bytes of the first n values of e, or of all if e has fewer. All values
// must be within the file, and the returned ones within limit bytes.
func (d *Directory) values(e Entry, n, limit uint64) ([]byte, error) {
	size := uint64(e.Type.Size())
	if size == 0 {
		return nil, &FormatError{e.at, e.Tag, fmt.Sprintf("the field has the unknown type %v", e.Type)}
	}
	n = min(n, e.Count) * size
	if d.file.inline(e) {
		return e.value[:n], nil
	}
	if e.Count > uint64(d.file.size)/size || !d.file.holds(e.Offset, e.Count*size) {
		return nil, &FormatError{e.at, e.Tag, fmt.Sprintf("the file is incomplete or damaged: %d values of %d bytes should be at byte %d, but the file ends at byte %d",
			e.Count, size, e.Offset, d.file.size)}
	}
	if n > limit {
		return nil, &UnsupportedError{e.at, e.Tag, fmt.Sprintf("the field has %d bytes, only up to %d are supported", n, limit)}
	}
	b := make([]byte, n)
	if err := d.file.ReadAt(b, e.Offset, e.Tag); err != nil {
		return nil, err
	}
	return b, nil
}
