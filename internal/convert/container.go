package convert

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// A container writes a BigTIFF sequentially, in little-endian order. Only the offset of
// the first directory is written at the end, into the header.
type container struct {
	f     *os.File
	w     *bufio.Writer
	pos   int64
	link  int64 // position for the offset of the next directory; within tail if there is one
	first int64 // offset of the first directory
	tail  []byte

	bound int64 // maximum size of the file in bytes; 0 for none
	room  func(written, more int64) error
	asked int64 // pos at the last call of room
}

// headerSize is the size of a BigTIFF header in bytes.
const headerSize = 16

func newContainer(f *os.File) *container {
	c := &container{f: f, w: bufio.NewWriterSize(f, 1<<20)}
	c.write(make([]byte, headerSize)) // the error is kept in w
	return c
}

// askEvery is how many bytes are written between two calls of Options.Room.
const askEvery = 4 << 20

// write appends to the file.
func (c *container) write(b []byte) error {
	if next := c.pos + int64(len(b)); c.bound > 0 && next > c.bound {
		return fmt.Errorf("%w: the pyramid would need more than %d bytes, too many for a file of this size", ErrUnsupported, c.bound)
	}
	if c.room != nil && c.pos-c.asked >= askEvery {
		if err := c.room(c.pos, askEvery); err != nil {
			return err
		}
		c.asked = c.pos
	}
	n, err := c.w.Write(b)
	c.pos += int64(n)
	return err
}

// A field is an entry of a directory.
type field struct {
	tag   tiff.Tag
	typ   tiff.Type
	count int
	data  []byte
}

func shorts(tag tiff.Tag, v ...int) field {
	f := field{tag: tag, typ: tiff.Short, count: len(v)}
	for _, n := range v {
		f.data = binary.LittleEndian.AppendUint16(f.data, uint16(n))
	}
	return f
}

func long(tag tiff.Tag, v int) field {
	return field{tag, tiff.Long, 1, binary.LittleEndian.AppendUint32(nil, uint32(v))}
}

func longs8(tag tiff.Tag, v []uint64) field {
	f := field{tag: tag, typ: tiff.Long8, count: len(v)}
	for _, n := range v {
		f.data = binary.LittleEndian.AppendUint64(f.data, n)
	}
	return f
}

func text(tag tiff.Tag, s string) field {
	return field{tag, tiff.ASCII, len(s) + 1, append([]byte(s), 0)}
}

// rational returns v as a fraction with as many decimals as needed, at most 6.
func rational(tag tiff.Tag, v float64) field {
	den := 1.0
	for den < 1e6 && v*den != math.Round(v*den) && v*den*10 < math.MaxUint32 {
		den *= 10
	}
	num := max(min(math.Round(v*den), math.MaxUint32), 1)
	b := binary.LittleEndian.AppendUint32(nil, uint32(num))
	return field{tag, tiff.Rational, 1, binary.LittleEndian.AppendUint32(b, uint32(den))}
}

// fields returns the fields of level i.
func (p *pyramid) fields(i int, l *level, src *picture) []field {
	const jpegCompression, yCbCr = 7, 6
	reduced := 0
	if i > 0 {
		reduced = 1
	}
	f := []field{
		long(tiff.TagNewSubfileType, reduced),
		long(tiff.TagImageWidth, l.w),
		long(tiff.TagImageLength, l.h),
		shorts(tiff.TagBitsPerSample, 8, 8, 8),
		shorts(tiff.TagCompression, jpegCompression),
		shorts(tiff.TagPhotometric, yCbCr),
		shorts(tiff.TagSamplesPerPixel, 3),
		shorts(tiff.TagPlanarConfig, 1),
		text(tiff.TagSoftware, "ptiffstore"),
		long(tiff.TagTileWidth, tileSide),
		long(tiff.TagTileLength, tileSide),
		longs8(tiff.TagTileOffsets, l.offsets),
		longs8(tiff.TagTileByteCounts, l.counts),
		{tiff.TagJPEGTables, tiff.Undefined, len(p.tables), p.tables},
		shorts(tiff.TagYCbCrSubSampling, 2, 2),
	}
	if i == 0 {
		f = append(f, text(tiff.TagImageDescription, fmt.Sprintf("Pyramid of a %s of %dx%d pixels: JPEG, quality %d, 4:2:0",
			src.Kind, src.Width, src.Height, p.quality)))
	}
	if r := src.Resolution; r.unit > 0 {
		scaleX, scaleY := float64(l.w)/float64(src.Width), float64(l.h)/float64(src.Height)
		f = append(f, rational(tiff.TagXResolution, r.x*scaleX), rational(tiff.TagYResolution, r.y*scaleY),
			shorts(tiff.TagResolutionUnit, r.unit))
	}
	return f
}

// directory writes the next directory of the chain, after its values.
func (c *container) directory(fields []field) error {
	slices.SortFunc(fields, func(a, b field) int { return int(a.tag) - int(b.tag) })
	entries := binary.LittleEndian.AppendUint64(nil, uint64(len(fields)))
	var values []byte
	size := int64(8 + 20*len(fields) + 8)
	at := c.pos + (-c.pos & 7)
	for _, f := range fields {
		entries = binary.LittleEndian.AppendUint16(entries, uint16(f.tag))
		entries = binary.LittleEndian.AppendUint16(entries, uint16(f.typ))
		entries = binary.LittleEndian.AppendUint64(entries, uint64(f.count))
		if len(f.data) <= 8 {
			var room [8]byte
			copy(room[:], f.data)
			entries = append(entries, room[:]...)
			continue
		}
		entries = binary.LittleEndian.AppendUint64(entries, uint64(at+size+int64(len(values))))
		values = append(values, f.data...)
		for len(values)%8 != 0 {
			values = append(values, 0)
		}
	}
	if c.first == 0 {
		c.first = at
	}
	// A directory is held back until it is known whether another one follows.
	if err := c.flush(at); err != nil {
		return err
	}
	if err := c.write(make([]byte, at-c.pos)); err != nil {
		return err
	}
	c.link = int64(len(entries))
	c.tail = append(append(entries, make([]byte, 8)...), values...)
	c.pos += int64(len(c.tail)) // of the directory that is held back
	return nil
}

// flush writes the directory that is held back, with the offset of the next.
func (c *container) flush(next int64) error {
	if c.tail == nil {
		return nil
	}
	binary.LittleEndian.PutUint64(c.tail[c.link:], uint64(next))
	_, err := c.w.Write(c.tail)
	c.tail = nil
	return err
}

// finish writes the directory that is held back, and the header.
func (c *container) finish() error {
	if err := c.flush(0); err != nil {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	b := []byte{'I', 'I', 43, 0, 8, 0, 0, 0}
	_, err := c.f.WriteAt(binary.LittleEndian.AppendUint64(b, uint64(c.first)), 0)
	return err
}
