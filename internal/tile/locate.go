package tile

import (
	"image"
	"math/bits"

	"github.com/slideatlas/ptiffstore/slide"
)

// A location is the part of a slide that an [Address] stands for.
type location struct {
	stored       bool // the file contains the tile as it is requested
	zoom         int  // zoom level; -1 if level is used
	level        int
	x, y         int
	w, h         int // of the top left part to crop the tile to, in pixels; 0 for the complete tile
	shrink       bool
	tileW, tileH int
	part         *part // nil for a tile of the levels
	grid         bool  // x and y are pixels
}

// A part is a part of the image that is rendered from it, halved so many times.
type part struct {
	image.Rectangle
	halved int
}

// locate returns the location of a, or [slide.ErrNoTile].
func locate(s *slide.Slide, a *Address, origin slide.Origin) (location, error) {
	switch a.Kind {
	case ByName:
		switch {
		case a.Origin != "":
			origin = a.Origin
		case s.IsPyramid():
			origin = slide.TopLeft // in their square, rows always count from the top
		}
		z, x, y, ok := slide.ParseName(a.Name, origin, func(z int) int {
			if z < 0 || z >= len(s.Zooms) {
				return 0
			}
			return s.Zooms[z].Rows
		})
		if !ok {
			return location{}, slide.ErrNoTile
		}
		return locateZoom(s, z, x, y)
	case ByLevel:
		return locateLevel(s, a)
	case DeepZoom:
		return locateDeepZoom(s, a)
	case Zoomify:
		return locateZoomify(s, a)
	case Halved:
		return locateCropped(s, a.Z, a.X, a.Y)
	}
	return locateZoom(s, a.Z, a.X, a.Y)
}

func locateZoom(s *slide.Slide, z, x, y int) (location, error) {
	if z < 0 || z >= len(s.Zooms) {
		return location{}, slide.ErrNoTile
	}
	zoom := &s.Zooms[z]
	if x < 0 || y < 0 || x >= zoom.Columns || y >= zoom.Rows {
		return location{}, slide.ErrNoTile
	}
	l := &s.Levels[0]
	p := location{zoom: z, level: zoom.Level, x: x, y: y, tileW: l.TileWidth, tileH: l.TileHeight}
	p.stored = p.level >= 0 && s.Levels[p.level].Layout.Codec == slide.JPEG
	return p, nil
}

// locateLevel locates a tile by the stored level.
func locateLevel(s *slide.Slide, a *Address) (location, error) {
	if a.Z < 0 || a.Z >= len(s.Levels) {
		return location{}, slide.ErrNoTile
	}
	l := &s.Levels[a.Z]
	if a.X < 0 || a.Y < 0 || a.X >= l.Columns || a.Y >= l.Rows {
		return location{}, slide.ErrNoTile
	}
	return location{
		stored: l.Layout.Codec == slide.JPEG,
		zoom:   -1, level: a.Z, x: a.X, y: a.Y, tileW: l.TileWidth, tileH: l.TileHeight,
	}, nil
}

// locateDeepZoom locates a Deep Zoom tile. Deep Zoom counts its levels from a size of
// one pixel upwards. The size of a level is that of the image divided by a power of two
// and rounded up. The last column and row are cropped to the image.
func locateDeepZoom(s *slide.Slide, a *Address) (location, error) {
	k := DeepZoomLevels(s.Bounds.Dx(), s.Bounds.Dy()) - a.Z
	if a.Z < 0 || k < 0 {
		return location{}, slide.ErrNoTile
	}
	if size := DeepZoomTile(s.Levels[0].TileWidth, s.Levels[0].TileHeight, a.TileSize); size != s.Levels[0].TileWidth || size != s.Levels[0].TileHeight || a.Overlap > 0 {
		return locateGrid(s, k, size, a)
	}
	w, h := ceilShift(s.Bounds.Dx(), k), ceilShift(s.Bounds.Dy(), k)
	if z := len(s.Zooms) - 1 - k; z < 0 {
		if a.X != 0 || a.Y != 0 {
			return location{}, slide.ErrNoTile
		}
		return location{zoom: 0, level: -1, w: w, h: h, shrink: true, tileW: w, tileH: h}, nil
	}
	return locateCropped(s, k, a.X, a.Y)
}

// DeepZoomTile returns the side of the Deep Zoom tiles of a slide whose tiles have the given
// size: what the client chose, if it is not 0, or that size, or 256 if the tiles are not
// square, as Deep Zoom has square ones only.
func DeepZoomTile(width, height, chosen int) int {
	switch {
	case chosen != 0:
		return chosen
	case width != height:
		return 256
	}
	return width
}

