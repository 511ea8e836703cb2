package jpeg

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
)

// markEvery is the number of MCUs between two marks.
const markEvery = 4

// maxIndexed limits the bytes of a JPEG with marks: positions are of 32 bits.
const maxIndexed = 1 << 28

// A position is a bit of a stream: eight times the offset of its byte, plus the number of
// bits above it. Zero bytes that follow an FF are no position.
type position uint32

func (p position) byte() int { return int(p >> 3) }
func (p position) bit() int  { return int(p & 7) }

// A mark is where an MCU begins, behind a restart marker if there is one, and the DC of
// the blocks before it.
type mark struct {
	at position
	dc [maxComponents]int16
}

// Marks are places in a JPEG from which its MCUs can be read, from the first row down to
// some row. With them [Grid.Stitch] copies a part of the JPEG without reading the rest.
// They are only valid for the bytes that they were made of. They do not change.
type Marks struct {
	Frame *Frame

	size    int // of the JPEG, in bytes
	sum     uint64
	columns int // MCUs of a row
	rows    int // rows of MCUs that have marks
	all     int // rows of MCUs of the JPEG
	perRow  int // marks of a row
	marks   []mark
	own     bool // the frame is not shared
}

// sumSeed is of the hash by which marks know their JPEG.
var sumSeed = maphash.MakeSeed()

// Bytes returns the memory of the marks.
func (m *Marks) Bytes() int {
	n := 160 + 12*cap(m.marks)
	if m.own {
		n += m.Frame.bytes()
	}
	return n
}

// Index returns marks for the first height pixels of the JPEG in data, or for all of it if
// height is larger. Known, if not nil, are marks that were made before: they are returned
// if they are of the same bytes and reach so far, and are continued if they are too short.
// Frames shares what JPEGs have in common; it may be nil.
//
// The error wraps [ErrNotLossless] for a JPEG that cannot be stitched: one that is not
// baseline or extended sequential with 8 bits, Huffman codes and a single scan of one or
// three colours, or is so irregular that decoders may differ. Any other error means that
// it is damaged.
func Index(data []byte, height int, known *Marks, frames *Frames) (*Marks, error) {
	sum := maphash.Bytes(sumSeed, data)
	m := known
	if m == nil || m.size != len(data) || m.sum != sum {
		var err error
		if m, err = newMarks(data, sum, frames); err != nil {
			return nil, err
		}
	}
	_, mcuH := m.Frame.MCU()
	rows := min(max((height+mcuH-1)/mcuH, 1), m.all)
	if rows <= m.rows {
		return m, nil
	}
	longer := *m
	if err := longer.extend(data, rows); err != nil {
		return nil, fmt.Errorf("JPEG of %d bytes: %w", len(data), err)
	}
	return &longer, nil
}

// newMarks returns marks for no row.
func newMarks(data []byte, sum uint64, frames *Frames) (*Marks, error) {
	if len(data) > maxIndexed {
		return nil, fmt.Errorf("%w: a JPEG of %d bytes", ErrNotLossless, len(data))
	}
	var f *Frame
	var shared bool
	var err error
	if frames != nil {
		f, shared, err = frames.of(data)
	} else {
		f, err = newFrame(data)
	}
	if err != nil {
		return nil, err
	}
	w, h := f.Size()
	mcuW, mcuH := f.MCU()
	m := &Marks{Frame: f, size: len(data), sum: sum, own: !shared}
	m.columns, m.all = (w+mcuW-1)/mcuW, (h+mcuH-1)/mcuH
	m.perRow = (m.columns + markEvery - 1) / markEvery
	m.marks = []mark{{at: position(f.header.Body) << 3}}
	return m, nil
}

// extend adds marks, so that there are some for the given number of rows. The last one is
// where the next row begins.
func (m *Marks) extend(data []byte, rows int) error {
	marks := make([]mark, len(m.marks), rows*m.perRow+1)
	copy(marks, m.marks)
	c := cursor{scan: m.Frame.scan, columns: m.columns, interval: m.Frame.header.Interval}
	c.in.data = data
	c.start(m.rows*m.columns, marks[len(marks)-1])
	last := m.columns * m.all
	for ; m.rows < rows; m.rows++ {
		for x := 0; x < m.columns; x += markEvery {
			if err := c.walk(min(markEvery, m.columns-x)); err != nil {
				return err
			}
			if c.mcu < last {
				if err := c.restart(); err != nil {
					return err
				}
			}
			k, err := c.mark()
			if err != nil {
				return err
			}
			marks = append(marks, k)
		}
	}
	m.marks = marks
	return nil
}

