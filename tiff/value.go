package tiff

import (
	"bytes"
	"fmt"
	"math"
)

const (
	// MaxBytes bounds what [Directory.Bytes] and [Directory.Text] read, in bytes.
	// Descriptions that hold pictures are of some hundred kilobytes, colour profiles
	// of a few megabytes.
	MaxBytes = 64 << 20
	// maxArray bounds what [Directory.Array] reads, in bytes: 64 million tiles, where
	// a slide of 2²⁰ pixels square has 4 million. A sparse file can claim more
	// without taking any room on disk.
	maxArray = 512 << 20
)

// Uint returns the first value of an integer field, def if the field is absent. A
// field of another type, of no value, or of a negative one is a [*FormatError].
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
		return 0, &FormatError{e.at, tag, "no value"}
	}
	return a.At(0), nil
}

// Uints returns all values of an integer field, nil if it is absent. A field of
// another type, of more than limit values, or of a negative one is a
// [*FormatError].
func (d *Directory) Uints(tag Tag, limit int) ([]uint64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return nil, nil
	}
	if e.Count > uint64(limit) {
		return nil, &FormatError{e.at, tag, fmt.Sprintf("%d values, where at most %d make sense", e.Count, limit)}
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

// Float returns the first value of a field of numbers of any type, def if it is
// absent or a fraction whose denominator is 0. The value may be infinite or NaN,
// if that is what the file has. A field of text or of no value is a
// [*FormatError].
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
		return 0, &FormatError{e.at, tag, "no value"}
	}
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
	return 0, &FormatError{e.at, tag, fmt.Sprintf("type %v, where a number is wanted", e.Type)}
}

func fraction(num, den, def float64) float64 {
	if den == 0 {
		return def
	}
	return num / den
}

// Bytes returns the bytes of a field of text or other bytes (BYTE, ASCII, SBYTE,
// UNDEFINED), nil if it is absent. A field of another type, or one that does not
// lie within the file, is a [*FormatError], one of more than [MaxBytes] an
// [*UnsupportedError].
func (d *Directory) Bytes(tag Tag) ([]byte, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return nil, nil
	}
	switch e.Type {
	case Byte, ASCII, SByte, Undefined:
		return d.values(e, e.Count, MaxBytes)
	}
	return nil, &FormatError{e.at, tag, fmt.Sprintf("type %v, where bytes or text are wanted", e.Type)}
}

// Text is Bytes as a string, without NULs and white space at its end.
func (d *Directory) Text(tag Tag) (string, error) {
	b, err := d.Bytes(tag)
	return string(bytes.TrimRight(b, "\x00 \t\r\n")), err
}

// values returns the bytes of the first n values of e, or of all if e has fewer.
// All of them must lie within the file, and those returned within limit bytes.
func (d *Directory) values(e Entry, n, limit uint64) ([]byte, error) {
	size := uint64(e.Type.Size())
	if size == 0 {
		return nil, &FormatError{e.at, e.Tag, fmt.Sprintf("unknown type %v", e.Type)}
	}
	n = min(n, e.Count) * size
	if d.file.inline(e) {
		return e.room[:n], nil
	}
	if e.Count > uint64(d.file.size)/size || !d.file.holds(e.Offset, e.Count*size) {
		return nil, &FormatError{e.at, e.Tag, fmt.Sprintf("%d values of %d bytes should be at %d, and the file ends at %d",
			e.Count, size, e.Offset, d.file.size)}
	}
	if n > limit {
		return nil, &UnsupportedError{e.at, e.Tag, fmt.Sprintf("a field of %d bytes, where at most %d are read", n, limit)}
	}
	b := make([]byte, n)
	if err := d.file.ReadAt(b, e.Offset, e.Tag); err != nil {
		return nil, err
	}
	return b, nil
}
