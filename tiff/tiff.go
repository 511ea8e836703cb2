// Package tiff reads the structure of TIFF and BigTIFF files: the header, the chain of
// directories, their fields, and the tables with the locations of tiles and strips. It is
// independent of scanners and decodes no pixels.
//
// Files are not trusted. Every count and offset is compared with the size of the
// file before anything is read or allocated, and errors name the tag and the
// offset in the file. Directories are read when a file is opened, the values of a
// field when they are requested, each with a single read.
//
// The format is TIFF revision 6.0 (Aldus, 1992) with its Technical Notes 1 and 2,
// and BigTIFF as designed by its authors at AWare Systems and libtiff.
package tiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A FormatError reports that a file breaks the TIFF specification, or ends early.
type FormatError struct {
	Offset int64  // where in the file the bad value is, in bytes
	Tag    Tag    // the field it belongs to; 0 if none
	Msg    string // what is wrong, as a clause for a person
}

func (e *FormatError) Error() string { return located(e.Offset, e.Tag, e.Msg) }

// An UnsupportedError reports that a file uses a feature that this module does not
// support, or exceeds one of its limits. No damage was found in what was read.
type UnsupportedError struct {
	Offset int64  // where in the file the feature is named, in bytes
	Tag    Tag    // the field that names it; 0 if none
	Msg    string // what is not supported, as a clause for a person
}

func (e *UnsupportedError) Error() string { return located(e.Offset, e.Tag, e.Msg) }

// located formats an error: the message first, followed by the technical detail.
func located(off int64, tag Tag, msg string) string {
	if tag == 0 {
		return fmt.Sprintf("%s (at byte %d)", msg, off)
	}
	return fmt.Sprintf("%s (TIFF tag %v, at byte %d)", msg, tag, off)
}

// A File is an open TIFF or BigTIFF file with the directories of its main chain. It
// is immutable and safe for concurrent use.
type File struct {
	r      io.ReaderAt
	size   int64
	order  binary.ByteOrder
	layout layout
	dirs   []*Directory
}

// A layout gives the sizes, in bytes, in which TIFF and BigTIFF differ.
type layout struct {
	count   int64 // the number of fields, at the start of a directory
	entry   int64 // a field: tag, type, count, and a value or its offset
	pointer int64 // an offset; at the end of an entry, also the space for a value
}

var (
	classic = layout{count: 2, entry: 12, pointer: 4}
	bigTIFF = layout{count: 8, entry: 20, pointer: 8}
)

// header is the length of the file header, whose last part is a pointer.
func (l layout) header() int64 { return 2 * l.pointer }

// Open reads the header and the main chain of directories of r, which is size bytes
// long. It reads the entries of each directory but not their values: one read for
// the header and usually one for each directory.
//
// The error is a [*FormatError] for a file that is not a TIFF (at offset 0), ends
// early, has a loop of directories or overlapping directories, or claims absurd
// counts; an [*UnsupportedError] for more than 4096 directories; and otherwise wraps
// the error of r.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	first, err := f.header()
	if err != nil {
		return nil, err
	}
	from := f.layout.header() - f.layout.pointer
	w := newWalk(f, 0)
	if err := w.chain(first, from); err != nil {
		return nil, err
	}
	if len(w.dirs) == 0 {
		return nil, &FormatError{Offset: from, Msg: "the file has no directory"}
	}
	f.dirs = w.dirs
	return f, nil
}

// header reads the header and returns the offset of the first directory. The version is 42
// for TIFF (TIFF 6.0 section 2); for BigTIFF it is 43, followed by the size of an offset.
func (f *File) header() (first uint64, err error) {
	if f.size < classic.header() {
		return 0, &FormatError{Msg: fmt.Sprintf("not a TIFF: the file has only %d bytes", f.size)}
	}
	b := make([]byte, min(f.size, bigTIFF.header()))
	if err := f.ReadAt(b, 0, 0); err != nil {
		return 0, err
	}
	switch string(b[:2]) {
	case "II":
		f.order = binary.LittleEndian
	case "MM":
		f.order = binary.BigEndian
	default:
		return 0, &FormatError{Msg: fmt.Sprintf("not a TIFF: it begins with % x", b[:4])}
	}
	switch version := f.order.Uint16(b[2:]); version {
	case 42:
		f.layout = classic
		return f.number(b[4:8]), nil
	case 43:
		f.layout = bigTIFF
	default:
		return 0, &FormatError{Msg: fmt.Sprintf("not a TIFF: version %d instead of 42 or 43", version)}
	}
	if f.size < bigTIFF.header() {
		return 0, &FormatError{Offset: f.size, Msg: "the file is incomplete: it ends inside its BigTIFF header"}
	}
	if n, zero := f.number(b[4:6]), f.number(b[6:8]); n != 8 || zero != 0 {
		return 0, &UnsupportedError{Offset: 4, Msg: fmt.Sprintf("a BigTIFF with offsets of %d bytes is not supported, only with 8", n)}
	}
	return f.number(b[8:]), nil
}

// number decodes an unsigned integer of 1, 2, 4 or 8 bytes.
func (f *File) number(b []byte) uint64 {
	switch len(b) {
	case 8:
		return f.order.Uint64(b)
	case 4:
		return uint64(f.order.Uint32(b))
	case 2:
		return uint64(f.order.Uint16(b))
	}
	return uint64(b[0])
}

// Big reports whether f is a BigTIFF.
func (f *File) Big() bool { return f.layout == bigTIFF }

// ByteOrder returns the byte order of numbers in f.
func (f *File) ByteOrder() binary.ByteOrder { return f.order }

// Size returns the size of f in bytes, as given to [Open].
func (f *File) Size() int64 { return f.size }

// Directories returns the chain of directories in order, never empty. The slice
// belongs to f and must not be changed.
func (f *File) Directories() []*Directory { return f.dirs }

// ReadAt fills p with the bytes at offset off, to which the field with that tag
// points. The error is a [*FormatError] that names tag if the range lies outside the
// file or the file has been truncated since it was opened, and otherwise wraps the
// error of the reader.
func (f *File) ReadAt(p []byte, off int64, tag Tag) error {
	if !f.holds(off, uint64(len(p))) {
		return &FormatError{off, tag, fmt.Sprintf("the file is incomplete or damaged: %d bytes should be here, but the file ends at byte %d", len(p), f.size)}
	}
	n, err := f.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FormatError{off, tag, fmt.Sprintf("the file was truncated while it was open: only %d of %d bytes are left here, the file had %d", n, len(p), f.size)}
	}
	return fmt.Errorf("tiff: reading %d bytes at %d: %w", len(p), off, err)
}

// holds reports whether the n bytes at off lie within the file.
func (f *File) holds(off int64, n uint64) bool {
	return 0 <= off && off <= f.size && n <= uint64(f.size-off)
}
