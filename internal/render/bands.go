package render

import (
	"context"
	"fmt"
	"image"
	"io"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
)

// Bands decodes a JPEG from top to bottom, some rows of pixels at a time, so that the image
// may be larger than memory. It decodes each of the parts that [jpeg.Bands] cuts.
type Bands struct {
	Width, Height int // pixels

	ctx   context.Context // provides the budget
	taken int64           // bytes taken from the budget
	bands *jpeg.Bands
}

// NewBands reads the header of the JPEG in r. The error wraps [ErrUnsupported] for a JPEG
// that cannot be decoded from top to bottom: a progressive one, or one with a separate scan
// for each colour. The memory for decoding is taken from the budget of ctx until Close.
func NewBands(ctx context.Context, r io.Reader) (*Bands, error) { return newBands(ctx, r, 0) }

// newBands is [NewBands] with bands of the given number of rows of MCUs, or of as many as
// are good if rows is 0.
func newBands(ctx context.Context, r io.Reader, rows int) (*Bands, error) {
	b := &Bands{ctx: ctx}
	var err error
	b.bands, err = jpeg.NewBands(r, jpeg.BandOptions{Blends: true, Take: b.take, Cost: jpegCost, Rows: rows})
	if err != nil {
		b.Close()
		return nil, err
	}
	b.Width, b.Height = b.bands.Width, b.bands.Height
	return b, nil
}

// Close returns the memory to the budget.
func (b *Bands) Close() {
	Give(b.ctx, b.taken)
	b.taken = 0
}

// take makes sure that n bytes are taken from the budget.
func (b *Bands) take(n int64) error {
	if err := Take(b.ctx, n-b.taken); err != nil {
		return err
	}
	b.taken = n
	return nil
}

// Next returns the next band, as wide as the image, or io.EOF after the last one. The
// pixels are the same as those of [DecodeJPEG]. They are valid until the next call.
func (b *Bands) Next() (*image.RGBA, error) {
	band, err := b.bands.Next()
	if err != nil {
		return nil, err
	}
	img, err := codec.DecodeRGBA(band.Data, codec.Options{})
	if err != nil {
		return nil, fmt.Errorf("a band of a JPEG of %d×%d pixels: %w", b.Width, b.Height, err)
	}
	return img.SubImage(image.Rect(0, band.From, b.Width, band.To)).(*image.RGBA), nil
}
