package render

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/slide"
)

const (
	defaultPreview = 100  // pixels high, like SlideAtlas's thumbnails
	maxPreview     = 2048 // pixels high
	maxAspect      = 4    // of each part; a slide of 75 × 25 mm has 3
	previewQuality = 88
)

// Preview returns an image of the glass slide as a JPEG of height pixels (100 if 0, at most
// 2048): at the left the label, upright, at the right the macro. Both keep their aspect ratio, up to 4:1.
//
// If the file has a macro but no label, the label is rendered from the barcode. Without a
// macro the result is the stored label alone, and without either it is the thumbnail.
func Preview(ctx context.Context, s *slide.Slide, height int) ([]byte, error) {
	if height == 0 {
		height = defaultPreview
	}
	if height < 1 || height > maxPreview {
		return nil, fmt.Errorf("height of a preview, %d pixels: it must be between 1 and %d high", height, maxPreview)
	}
	macro, err := associated(ctx, s, "macro")
	if err != nil {
		return nil, err
	}
	label, err := associated(ctx, s, "label")
	if label == nil && err == nil && macro != nil && s.Barcode != "" {
		label, err = drawLabel(s.Barcode)
	}
	if err != nil {
		return nil, err
	}
	if label == nil && macro == nil {
		p, err := thumbnail(ctx, s, maxAspect*height, height, Options{})
		if err != nil {
			return nil, err
		}
		defer DiscardPicture(ctx, p)
		return EncodePicture(p, previewQuality)
	}
	img, err := glass(ctx, label, macro, height)
	if err != nil {
		return nil, err
	}
	return EncodeJPEG(img, previewQuality)
}

// glass renders the available ones of label and macro beside each other.
func glass(ctx context.Context, label, macro *image.RGBA, height int) (*image.RGBA, error) {
	var parts []*image.RGBA
	for _, img := range []*image.RGBA{label, macro} {
		if img == nil {
			continue
		}
		part, err := toHeight(ctx, img, height)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return beside(ctx, parts)
}

// associated returns the pixels of an associated image, a label upright, or nil if the file
// has no such image.
func associated(ctx context.Context, s *slide.Slide, kind string) (*image.RGBA, error) {
	p, err := ReadAssociated(ctx, s, kind)
	if errors.Is(err, slide.ErrNoAssociated) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	decode := DecodeAssociated
	if kind == "label" {
		decode = func(ctx context.Context, p *slide.AssociatedImage) (*image.RGBA, error) {
			return uprightLabel(ctx, s, p)
		}
	}
	img, err := decode(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return img, nil
}

// toHeight scales img to the given height.
func toHeight(ctx context.Context, img *image.RGBA, height int) (*image.RGBA, error) {
	size := img.Rect.Size()
	w := (size.X*height + size.Y/2) / size.Y
	return scale(ctx, img, min(max(1, w), maxAspect*height), height)
}

// beside joins images of the same height from left to right.
func beside(ctx context.Context, parts []*image.RGBA) (*image.RGBA, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	w := 0
	for _, p := range parts {
		w += p.Rect.Dx()
	}
	if err := Take(ctx, pictureCost(w, parts[0].Rect.Dy())); err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, w, parts[0].Rect.Dy()))
	x := 0
	for _, p := range parts {
		copyPart(img, image.Pt(x, 0), p, p.Rect)
		x += p.Rect.Dx()
	}
	return img, nil
}
