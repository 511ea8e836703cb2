package render

import (
	"context"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/slide"
)

// DecodeAssociated returns the pixels of an associated image with its strips joined. A
// single JPEG has its own size, regardless of Width and Height.
//
// A strip that is missing, damaged or of the wrong size is an error. The error is
// [ErrTooLarge] for more than 16 million pixels.
func DecodeAssociated(ctx context.Context, p *slide.AssociatedImage) (*image.RGBA, error) {
	if len(p.Strips) == 0 {
		return nil, fmt.Errorf("render: an associated image without strips")
	}
	if err := checkAssociated(p); err != nil {
		return nil, err
	}
	if len(p.Strips) == 1 && p.Layout.Codec == slide.JPEG {
		return DecodeJPEG(ctx, p.Strips[0])
	}
	if err := checkSize(p.Width, p.Height); err != nil {
		return nil, err
	}
	rows := p.RowsPerStrip
	if rows < 1 || rows > p.Height {
		rows = p.Height
	}
	if want := (p.Height + rows - 1) / rows; len(p.Strips) != want {
		return nil, fmt.Errorf("render: an associated image with %d strips instead of those of %d rows, %d per strip: %d", len(p.Strips), p.Height, rows, want)
	}
	if err := Take(ctx, pictureCost(p.Width, p.Height)); err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	for i, data := range p.Strips {
		h := min(rows, p.Height-i*rows)
		strip, err := decodeStrip(ctx, data, p, rows, h)
		if err != nil {
			return nil, fmt.Errorf("strip %d of %d: %w", i, len(p.Strips), err)
		}
		copyPart(img, image.Pt(0, i*rows), strip, image.Rect(0, 0, p.Width, h))
		Discard(ctx, strip)
	}
	return img, nil
}

// decodeStrip decodes a strip of h rows. A last JPEG strip may have as many rows as the
// others.
func decodeStrip(ctx context.Context, data []byte, p *slide.AssociatedImage, rows, h int) (*image.RGBA, error) {
	if p.Layout.Codec == slide.JPEG && h < rows {
		if head, err := readHeader(data); err == nil && head.height == rows {
			h = rows
		}
	}
	return Decode(ctx, data, p.Layout, p.Width, h)
}
