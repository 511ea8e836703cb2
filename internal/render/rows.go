package render

import (
	"bufio"
	oldlzw "compress/lzw"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/image/tiff/lzw"

	"github.com/slideatlas/ptiffstore/slide"
)

// Rows reads the pixels of one tile or strip row by row, so that a strip may be larger than
// memory. It supports all codecs except JPEG and WebP; see [NewBands] for JPEG.
type Rows struct {
	r       io.Reader
	close   func() error // closes the decompressor, and reports a wrong checksum
	give    func()       // returns its memory
	row     []byte
	lay     slide.Layout
	convert converter
	chroma  *chroma // of YCbCr; nil for other colours
	samples []byte  // a row of 8-bit samples, if row holds smaller ones
	w       int
	y, h    int
	size    int64
}

// expansion is the maximum ratio of decompressed to compressed size. Data that claim more
// are rejected before memory is allocated for them.
var expansion = map[slide.Codec]int64{
	slide.None:     1,
	slide.LZW:      2731,    // a code of 12 bits for 4096 bytes
	slide.Deflate:  1032,    // 258 bytes in 2 bits
	slide.Zstd:     1 << 15, // a block of 128 KiB in 4 bytes
	slide.PackBits: 64,      // 128 bytes in 2
}

// NewRows reads a tile or strip of w × h pixels, stored with the layout lay, from the size
// bytes of r. The error wraps [ErrUnsupported] for a layout that is not supported;
// otherwise the data cannot contain that many pixels.
func NewRows(ctx context.Context, r io.Reader, size int64, lay slide.Layout, w, h int) (*Rows, error) {
	if lay.Planes() > 1 {
		return nil, fmt.Errorf("%w: each colour in a plane of its own, row by row", ErrUnsupported)
	}
	if lay.Photometric != yCbCr {
		lay.Chroma = nil
	}
	rows := &Rows{lay: lay, w: w, h: h, size: size, close: func() error { return nil }}
	var err error
	if rows.convert, err = newConverter(&rows.lay); err != nil {
		return nil, err
	}
	if lay.Predictor > 2 {
		return nil, fmt.Errorf("%w: predictor %d (only none and horizontal are read)", ErrUnsupported, lay.Predictor)
	}
	most, ok := expansion[lay.Codec]
	if !ok {
		return nil, fmt.Errorf("%w: %v", ErrUnsupported, lay.Codec)
	}
	rowBytes, rowsEach := lay.RowBytes(w)
	if rowBytes > maxBytes {
		return nil, fmt.Errorf("a row has %d bytes, at most %d are supported", rowBytes, maxBytes)
	}
	// Compared as a quotient, as the product of malicious numbers may overflow.
	if need := rowBytes * int64((h+rowsEach-1)/rowsEach); need/most > size || need > size*most {
		return nil, fmt.Errorf("%v data of %d bytes cannot hold %d×%d pixels: the file is incomplete", lay.Codec, size, w, h)
	}
	if err := rows.open(ctx, io.LimitReader(r, size), rowBytes); err != nil {
		return nil, fmt.Errorf("%v data of %d bytes: %w", lay.Codec, size, err)
	}
	return rows, nil
}

