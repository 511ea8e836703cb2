package render

import (
	"context"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/slide"
)

// Picture returns the pixels of an associated image, its strips joined. Of a
// single JPEG the size is its own, whatever the directory says.
//
// A strip that is missing, damaged or of the wrong size is an error. More than 16 million
// pixels are [ErrTooLarge].
func Picture(ctx context.Context, p *slide.Picture) (*image.RGBA, error) {
	if len(p.Strips) == 0 {
		return nil, fmt.Errorf("render: a picture without strips")
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
		return nil, fmt.Errorf("render: a picture of %d strips, where %d rows of %d a strip make %d", len(p.Strips), p.Height, rows, want)
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

// decodeStrip decodes a strip of h rows, or if it is the last and a JPEG, maybe of
// as many rows as the others have.
func decodeStrip(ctx context.Context, data []byte, p *slide.Picture, rows, h int) (*image.RGBA, error) {
	if p.Layout.Codec == slide.JPEG && h < rows {
		if head, err := readHeader(data); err == nil && head.height == rows {
			h = rows
		}
	}
	return Decode(ctx, data, p.Layout, p.Width, h)
}
