package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
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

// Bands decodes a JPEG from top to bottom, some rows of pixels at a time, so that the image
// may be larger than memory. It cuts out rows of MCUs without loss, like [CropJPEG], and
// decodes each cut as a JPEG of its own.
type Bands struct {
	Width, Height int // pixels

	ctx    context.Context // provides the budget
	taken  int64           // bytes taken from the budget
	cost   int64           // of these, bytes for the header and the pixels of a band
	r      io.Reader
	end    bool // all of r has been read
	offset int64
	head   *header
	crop   *cropper
	rowLen int // maximum bytes of a row of MCUs
	mcuH   int // pixels
	rows   int // of MCUs
	step   int // rows of MCUs in a band
	around int // rows of MCUs above and below that are decoded with a band
	next   int // row of MCUs at which the next band begins
	mark   mark
}

// A mark is a position in a stream at which reading can resume.
type mark struct {
	row             int // of MCUs
	in              bitReader
	values          []int
	restarts, until int
}

// NewBands reads the header of the JPEG in r. The error wraps [ErrUnsupported] for a JPEG
// that cannot be decoded from top to bottom: a progressive one, or one with a separate scan
// for each colour. The memory for decoding is taken from the budget of ctx until Close.
func NewBands(ctx context.Context, r io.Reader) (*Bands, error) {
	b := &Bands{ctx: ctx, r: r}
	data, head, err := b.readHead()
	if err != nil {
		return nil, b.giveUp(err)
	}
	b.Width, b.Height = head.width, head.height
	if head.width < 1 || head.height < 1 {
		return nil, b.giveUp(fmt.Errorf("JPEG of %d×%d pixels", head.width, head.height))
	}
	b.head = head
	if b.crop, err = newCropper(head, data, head.width, head.height); err != nil {
		return nil, b.giveUp(unbanded(err))
	}
	b.crop.out.data = nil
	b.mcuH = b.crop.mcuH
	b.rows = b.crop.keepRows
	b.rowLen = b.crop.columns*len(b.crop.blocks)*maxBlock + 64
	b.step = max(bandRows, bandPixels/(b.mcuH*b.Width))
	if b.mcuH > 8 && jpegs().blends {
		b.around = 1
	}
	band := *head
	band.height = b.mcuH * (b.step + 2*b.around)
	if err := b.take(b.taken + band.cost()); err != nil {
		return nil, b.giveUp(err)
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
func (b *Bands) readHead() ([]byte, *header, error) {
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
		head, bad := parseHeader(data)
		if bad == nil {
			// The segments are needed until Close, but data is overwritten.
			head, bad = parseHeader(bytes.Clone(data[:head.body]))
		}
		if bad == nil || b.end || cap(data) >= maxHead {
			return data, head, bad
		}
		data = append(make([]byte, 0, 2*cap(data)), data...)
	}
}

// Close returns the memory to the budget.
func (b *Bands) Close() {
	Give(b.ctx, b.taken)
	b.taken = 0
}

// giveUp closes b and returns err.
func (b *Bands) giveUp(err error) error {
	b.Close()
	return err
}

// take makes sure that at least n bytes are taken from the budget.
func (b *Bands) take(n int64) error {
	if n <= b.taken {
		return nil
	}
	if err := Take(b.ctx, n-b.taken); err != nil {
		return err
	}
	b.taken = n
	return nil
}

// setMark records the position in the stream, which is the beginning of a row of MCUs.
func (b *Bands) setMark(row int) {
	c := b.crop
	m := mark{row: row, in: c.in, restarts: c.restarts, until: c.until, values: b.mark.values[:0]}
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

// Next returns the next band, as wide as the image, or io.EOF after the last one. The
// pixels are the same as those of [DecodeJPEG]. They are valid until the next call.
func (b *Bands) Next() (*image.RGBA, error) {
	if b.next >= b.rows {
		return nil, io.EOF
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
		return nil, unbanded(fmt.Errorf("JPEG of %d×%d pixels, near byte %d: %w", b.Width, b.Height, b.offset+int64(b.crop.in.at), err))
	}
	data := b.crop.out.end()
	b.crop.out.data = data[:0]
	head, err := parseHeader(data)
	if err != nil {
		return nil, err
	}
	img, err := jpegs().decode(data, head)
	if err != nil {
		return nil, fmt.Errorf("JPEG of %d×%d pixels, rows %d to %d: %w", b.Width, b.Height, top, top+height, err)
	}
	if img.Rect.Dx() != b.Width || img.Rect.Dy() != height {
		return nil, fmt.Errorf("JPEG of %d×%d pixels was decoded to %v", b.Width, height, img.Rect)
	}
	return img.SubImage(image.Rect(0, from*b.mcuH-top, b.Width, min(to*b.mcuH, b.Height)-top)).(*image.RGBA), nil
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
