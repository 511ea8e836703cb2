package render

import (
	"context"
	"fmt"
	"image"

	"github.com/klauspost/compress/zstd"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// maxAssociated limits the pixels of labels, macros and other associated images, which
	// are a few hundred to four thousand pixels wide.
	maxAssociated = 16 << 20
	// pixelCost is the memory for a pixel of an image in bytes: 4 for RGBA, and as much for
	// the JPEG or the smaller image that is made from it.
	pixelCost = 8
)

func pictureCost(w, h int) int64 { return pixelCost * int64(w) * int64(h) }

// takePixels returns an image of w × h pixels with undefined contents.
func takePixels(ctx context.Context, w, h int) (*image.RGBA, error) {
	if err := Take(ctx, pictureCost(w, h)); err != nil {
		return nil, err
	}
	return newPixels(w, h), nil
}

// Discard releases an image of this package, and returns its memory to the budget of ctx.
func Discard(ctx context.Context, img *image.RGBA) {
	if img != nil {
		Give(ctx, int64(len(img.Pix))*pixelCost/4)
		recycle(img)
	}
}

// jpegCost returns an upper bound of the memory for decoding in bytes, including the resulting
// image. It is that of Go's decoder, which takes more than libjpeg-turbo: a plane of
// complete MCUs for each component, and four bytes for each coefficient that is buffered.
func jpegCost(h *jpeg.Header) int64 {
	across, down, units := 1, 1, 0
	for _, c := range h.Components {
		across, down = max(across, c.H), max(down, c.V)
		units += c.H * c.V
	}
	mcus := int64((h.Width+8*across-1)/(8*across)) * int64((h.Height+8*down-1)/(8*down))
	n := mcus * 64 * int64(across*down*len(h.Components))
	if h.Buffered() {
		n += mcus * 64 * 4 * int64(units)
	}
	if len(h.Components) != 1 { // RGB and CMYK are decoded to images of their own
		n += int64(4*h.Width) * int64(h.Height)
	}
	if len(h.Components) == 4 {
		n += int64(4*h.Width) * int64(h.Height)
	}
	return n + pictureCost(h.Width, h.Height)
}

// webpCost returns an upper bound of the memory for decoding a WebP, without the image.
func webpCost(data []byte, w, h int) int64 {
	pixels, size := int64(w+16)*int64(h+16), int64(len(data))
	if len(data) >= 16 && string(data[12:16]) == "VP8 " {
		return 4*pixels + 2*size // planes, and the filter parameters of each macroblock
	}
	// Lossless images have up to 2600 groups of five Huffman trees, whose nodes take at
	// most 256 bytes for each byte of the file.
	const groups, tables, nodes = 2600, 3 << 10, 50 << 10
	return 16*pixels + 2*size + groups*tables + min(256*size, groups*nodes)
}

// zstdWindow returns the window size of the frame at the start of data.
func zstdWindow(data []byte) (uint64, error) {
	var head zstd.Header
	if err := head.Decode(data); err != nil {
		return 0, fmt.Errorf("zstd data without a header: %w", err)
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

// ReadAssociated reads an associated image of s as stored. The error wraps [ErrTooLarge] if
// it is too large to be decoded.
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

// checkAssociated limits the cost of decoding an associated image, here or in a browser.
func checkAssociated(p *slide.AssociatedImage) error {
	w, h := p.Width, p.Height
	if b := p.JPEG(); b != nil {
		head, err := jpeg.ParseHeader(b)
		if err != nil {
			return err
		}
		w, h = head.Width, head.Height
	}
	if int64(w)*int64(h) > maxAssociated {
		return fmt.Errorf("%w: an associated image of %d×%d pixels: at most %d pixels are read", ErrTooLarge, w, h, maxAssociated)
	}
	return nil
}
