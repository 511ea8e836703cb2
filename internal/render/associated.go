package render

import (
	"context"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// DecodeAssociated returns the pixels of an associated image with its strips joined. A
// single JPEG has its own size, regardless of Width and Height.
//
// A strip that is missing, damaged or of the wrong size is an error. The error is
// [ErrTooLarge] for more than 16 million pixels.
func DecodeAssociated(ctx context.Context, p *slide.AssociatedImage) (*image.RGBA, error) {
	if len(p.Strips) == 0 {
		return nil, fmt.Errorf("the associated image has no strips")
	}
	if err := checkAssociated(p); err != nil {
		return nil, err
	}
	if b := p.JPEG(); b != nil {
		return DecodeJPEG(ctx, b)
	}
	if err := checkSize(p.Width, p.Height); err != nil {
		return nil, err
	}
	rows := p.RowsPerStrip
	if rows < 1 || rows > p.Height && p.TileWidth == 0 {
		rows = p.Height
	}
	columns := p.Columns()
	if want := columns * ((p.Height + rows - 1) / rows); len(p.Strips) != want {
		return nil, fmt.Errorf("the associated image has %d strips or tiles; its %d rows, %d each, need %d", len(p.Strips), p.Height, rows, want)
	}
	if err := Take(ctx, pictureCost(p.Width, p.Height)); err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	for i, data := range p.Strips {
		at := image.Pt(i%columns*p.TileWidth, i/columns*rows)
		h := min(rows, p.Height-at.Y)
		piece, err := decodePiece(ctx, data, p, rows, h)
		if err != nil {
			unit := "strip"
			if p.TileWidth != 0 {
				unit = "tile"
			}
			return nil, fmt.Errorf("%s %d of %d: %w", unit, i, len(p.Strips), err)
		}
		copyPart(img, at, piece, piece.Rect.Intersect(image.Rect(0, 0, p.Width-at.X, h)))
		Discard(ctx, piece)
	}
	return img, nil
}

// decodePiece decodes a tile, or a strip of h rows. A last JPEG strip may have as many rows
// as the others.
func decodePiece(ctx context.Context, data []byte, p *slide.AssociatedImage, rows, h int) (*image.RGBA, error) {
	if p.TileWidth != 0 {
		return Decode(ctx, data, p.Layout, p.TileWidth, rows)
	}
	if p.Layout.Codec == slide.JPEG && h < rows {
		if head, err := jpeg.ReadHeader(data); err == nil && head.Height == rows {
			h = rows
		}
	}
	return Decode(ctx, data, p.Layout, p.Width, h)
}