// before returns the last mark at or before an MCU of a row, and how many MCUs it is
// before it.
func (m *Marks) before(x, y int) (k mark, ahead int) {
	return m.marks[y*m.perRow+x/markEvery], x % markEvery
}

// A cursor reads the MCUs of a JPEG one after the other, without their pixels.
type cursor struct {
	in       bitReader
	scan     *scan
	dc       [maxComponents]int
	columns  int // MCUs of a row
	interval int
	mcu      int // the number of the next MCU
}

// start moves to a mark, which is of the given MCU.
func (c *cursor) start(mcu int, k mark) {
	c.mcu = mcu
	c.in.seek(k.at)
	for i, v := range k.dc {
		c.dc[i] = int(v)
	}
}

// mark returns the mark of the next MCU.
func (c *cursor) mark() (mark, error) {
	k := mark{at: c.in.position()}
	for i, v := range c.dc {
		if v < math.MinInt16 || v > math.MaxInt16 {
			return k, fmt.Errorf("%w: a DC of %d", ErrNotLossless, v)
		}
		k.dc[i] = int16(v)
	}
	return k, nil
}

// due reports whether a restart marker precedes the next MCU.
func (c *cursor) due() bool { return c.interval > 0 && c.mcu > 0 && c.mcu%c.interval == 0 }

// restart reads the restart marker before the next MCU, if one is due, and resets the DC
// predictions (F.1.1.5.1).
func (c *cursor) restart() error {
	if !c.due() {
		return nil
	}
	if err := c.in.marker(byte(MarkRST0 + (c.mcu/c.interval-1)&7)); err != nil {
		return err
	}
	c.dc = [maxComponents]int{}
	return nil
}

// walk reads n MCUs and the restart markers between them, but not the one before the
// first.
func (c *cursor) walk(n int) error {
	for n > 0 {
		run := n
		if c.interval > 0 {
			run = min(n, c.interval-c.mcu%c.interval)
		}
		if err := c.walkRun(run); err != nil {
			return err
		}
		c.mcu += run
		if n -= run; n > 0 {
			if err := c.restart(); err != nil {
				return err
			}
		}
	}
	return nil
}

var errDC = errors.New("a DC difference of more than 11 bits")

// walkRun reads n MCUs with no restart marker between them. It is the reader of blocks of
// [cropper.skipBlock] with its state in local variables: the time of stitching is mostly
// spent here.
func (c *cursor) walkRun(n int) error {
	r, blocks, comps := c.in, c.scan.blocks, c.scan.components
	for range n {
		for _, i := range blocks {
			comp := &comps[i]
			r.fill()
			found := comp.dcTable.find(r.acc)
			size := int(found.symbol())
			if size > maxDCSize {
				return fmt.Errorf("%w: %w", ErrNotLossless, errDC)
			}
			diff := int(r.acc << found.length() >> 1 >> (63 - size))
			if size > 0 && diff < 1<<(size-1) {
				diff -= 1<<size - 1
			}
			c.dc[i] += diff
			r.skip(found.length() + size)
			ac := comp.acTable
			k := 1
			for k < 64 {
				r.fill()
				found := ac.find(r.acc)
				r.acc <<= found.total()
				r.n -= found.total()
				step := found.step()
				if step == 0 {
					return errSymbol
				}
				k += step
			}
			if k > 64 && k < endOfBlock {
				return errLong
			}
			if r.n < 0 { // to be seen now: the next bits could hide it
				return errEarly
			}
		}
	}
	c.in = r
	return nil
}

// seek moves to a position in the data.
func (r *bitReader) seek(p position) {
	r.at, r.acc, r.n = min(p.byte(), len(r.data)), 0, 0
	if p.bit() > 0 {
		r.refill()
		r.skip(p.bit())
	}
}

// position returns the position of the next bit.
func (r *bitReader) position() position {
	at := r.at
	for range (r.n + 7) / 8 { // back over the bytes of which some bits are left
		at--
		if r.data[at] == 0 && at > 0 && r.data[at-1] == 0xff {
			at--
		}
	}
	return position(at<<3 | -r.n&7)
}
