package render

import (
	"context"
	"fmt"

	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// maxThumbnail limits the sides of a thumbnail, and thereby its memory.
	maxThumbnail     = 4096
	thumbnailQuality = 85
)

// Thumbnail returns the entire slide as a JPEG that fits into maxW × maxH pixels (at most
// 4096 a side) with its aspect ratio. It is rendered tile by tile from the smallest stored
// level that is at least as large, and is never larger than level 0. Areas that the scanner
// skipped have the background colour; a tile that cannot be read is an error.
func Thumbnail(ctx context.Context, s *slide.Slide, maxW, maxH int, o Options) ([]byte, error) {
	p, err := thumbnail(ctx, s, maxW, maxH, o)
	if err != nil {
		return nil, err
	}
	defer DiscardPicture(ctx, p)
	return EncodePicture(p, thumbnailQuality)
}

// Scaled returns the entire slide as a JPEG of exactly w × h pixels, at most 4096 a
// side and no larger than level 0. It is rendered like [Thumbnail].
func Scaled(ctx context.Context, s *slide.Slide, w, h int, o Options) ([]byte, error) {
	if size := s.Bounds.Size(); w < 1 || h < 1 || w > min(size.X, maxThumbnail) || h > min(size.Y, maxThumbnail) {
		return nil, fmt.Errorf("invalid size: a slide of %d×%d pixels scaled to %d×%d", size.X, size.Y, w, h)
	}
	p, err := Draw(ctx, s, Whole(s, w, h), o)
	if err != nil {
		return nil, err
	}
	defer DiscardPicture(ctx, p)
	return EncodePicture(p, thumbnailQuality)
}

func thumbnail(ctx context.Context, s *slide.Slide, maxW, maxH int, o Options) (*planes.Picture, error) {
	if maxW < 1 || maxH < 1 {
		return nil, fmt.Errorf("invalid size of a thumbnail: %d×%d pixels", maxW, maxH)
	}
	w, h := fit(s.Bounds.Dx(), s.Bounds.Dy(), min(maxW, maxThumbnail), min(maxH, maxThumbnail))
	return Draw(ctx, s, Whole(s, w, h), o)
}

// fit returns the largest size with the aspect ratio w:h within maxW × maxH that is not
// larger than w × h and at least one pixel a side.
func fit(w, h, maxW, maxH int) (int, int) {
	if w <= maxW && h <= maxH {
		return w, h
	}
	if w*maxH >= h*maxW {
		return maxW, max(1, (h*maxW+w/2)/w)
	}
	return max(1, (w*maxH+h/2)/h), maxH
}
