package tiff

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// A format is one of the four ways to write the same TIFF.
type format struct {
	name  string
	order binary.ByteOrder
	layout
}

var formats = []format{
	{"TIFF little-endian", binary.LittleEndian, classic},
	{"TIFF big-endian", binary.BigEndian, classic},
	{"BigTIFF little-endian", binary.LittleEndian, bigTIFF},
	{"BigTIFF big-endian", binary.BigEndian, bigTIFF},
}

// eachFormat runs test once for each format.
func eachFormat(t *testing.T, test func(t *testing.T, fm format)) {
	for _, fm := range formats {
		t.Run(fm.name, func(t *testing.T) { test(t, fm) })
	}
}

// A builder lays out a TIFF in memory. It checks nothing, so that it can write invalid
// files.
type builder struct {
	format
	file []byte
	last int // position of the pointer that ends the chain
}

// A field is an entry to write. A count of -1 means the number of values in data.
type field struct {
	tag   Tag
	typ   Type
	count int
	data  []byte
}

func newBuilder(fm format) *builder {
	b := &builder{format: fm, file: make([]byte, fm.header())}
	copy(b.file, "II")
	if fm.order == binary.BigEndian {
		copy(b.file, "MM")
	}
	if fm.layout == bigTIFF {
		fm.order.PutUint16(b.file[2:], 43)
		fm.order.PutUint16(b.file[4:], 8)
	} else {
		fm.order.PutUint16(b.file[2:], 42)
	}
	b.last = int(fm.header() - fm.pointer)
	return b
}

// directory appends a directory to the chain, and returns its offset.
func (b *builder) directory(fields ...field) int {
	at, last := b.loose(fields...)
	b.point(b.last, at)
	b.last = last
	return at
}

// loose writes a directory without a pointer to it, and returns its offset and that of its
// pointer to the next one.
func (b *builder) loose(fields ...field) (at, last int) {
	values := make([]int, len(fields))
	for i, f := range fields {
		if len(f.data) > int(b.pointer) {
			b.file = append(b.file, make([]byte, len(b.file)&1)...)
			values[i] = len(b.file)
			b.file = append(b.file, f.data...)
		}
	}
	b.file = append(b.file, make([]byte, len(b.file)&1)...)
	at = len(b.file)
	b.file = append(b.file, b.number(b.count, len(fields))...)
	for i, f := range fields {
		count := f.count
		if count < 0 {
			count = len(f.data) / max(f.typ.Size(), 1)
		}
		b.file = append(b.file, b.number(2, int(f.tag))...)
		b.file = append(b.file, b.number(2, int(f.typ))...)
		b.file = append(b.file, b.number(b.pointer, count)...)
		value := slices.Concat(f.data, make([]byte, b.pointer))
		if values[i] > 0 {
			value = b.number(b.pointer, values[i])
		}
		b.file = append(b.file, value[:b.pointer]...)
	}
	last = len(b.file)
	b.file = append(b.file, make([]byte, b.pointer)...)
	return at, last
}

// point writes the offset to at byte at.
func (b *builder) point(at, to int) { copy(b.file[at:], b.number(b.pointer, to)) }

// entryAt returns the offset of field i of the directory at dir.
func (b *builder) entryAt(dir, i int) int { return dir + int(b.count) + i*int(b.entry) }

// value returns the offset of the value of field i of the directory at dir, or of the
// pointer to it.
func (b *builder) value(dir, i int) int { return b.entryAt(dir, i+1) - int(b.pointer) }

// number encodes n in size bytes.
func (b *builder) number(size int64, n int) []byte {
	p := make([]byte, 8)
	switch size {
	case 1:
		p[0] = byte(n)
	case 2:
		b.order.PutUint16(p, uint16(n))
	case 4:
		b.order.PutUint32(p, uint32(n))
	default:
		b.order.PutUint64(p, uint64(n))
	}
	return p[:size]
}

// offset returns the type of an offset.
func (b *builder) offset() Type {
	if b.layout == classic {
		return Long
	}
	return Long8
}

// ints returns a field of integers, or of fractions as pairs of them.
func (b *builder) ints(tag Tag, typ Type, values ...int) field {
	size := int64(typ.Size())
	if typ == Rational || typ == SRational {
		size = 4
	}
	var data []byte
	for _, v := range values {
		data = append(data, b.number(size, v)...)
	}
	return field{tag, typ, -1, data}
}

func text(tag Tag, s string) field { return field{tag, ASCII, -1, []byte(s)} }

// open opens what b has built.
func (b *builder) open(t testing.TB) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b.file), int64(len(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pyramid builds a file like a slide: levels of n tiles and less, and a label.
func pyramid(fm format, levels, tiles int) *builder {
	b := newBuilder(fm)
	for i := range levels {
		offsets := b.ints(TagTileOffsets, Long, make([]int, tiles)...)
		counts := b.ints(TagTileByteCounts, Long, make([]int, tiles)...)
		b.directory(
			b.ints(TagNewSubfileType, Long, min(i, 1)),
			b.ints(TagImageWidth, Long, 512<<(levels-i)),
			b.ints(TagImageLength, Long, 512<<(levels-i)),
			b.ints(TagBitsPerSample, Short, 8, 8, 8),
			b.ints(TagCompression, Short, 7),
			b.ints(TagPhotometric, Short, 6),
			text(TagImageDescription, "a level of a pyramid\x00"),
			b.ints(TagSamplesPerPixel, Short, 3),
			b.ints(TagPlanarConfig, Short, 1),
			text(TagSoftware, "Example v1.0\x00"),
			b.ints(TagTileWidth, Short, 512),
			b.ints(TagTileLength, Short, 512),
			offsets, counts,
			field{TagJPEGTables, Undefined, -1, make([]byte, 574)},
			b.ints(TagYCbCrSubSampling, Short, 2, 2),
		)
		tiles = max(tiles/4, 1)
	}
	b.directory(
		b.ints(TagImageWidth, Long, 387),
		b.ints(TagImageLength, Long, 403),
		text(TagImageDescription, "Label\x00"),
		b.ints(TagStripOffsets, Long, int(b.header())),
		b.ints(TagStripByteCounts, Long, 1),
		b.ints(TagXResolution, Rational, 300, 1),
	)
	return b
}
