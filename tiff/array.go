package tiff

import (
	"encoding/binary"
	"fmt"
)

// An Array holds the values of an integer field as stored in the file and decodes
// them one at a time. The zero value is empty. An Array is immutable and safe for
// concurrent use.
type Array struct {
	b     []byte
	order binary.ByteOrder
	size  int // of a value, in bytes
}

// Array reads an integer field for random access. It returns the zero Array if the
// field is absent. An Array takes as much memory as the field does in the file. The
// error is a [*FormatError] if the field has another type, has a negative value, or
// does not lie within the file, and an [*UnsupportedError] if it is larger than
// 512 MiB.
func (d *Directory) Array(tag Tag) (Array, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return Array{}, nil
	}
	return d.array(e, e.Count)
}

// array reads the first n values of e.
func (d *Directory) array(e Entry, n uint64) (Array, error) {
	switch e.Type {
	case Byte, Short, Long, IFD, Long8, IFD8, SByte, SShort, SLong, SLong8:
	default:
		return Array{}, &FormatError{e.at, e.Tag, fmt.Sprintf("the field has type %v, expected integers", e.Type)}
	}
	b, err := d.values(e, n, maxArray)
	if err != nil {
		return Array{}, err
	}
	a := Array{b, d.file.order, e.Type.Size()}
	switch e.Type {
	case SByte, SShort, SLong, SLong8:
		if i := a.negative(); i >= 0 {
			return Array{}, &FormatError{e.Offset + int64(i*a.size), e.Tag, "the field has a negative value"}
		}
	}
	return a, nil
}

// negative returns the index of the first value whose sign bit is set, or -1.
func (a Array) negative() int {
	for i := range a.Len() {
		if a.At(i)>>(8*a.size-1) != 0 {
			return i
		}
	}
	return -1
}

// Len returns the number of values.
func (a Array) Len() int {
	if a.size == 0 {
		return 0
	}
	return len(a.b) / a.size
}

// At returns value i. It panics unless 0 ≤ i < Len().
func (a Array) At(i int) uint64 {
	b := a.b[i*a.size:]
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

// Bytes returns the memory of the values in bytes.
func (a Array) Bytes() int { return len(a.b) }
