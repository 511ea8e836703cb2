package convert

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"image"
	"image/draw"
	"image/png"
	"io"

	"github.com/klauspost/compress/zlib"

	"github.com/slideatlas/ptiffstore/internal/render"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

// Values of the colour type (PNG, 11.2.2).
const (
	pngGray      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGrayAlpha = 4
	pngRGBA      = 6
)

// pngSamples is the number of samples per pixel of a colour type; 0 for an invalid
// type.
var pngSamples = [7]int{pngGray: 1, pngRGB: 3, pngPalette: 1, pngGrayAlpha: 2, pngRGBA: 4}

// A pngReader reads a PNG that is not interlaced row by row.
type pngReader struct {
	chunks     *chunkReader
	depth      int // bits per sample
	colour     int
	w, h, y    int
	unit       int // bytes from a sample to that of the previous pixel
	row, above []byte
	palette    [256][4]byte // RGBA, over white
	colours    int
	clear      [3]uint16 // the transparent colour, if hasClear
	hasClear   bool
	z          io.ReadCloser
}

func openPNG(ctx context.Context, r io.ReaderAt, size int64) (*picture, error) {
	c := newChunkReader(io.NewSectionReader(r, 0, size))
	head, err := c.first()
	if err != nil {
		return nil, err
	}
	w, h := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	if w > 1<<31-1 || h > 1<<31-1 {
		return nil, c.bad(errors.New("the size is out of range"))
	}
	p := &picture{Kind: "PNG", Width: int(w), Height: int(h)}
	if err := checkSize(p.Kind, p.Width, p.Height); err != nil {
		return nil, err
	}
	rows := &pngReader{chunks: c, w: p.Width, h: p.Height, depth: int(head[8]), colour: int(head[9])}
	if err := rows.checkHead(head, size); err != nil {
		return nil, err
	}
	if err := render.Take(ctx, 16*int64(p.Width)+1<<20); err != nil { // two rows, and the decompressor
		return nil, err
	}
	if head[12] != 0 {
		return p, p.interlaced(ctx, r, size)
	}
	p.rows = rows
	return p, rows.toPixels(p)
}

// checkHead checks the kind of pixels, and whether the file can hold their number.
func (p *pngReader) checkHead(head []byte, size int64) error {
	c := p.chunks
	if p.colour >= len(pngSamples) || pngSamples[p.colour] == 0 || !pngDepth(p.colour, p.depth) {
		return c.bad(fmt.Errorf("colour type %d of %d bits", p.colour, p.depth))
	}
	if head[10] != 0 || head[11] != 0 || head[12] > 1 {
		return c.bad(fmt.Errorf("compression %d, filter %d, interlace %d", head[10], head[11], head[12]))
	}
	bits := p.depth * pngSamples[p.colour]
	p.unit = max(bits/8, 1)
	n := (p.w*bits + 7) / 8
	const expansion = 1032 // of deflate: 258 bytes in 2 bits
	if need := int64(n+1) * int64(p.h); need/expansion > size {
		return c.bad(fmt.Errorf("%d×%d pixels in a file of %d bytes: the file is incomplete", p.w, p.h, size))
	}
	p.row, p.above = make([]byte, n+1), make([]byte, n+1)
	return nil
}

// pngDepth reports whether a colour type may have samples of this many bits.
func pngDepth(colour, depth int) bool {
	switch depth {
	case 8:
		return true
	case 16:
		return colour != pngPalette
	case 1, 2, 4:
		return colour == pngGray || colour == pngPalette
	}
	return false
}

// interlaced decodes the picture as a whole.
func (p *picture) interlaced(ctx context.Context, r io.ReaderAt, size int64) error {
	if p.Width*p.Height > maxWhole {
		return fmt.Errorf("%w: an interlaced PNG of %d×%d pixels: at most %d pixels are supported; "+
			"save it without interlacing", ErrUnsupported, p.Width, p.Height, maxWhole)
	}
	p.rows = &whole{ctx: ctx, decode: func() (*image.RGBA, error) {
		const decoded = 16 // bytes per pixel: 16 bits per sample, and each pass once more
		pixels := int64(p.Width) * int64(p.Height)
		if err := render.Take(ctx, (decoded+8)*pixels); err != nil {
			return nil, err
		}
		defer render.Give(ctx, decoded*pixels) // the rest is given back when the picture is closed
		src, err := png.Decode(bufio.NewReader(io.NewSectionReader(r, 0, size)))
		if err != nil {
			return nil, &FormatError{p.Kind, -1, err}
		}
		img := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
		draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
		draw.Draw(img, img.Rect, src, src.Bounds().Min, draw.Over)
		return img, nil
	}}
	return nil
}

