package slide

// A Zoom is a zoom level as viewers request it: each has half the size of the next one.
// Zoom MaxZoom is level 0, zoom 0 is a single tile with the entire slide.
type Zoom struct {
	Width, Height int // pixels
	Columns, Rows int // tiles of level 0's tile size
	Level         int // stored level with the same tiles; -1 if the zoom level must be derived from the next larger one
}

// MaxZoom returns the number of the largest zoom level, which is level 0.
func (s *Slide) MaxZoom() int { return len(s.Zooms) - 1 }

// Rows returns the number of rows of tiles of zoom level z, or 0 if there is no such
// zoom level.
func (s *Slide) Rows(z int) int {
	if z < 0 || z >= len(s.Zooms) {
		return 0
	}
	return s.Zooms[z].Rows
}

// ladder returns the zoom levels of a pyramid. Each has half as many columns and rows
// as the next larger one, rounded up, so that every tile has four children in the
// quadtree of tile names.
//
// The size of a zoom is half of the next larger one, rounded up, as Deep Zoom and IIIF
// compute it. Its stored level may have lost the last pixel when it was halved.
func ladder(levels []Level) []Zoom {
	l0 := &levels[0]
	up := []Zoom{{Width: l0.Width, Height: l0.Height, Columns: l0.Columns, Rows: l0.Rows}}
	for d := 2.0; ; d *= 2 {
		z := up[len(up)-1]
		if z.Columns <= 1 && z.Rows <= 1 {
			break
		}
		z = Zoom{Width: half(z.Width), Height: half(z.Height), Columns: half(z.Columns), Rows: half(z.Rows), Level: -1}
		z.Level = storedLevel(levels, d, z)
		up = append(up, z)
	}
	zooms := make([]Zoom, len(up))
	for i := range up {
		zooms[len(up)-1-i] = up[i]
	}
	return zooms
}

// storedLevel returns the level with the same tiles as z, or -1: it has level 0's tile
// size, is smaller than level 0 by d, and has the grid of z.
func storedLevel(levels []Level, d float64, z Zoom) int {
	for i := 1; i < len(levels); i++ {
		l := &levels[i]
		if l.Downsample == d && l.TileWidth == levels[0].TileWidth && l.TileHeight == levels[0].TileHeight &&
			l.Columns == z.Columns && l.Rows == z.Rows {
			return i
		}
	}
	return -1
}

func half(n int) int { return n/2 + n&1 }

// ceilDiv returns a/b rounded up, for a ≥ 0 and b > 0.
func ceilDiv(a, b int) int { return a/b + min(a%b, 1) }
