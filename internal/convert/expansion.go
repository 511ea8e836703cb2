package convert

import "fmt"

const (
	// alwaysMade is what a pyramid may take however small its picture is.
	alwaysMade = 16 << 20
	// usual is how many bytes a pyramid takes for each 8 pixels of its picture, all
	// levels together, at quality 85: 4 bits a pixel and a third more.
	usual = 6
	// overhead is what a pyramid takes beside its tiles: directories and tables of offsets.
	overhead = 64 << 10
	// blankTile is what a tile takes that shows one colour.
	blankTile = 4 << 10
)

// checkExpansion returns how many bytes the pyramid of a picture in a file of size bytes
// may take, 0 for no bound. It refuses a picture whose pyramid takes more even if it shows nothing, as a
// small file of compressed zeros does, and one for which there is no room.
func checkExpansion(src *picture, size int64, o Options) (bound int64, err error) {
	pixels := int64(src.Width) * int64(src.Height)
	if o.Expansion > 0 {
		bound = alwaysMade + o.Expansion*size
	}
	if least := pixels / (tileSide * tileSide) * blankTile; bound > 0 && least > bound {
		return 0, fmt.Errorf("%w: a %s of %d×%d pixels in %d bytes: its pyramid would take more than %d bytes, which is more than is made of a file of this size",
			ErrUnsupported, src.Kind, src.Width, src.Height, size, bound)
	}
	if o.Room == nil {
		return bound, nil
	}
	estimate := pixels/8*usual + overhead
	if bound > 0 {
		estimate = min(estimate, bound)
	}
	return bound, o.Room(0, estimate)
}