// toPixels reads the chunks before the pixels.
func (p *pngReader) toPixels(pic *picture) error {
	c := p.chunks
	for {
		if err := c.next(); err != nil {
			return err
		}
		switch c.name {
		case "IDAT":
			if p.colour == pngPalette && p.colours == 0 {
				return c.bad(errors.New("the palette is missing before the pixels"))
			}
			z, err := zlib.NewReader(bufio.NewReaderSize(c, 64<<10))
			if err != nil {
				return c.wrong(err)
			}
			p.z = z
			return nil
		case "IEND":
			return c.bad(errors.New("the file ends before its pixels"))
		case "PLTE", "tRNS", "pHYs":
			b, err := c.all(3 * 256)
			if err != nil {
				return err
			}
			if err := p.chunk(pic, c.name, b); err != nil {
				return err
			}
		default:
			if c.name[0]&0x20 == 0 {
				return fmt.Errorf("%w: PNG: at byte %d: unknown critical chunk %q", ErrUnsupported, c.at, c.name)
			}
		}
	}
}

// chunk handles a chunk before the pixels.
func (p *pngReader) chunk(pic *picture, name string, b []byte) error {
	switch {
	case name == "pHYs" && len(b) == 9 && b[8] == 1: // pixels per metre
		x, y := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		if x > 0 && y > 0 {
			pic.Resolution = resolution{float64(x) / 100, float64(y) / 100, unitCentimetre}
		}
	case name == "PLTE":
		if len(b) == 0 || len(b)%3 != 0 || p.colours > 0 {
			return p.chunks.bad(fmt.Errorf("a palette of %d bytes", len(b)))
		}
		if p.colour == pngPalette {
			p.colours = len(b) / 3
		}
		for i := range len(b) / 3 {
			p.palette[i] = [4]byte{b[3*i], b[3*i+1], b[3*i+2], 255}
		}
	case name == "tRNS" && p.colour == pngPalette:
		if len(b) > p.colours {
			return p.chunks.bad(fmt.Errorf("transparency of %d colours, but the palette has %d", len(b), p.colours))
		}
		for i, alpha := range b {
			c := &p.palette[i]
			c[0], c[1], c[2] = over(c[0], alpha), over(c[1], alpha), over(c[2], alpha)
		}
	case name == "tRNS" && (p.colour == pngGray || p.colour == pngRGB):
		if len(b) != 2*pngSamples[p.colour] {
			return p.chunks.bad(fmt.Errorf("transparency of %d bytes", len(b)))
		}
		for i := range len(b) / 2 {
			p.clear[i] = binary.BigEndian.Uint16(b[2*i:])
		}
		p.hasClear = true
	}
	return nil
}

// over blends a sample with white.
func over(v, alpha byte) byte {
	return byte((uint32(v)*uint32(alpha) + 255*(255-uint32(alpha)) + 127) / 255)
}

// Read reads one row.
func (p *pngReader) Read(dst []byte) error {
	if _, err := io.ReadFull(p.z, p.row); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return p.chunks.wrong(fmt.Errorf("row %d of %d: %w", p.y, p.h, err))
	}
	if p.row[0] > 4 {
		return p.chunks.bad(fmt.Errorf("row %d of %d: filter %d", p.y, p.h, p.row[0]))
	}
	unfilter(p.row[0], p.row[1:], p.above[1:], p.unit)
	if err := p.expand(dst, p.row[1:]); err != nil {
		return err
	}
	p.row, p.above = p.above, p.row
	if p.y++; p.y == p.h {
		return p.finish()
	}
	return nil
}

