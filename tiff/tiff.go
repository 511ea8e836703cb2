// Package tiff reads the structure of TIFF and BigTIFF files: the header, the
// chain of directories, their fields, and the tables that say where tiles and
// strips lie. It knows no scanner and decodes no pixels.
//
// Files are hostile. Every count and offset is weighed against the size of the
// file before anything is read or allocated, and what is wrong is reported with
// the tag and the place in the file.
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
	Msg    string // what is wrong with it
}

func (e *FormatError) Error() string { return located(e.Offset, e.Tag, e.Msg) }

// An UnsupportedError reports that a file is whole, but uses a feature that is
// not read here.
type UnsupportedError struct {
	Offset int64  // where in the file the feature is named, in bytes
	Tag    Tag    // the field that names it; 0 if none
	Msg    string // what is not read
}

func (e *UnsupportedError) Error() string { return located(e.Offset, e.Tag, e.Msg) }

func located(off int64, tag Tag, msg string) string {
	if tag == 0 {
		return fmt.Sprintf("tiff: at byte %d: %s", off, msg)
	}
	return fmt.Sprintf("tiff: at byte %d: tag %v: %s", off, tag, msg)
}

// maxDirectories bounds a chain, and all sub-directories of one directory. Slides
// have a dozen; a chain of many is a stack of pages or a trap, and each costs a
// read.
const maxDirectories = 4096

// A File is an open TIFF or BigTIFF. It is safe for concurrent use.
type File struct {
	r     io.ReaderAt
	size  int64
	order binary.ByteOrder
	big   bool
	dirs  []*Directory
}

// Open reads the header and walks the chain of directories of r, which is size
// bytes long. It reads the entries of each directory, not their values. Loops,
// overlapping directories, absurd counts and truncation are a [*FormatError]; a
// file that is no TIFF is one at offset 0. An error of r itself is returned
// wrapped.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	first, err := f.header()
	if err != nil {
		return nil, err
	}
	f.dirs, err = f.chain(first, f.firstPointer(), newSpans(f.headerSize()))
	if err != nil {
		return nil, err
	}
	if len(f.dirs) == 0 {
		return nil, &FormatError{Offset: f.firstPointer(), Msg: "the file has no directory"}
	}
	return f, nil
}

// header reads the header (TIFF 6.0 section 2; BigTIFF has 43 where it has 42,
// and the size of its offsets) and returns where the first directory is.
func (f *File) header() (first uint64, err error) {
	var b [16]byte
	n := min(f.size, 16)
	if n < 8 {
		return 0, &FormatError{Msg: fmt.Sprintf("not a TIFF: the file has %d bytes", f.size)}
	}
	if err := f.ReadAt(b[:n], 0, 0); err != nil {
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
	switch v := f.order.Uint16(b[2:]); {
	case v == 42:
		return uint64(f.order.Uint32(b[4:])), nil
	case v == 43 && n == 16:
		if f.order.Uint16(b[4:]) != 8 || f.order.Uint16(b[6:]) != 0 {
			return 0, &FormatError{Offset: 4, Msg: "BigTIFF whose offsets are not of 8 bytes"}
		}
		f.big = true
		return f.order.Uint64(b[8:]), nil
	default:
		return 0, &FormatError{Offset: 2, Msg: fmt.Sprintf("not a TIFF: version %d", v)}
	}
}

func (f *File) headerSize() int64 {
	if f.big {
		return 16
	}
	return 8
}

func (f *File) firstPointer() int64 { return f.headerSize() / 2 }

// Big reports whether f is a BigTIFF.
func (f *File) Big() bool { return f.big }

// ByteOrder is the order of the bytes of numbers in f.
func (f *File) ByteOrder() binary.ByteOrder { return f.order }

// Size is the size of f in bytes.
func (f *File) Size() int64 { return f.size }

// Directories returns the chain of directories in order, never empty.
func (f *File) Directories() []*Directory { return f.dirs }

// ReadAt fills p from the bytes at off, which tag says are there. A range outside
// of the file is a [*FormatError].
func (f *File) ReadAt(p []byte, off int64, tag Tag) error {
	if err := f.inside(off, uint64(len(p)), tag); err != nil {
		return err
	}
	n, err := f.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the file has become shorter than it was
	}
	return fmt.Errorf("tiff: reading %d bytes at %d: %w", len(p), off, err)
}

// inside reports a range that does not lie in the file.
func (f *File) inside(off int64, n uint64, tag Tag) error {
	if off < 0 || off > f.size {
		return &FormatError{off, tag, fmt.Sprintf("points behind the end of the file, which has %d bytes", f.size)}
	}
	if n > uint64(f.size-off) {
		return &FormatError{off, tag, fmt.Sprintf("%d bytes should be here, and the file ends after %d", n, f.size-off)}
	}
	return nil
}
