package tile

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
	case Zoomify:
		return zoomifyPlace(s, a)
	case Halved:
		return cutPlace(s, a.Z, a.X, a.Y, ceilShift)
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
	}
	return cutPlace(s, k, a.X, a.Y, ceilShift)
}

// zoomifyPlace finds a Zoomify tile. Tiers are counted from the one that is one tile, each
// of half the size of the next, rounded down, and are cut to the picture.
func zoomifyPlace(s *slide.Slide, a *Address) (place, error) {
	l := &s.Levels[0]
	if l.TileWidth != l.TileHeight {
		return place{}, slide.ErrNoTile // Zoomify knows square tiles only
	}
	return cutPlace(s, ZoomifyTiers(l.Width, l.Height, l.TileWidth)-1-a.Z, a.X, a.Y, floorShift)
}

// ZoomifyTiers is how many tiers a picture has in Zoomify.
func ZoomifyTiers(width, height, tile int) int {
	n := 1
	for ; width > tile || height > tile; n++ {
		width, height = width>>1, height>>1
	}
	return n
}

// cutPlace finds tile x,y of the picture halved k times, cut to the picture, whose size is
// then as shift says.
func cutPlace(s *slide.Slide, k, x, y int, shift func(n, k int) int) (place, error) {
	if k < 0 || k >= len(s.Zooms) {
		return place{}, slide.ErrNoTile
	}
	l := &s.Levels[0]
	p, err := zoomPlace(s, len(s.Zooms)-1-k, x, y)
	if err != nil {
		return p, err
	}
	w, h := min(l.TileWidth, shift(l.Width, k)-x*l.TileWidth), min(l.TileHeight, shift(l.Height, k)-y*l.TileHeight)
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

func floorShift(n, k int) int { return n >> k }

func ceilShift(n, k int) int { return (n + 1<<k - 1) >> k }
