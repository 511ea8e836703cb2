package tiff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// A Type is the type of a field's values.
type Type uint16

// Types of TIFF 6.0 page 15; those from 13 on are of Technical Note 1 and of
// BigTIFF.
const (
	Byte      Type = 1
	ASCII     Type = 2
	Short     Type = 3
	Long      Type = 4
	Rational  Type = 5
	SByte     Type = 6
	Undefined Type = 7
	SShort    Type = 8
	SLong     Type = 9
	SRational Type = 10
	Float     Type = 11
	Double    Type = 12
	IFD       Type = 13
	Long8     Type = 16
	SLong8    Type = 17
	IFD8      Type = 18
)

var typeSizes = [...]uint8{
	Byte: 1, ASCII: 1, Short: 2, Long: 4, Rational: 8, SByte: 1, Undefined: 1, SShort: 2, SLong: 4, SRational: 8,
	Float: 4, Double: 8, IFD: 4, Long8: 8, SLong8: 8, IFD8: 8,
}

// size is how many bytes a value takes, 0 for an unknown type.
func (t Type) size() uint64 {
	if int(t) >= len(typeSizes) {
		return 0
	}
	return uint64(typeSizes[t])
}

const (
	// MaxBytes bounds what Bytes reads. Descriptions that hold pictures are of some
	// hundred kilobytes, colour profiles of a few megabytes.
	MaxBytes = 64 << 20
	// maxArray bounds what Array reads: 64 million tiles, where a slide of 2²⁰
	// pixels square has 4 million. A sparse file can claim more without being big.
	maxArray = 512 << 20
)

// value reads the bytes of e, at most limit.
func (d *Directory) value(e Entry, limit uint64) ([]byte, error) {
	size := e.Type.size()
	if size == 0 {
		return nil, &FormatError{e.at, e.Tag, fmt.Sprintf("unknown type %d", e.Type)}
	}
	if e.Count > limit/size {
		return nil, &FormatError{e.at, e.Tag, fmt.Sprintf("%d values of %d bytes, more than the %d bytes that are read", e.Count, size, limit)}
	}
	n := e.Count * size
	if err := d.file.inside(e.Offset, n, e.Tag); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if err := d.file.ReadAt(b, e.Offset, e.Tag); err != nil {
		return nil, err
	}
	return b, nil
}

// Bytes returns the bytes of a field of one-byte type, nil if it is absent; at
// most [MaxBytes].
func (d *Directory) Bytes(tag Tag) ([]byte, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return nil, nil
	}
	switch e.Type {
	case Byte, ASCII, Undefined, SByte:
		return d.value(e, MaxBytes)
	}
	return nil, &FormatError{e.at, tag, fmt.Sprintf("type %d where bytes or text are wanted", e.Type)}
}

// Text is Bytes as a string, without NULs and white space at its end.
func (d *Directory) Text(tag Tag) (string, error) {
	b, err := d.Bytes(tag)
	return string(bytes.TrimRight(b, "\x00 \t\r\n")), err
}

// Uint returns the first value of an integer field, def if it is absent.
func (d *Directory) Uint(tag Tag, def uint64) (uint64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return def, nil
	}
	if e.Count == 0 {
		return 0, &FormatError{e.at, tag, "no value"}
	}
	e.Count = min(e.Count, 1) // the rest is not asked for; where it begins is known
	a, err := d.array(e)
	if err != nil {
		return 0, err
	}
	return a.At(0), nil
}

// Uints returns all values of an integer field, nil if it is absent. More than
// limit are a [*FormatError].
func (d *Directory) Uints(tag Tag, limit int) ([]uint64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return nil, nil
	}
	if e.Count > uint64(limit) {
		return nil, &FormatError{e.at, tag, fmt.Sprintf("%d values, where at most %d make sense", e.Count, limit)}
	}
	a, err := d.array(e)
	if err != nil {
		return nil, err
	}
	v := make([]uint64, a.Len())
	for i := range v {
		v[i] = a.At(i)
	}
	return v, nil
}

// Float returns the first value of a number of any type, def if it is absent or
// a fraction whose denominator is 0.
func (d *Directory) Float(tag Tag, def float64) (float64, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return def, nil
	}
	if e.Count == 0 {
		return 0, &FormatError{e.at, tag, "no value"}
	}
	e.Count = 1
	b, err := d.value(e, MaxBytes)
	if err != nil {
		return 0, err
	}
	o := d.file.order
	switch e.Type {
	case Rational:
		return fraction(float64(o.Uint32(b)), float64(o.Uint32(b[4:])), def), nil
	case SRational:
		return fraction(float64(int32(o.Uint32(b))), float64(int32(o.Uint32(b[4:]))), def), nil
	case Float:
		return float64(math.Float32frombits(o.Uint32(b))), nil
	case Double:
		return math.Float64frombits(o.Uint64(b)), nil
	case SByte:
		return float64(int8(b[0])), nil
	case SShort:
		return float64(int16(o.Uint16(b))), nil
	case SLong:
		return float64(int32(o.Uint32(b))), nil
	case SLong8:
		return float64(int64(o.Uint64(b))), nil
	}
	return float64(Array{b, o, uint8(len(b))}.At(0)), nil
}

func fraction(num, den, def float64) float64 {
	if den == 0 {
		return def
	}
	return num / den
}

// Array reads an integer field for random access, the zero Array if it is absent.
// It holds the field's bytes as they are in the file and nothing more.
func (d *Directory) Array(tag Tag) (Array, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return Array{}, nil
	}
	return d.array(e)
}

func (d *Directory) array(e Entry) (Array, error) {
	switch e.Type {
	case Byte, Short, Long, IFD, Long8, IFD8:
	default:
		return Array{}, &FormatError{e.at, e.Tag, fmt.Sprintf("type %d where whole numbers are wanted", e.Type)}
	}
	b, err := d.value(e, maxArray)
	if err != nil {
		return Array{}, err
	}
	return Array{b, d.file.order, uint8(e.Type.size())}, nil
}

// An Array holds the values of an integer field as the file stores them. The zero
// value is empty.
type Array struct {
	b     []byte
	order binary.ByteOrder
	size  uint8 // of a value, in bytes
}

// Len is the number of values.
func (a Array) Len() int {
	if a.size == 0 {
		return 0
	}
	return len(a.b) / int(a.size)
}

// At returns value i. It panics if i is not below Len.
func (a Array) At(i int) uint64 {
	b := a.b[i*int(a.size):]
	switch a.size {
	case 8:
		return a.order.Uint64(b)
	case 4:
		return uint64(a.order.Uint32(b))
	case 2:
		return uint64(a.order.Uint16(b))
	}
	return uint64(b[0])
}

// Bytes is how much memory the values take.
func (a Array) Bytes() int { return len(a.b) }
