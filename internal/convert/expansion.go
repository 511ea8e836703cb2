package convert

import "fmt"

const (
	// alwaysMade is the size in bytes that a pyramid may have however small its image is.
	alwaysMade = 16 << 20
	// usual is how many bytes a pyramid takes for each 8 pixels of its image, all levels
	// together, at quality 85: 4 bits per pixel and a third more.
	usual = 6
	// overhead is the size of a pyramid in bytes without its tiles: directories and
	// tables of offsets.
	overhead = 64 << 10
	// blankTile is the size in bytes of a tile of one colour.
	blankTile = 4 << 10
)

// checkExpansion returns the maximum size in bytes of the pyramid for an image in a
// file of size bytes, 0 for no bound. It refuses an image whose pyramid would be larger
// even if it were blank, such as a small file of compressed zeros, and one for which
// there is no room.
func checkExpansion(src *picture, size int64, o Options) (bound int64, err error) {
	pixels := int64(src.Width) * int64(src.Height)
	if o.Expansion > 0 {
		bound = alwaysMade + o.Expansion*size
	}
	if least := pixels / (tileSide * tileSide) * blankTile; bound > 0 && least > bound {
		return 0, fmt.Errorf("%w: a %s of %d×%d pixels in %d bytes: its pyramid would need more than %d bytes, too many for a file of this size",
			ErrUnsupported, src.Kind, src.Width, src.Height, size, bound)
	}
	if o.CheckSpace == nil {
		return bound, nil
	}
	estimate := pixels/8*usual + overhead
	if bound > 0 {
		estimate = min(estimate, bound)
	}
	return bound, o.CheckSpace(0, estimate)
}
