// Package jpeg2000 decodes JPEG 2000 in helper processes.
//
// The decoder is OpenJPEG, which has a history of memory errors. A helper is this program,
// started once more; it can do nothing but read codestreams from its standard input and write
// pixels to its standard output. One that crashes, hangs, or answers something else is
// replaced, and costs one tile.
//
// Only programs that were built with the tag native, for Linux, can decode; see [Available].
package jpeg2000

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrUnavailable reports that this build cannot decode JPEG 2000.
	ErrUnavailable = errors.New("JPEG 2000 is not read by this build of ptiffstore: use a build with native codecs")
	// ErrDamaged reports data that are not a complete image as expected.
	ErrDamaged = errors.New("the JPEG 2000 data are damaged")
	// ErrUnsupported reports an image of a kind that is not decoded.
	ErrUnsupported = errors.New("this kind of JPEG 2000 is not supported")
	// ErrDecoder reports that the decoder crashed, hung or did not start.
	ErrDecoder = errors.New("the JPEG 2000 decoder failed")
)

// Limits of what is decoded.
const (
	MaxBytes  = 64 << 20 // of the data
	MaxPixels = 16 << 20 // of an image
)

// Options describe the image that is expected.
type Options struct {
	Width, Height       int // the size of the image, in pixels, at most
	MinWidth, MinHeight int // the size at least; 0 is Width and Height
	Components          int // 1 or 3
	// Reduce is the number of resolutions to leave out: the result has a size of 1/2^Reduce,
	// rounded up. An image that has too few of them is an error.
	Reduce int
}

// A Picture is a decoded image, as planes of 8-bit samples.
type Picture struct {
	Width, Height int     // pixels, before the reduction
	Planes        []Plane // a colour transform of the codestream is undone

	planes [3]Plane
	memory []byte
}

// Recycle returns the memory of p for reuse. Its planes must not be used afterwards.
func (p *Picture) Recycle() {
	if p.memory != nil && len(p.memory) <= maxKept {
		select {
		case memories <- p.memory:
		default:
		}
	}
	p.memory, p.Planes = nil, nil
}

// maxKept limits the memory that is kept for reuse for a tile, in bytes.
const maxKept = 4 << 20

// memories keeps memory of pictures, as all tiles of a slide need the same. Unlike a
// [sync.Pool] it does not lose it to the garbage collector, of which such memory would be the
// main work.
var memories = make(chan []byte, 8)

// takeMemory returns n bytes with undefined contents.
func takeMemory(n int) []byte {
	select {
	case b := <-memories:
		if cap(b) >= n {
			return b[:n]
		}
	default:
	}
	return make([]byte, n)
}

// A Plane is one component of a picture.
type Plane struct {
	Pix           []byte // Height rows of Width samples
	Width, Height int
	H, V          int // pixels of the picture, as reduced, that a sample covers: 1, 2 or 4
}

// Memory returns what decoding an image of w × h pixels may take, in bytes, in this process
// and in the helper: 4 bytes for each coefficient, a copy as bytes, and the state of the
// decoder.
func Memory(w, h, components int) int64 { return int64(w)*int64(h)*int64(components)*7 + 8<<20 }

// Decode decodes a codestream or a JP2 file. The error wraps one of those above, or is that
// of ctx.
func Decode(ctx context.Context, data []byte, o Options) (*Picture, error) {
	o = o.complete()
	switch {
	case len(data) == 0 || len(data) > MaxBytes:
		return nil, fmt.Errorf("%w: %d bytes, expected 1 to %d", ErrDamaged, len(data), MaxBytes)
	case o.Width < 1 || o.Height < 1 || o.Width > MaxPixels || o.Height > MaxPixels || o.Width*o.Height > MaxPixels:
		return nil, fmt.Errorf("%w: an image of %d×%d pixels: at most %d are decoded", ErrUnsupported, o.Width, o.Height, MaxPixels)
	case o.Components != 1 && o.Components != 3:
		return nil, fmt.Errorf("%w: %d components: only 1 and 3 are decoded", ErrUnsupported, o.Components)
	case o.Reduce < 0 || o.Reduce > 32:
		return nil, fmt.Errorf("%w: %d resolutions cannot be left out", ErrUnsupported, o.Reduce)
	}
	return helpers().decode(ctx, data, o)
}

// complete returns o with the sizes that are 0 filled in.
func (o Options) complete() Options {
	if o.MinWidth == 0 {
		o.MinWidth = o.Width
	}
	if o.MinHeight == 0 {
		o.MinHeight = o.Height
	}
	return o
}

// Warm reports whether a helper can be started, by starting one unless there is one already.
func Warm(ctx context.Context) error { return helpers().warm(ctx) }

// Close ends all helpers that are not in use. Later calls start new ones.
func Close() { helpers().close() }

// Reduced returns n divided by 2^by, rounded up: a side of a reduced image.
func Reduced(n, by int) int { return int((int64(n) + 1<<by - 1) >> by) }
