// Package codec decodes JPEG to planes of samples or to RGBA, and encodes both. A program
// built with cgo and the tag native uses libjpeg-turbo, which is linked into it; any other
// decodes with Go's image/jpeg, and encodes in Go to the same bytes as libjpeg-turbo.
//
// The callers check what a JPEG costs, and take the memory for it, before they decode it.
package codec

import (
	"errors"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/planes"
)

// Options select what is decoded. The zero value is the entire JPEG.
type Options struct {
	// Part is the part to be decoded, in pixels of the JPEG; empty for all. The result
	// begins at the sample that covers its first pixel: Min should be a multiple of the
	// denominator and of the pixels that a chroma sample covers.
	Part image.Rectangle
	// Denominator is 2, 4 or 8 for an image of a half, a quarter or an eighth of the width
	// and height, rounded up; 0 and 1 for all pixels.
	Denominator int
}

// Name returns the name and version of the codec: "libjpeg-turbo 2.1.5" or "Go image/jpeg".
func Name() string { return codecName() }

// Native reports whether JPEG is decoded by libjpeg-turbo.
func Native() bool { return native }

// Decode decodes a JPEG to planes as it stores them. Two kinds are converted: JPEGs of four
// inks, which become RGB, and those whose chroma isn't covered by planes of 1, 2 or 4 pixels
// a sample, which become RGB or are refused.
//
// Whether three components are YCbCr or RGB is determined as [jpeg.Header.RGB] describes.
// A JPEG that ends early, or is so damaged that a decoder would have to guess, is an error;
// a part may be decoded if the damage is below it.
func Decode(data []byte, o Options) (*planes.Picture, error) {
	j, err := open(data, o)
	if err != nil {
		return nil, err
	}
	p, err := j.decode()
	if err != nil {
		return nil, j.failed(err)
	}
	return p, nil
}

// DecodeRGBA decodes a JPEG to an opaque image, to be recycled with [planes.RecycleRGBA].
// Chroma of half the width or height is blended with its neighbours, also with those outside
// of the part.
func DecodeRGBA(data []byte, o Options) (*image.RGBA, error) {
	j, err := open(data, o)
	if err != nil {
		return nil, err
	}
	img, err := j.decodeRGBA()
	if err != nil {
		return nil, j.failed(err)
	}
	return img, nil
}

// Encode returns p as a baseline JPEG (JFIF) without other metadata. Gray and YCbCr keep their
// planes, and RGB becomes YCbCr with chroma of half the width and height (4:2:0). Quality is 1
// to 100. Of gray and YCbCr both implementations make the same bytes.
func Encode(p *planes.Picture, quality int) ([]byte, error) {
	if err := checkEncode(p.Width, p.Height, quality); err != nil {
		return nil, err
	}
	if err := checkPlanes(p); err != nil {
		return nil, err
	}
	return encode(p, quality)
}

// EncodeRGBA returns img as a baseline JPEG (JFIF, YCbCr, 4:2:0) without other metadata. The
// alpha of img is ignored. Quality is 1 to 100.
func EncodeRGBA(img *image.RGBA, quality int) ([]byte, error) {
	if err := checkEncode(img.Rect.Dx(), img.Rect.Dy(), quality); err != nil {
		return nil, err
	}
	return encodeRGBA(img, quality)
}

func checkEncode(w, h, quality int) error {
	if quality < 1 || quality > 100 {
		return fmt.Errorf("JPEG quality %d: must be between 1 and 100", quality)
	}
	return jpeg.CheckSize(w, h)
}

// checkPlanes returns an error for planes that are too small, since C would read past them.
func checkPlanes(p *planes.Picture) error {
	want := 3
	if p.Model == planes.Gray {
		want = 1
	}
	if len(p.Planes) != want {
		return fmt.Errorf("cannot encode a picture of %d planes", len(p.Planes))
	}
	for i, q := range p.Planes {
		if q.H < 1 || q.V < 1 || q.H*q.V > 8 || q.Width != (p.Width+q.H-1)/q.H || q.Height != (p.Height+q.V-1)/q.V {
			return fmt.Errorf("cannot encode plane %d of %d×%d samples for %d×%d pixels", i, q.Width, q.Height, p.Width, p.Height)
		}
		if q.Stride < q.Width || len(q.Pix) < (q.Height-1)*q.Stride+q.Width {
			return fmt.Errorf("cannot encode plane %d: %d bytes in rows of %d", i, len(q.Pix), q.Stride)
		}
		if p.Model != planes.YCbCr && q.H*q.V > 1 || i == 2 && (q.H != p.Planes[1].H || q.V != p.Planes[1].V) {
			return fmt.Errorf("cannot encode plane %d: a sample covers %d×%d pixels", i, q.H, q.V)
		}
	}
	return nil
}

