package slideatlas

import (
	"image"
	"strings"
)

const (
	// MaxLevels is the maximum number of levels of an image: the deepest tiles of a larger
	// one would have coordinates beyond 32 bits.
	MaxLevels = 24
	// MaxTileSize is the maximum side of a tile in pixels.
	MaxTileSize = 4096
	// maxSide bounds the side of the square in pixels, so that products of two fit in 63
	// bits.
	maxSide = 1 << 30
)

// A Grid describes the quadtree of an image: a square of Side pixels, of which the image
// covers Bounds. Zoom level 0 is the one tile that shows the whole square; the tiles of
// zoom level z divide it into 2^z × 2^z squares. Tiles outside of the image do not exist.
type Grid struct {
	TileSize int             // side of each tile in pixels
	Levels   int             // number of zoom levels
	Bounds   image.Rectangle // of the image in the square, in pixels of the largest level, y from the top
}

// A Tile is the address of a tile of the grid: column and row count from 0 at the top left
// of the square.
type Tile struct{ Zoom, Column, Row int }

// Side returns the side of the square, in pixels of the largest level.
func (g Grid) Side() int { return g.TileSize << (g.Levels - 1) }

// Scale returns how many pixels of the largest level a pixel of a zoom level covers in each
// direction.
func (g Grid) Scale(zoom int) int { return 1 << (g.Levels - 1 - zoom) }

// Within returns the bounds of the image in pixels of a zoom level. Partly covered pixels
// are within it.
func (g Grid) Within(zoom int) image.Rectangle {
	s := g.Scale(zoom)
	return image.Rect(g.Bounds.Min.X/s, g.Bounds.Min.Y/s, (g.Bounds.Max.X+s-1)/s, (g.Bounds.Max.Y+s-1)/s)
}

// Tiles returns the columns and rows of the tiles of a zoom level that show a part of the
// image: Min.X ≤ column < Max.X and Min.Y ≤ row < Max.Y.
func (g Grid) Tiles(zoom int) image.Rectangle {
	r, t := g.Within(zoom), g.TileSize
	return image.Rect(r.Min.X/t, r.Min.Y/t, (r.Max.X+t-1)/t, (r.Max.Y+t-1)/t)
}

// Has reports whether a tile shows a part of the image.
func (g Grid) Has(t Tile) bool {
	return t.Zoom >= 0 && t.Zoom < g.Levels && image.Pt(t.Column, t.Row).In(g.Tiles(t.Zoom))
}

// Visible returns the pixels of a tile that belong to the image, from the tile's top left.
// The others are padding. It is empty if the grid does not have the tile.
func (g Grid) Visible(t Tile) image.Rectangle {
	if !g.Has(t) {
		return image.Rectangle{}
	}
	corner := image.Pt(t.Column*g.TileSize, t.Row*g.TileSize)
	tile := image.Rectangle{Max: image.Pt(g.TileSize, g.TileSize)}
	return g.Within(t.Zoom).Sub(corner).Intersect(tile)
}

// At returns the tile of a zoom level that holds a pixel of the square, given in pixels of
// the largest level, and whether that tile shows a part of the image.
func (g Grid) At(zoom, x, y int) (Tile, bool) {
	if zoom < 0 || zoom >= g.Levels || x < 0 || y < 0 {
		return Tile{}, false
	}
	n := g.Scale(zoom) * g.TileSize
	t := Tile{zoom, x / n, y / n}
	return t, g.Has(t)
}

// quadrants are the letters of the quadrants of a tile: upper left, upper right, lower left,
// lower right.
const quadrants = "qrts"

// Name returns the name of the document that holds a tile, such as tqr.jpg: a path in the
// quadtree, in which t is the root and each further letter a quadrant. It is "" if no grid
// has the tile.
func (t Tile) Name() string {
	if t.Zoom < 0 || t.Zoom >= MaxLevels || t.Column < 0 || t.Row < 0 || t.Column>>t.Zoom != 0 || t.Row>>t.Zoom != 0 {
		return ""
	}
	b := make([]byte, 0, t.Zoom+len("t.jpg"))
	b = append(b, 't')
	for bit := t.Zoom - 1; bit >= 0; bit-- {
		b = append(b, quadrants[t.Row>>bit&1<<1|t.Column>>bit&1])
	}
	return string(append(b, ".jpg"...))
}

// ParseName returns the tile that a document holds, and whether the name is that of a tile.
func ParseName(name string) (Tile, bool) {
	path, ok := strings.CutSuffix(name, ".jpg")
	if !ok || path == "" || len(path) > MaxLevels || path[0] != 't' {
		return Tile{}, false
	}
	t := Tile{Zoom: len(path) - 1}
	for _, letter := range []byte(path[1:]) {
		i := strings.IndexByte(quadrants, letter)
		if i < 0 {
			return Tile{}, false
		}
		t.Column = t.Column<<1 | i&1
		t.Row = t.Row<<1 | i>>1
	}
	return t, true
}

// Children returns the four tiles of the next zoom level that cover a tile, in reading
// order.
func (t Tile) Children() [4]Tile {
	z, x, y := t.Zoom+1, 2*t.Column, 2*t.Row
	return [4]Tile{{z, x, y}, {z, x + 1, y}, {z, x, y + 1}, {z, x + 1, y + 1}}
}