// open takes memory for a row of rowBytes, and sets up the decompressor.
func (rows *Rows) open(ctx context.Context, src io.Reader, rowBytes int64) error {
	const decompressor = 1 << 20 // maximum of all codecs, without the window of zstd
	cost := rowBytes + decompressor
	if rows.lay.Bits < 8 {
		cost += int64(rows.w)
	}
	window := uint64(0)
	if rows.lay.Codec == slide.Zstd {
		buffered := bufio.NewReader(src)
		head, err := buffered.Peek(zstd.HeaderMaxSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if window, err = zstdWindow(head); err != nil {
			return err
		}
		src, cost = buffered, cost+2*int64(window)
	}
	if err := Take(ctx, cost); err != nil {
		return err
	}
	rows.give = func() { Give(ctx, cost) }
	rows.row = make([]byte, rowBytes)
	if rows.lay.Chroma != nil {
		rows.chroma = newChroma(rows.lay.Chroma)
	}
	if rows.lay.Bits < 8 {
		rows.samples = make([]byte, rows.w)
	}
	return rows.decompress(src, window)
}

// newLZW reads the LZW of TIFF. Before TIFF 5.0, writers stored the bits of a code in
// reverse order and widened codes one later, as in GIF. Like libtiff, it recognizes such
// data by the first code, which is always a clear code.
func newLZW(src io.Reader) io.Reader {
	buffered := bufio.NewReader(src)
	if b, err := buffered.Peek(2); err == nil && b[0] == 0 && b[1]&1 == 1 {
		return oldlzw.NewReader(buffered, oldlzw.LSB, 8)
	}
	return lzw.NewReader(buffered, lzw.MSB, 8)
}

// decompress sets up the decompressor.
func (rows *Rows) decompress(src io.Reader, window uint64) error {
	switch rows.lay.Codec {
	case slide.None:
		rows.r = src
	case slide.LZW:
		rows.r = newLZW(src)
	case slide.PackBits:
		rows.r = &packBits{r: bufio.NewReader(src)}
	case slide.Deflate:
		z, err := zlib.NewReader(src)
		if err != nil {
			return err
		}
		rows.r, rows.close = z, func() error { return checksum(z, zlib.ErrChecksum) }
	case slide.Zstd:
		z, err := newZstd(src, window)
		if err != nil {
			return err
		}
		rows.r, rows.close = z, func() error {
			defer z.Close()
			return checksum(z, zstd.ErrCRCMismatch)
		}
	}
	return nil
}

// Read decompresses one row and writes it to dst as RGBA, 4 bytes per pixel.
func (rows *Rows) Read(dst []byte) error {
	if c := rows.chroma; c != nil {
		within := rows.y % c.y
		if within == 0 {
			if err := rows.fill(); err != nil {
				return err
			}
		}
		rows.y++
		c.convert(dst, rows.row, within)
		return nil
	}
	if err := rows.fill(); err != nil {
		return err
	}
	rows.y++
	rows.convert(dst, rows.eightBit())
	return nil
}

// fill decompresses a row.
func (rows *Rows) fill() error {
	if _, err := io.ReadFull(rows.r, rows.row); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%v data of %d bytes, row %d of %d: %w", rows.lay.Codec, rows.size, rows.y, rows.h, err)
	}
	return nil
}

// eightBit returns the samples of the row with 8 bits each, without predictor.
func (rows *Rows) eightBit() []byte {
	samples := rows.row
	switch {
	case rows.lay.Bits == 16:
		samples = narrow(rows.row, &rows.lay)
	case rows.lay.Bits < 8:
		widen(rows.samples, rows.row, rows.lay.Bits)
		samples = rows.samples
	case rows.lay.Predictor == 2:
		for i := rows.lay.Samples; i < len(samples); i++ {
			samples[i] += samples[i-rows.lay.Samples]
		}
	}
	return samples
}

// Close releases the decompressor. The error reports a wrong checksum if all rows were
// read.
func (rows *Rows) Close() error {
	rows.give()
	rows.give = func() {}
	return rows.close()
}

// packBits expands runs (TIFF 6.0 section 9).
type packBits struct {
	r      *bufio.Reader
	left   int // remaining bytes of the current run
	repeat bool
	value  byte
}

func (p *packBits) Read(b []byte) (int, error) {
	for p.left == 0 {
		n, err := p.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch {
		case n < 128:
			p.left, p.repeat = int(n)+1, false
		case n > 128: // 128 is a no-op
			p.left, p.repeat = 257-int(n), true
			if p.value, err = p.r.ReadByte(); err != nil {
				return 0, err
			}
		}
	}
	n := min(p.left, len(b))
	if p.repeat {
		for i := range n {
			b[i] = p.value
		}
	} else {
		var err error
		if n, err = p.r.Read(b[:n]); err != nil {
			return 0, err
		}
	}
	p.left -= n
	return n, nil
}
