// Package bigtiff writes BigTIFF files: tiles one after the other, and then the directories
// that describe them.
package bigtiff

import (
	"bufio"
	"encoding/binary"
	"math"
	"os"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// headerSize is the size of a BigTIFF header in bytes.
const headerSize = 16

// A Writer writes a BigTIFF sequentially, in little-endian order. Only the offset of the
// first directory is written at the end, into the header, so that an incomplete file is not
// valid.
type Writer struct {
	// CheckSpace, if not nil, checks that more bytes can be written after those already
	// written. [Writer.WriteTile] calls it every 4 MB.
	CheckSpace func(written, more int64) error

	f       *os.File
	w       *bufio.Writer
	pos     int64
	checked int64 // offset at the last call of CheckSpace
	first   int64 // offset of the first directory
	tail    []byte
	link    int64 // position within tail for the offset of the next directory
}

// checkEvery is how many bytes are written between two calls of CheckSpace.
const checkEvery = 4 << 20

// NewWriter returns a writer to the beginning of f, which is empty.
func NewWriter(f *os.File) *Writer {
	w := &Writer{f: f, w: bufio.NewWriterSize(f, 1<<20)}
	w.Write(make([]byte, headerSize)) //nolint:errcheck // the error is kept in w.w
	return w
}

// Offset returns the offset in the file of what is written next.
func (w *Writer) Offset() int64 { return w.pos }

// Write appends to the file.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.pos += int64(n)
	return n, err
}

// WriteTile writes the bytes of a tile, and returns their offset. The error is that of
// CheckSpace or of the file.
func (w *Writer) WriteTile(b []byte) (offset int64, err error) {
	offset = w.pos
	if w.CheckSpace != nil && offset-w.checked >= checkEvery {
		if err := w.CheckSpace(offset, checkEvery); err != nil {
			return offset, err
		}
		w.checked = offset
	}
	_, err = w.Write(b)
	return offset, err
}

// A Field is an entry of a directory.
type Field struct {
	Tag   tiff.Tag
	Type  tiff.Type
	Count int
	Data  []byte // little-endian
}

// Shorts returns a field of 16-bit numbers.
func Shorts(tag tiff.Tag, v ...int) Field {
	f := Field{Tag: tag, Type: tiff.Short, Count: len(v)}
	for _, n := range v {
		f.Data = binary.LittleEndian.AppendUint16(f.Data, uint16(n))
	}
	return f
}

// Long returns a field of one 32-bit number.
func Long(tag tiff.Tag, v int) Field {
	return Field{tag, tiff.Long, 1, binary.LittleEndian.AppendUint32(nil, uint32(v))}
}

// Longs returns a field of 32-bit numbers.
func Longs(tag tiff.Tag, v []uint32) Field {
	f := Field{Tag: tag, Type: tiff.Long, Count: len(v), Data: make([]byte, 0, 4*len(v))}
	for _, n := range v {
		f.Data = binary.LittleEndian.AppendUint32(f.Data, n)
	}
	return f
}

// Longs8 returns a field of 64-bit numbers.
func Longs8(tag tiff.Tag, v []uint64) Field {
	f := Field{Tag: tag, Type: tiff.Long8, Count: len(v), Data: make([]byte, 0, 8*len(v))}
	for _, n := range v {
		f.Data = binary.LittleEndian.AppendUint64(f.Data, n)
	}
	return f
}

// Text returns a field of text.
func Text(tag tiff.Tag, s string) Field {
	return Field{tag, tiff.ASCII, len(s) + 1, append([]byte(s), 0)}
}

// Rational returns v as a fraction with as many decimals as needed, at most 6.
func Rational(tag tiff.Tag, v float64) Field {
	den := 1.0
	for den < 1e6 && v*den != math.Round(v*den) && v*den*10 < math.MaxUint32 {
		den *= 10
	}
	num := max(min(math.Round(v*den), math.MaxUint32), 1)
	b := binary.LittleEndian.AppendUint32(nil, uint32(num))
	return Field{tag, tiff.Rational, 1, binary.LittleEndian.AppendUint32(b, uint32(den))}
}

// Directory writes the next directory of the chain, after its values.
func (w *Writer) Directory(fields []Field) error {
	slices.SortFunc(fields, func(a, b Field) int { return int(a.Tag) - int(b.Tag) })
	entries := binary.LittleEndian.AppendUint64(nil, uint64(len(fields)))
	var values []byte
	size := int64(8 + 20*len(fields) + 8)
	at := w.pos + (-w.pos & 7)
	for _, f := range fields {
		entries = binary.LittleEndian.AppendUint16(entries, uint16(f.Tag))
		entries = binary.LittleEndian.AppendUint16(entries, uint16(f.Type))
		entries = binary.LittleEndian.AppendUint64(entries, uint64(f.Count))
		if len(f.Data) <= 8 {
			var inline [8]byte
			copy(inline[:], f.Data)
			entries = append(entries, inline[:]...)
			continue
		}
		entries = binary.LittleEndian.AppendUint64(entries, uint64(at+size+int64(len(values))))
		values = append(values, f.Data...)
		for len(values)%8 != 0 {
			values = append(values, 0)
		}
	}
	if w.first == 0 {
		w.first = at
	}
	// A directory is held back until it is known whether another one follows.
	if err := w.flush(at); err != nil {
		return err
	}
	if _, err := w.Write(make([]byte, at-w.pos)); err != nil {
		return err
	}
	w.link = int64(len(entries))
	w.tail = append(append(entries, make([]byte, 8)...), values...)
	w.pos += int64(len(w.tail)) // of the directory that is held back
	return nil
}

// flush writes the directory that is held back, with the offset of the next.
func (w *Writer) flush(next int64) error {
	if w.tail == nil {
		return nil
	}
	binary.LittleEndian.PutUint64(w.tail[w.link:], uint64(next))
	_, err := w.w.Write(w.tail)
	w.tail = nil
	return err
}

// Finish writes the directory that is held back, and the header. It does not sync the file.
func (w *Writer) Finish() error {
	if err := w.flush(0); err != nil {
		return err
	}
	if err := w.w.Flush(); err != nil {
		return err
	}
	b := []byte{'I', 'I', 43, 0, 8, 0, 0, 0}
	_, err := w.f.WriteAt(binary.LittleEndian.AppendUint64(b, uint64(w.first)), 0)
	return err
}
