package slide

// An Origin is the corner from which the rows of quadtree tile names count.
type Origin string

const (
	// TopLeft is the convention of SlideAtlas's ptiff stores, and the default: q and
	// r are the upper left and right quadrants, t and s the lower ones.
	TopLeft Origin = "top-left"
	// BottomLeft is the convention of its Mongo tile stores: t and s are the upper
	// quadrants, q and r the lower ones, and rows count upwards from the bottom row
	// of the zoom level.
	BottomLeft Origin = "bottom-left"
)

// maxName limits the letters of a tile's name: 31 quadrants are 2^31 columns.
const maxName = 32

// ParseName returns the zoom level, column and row of the tile with a quadtree name,
// counted from the top left. The first letter, t, is zoom level 0, and each further letter
// selects a quadrant. The function rowsOf must return the number of rows of a zoom level,
// or 0 for a level that does not exist, like [Slide.Rows]. ParseName reports false for a
// malformed name and for a row outside the zoom level; it does not check the column.
func ParseName(name string, o Origin, rowsOf func(z int) int) (z, x, y int, ok bool) {
	if name == "" || len(name) > maxName || name[0] != 't' {
		return 0, 0, 0, false
	}
	for _, c := range []byte(name[1:]) {
		x, y = x<<1, y<<1
		// The upper bit of a quadrant is the row, 0 for q and r.
		switch c {
		case 'q':
		case 'r':
			x |= 1
		case 't':
			y |= 1
		case 's':
			x, y = x|1, y|1
		default:
			return 0, 0, 0, false
		}
		z++
	}
	rows := rowsOf(z)
	if o == BottomLeft {
		y ^= 1<<z - 1 // there, q and r are the upper row
		y = rows - 1 - y
	}
	if y < 0 || y >= rows {
		return 0, 0, 0, false
	}
	return z, x, y, true
}

// Name returns the quadtree name of tile x,y of zoom level z, counted from the top left,
// or "" if there is no such zoom level or row. rowsOf is as in [ParseName].
func Name(z, x, y int, o Origin, rowsOf func(z int) int) string {
	if z < 0 || z >= maxName || x < 0 || x >= 1<<z || y < 0 || y >= rowsOf(z) || y >= 1<<z {
		return ""
	}
	letters := "qrts"
	if o == BottomLeft {
		letters = "tsqr"
		y = rowsOf(z) - 1 - y
	}
	if y >= 1<<z {
		return ""
	}
	b := make([]byte, 1, maxName)
	b[0] = 't'
	for i := z - 1; i >= 0; i-- {
		b = append(b, letters[(y>>i&1)<<1|x>>i&1])
	}
	return string(b)
}
