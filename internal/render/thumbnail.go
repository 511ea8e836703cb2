package render

import (
	"context"
	"fmt"
	"image"
	"image/color"

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
// skipped have the colour bg; a tile that cannot be read is an error.
func Thumbnail(ctx context.Context, s *slide.Slide, maxW, maxH int, bg color.RGBA) ([]byte, error) {
	img, err := thumbnail(ctx, s, maxW, maxH, bg)
	if err != nil {
		return nil, err
	}
	return EncodeJPEG(img, thumbnailQuality)
}

// Scaled returns the entire slide as a JPEG of exactly w × h pixels, at most 4096 a
// side and no larger than level 0. It is rendered like [Thumbnail].
func Scaled(ctx context.Context, s *slide.Slide, w, h int, bg color.RGBA) ([]byte, error) {
	if size := s.Bounds.Size(); w < 1 || h < 1 || w > min(size.X, maxThumbnail) || h > min(size.Y, maxThumbnail) {
		return nil, fmt.Errorf("invalid size: a slide of %d×%d pixels scaled to %d×%d", size.X, size.Y, w, h)
	}
	img, err := scaled(ctx, s, w, h, bg)
	if err != nil {
		return nil, err
	}
	return EncodeJPEG(img, thumbnailQuality)
}

func thumbnail(ctx context.Context, s *slide.Slide, maxW, maxH int, bg color.RGBA) (*image.RGBA, error) {
	if maxW < 1 || maxH < 1 {
		return nil, fmt.Errorf("invalid size of a thumbnail: %d×%d pixels", maxW, maxH)
	}
	w, h := fit(s.Bounds.Dx(), s.Bounds.Dy(), min(maxW, maxThumbnail), min(maxH, maxThumbnail))
	return scaled(ctx, s, w, h, bg)
}

// scaled renders the slide from the smallest level that is at least as large as the result.
func scaled(ctx context.Context, s *slide.Slide, w, h int, bg color.RGBA) (*image.RGBA, error) {
	if s.Cropped() {
		halved := 0
		for halved < s.MaxZoom() && s.Bounds.Dx()>>(halved+1) >= w && s.Bounds.Dy()>>(halved+1) >= h {
			halved++
		}
		return region(ctx, s, image.Rectangle{Max: s.Bounds.Size()}, halved, w, h, Options{Background: bg})
	}
	level := 0
	for i := range s.Levels {
		if l := &s.Levels[i]; l.Width >= w && l.Height >= h {
			level = i
		}
	}
	d := newTileRenderer(s, Options{Background: bg})
	l := &s.Levels[level]
	sh, err := newShrinker(ctx, l.Width, l.Height, w, h)
	if err != nil {
		return nil, err
	}
	_, err = d.addTiles(ctx, sh, image.Rect(0, 0, l.Width, l.Height), l.TileWidth, l.TileHeight, func(x, y int) (*image.RGBA, error) { return d.stored(ctx, level, x, y) })
	if err != nil {
		return nil, err
	}
	return sh.picture(), nil
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
