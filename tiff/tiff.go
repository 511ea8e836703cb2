// Package tiff reads the structure of TIFF and BigTIFF files: the header, the
// chain of directories, their fields, and the tables that say where tiles and
// strips lie. It knows no scanner and decodes no pixels.
package tiff

import (
	"encoding/binary"
	"io"
)

// A FormatError reports that a file breaks the TIFF specification, or ends early.
type FormatError struct {
	Offset int64  // where in the file the bad value is, in bytes
	Tag    Tag    // the field it belongs to; 0 if none
	Msg    string // what is wrong with it
}

func (e *FormatError) Error() string { panic("skeleton") }

// An UnsupportedError reports that a file is whole, but uses a feature that is
// not read here.
type UnsupportedError struct {
	Offset int64
	Tag    Tag
	Msg    string
}

func (e *UnsupportedError) Error() string { panic("skeleton") }

// A File is an open TIFF or BigTIFF. It is safe for concurrent use.
type File struct{ _ int }

// Open reads the header and walks the chain of directories of r, which is size
// bytes long. It reads the entries of each directory, not their values. Loops,
// overlapping structures, absurd counts and truncation are a [*FormatError]; a
// file that is no TIFF is one at offset 0.
func Open(r io.ReaderAt, size int64) (*File, error) { panic("skeleton") }

func (f *File) Big() bool                   { panic("skeleton") }
func (f *File) ByteOrder() binary.ByteOrder { panic("skeleton") }
func (f *File) Size() int64                 { panic("skeleton") }
func (f *File) Directories() []*Directory   { panic("skeleton") }

// ReadAt fills p from off; a range outside of the file is a [*FormatError] naming tag.
func (f *File) ReadAt(p []byte, off int64, tag Tag) error { panic("skeleton") }

// A Type is the type of a field's values (TIFF 6.0 page 15; BigTIFF adds 16, 17, 18).
type Type uint16

// An Entry describes one field: Count values of Type whose bytes begin at Offset
// of the file (inside of the entry itself when they fit).
type Entry struct {
	Tag    Tag
	Type   Type
	Count  uint64
	Offset int64
}

// A Directory is one image file directory (IFD).
type Directory struct {
	Index  int   // place in the chain; for a sub-directory, in its parent's list
	Offset int64 // where it begins in the file
}

func (d *Directory) Entry(tag Tag) (Entry, bool) { panic("skeleton") }

// Uint returns the first value of an integer field, def if it is absent.
func (d *Directory) Uint(tag Tag, def uint64) (uint64, error) { panic("skeleton") }

// Uints returns all values of an integer field, nil if absent; more than limit is a [*FormatError].
func (d *Directory) Uints(tag Tag, limit int) ([]uint64, error) { panic("skeleton") }

// Float returns the first value of a number of any type, rationals included, def if absent (or a rational with denominator 0).
func (d *Directory) Float(tag Tag, def float64) (float64, error) { panic("skeleton") }

// Bytes returns the raw bytes of a field of one-byte type (BYTE, ASCII, UNDEFINED, SBYTE), nil if absent. At most MaxBytes.
func (d *Directory) Bytes(tag Tag) ([]byte, error) { panic("skeleton") }

// Text is Bytes up to trailing NULs and white space, as a string.
func (d *Directory) Text(tag Tag) (string, error) { panic("skeleton") }

// Array reads an integer field for random access: its memory is the field's bytes in the file and nothing more. Zero Array if absent.
func (d *Directory) Array(tag Tag) (Array, error) { panic("skeleton") }

// SubDirectories follows tag 330 (each may itself be a chain).
func (d *Directory) SubDirectories() ([]*Directory, error) { panic("skeleton") }

// An Array holds the values of an integer field as the file stores them.
type Array struct{ _ int }

func (a Array) Len() int        { panic("skeleton") }
func (a Array) At(i int) uint64 { panic("skeleton") }

// Bytes is the memory the array holds.
func (a Array) Bytes() int { panic("skeleton") }
