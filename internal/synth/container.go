package synth

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// Tags, from TIFF 6.0 unless another source is named.
const (
	tagNewSubfileType   = 254
	tagImageWidth       = 256
	tagImageLength      = 257
	tagBitsPerSample    = 258
	tagCompression      = 259
	tagPhotometric      = 262
	tagImageDescription = 270
	tagStripOffsets     = 273
	tagOrientation      = 274
	tagSamplesPerPixel  = 277
	tagRowsPerStrip     = 278
	tagStripByteCounts  = 279
	tagXResolution      = 282
	tagYResolution      = 283
	tagPlanarConfig     = 284
	tagResolutionUnit   = 296
	tagSoftware         = 305
	tagPredictor        = 317
	tagTileWidth        = 322
	tagTileLength       = 323
	tagTileOffsets      = 324
	tagTileByteCounts   = 325
	tagSubIFDs          = 330 // Technical Note 1
	tagJPEGTables       = 347 // Technical Note 2
	tagSubSampling      = 530
	tagImageDepth       = 32997 // SGI
	tagTileDepth        = 32998 // SGI
	tagICCProfile       = 34675 // ICC.1 annex B
)

// Types of values, TIFF 6.0 section 2; LONG8 and IFD8 are BigTIFF's.
const (
	typeByte      = 1
	typeASCII     = 2
	typeShort     = 3
	typeLong      = 4
	typeRational  = 5
	typeUndefined = 7
	typeLong8     = 16
)

// A field is an entry of a directory with its value in the order of the file.
type field struct {
	tag, typ uint16
	count    uint64
	data     []byte
	last     bool // written after all other values, as Philips does with its XML
}

// A container writes the structure of a TIFF sequentially. Its errors are kept until
// close.
type container struct {
	f     *os.File
	w     *bufio.Writer
	order binary.AppendByteOrder
	big   bool
	pos   int64
	link  int64 // where the offset of the next directory of the chain belongs
	fix   []patch
}

// A patch is an offset that became known after its place was written.
type patch struct {
	at   int64
	data []byte
}

func newContainer(f *os.File, big, bigEndian bool) *container {
	c := &container{f: f, w: bufio.NewWriterSize(f, 1<<20), order: binary.LittleEndian, big: big, link: 4}
	b := []byte("II")
	if bigEndian {
		b, c.order = []byte("MM"), binary.BigEndian
	}
	if big {
		c.link = 8
		b = c.order.AppendUint16(b, 43)
		b = c.order.AppendUint16(b, 8) // bytes of an offset
		b = c.order.AppendUint16(b, 0)
	} else {
		b = c.order.AppendUint16(b, 42)
	}
	c.Write(c.appendOffset(b, 0))
	return c
}

// Write appends to the file.
func (c *container) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.pos += int64(n)
	return n, err
}

// align makes the position even, as TIFF requires for directories and values.
func (c *container) align() {
	if c.pos%2 != 0 {
		c.Write([]byte{0})
	}
}

// appendOffset appends an offset in the size of the file's kind.
func (c *container) appendOffset(b []byte, v int64) []byte {
	if c.big {
		return c.order.AppendUint64(b, uint64(v))
	}
	return c.order.AppendUint32(b, uint32(v))
}

// directory writes a directory at the end of the file and links it to the chain.
func (c *container) directory(fields []field) error {
	c.align()
	c.fix = append(c.fix, patch{c.link, c.appendOffset(nil, c.pos)})
	at, err := c.unlinked(fields)
	if err != nil {
		return err
	}
	if c.big {
		c.link = at + 8 + 20*int64(len(fields))
	} else {
		c.link = at + 2 + 12*int64(len(fields))
	}
	return nil
}

// unlinked writes a directory and returns where it is.
func (c *container) unlinked(fields []field) (at int64, err error) {
	slices.SortStableFunc(fields, func(a, b field) int { return int(a.tag) - int(b.tag) })
	c.align()
	at = c.pos
	room, size := int64(4), 2+12*int64(len(fields))+4
	var b []byte
	if c.big {
		room, size = 8, 8+20*int64(len(fields))+8
		b = c.order.AppendUint64(b, uint64(len(fields)))
	} else {
		b = c.order.AppendUint16(b, uint16(len(fields)))
	}
	outside, end := c.place(fields, at+size, room)
	if !c.big && end > math.MaxUint32 {
		return 0, fmt.Errorf("%d bytes do not fit a classic TIFF: write a BigTIFF", end)
	}
	for i, f := range fields {
		b = c.order.AppendUint16(b, f.tag)
		b = c.order.AppendUint16(b, f.typ)
		b = c.appendOffset(b, int64(f.count))
		if off, ok := outside[i]; ok {
			b = c.appendOffset(b, off)
		} else {
			b = append(b, f.data...)
			b = append(b, make([]byte, int(room)-len(f.data))...)
		}
	}
	c.Write(c.appendOffset(b, 0))
	for _, i := range outward(fields, room) {
		c.Write(fields[i].data)
		c.align()
	}
	return at, nil
}

// outward returns the fields whose values do not fit their entries, in the order in
// which they are written.
func outward(fields []field, room int64) []int {
	var order []int
	for _, last := range []bool{false, true} {
		for i, f := range fields {
			if int64(len(f.data)) > room && f.last == last {
				order = append(order, i)
			}
		}
	}
	return order
}

// place computes the offsets of the values outside of their entries, starting after the
// directory.
func (c *container) place(fields []field, at, room int64) (offsets map[int]int64, end int64) {
	offsets = map[int]int64{}
	for _, i := range outward(fields, room) {
		offsets[i] = at
		at += int64(len(fields[i].data))
		at += at % 2
	}
	return offsets, at
}

// offsets writes offsets into a reserved field: those of SubIFDs.
func (c *container) close() error {
	if err := c.w.Flush(); err != nil {
		return err
	}
	for _, p := range c.fix {
		if _, err := c.f.WriteAt(p.data, p.at); err != nil {
			return err
		}
	}
	return nil
}

// copyFrom appends a temporary file from its beginning.
func (c *container) copyFrom(f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(struct{ io.Writer }{c}, f)
	return err
}

func (c *container) short(tag uint16, v ...int) field {
	f := field{tag: tag, typ: typeShort, count: uint64(len(v))}
	for _, x := range v {
		f.data = c.order.AppendUint16(f.data, uint16(x))
	}
	return f
}

func (c *container) long(tag uint16, v ...int) field {
	f := field{tag: tag, typ: typeLong, count: uint64(len(v))}
	for _, x := range v {
		f.data = c.order.AppendUint32(f.data, uint32(x))
	}
	return f
}

// offset is a field of offsets or byte counts: LONG, or LONG8 in a BigTIFF.
func (c *container) offset(tag uint16, v []int64) field {
	f := field{tag: tag, typ: typeLong, count: uint64(len(v))}
	if c.big {
		f.typ = typeLong8
	}
	for _, x := range v {
		f.data = c.appendOffset(f.data, x)
	}
	return f
}

func (c *container) rational(tag uint16, num, den int) field {
	f := c.long(tag, num, den)
	f.typ, f.count = typeRational, 1
	return f
}

func ascii(tag uint16, s string) field {
	return field{tag: tag, typ: typeASCII, count: uint64(len(s) + 1), data: append([]byte(s), 0)}
}

func undefined(tag uint16, b []byte) field {
	return field{tag: tag, typ: typeUndefined, count: uint64(len(b)), data: b}
}
