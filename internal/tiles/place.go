package tiles

import (
	"math/bits"

	"github.com/slideatlas/ptiffstore/slide"
)

// A place is where an address leads to in a slide.
type place struct {
	stored       bool // the bytes in the file are the answer
	zoom         int  // of the ladder; -1: level counts
	level        int
	x, y         int
	w, h         int // what of the tile is wanted, 0 for all of it
	shrink       bool
	tileW, tileH int
}

// locate finds the place of a, or returns [slide.ErrNoTile].
func locate(s *slide.Slide, a *Address, origin slide.Origin) (place, error) {
	switch a.Kind {
	case ByName:
		if a.Origin != "" {
			origin = a.Origin
		}
		z, x, y, ok := slide.ParseName(a.Name, origin, func(z int) int {
			if z < 0 || z >= len(s.Zooms) {
				return 0
			}
			return s.Zooms[z].Rows
		})
		if !ok {
			return place{}, slide.ErrNoTile
		}
		return zoomPlace(s, z, x, y)
	case ByLevel:
		return levelPlace(s, a)
	case DeepZoom:
		return deepZoomPlace(s, a)
	}
	return zoomPlace(s, a.Z, a.X, a.Y)
}

func zoomPlace(s *slide.Slide, z, x, y int) (place, error) {
	if z < 0 || z >= len(s.Zooms) {
		return place{}, slide.ErrNoTile
	}
	zoom := &s.Zooms[z]
	if x < 0 || y < 0 || x >= zoom.Columns || y >= zoom.Rows {
		return place{}, slide.ErrNoTile
	}
	l := &s.Levels[0]
	p := place{zoom: z, level: zoom.Level, x: x, y: y, tileW: l.TileWidth, tileH: l.TileHeight}
	p.stored = p.level >= 0 && s.Levels[p.level].Layout.Codec == slide.JPEG
	return p, nil
}

// levelPlace finds a tile by the level that stores it.
func levelPlace(s *slide.Slide, a *Address) (place, error) {
	if a.Z < 0 || a.Z >= len(s.Levels) {
		return place{}, slide.ErrNoTile
	}
	l := &s.Levels[a.Z]
	if a.X < 0 || a.Y < 0 || a.X >= l.Columns || a.Y >= l.Rows {
		return place{}, slide.ErrNoTile
	}
	return place{
		stored: l.Layout.Codec == slide.JPEG,
		zoom:   -1, level: a.Z, x: a.X, y: a.Y, tileW: l.TileWidth, tileH: l.TileHeight,
	}, nil
}

// deepZoomPlace finds a Deep Zoom tile. Deep Zoom counts its levels from one
// pixel up, each level's size being the whole picture's divided by a power of
// two and rounded up, and cuts the last column and row to the picture.
func deepZoomPlace(s *slide.Slide, a *Address) (place, error) {
	l := &s.Levels[0]
	if l.TileWidth != l.TileHeight {
		return place{}, slide.ErrNoTile // Deep Zoom knows square tiles only
	}
	k := DeepZoomLevels(l.Width, l.Height) - a.Z
	if a.Z < 0 || k < 0 {
		return place{}, slide.ErrNoTile
	}
	w, h := ceilShift(l.Width, k), ceilShift(l.Height, k)
	if z := len(s.Zooms) - 1 - k; z < 0 {
		if a.X != 0 || a.Y != 0 {
			return place{}, slide.ErrNoTile
		}
		return place{zoom: 0, level: -1, w: w, h: h, shrink: true, tileW: w, tileH: h}, nil
	} else {
		a = &Address{Z: z, X: a.X, Y: a.Y}
	}
	p, err := zoomPlace(s, a.Z, a.X, a.Y)
	if err != nil {
		return p, err
	}
	w, h = min(l.TileWidth, w-a.X*l.TileWidth), min(l.TileHeight, h-a.Y*l.TileHeight)
	if w <= 0 || h <= 0 {
		return place{}, slide.ErrNoTile
	}
	if w < l.TileWidth || h < l.TileHeight {
		p.w, p.h, p.stored = w, h, false
	}
	return p, nil
}

// DeepZoomLevels is the number of the largest Deep Zoom level of a picture,
// ceil(log2(longer side)).
func DeepZoomLevels(width, height int) int {
	return bits.Len(uint(max(width, height, 1) - 1))
}

func ceilShift(n, k int) int { return (n + 1<<k - 1) >> k }