// An input is a JPEG and the part of it to be decoded.
type input struct {
	data        []byte
	head        *jpeg.Header
	part        image.Rectangle // not empty
	denominator int
}

func open(data []byte, o Options) (*input, error) {
	head, err := jpeg.ReadHeader(data)
	if err != nil {
		return nil, err
	}
	j := &input{data: data, head: head, part: o.Part, denominator: max(o.Denominator, 1)}
	switch j.denominator {
	case 1, 2, 4, 8:
	default:
		return nil, fmt.Errorf("JPEG at 1/%d: only 1, 1/2, 1/4 and 1/8 can be decoded", o.Denominator)
	}
	all := image.Rect(0, 0, head.Width, head.Height)
	if j.part.Empty() {
		j.part = all
	}
	if !j.part.In(all) {
		return nil, fmt.Errorf("part %v of a JPEG of %d×%d pixels", j.part, head.Width, head.Height)
	}
	return j, j.check()
}

// check refuses what only one of the implementations can decode.
func (j *input) check() error {
	if f := j.head.Frame; f != jpeg.MarkSOF0 && f != jpeg.MarkSOF1 && f != jpeg.MarkSOF2 || j.head.Bits != 8 {
		return fmt.Errorf("%w: JPEG with marker %02X and %d bits per sample; only baseline, extended and progressive ones of 8 bits are decoded",
			jpeg.ErrUnsupported, f, j.head.Bits)
	}
	if n := len(j.head.Components); n == 2 {
		return fmt.Errorf("%w: JPEG of %d colours", jpeg.ErrUnsupported, n)
	}
	if len(j.head.Components) == 4 && j.head.Adobe < 0 {
		return fmt.Errorf("%w: JPEG of four colours without an Adobe marker, which would say what they are", jpeg.ErrUnsupported)
	}
	return nil
}

func (j *input) failed(err error) error {
	if errors.Is(err, jpeg.ErrUnsupported) {
		return err
	}
	return fmt.Errorf("JPEG of %d bytes: %w", len(j.data), err)
}

// model returns the model of the JPEG's planes, if it has three or one.
func (j *input) model() planes.Model {
	switch {
	case len(j.head.Components) == 1:
		return planes.Gray
	case j.head.RGB():
		return planes.RGB
	}
	return planes.YCbCr
}

// subsampling returns how many pixels a sample of the second and third component covers. It
// is not ok for JPEGs that [planes.Picture] does not describe: those of four components, and
// those whose first component is not the finest.
func (j *input) subsampling() (x, y int, ok bool) {
	c := j.head.Components
	switch len(c) {
	case 1:
		return 1, 1, true
	case 3:
		h, v := c[1].H, c[1].V
		if c[2].H != h || c[2].V != v || c[0].H%h != 0 || c[0].V%v != 0 {
			return 0, 0, false
		}
		x, y = c[0].H/h, c[0].V/v
		return x, y, x != 3 && y != 3
	}
	return 0, 0, false
}

// scaled returns the subsampling at the denominator. As in libjpeg, chroma is not made
// smaller as long as it is coarser than the result in both directions.
func scaled(x, y, denominator int) (int, int) {
	for ; denominator > 1 && x > 1 && y > 1; denominator /= 2 {
		x, y = x/2, y/2
	}
	return x, y
}

// outer divides the corners of r by n, so that the result covers r.
func outer(r image.Rectangle, n int) image.Rectangle {
	return image.Rect(r.Min.X/n, r.Min.Y/n, (r.Max.X+n-1)/n, (r.Max.Y+n-1)/n)
}
