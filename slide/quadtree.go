package slide

// An Origin says from where the rows of tile names count.
type Origin string

const (
	// TopLeft is the convention of SlideAtlas's ptiff stores, and the default: of
	// the letters q r over t s each picks the quadrant where it stands.
	TopLeft Origin = "top-left"
	// BottomLeft is the convention of its Mongo tile stores: t s over q r, with
	// rows counted upwards from the bottom row of the zoom.
	BottomLeft Origin = "bottom-left"
)

// maxName bounds the letters of a tile's name: 31 quadrants are 2^31 columns.
const maxName = 32

// ParseName returns the zoom and the tile, counted from the top left, that a
// quadtree name stands for: the first letter, t, is zoom 0, and each further one
// picks a quadrant. rowsOf gives the rows of a zoom, 0 if there is none. It
// reports false for what is no name, and for a row that lies outside; columns
// are not checked.
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
		y ^= 1<<z - 1 // there q and r are the upper row
		y = rows - 1 - y
	}
	if y < 0 || y >= rows {
		return 0, 0, 0, false
	}
	return z, x, y, true
}

// Name returns the quadtree name of a tile, counted from the top left; "" if
// there is no such zoom or row.
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
