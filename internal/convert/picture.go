package convert

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/slideatlas/ptiffstore/internal/render"
)

// A picture is an open image: its description, and its pixels row by row.
type picture struct {
	Kind          string // "PNG", "JPEG", "TIFF"
	Width, Height int    // pixels
	Tiled         bool   // a TIFF in tiles
	Resolution    resolution
	rows          rows
}

// rows reads pixels from top to bottom.
type rows interface {
	// Read fills dst with the next row as RGBA, opaque.
	Read(dst []byte) error
	// Close releases memory.
	Close() error
}

// Close releases memory.
func (p *picture) Close() error { return p.rows.Close() }

// A resolution is in pixels per unit, as stated in the file; 0 if it is not.
type resolution struct {
	x, y float64
	unit int // as in TIFF's tag 296
}

// Values of tag 296.
const (
	unitNone       = 1
	unitInch       = 2
	unitCentimetre = 3
)

// openPicture detects the kind of a file by its first bytes, and opens it.
func openPicture(ctx context.Context, r io.ReaderAt, size int64) (*picture, error) {
	var magic [8]byte
	n, err := r.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var p *picture
	switch head := string(magic[:n]); {
	case head == pngMagic:
		p, err = openPNG(ctx, r, size)
	case n >= 3 && head[:3] == "\xff\xd8\xff":
		p, err = openJPEG(ctx, r, size)
	case n >= 4 && (head[:2] == "II" || head[:2] == "MM"):
		p, err = openTIFF(ctx, r, size)
	case n == 0:
		err = &FormatError{"picture", 0, errors.New("the file is empty")}
	default:
		err = fmt.Errorf("%w: not a JPEG, PNG or TIFF: it begins with % x", ErrUnsupported, magic[:n])
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// checkSize bounds a picture.
func checkSize(kind string, w, h int) error {
	switch {
	case w < 1 || h < 1:
		return &FormatError{kind, -1, fmt.Errorf("a size of %d×%d pixels", w, h)}
	case w > maxSide || h > maxSide || w*h > maxPixels:
		return fmt.Errorf("%w: a %s of %d×%d pixels: at most %d a side and %d in all", ErrUnsupported, kind, w, h, maxSide, maxPixels)
	}
	return nil
}

// ofMemory reports errors that the image has not caused.
func ofMemory(err error) bool {
	return errors.Is(err, render.ErrTooLarge) || errors.Is(err, render.ErrBusy) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// decoding distinguishes damaged from unsupported pixels.
func decoding(kind string, at int64, err error) error {
	if ofMemory(err) {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if errors.Is(err, render.ErrUnsupported) {
		return fmt.Errorf("%w: %s: %w", ErrUnsupported, kind, err)
	}
	return &FormatError{kind, at, err}
}