// finish reads the compressed data to the end, to check the checksums of the data and
// of its chunks. Extra data in them is ignored.
func (p *pngReader) finish() error {
	var b [512]byte
	if _, err := io.ReadFull(p.z, b[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return p.chunks.wrong(err)
	}
	if _, err := io.Copy(io.Discard, p.chunks); err != nil {
		return err
	}
	return nil
}

// Close releases the decompressor.
func (p *pngReader) Close() error {
	if p.z != nil {
		return p.z.Close()
	}
	return nil
}

// unfilter undoes the filter of a row (PNG, 9.2).
func unfilter(filter byte, row, above []byte, unit int) {
	above = above[:len(row)]
	switch filter {
	case 1:
		for i := unit; i < len(row); i++ {
			row[i] += row[i-unit]
		}
	case 2:
		for i, v := range above {
			row[i] += v
		}
	case 3:
		for i := range min(unit, len(row)) {
			row[i] += above[i] / 2
		}
		for i := unit; i < len(row); i++ {
			row[i] += byte((int(row[i-unit]) + int(above[i])) / 2)
		}
	case 4:
		for i := range min(unit, len(row)) {
			row[i] += above[i]
		}
		for i := unit; i < len(row); i++ {
			row[i] += paeth(int(row[i-unit]), int(above[i]), int(above[i-unit]))
		}
	}
}

// paeth returns the one of left, above and the corner between them that is nearest to
// left + above - corner.
func paeth(a, b, c int) byte {
	pa, pb := b-c, a-c
	pc := pa + pb
	pa, pb, pc = max(pa, -pa), max(pb, -pb), max(pc, -pc)
	switch {
	case pa <= pb && pa <= pc:
		return byte(a)
	case pb <= pc:
		return byte(b)
	}
	return byte(c)
}

// expand converts a row of samples to RGBA over white.
func (p *pngReader) expand(dst, src []byte) error {
	switch {
	case p.depth == 16:
		p.expand16(dst, src)
		return nil
	case p.depth < 8 || p.colour == pngPalette:
		return p.expandBits(dst, src)
	}
	n := pngSamples[p.colour]
	for ; len(dst) >= 4; dst, src = dst[4:], src[n:] {
		switch p.colour {
		case pngGray:
			dst[0], dst[1], dst[2] = src[0], src[0], src[0]
		case pngGrayAlpha:
			v := over(src[0], src[1])
			dst[0], dst[1], dst[2] = v, v, v
		case pngRGB:
			dst[0], dst[1], dst[2] = src[0], src[1], src[2]
		case pngRGBA:
			if alpha := src[3]; alpha == 255 {
				dst[0], dst[1], dst[2] = src[0], src[1], src[2]
			} else {
				dst[0], dst[1], dst[2] = over(src[0], alpha), over(src[1], alpha), over(src[2], alpha)
			}
		}
		dst[3] = 255
		if p.hasClear && uint16(src[0]) == p.clear[0] && (n == 1 || uint16(src[1]) == p.clear[1] && uint16(src[2]) == p.clear[2]) {
			dst[0], dst[1], dst[2] = 255, 255, 255
		}
	}
	return nil
}

// expandBits is expand for one sample per pixel, of 1 to 8 bits.
func (p *pngReader) expandBits(dst, src []byte) error {
	mask := byte(1<<p.depth - 1)
	for x := range p.w {
		bit := x * p.depth
		v := src[bit/8] >> (8 - p.depth - bit%8) & mask
		to := dst[4*x:][:4]
		if p.colour == pngPalette {
			if int(v) >= p.colours {
				return p.chunks.bad(fmt.Errorf("row %d of %d: colour %d of %d", p.y, p.h, v, p.colours))
			}
			copy(to, p.palette[v][:])
			continue
		}
		g := byte(int(v) * 255 / int(mask))
		if p.hasClear && uint16(v) == p.clear[0] {
			g = 255
		}
		to[0], to[1], to[2], to[3] = g, g, g, 255
	}
	return nil
}

// expand16 is expand for samples of 16 bits.
func (p *pngReader) expand16(dst, src []byte) {
	n := pngSamples[p.colour]
	var v [4]uint16
	for ; len(dst) >= 4; dst, src = dst[4:], src[2*n:] {
		for i := range n {
			v[i] = binary.BigEndian.Uint16(src[2*i:])
		}
		switch p.colour {
		case pngGray:
			v[1], v[2], v[3] = v[0], v[0], 0xffff
		case pngGrayAlpha:
			v[1], v[2], v[3] = v[0], v[0], v[1]
		case pngRGB:
			v[3] = 0xffff
		}
		if p.hasClear && v[0] == p.clear[0] && (n == 1 || v[1] == p.clear[1] && v[2] == p.clear[2]) {
			v[3] = 0
		}
		alpha := narrow(v[3])
		for i := range 3 {
			dst[i] = over(narrow(v[i]), alpha)
		}
		dst[3] = 255
	}
}

// narrow scales a sample of 16 bits to 8: v/257, rounded.
func narrow(v uint16) byte { return byte((uint32(v)*255 + 32895) >> 16) }

// A chunkReader reads the chunks of a PNG. Read returns the data of all IDAT chunks as
// one stream.
type chunkReader struct {
	r    *bufio.Reader
	name string
	at   int64 // offset of the chunk
	n    uint32
	left uint32 // remaining bytes of its data
	sum  hash.Hash32
	err  error // kept: nothing can be read after it
}

func newChunkReader(r io.Reader) *chunkReader {
	return &chunkReader{r: bufio.NewReaderSize(r, 64<<10), at: -12, sum: crc32.NewIEEE()}
}

// bad reports an error in the current chunk.
func (c *chunkReader) bad(err error) error { return &FormatError{"PNG", max(c.at, 0), err} }

// wrong reports an error in the pixels; an error in their chunks takes precedence.
func (c *chunkReader) wrong(err error) error {
	if c.err != nil && !errors.Is(c.err, io.EOF) {
		return c.err
	}
	return c.bad(err)
}

// first reads the signature and IHDR.
func (c *chunkReader) first() ([]byte, error) {
	if _, err := c.r.Discard(len(pngMagic)); err != nil {
		return nil, c.bad(io.ErrUnexpectedEOF)
	}
	c.at = int64(len(pngMagic)) - 12
	if err := c.next(); err != nil {
		return nil, err
	}
	if c.name != "IHDR" || c.n != 13 {
		return nil, c.bad(fmt.Errorf("a chunk %q of %d bytes instead of the header", c.name, c.n))
	}
	return c.all(13)
}

// next advances to the next chunk.
func (c *chunkReader) next() error {
	if c.name != "" {
		if err := c.end(); err != nil {
			return err
		}
	}
	c.at += int64(c.n) + 12
	var b [8]byte
	if _, err := io.ReadFull(c.r, b[:]); err != nil {
		return c.cut(err)
	}
	c.n = binary.BigEndian.Uint32(b[:])
	if c.n > 1<<31-1 {
		return c.bad(fmt.Errorf("a chunk of %d bytes", c.n))
	}
	c.left, c.name = c.n, string(b[4:])
	c.sum.Reset()
	c.sum.Write(b[4:])
	return nil
}

// cut reports a file that ends inside a chunk.
func (c *chunkReader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends inside or before the chunk that begins here")
	}
	return c.bad(err)
}

