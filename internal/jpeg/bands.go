package jpeg

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// maxHead limits the bytes before the pixels of a JPEG: previews, colour profiles and
	// EXIF in segments of up to 64 KiB.
	maxHead = 32 << 20
	// bandPixels is the approximate number of pixels in a band.
	bandPixels = 4 << 20
	// bandRows is the minimum number of rows of MCUs in a band. The rows above and below
	// may be decoded as well, and should not cost more than the band itself.
	bandRows = 4
	// maxBlock is the maximum size of a block in bytes: 64 coefficients of 31 bits with
	// their codes, and a zero byte after every byte.
	maxBlock = 64 * 4 * 2
)

// Bands cuts a JPEG from top to bottom into JPEGs of some rows of MCUs each, so that the
// image may be larger than memory. It copies the rows without loss, like [Crop].
type Bands struct {
	Width, Height int // pixels

	o      BandOptions
	taken  int64 // bytes asked for
	cost   int64 // of these, bytes for the header and the pixels of a band
	r      io.Reader
	end    bool // all of r has been read
	offset int64
	head   *Header
	crop   *cropper
	rowLen int // maximum bytes of a row of MCUs
	mcuH   int // pixels
	rows   int // of MCUs
	step   int // rows of MCUs in a band
	around int // rows of MCUs above and below that are decoded with a band
	next   int // row of MCUs at which the next band begins
	mark   bandMark
}

// BandOptions say how a JPEG is cut into bands.
type BandOptions struct {
	// Blends says that the decoder blends chroma of lower resolution with its neighbours: a
	// band then has the rows of MCUs above and below as well.
	Blends bool
	// Take makes sure that the caller may use that many bytes in all.
	Take func(total int64) error
	// Cost returns the bytes that decoding a JPEG takes, with the image.
	Cost func(*Header) int64
	// Rows is the number of rows of MCUs in a band; 0 for about 4 million pixels.
	Rows int
}

// A Band is a JPEG of some rows.
type Band struct {
	Data          []byte // valid until the next call
	Width, Height int    // pixels
	From, To      int    // the rows of pixels that are the band; the others are neighbours
}

// A bandMark is a position in a stream at which reading can resume.
type bandMark struct {
	row             int // of MCUs
	in              bitReader
	values          []int
	restarts, until int
}

// NewBands reads the header of the JPEG in r. The error wraps [ErrUnsupported] for a JPEG
// that cannot be decoded from top to bottom: a progressive one, or one with a separate scan
// for each colour.
func NewBands(r io.Reader, o BandOptions) (*Bands, error) {
	b := &Bands{o: o, r: r}
	data, head, err := b.readHead()
	if err != nil {
		return nil, err
	}
	b.Width, b.Height = head.Width, head.Height
	if head.Width < 1 || head.Height < 1 {
		return nil, fmt.Errorf("JPEG of %d×%d pixels", head.Width, head.Height)
	}
	b.head = head
	if b.crop, err = newCropper(head, data, head.Width, head.Height); err != nil {
		return nil, unbanded(err)
	}
	b.crop.out.data = nil
	b.mcuH = b.crop.mcuH
	b.rows = b.crop.keepRows
	b.rowLen = b.crop.columns*len(b.crop.blocks)*maxBlock + 64
	b.step = o.Rows
	if b.step == 0 {
		b.step = max(bandRows, bandPixels/(b.mcuH*b.Width))
	}
	if b.mcuH > 8 && o.Blends {
		b.around = 1
	}
	band := *head
	band.Height = b.mcuH * (b.step + 2*b.around)
	if err := b.take(b.taken + o.Cost(&band)); err != nil {
		return nil, err
	}
	b.cost = b.taken
	b.setMark(0)
	return b, nil
}

// unbanded converts the error for a JPEG that cannot be cropped into that for one that
// cannot be decoded in bands.
func unbanded(err error) error {
	if errors.Is(err, ErrNotLossless) {
		return fmt.Errorf("%w: %v", ErrUnsupported, err)
	}
	return err
}

