package render

import (
	"bytes"
	"context"
	"fmt"
	"image"

	"github.com/klauspost/compress/zstd"

	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// maxProgressive bounds the pixels of a JPEG that is held as coefficients: a
	// progressive one, or one with each colour in a scan of its own. Each takes up to 27
	// bytes.
	maxProgressive = 16 << 20
	// maxAssociated bounds the pixels of labels, macros and other associated images. They
	// are a few hundred to four thousand pixels wide.
	maxAssociated = 16 << 20
	// pixelCost is what a pixel of an image takes: 4 bytes of RGBA, and as much for
	// the JPEG or the smaller image that it becomes.
	pixelCost = 8
	// maxSpan bounds the sides of what is scaled down, for which there are 16 bytes a
	// column and row.
	maxSpan = 32 << 20
)

func pictureCost(w, h int) int64 { return pixelCost * int64(w) * int64(h) }

// takePixels returns an image of w × h pixels that has undefined contents.
func takePixels(ctx context.Context, w, h int) (*image.RGBA, error) {
	if err := Take(ctx, pictureCost(w, h)); err != nil {
		return nil, err
	}
	return newPixels(w, h), nil
}

// Discard gives back an image of this package that is no longer used, and what
// was taken for it from the budget of ctx.
func Discard(ctx context.Context, img *image.RGBA) {
	if img != nil {
		Give(ctx, int64(len(img.Pix))*pixelCost/4)
		recycle(img)
	}
}

// buffered reports whether all coefficients of a JPEG are in memory before the first
// pixel comes out.
func (h *header) buffered() bool {
	return h.frame == markSOF2 || len(h.scan) > 0 && int(h.scan[0]) < len(h.components)
}

// cost is what decoding takes in bytes at most, the image that comes out included. It
// is that of Go's decoder, which takes more than libjpeg-turbo: a plane of whole MCUs
// for each component, and where they are buffered a coefficient of four bytes.
func (h *header) cost() int64 {
	across, down, units := 1, 1, 0
	for _, c := range h.components {
		across, down = max(across, c.h), max(down, c.v)
		units += c.h * c.v
	}
	mcus := int64((h.width+8*across-1)/(8*across)) * int64((h.height+8*down-1)/(8*down))
	n := mcus * 64 * int64(across*down*len(h.components))
	if h.buffered() {
		n += mcus * 64 * 4 * int64(units)
	}
	if len(h.components) != 1 { // RGB and CMYK come out as images of their own
		n += int64(4*h.width) * int64(h.height)
	}
	if len(h.components) == 4 {
		n += int64(4*h.width) * int64(h.height)
	}
	return n + pictureCost(h.width, h.height)
}

// webpCost is what decoding a WebP takes at most besides the image.
func webpCost(data []byte, w, h int) int64 {
	pixels, size := int64(w+16)*int64(h+16), int64(len(data))
	if len(data) >= 16 && string(data[12:16]) == "VP8 " {
		return 4*pixels + 2*size // planes, and what the filters are told of each macroblock
	}
	// Without loss there are up to 2600 groups of five Huffman trees, whose nodes take
	// 256 bytes for each byte of the file at most.
	const groups, tables, nodes = 2600, 3 << 10, 50 << 10
	return 16*pixels + 2*size + groups*tables + min(256*size, groups*nodes)
}

// zstdWindow is how much of what it has decompressed the frame at the start of data
// refers back to.
func zstdWindow(data []byte) (uint64, error) {
	var head zstd.Header
	if err := head.Decode(data); err != nil {
		return 0, fmt.Errorf("render: zstd data without a header: %w", err)
	}
	window := head.WindowSize
	if head.SingleSegment {
		window = head.FrameContentSize
	}
	if head.Skippable || window > maxBytes {
		return 0, fmt.Errorf("%w: zstd data that begin with a skippable frame, or refer back more than %d bytes", ErrUnsupported, maxBytes)
	}
	return max(window, zstd.MinWindowSize), nil
}

// ReadAssociated reads an associated image of s as it is stored. The error wraps
// [ErrTooLarge] if it is too large to be decoded.
func ReadAssociated(ctx context.Context, s *slide.Slide, kind string) (*slide.AssociatedImage, error) {
	if err := Take(ctx, s.AssociatedCost(kind)); err != nil {
		return nil, err
	}
	p, err := s.ReadAssociated(kind)
	if err != nil {
		return nil, err
	}
	return p, checkAssociated(p)
}

// checkAssociated bounds what decoding an associated image costs, here or in a browser.
func checkAssociated(p *slide.AssociatedImage) error {
	w, h := p.Width, p.Height
	if len(p.Strips) == 1 && p.Layout.Codec == slide.JPEG {
		head, err := parseHeader(p.Strips[0])
		if err != nil {
			return err
		}
		w, h = head.width, head.height
	}
	if int64(w)*int64(h) > maxAssociated {
		return fmt.Errorf("%w: an associated image of %d×%d pixels: at most %d pixels are read", ErrTooLarge, w, h, maxAssociated)
	}
	return nil
}

// scanCount is the number of scans of a JPEG whose first has its pixels at body.
func scanCount(data []byte, body int) int {
	return bytes.Count(data[body:], []byte{0xff, markSOS}) + 1
}