// all returns the data of a short chunk.
func (c *chunkReader) all(most uint32) ([]byte, error) {
	if c.n > most {
		return nil, c.bad(fmt.Errorf("a chunk %q of %d bytes, at most %d are allowed", c.name, c.n, most))
	}
	b := make([]byte, c.n)
	_, err := io.ReadFull(c.r, b)
	if err != nil {
		return nil, c.cut(err)
	}
	c.left = 0
	c.sum.Write(b)
	return b, nil
}

// end skips the rest of a chunk, and compares its checksum.
func (c *chunkReader) end() error {
	if _, err := io.CopyN(c.sum, c.r, int64(c.left)); err != nil {
		return c.cut(err)
	}
	c.left = 0
	var b [4]byte
	if _, err := io.ReadFull(c.r, b[:]); err != nil {
		return c.cut(err)
	}
	if binary.BigEndian.Uint32(b[:]) != c.sum.Sum32() {
		return c.bad(fmt.Errorf("the checksum of the chunk %q is wrong", c.name))
	}
	return nil
}

// Read reads the data of consecutive IDAT chunks.
func (c *chunkReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	for c.left == 0 {
		if c.err = c.next(); c.err != nil {
			return 0, c.err
		}
		if c.name != "IDAT" {
			c.err = io.EOF
			return 0, c.err
		}
	}
	n, err := c.r.Read(p[:min(len(p), int(c.left))])
	c.left -= uint32(n)
	c.sum.Write(p[:n])
	if err != nil {
		c.err = c.cut(err)
		return n, c.err
	}
	return n, nil
}