// locateGrid locates a tile of a grid that a client chose, of the image halved k times.
func locateGrid(s *slide.Slide, k, size int, a *Address) (location, error) {
	w, h := ceilShift(s.Bounds.Dx(), k), ceilShift(s.Bounds.Dy(), k)
	x, y := a.X*size, a.Y*size
	if a.X < 0 || a.Y < 0 || x >= w || y >= h {
		return location{}, slide.ErrNoTile
	}
	r := image.Rect(x-a.Overlap, y-a.Overlap, x+size+a.Overlap, y+size+a.Overlap).Intersect(image.Rect(0, 0, w, h))
	p := location{zoom: k, level: -1, x: r.Min.X, y: r.Min.Y, w: r.Dx(), h: r.Dy(), tileW: size, tileH: size, grid: true}
	p.part = &part{image.Rect(r.Min.X<<k, r.Min.Y<<k, r.Max.X<<k, r.Max.Y<<k), min(k, len(s.Zooms)-1)}
	if pixel := 1<<k - 1; p.part.halved > 0 && (s.Bounds.Min.X|s.Bounds.Min.Y)&pixel != 0 {
		p.part.halved-- // its pixels are not those of the level
	}
	return p, nil
}

// locateZoomify locates a Zoomify tile. Tiers are counted from the one that is a single
// tile. Each has half the size of the next one, rounded up as by libvips and OpenLayers,
// and is cropped to the image.
func locateZoomify(s *slide.Slide, a *Address) (location, error) {
	l := &s.Levels[0]
	if l.TileWidth != l.TileHeight {
		return location{}, slide.ErrNoTile // Zoomify has square tiles only
	}
	return locateCropped(s, ZoomifyTiers(s.Bounds.Dx(), s.Bounds.Dy(), l.TileWidth)-1-a.Z, a.X, a.Y)
}

// ZoomifyTiers returns the number of Zoomify tiers of an image; sizes are in pixels.
func ZoomifyTiers(width, height, tile int) int {
	n := 1
	for ; width > tile || height > tile; n++ {
		width, height = ceilShift(width, 1), ceilShift(height, 1)
	}
	return n
}

// locateCropped locates tile x,y of the image halved k times, cropped to the image.
func locateCropped(s *slide.Slide, k, x, y int) (location, error) {
	if k < 0 || k >= len(s.Zooms) {
		return location{}, slide.ErrNoTile
	}
	if s.Cropped() {
		return locateWithin(s, k, x, y)
	}
	l := &s.Levels[0]
	p, err := locateZoom(s, len(s.Zooms)-1-k, x, y)
	if err != nil {
		return p, err
	}
	w, h := min(l.TileWidth, ceilShift(l.Width, k)-x*l.TileWidth), min(l.TileHeight, ceilShift(l.Height, k)-y*l.TileHeight)
	if w <= 0 || h <= 0 {
		return location{}, slide.ErrNoTile
	}
	if w < l.TileWidth || h < l.TileHeight || p.stored && short(&s.Levels[p.level], x, y, w, h) {
		p.w, p.h, p.stored = w, h, false
	}
	return p, nil
}

// locateWithin locates tile x,y of an image that is only a part of level 0, halved k times.
// The tiles are counted from the corner of the image. Where they are not those of the level,
// they are rendered.
func locateWithin(s *slide.Slide, k, x, y int) (location, error) {
	l, b := &s.Levels[0], s.Bounds
	w, h := min(l.TileWidth, ceilShift(b.Dx(), k)-x*l.TileWidth), min(l.TileHeight, ceilShift(b.Dy(), k)-y*l.TileHeight)
	if x < 0 || y < 0 || w <= 0 || h <= 0 {
		return location{}, slide.ErrNoTile
	}
	stepX, stepY := l.TileWidth<<k, l.TileHeight<<k // in pixels of level 0
	if b.Min.X%stepX == 0 && b.Min.Y%stepY == 0 {
		p, err := locateZoom(s, len(s.Zooms)-1-k, x+b.Min.X/stepX, y+b.Min.Y/stepY)
		if w < l.TileWidth || h < l.TileHeight {
			p.w, p.h, p.stored = w, h, false
		}
		return p, err
	}
	p := location{zoom: k, level: -1, x: x, y: y, w: w, h: h, tileW: w, tileH: h}
	p.part = &part{image.Rect(x*stepX, y*stepY, x*stepX+w<<k, y*stepY+h<<k), k}
	if pixel := 1<<k - 1; k > 0 && (b.Min.X|b.Min.Y)&pixel != 0 {
		p.part.halved-- // its pixels are not those of the level
	}
	return p, nil
}

// short reports whether tile x,y of a level has fewer than w × h pixels of the image: a level
// may have lost its last column or row when it was halved.
func short(l *slide.Level, x, y, w, h int) bool {
	return l.Width-x*l.TileWidth < w || l.Height-y*l.TileHeight < h
}

// DeepZoomLevels returns the number of the largest Deep Zoom level of an image whose size
// is given in pixels: ceil(log2(longer side)).
func DeepZoomLevels(width, height int) int {
	return bits.Len(uint(max(width, height, 1) - 1))
}

func ceilShift(n, k int) int { return (n + 1<<k - 1) >> k }