// readHead reads until the header is complete.
func (b *Bands) readHead() ([]byte, *Header, error) {
	data := make([]byte, 0, 64<<10)
	for {
		if err := b.take(2 * int64(cap(data))); err != nil {
			return nil, nil, err
		}
		n, err := io.ReadFull(b.r, data[len(data):cap(data)])
		data = data[:len(data)+n]
		b.end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !b.end {
			return nil, nil, fmt.Errorf("reading a JPEG: %w", err)
		}
		head, bad := ParseHeader(data)
		if bad == nil {
			// The segments are needed until Close, but data is overwritten.
			head, bad = ParseHeader(bytes.Clone(data[:head.Body]))
		}
		if bad == nil || b.end || cap(data) >= maxHead {
			return data, head, bad
		}
		data = append(make([]byte, 0, 2*cap(data)), data...)
	}
}

// take makes sure that at least n bytes may be used.
func (b *Bands) take(n int64) error {
	if n <= b.taken {
		return nil
	}
	if err := b.o.Take(n); err != nil {
		return err
	}
	b.taken = n
	return nil
}

// setMark records the position in the stream, which is the beginning of a row of MCUs.
func (b *Bands) setMark(row int) {
	c := b.crop
	m := bandMark{row: row, in: c.in, restarts: c.restarts, until: c.until, values: b.mark.values[:0]}
	for i := range c.scanned {
		m.values = append(m.values, c.scanned[i].value)
	}
	b.mark = m
}

// toMark returns to the recorded position.
func (b *Bands) toMark() {
	c := b.crop
	at := c.in.data
	c.in, c.restarts, c.until = b.mark.in, b.mark.restarts, b.mark.until
	c.in.data = at
	for i := range c.scanned {
		c.scanned[i].value = b.mark.values[i]
	}
}

// Next returns the next band, as wide as the image, or io.EOF after the last one.
func (b *Bands) Next() (Band, error) {
	if b.next >= b.rows {
		return Band{}, io.EOF
	}
	b.toMark()
	first, from, to := b.mark.row, b.next, min(b.next+b.step, b.rows)
	last := to
	if b.around > 0 {
		last = min(to+1, b.rows)
	}
	top := first * b.mcuH
	height := min(last*b.mcuH, b.Height) - top
	b.next = to
	if err := b.cut(first, last, height); err != nil {
		return Band{}, unbanded(fmt.Errorf("JPEG of %d×%d pixels, near byte %d: %w", b.Width, b.Height, b.offset+int64(b.crop.in.at), err))
	}
	data := b.crop.out.end()
	b.crop.out.data = data[:0]
	return Band{Data: data, Width: b.Width, Height: height, From: from*b.mcuH - top, To: min(to*b.mcuH, b.Height) - top}, nil
}

// cut writes the rows of MCUs from first to last as a JPEG of its own.
func (b *Bands) cut(first, last, height int) error {
	c := b.crop
	c.out = bitWriter{data: c.out.data[:0]}
	c.writeHeader(b.head, b.Width, height)
	for i := range c.scanned {
		c.scanned[i].written = 0
	}
	marked := false
	for row := first; row < last; row++ {
		if row == b.next-b.around {
			b.setMark(row)
			marked = true
		}
		keep := c.in.at
		if marked {
			keep = b.mark.in.at
		}
		// For one more row, both buffers may have to be copied to larger ones.
		if err := b.take(b.cost + 3*int64(cap(c.in.data)+cap(c.out.data)+b.rowLen)); err != nil {
			return err
		}
		if err := b.fill(keep); err != nil {
			return err
		}
		for range c.columns {
			if err := c.restart(); err != nil {
				return err
			}
			if err := c.copyMCU(true); err != nil {
				return err
			}
		}
	}
	if b.around == 0 {
		b.setMark(last)
	}
	return nil
}

// fill reads until a row of MCUs is in memory, and drops everything before keep.
func (b *Bands) fill(keep int) error {
	in := &b.crop.in
	if b.end || len(in.data)-in.at >= b.rowLen {
		return nil
	}
	have := in.data[keep:]
	data := in.data[:0]
	if need := in.at - keep + b.rowLen; cap(data) < need {
		data = make([]byte, 0, need+b.rowLen/4+64<<10)
	}
	data = data[:copy(data[:cap(data)], have)]
	n, err := io.ReadFull(b.r, data[len(data):cap(data)])
	b.end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !b.end {
		return err
	}
	in.data, in.at = data[:len(data)+n], in.at-keep
	b.mark.in.at -= keep
	b.offset += int64(keep)
	return nil
}
