package convert

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/slideatlas/ptiffstore/internal/render"
)

// maxJPEG bounds the file of a JPEG that is decoded as a whole, in bytes.
const maxJPEG = 128 << 20

func openJPEG(ctx context.Context, r io.ReaderAt, size int64) (*picture, error) {
	rows, w, h, err := openJPEGRows(ctx, func() io.Reader { return io.NewSectionReader(r, 0, size) }, size)
	if err != nil {
		return nil, err
	}
	p := &picture{Kind: "JPEG", Width: w, Height: h, rows: rows}
	if err := checkSize(p.Kind, w, h); err != nil {
		return nil, err
	}
	p.Resolution = jfifDensity(r)
	return p, nil
}

// openJPEGRows reads a JPEG of size bytes row by row, or as a whole if that is
// impossible and it is small.
func openJPEGRows(ctx context.Context, open func() io.Reader, size int64) (rows, int, int, error) {
	b, err := render.NewBands(ctx, open())
	if err == nil {
		// Every 8×8 block takes at least one bit.
		if most := 8 * 64 * (size + 64); int64(b.Width)*int64(b.Height) > most {
			b.Close()
			return nil, 0, 0, &FormatError{"JPEG", -1, fmt.Errorf("%d×%d pixels in %d bytes: the file is incomplete", b.Width, b.Height, size)}
		}
		return &bands{b: b}, b.Width, b.Height, nil
	}
	if frame, _, _, frameErr := jpegFrame(open()); frameErr == nil && frame > 0xc2 {
		return nil, 0, 0, fmt.Errorf("%w: a JPEG with arithmetic coding, or a lossless or hierarchical one; save it as a baseline JPEG, a PNG or a TIFF (marker %02X)", ErrUnsupported, frame)
	}
	if !errors.Is(err, render.ErrUnsupported) {
		return nil, 0, 0, decoding("JPEG", -1, err)
	}
	reason := err
	_, w, h, err := jpegFrame(open())
	if err != nil {
		return nil, 0, 0, err
	}
	if w*h > maxWhole || size > maxJPEG {
		return nil, 0, 0, fmt.Errorf("%w: a JPEG of %d×%d pixels that is progressive, or otherwise cannot be decoded in rows: "+
			"at most %d pixels and %d bytes; save it as a baseline JPEG, a PNG or a TIFF (%v)", ErrUnsupported, w, h, maxWhole, maxJPEG, reason)
	}
	return &whole{ctx: ctx, decode: func() (*image.RGBA, error) {
		read := 3 * size // the data while its buffer is being enlarged
		if err := render.Take(ctx, read); err != nil {
			return nil, err
		}
		defer render.Give(ctx, read)
		data, err := io.ReadAll(io.LimitReader(open(), size))
		if err != nil {
			return nil, err
		}
		img, err := render.DecodeJPEG(ctx, data)
		if err != nil {
			return nil, decoding("JPEG", -1, err)
		}
		return img, nil
	}}, w, h, nil
}

// bands are the rows of a JPEG.
type bands struct {
	b   *render.Bands
	img *image.RGBA // nil before the next band is read
	y   int
}

func (b *bands) Read(dst []byte) error {
	if b.img == nil {
		img, err := b.b.Next()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return decoding("JPEG", -1, err)
		}
		b.img, b.y = img, img.Rect.Min.Y
	}
	copyRow(dst, b.img, b.y)
	if b.y++; b.y == b.img.Rect.Max.Y {
		b.img = nil
	}
	return nil
}

func (b *bands) Close() error {
	b.b.Close()
	return nil
}

// copyRow copies row y of img.
func copyRow(dst []byte, img *image.RGBA, y int) {
	copy(dst, img.Pix[img.PixOffset(img.Rect.Min.X, y):][:4*img.Rect.Dx()])
}

// whole are the rows of a picture that is decoded when its first row is read.
type whole struct {
	ctx    context.Context // its budget provides the picture's memory
	decode func() (*image.RGBA, error)
	img    *image.RGBA
	y      int
}

func (s *whole) Read(dst []byte) error {
	if s.img == nil {
		img, err := s.decode()
		if err != nil {
			return err
		}
		s.img, s.y = img, img.Rect.Min.Y
	}
	if s.y >= s.img.Rect.Max.Y || len(dst) != 4*s.img.Rect.Dx() {
		return io.ErrUnexpectedEOF
	}
	copyRow(dst, s.img, s.y)
	s.y++
	return nil
}

func (s *whole) Close() error {
	render.Discard(s.ctx, s.img)
	s.img = nil
	return nil
}

// jpegFrame finds the frame of a JPEG: its marker, which names the coding, and its size.
func jpegFrame(r io.Reader) (mark byte, w, h int, err error) {
	br := bufio.NewReader(r)
	if _, err := br.Discard(2); err != nil {
		return 0, 0, 0, &FormatError{"JPEG", 0, io.ErrUnexpectedEOF}
	}
	for at := int64(2); ; {
		var b [9]byte
		mark, err = nextMark(br, &at)
		if err != nil {
			return 0, 0, 0, &FormatError{"JPEG", at, io.ErrUnexpectedEOF}
		}
		head, err := br.Peek(2)
		if err != nil {
			return 0, 0, 0, &FormatError{"JPEG", at, io.ErrUnexpectedEOF}
		}
		n := int(binary.BigEndian.Uint16(head))
		if mark >= 0xc0 && mark <= 0xcf && mark != 0xc4 && mark != 0xc8 && mark != 0xcc {
			if _, err := io.ReadFull(br, b[:7]); err != nil {
				return 0, 0, 0, &FormatError{"JPEG", at, io.ErrUnexpectedEOF}
			}
			return mark, int(binary.BigEndian.Uint16(b[5:])), int(binary.BigEndian.Uint16(b[3:])), nil
		}
		if _, err := br.Discard(n); err != nil || n < 2 || mark == 0xda {
			return 0, 0, 0, &FormatError{"JPEG", at, errors.New("no frame header before the pixels")}
		}
		at += int64(n)
	}
}

// nextMark reads a marker, with any number of bytes FF in front of it.
func nextMark(br *bufio.Reader, at *int64) (byte, error) {
	for {
		c, err := br.ReadByte()
		if err != nil {
			return 0, err
		}
		*at++
		if c != 0xff {
			return c, nil
		}
	}
}

// jfifDensity reads the resolution from APP0, which JFIF requires to come first.
func jfifDensity(r io.ReaderAt) resolution {
	var b [18]byte
	if _, err := r.ReadAt(b[:], 0); err != nil || !bytes.Equal(b[2:4], []byte{0xff, 0xe0}) || string(b[6:11]) != "JFIF\x00" {
		return resolution{}
	}
	unit := map[byte]int{1: unitInch, 2: unitCentimetre}[b[13]]
	x, y := float64(binary.BigEndian.Uint16(b[14:])), float64(binary.BigEndian.Uint16(b[16:]))
	if unit == 0 || x == 0 || y == 0 {
		return resolution{}
	}
	return resolution{x, y, unit}
}
