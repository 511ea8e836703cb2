package region

import (
	"fmt"
	"image"
	"math"
)

// An Image is the slide that requests are for.
type Image struct {
	Width, Height  int     // of the image, in pixels of level 0
	X, Y           int     // where the image begins in level 0, in pixels
	MPPX, MPPY     float64 // µm for each pixel of level 0; 0 if unknown
	ObjectivePower float64 // magnification of level 0; 0 if unknown
	Levels         []Level // stored levels, the largest first
}

// A Level is a stored resolution.
type Level struct {
	Width, Height int     // pixels
	X, Y          float64 // pixels of level 0 for each pixel, across and down
}

// A Box is a part of an image, in pixels of level 0 from its top left corner.
type Box struct{ X, Y, W, H float64 }

// String returns the box as x,y,w,h.
func (b Box) String() string { return fmt.Sprintf("%v,%v,%v,%v", b.X, b.Y, b.W, b.H) }

// within returns the part of b that is in the image.
func (b Box) within(im *Image) Box {
	x0, y0 := max(b.X, 0), max(b.Y, 0)
	return Box{x0, y0, min(b.X+b.W, float64(im.Width)) - x0, min(b.Y+b.H, float64(im.Height)) - y0}
}

func (b Box) empty() bool { return b.W <= 0 || b.H <= 0 }

// Outer returns the smallest rectangle of whole pixels that contains the box.
func (b Box) Outer() image.Rectangle {
	return image.Rect(int(math.Floor(b.X)), int(math.Floor(b.Y)), int(math.Ceil(b.X+b.W)), int(math.Ceil(b.Y+b.H)))
}

// A Plan says what to draw.
type Plan struct {
	Box               // the part that the result shows, which may reach out of the image
	Width, Height int // of the result, in pixels
	Level         int // stored level whose pixels are the result; -1 for the one that fits the scale
	Inside        Box // the part of the box that is in the image
	Clipped       bool
}

// Plan computes what to draw of an image.
func (r *Request) Plan(im *Image) (*Plan, error) {
	u, v, err := r.units(im)
	if err != nil {
		return nil, err
	}
	b := Box{r.X * u, r.Y * v, r.W * u, r.H * v}
	var p *Plan
	if r.Level >= 0 {
		p, err = r.ofLevel(b, im)
	} else {
		p, err = r.scaled(b, im)
	}
	if err != nil {
		return nil, err
	}
	return p, p.fill(r.Fill == Clip, im)
}

// units returns the pixels for each unit, across and down.
func (r *Request) units(im *Image) (u, v float64, err error) {
	if r.Unit != Micrometres {
		return 1, 1, nil
	}
	if !known(im.MPPX) || !known(im.MPPY) {
		return 0, 0, bad("unit=um is not possible, as the size of a pixel of this image is unknown: give x, y, w and h in pixels")
	}
	return 1 / im.MPPX, 1 / im.MPPY, nil
}

// known reports whether a size of pixels is one.
func known(mpp float64) bool { return mpp > 1e-6 && mpp < 1e6 }

// ratios returns how many pixels of level 0 are one of the result, across and down, or 0 if
// the request has neither mpp nor magnification.
func (r *Request) ratios(im *Image) (x, y float64, err error) {
	switch {
	case r.MPP > 0 && (!known(im.MPPX) || !known(im.MPPY)):
		return 0, 0, bad("mpp is not possible, as the size of a pixel of this image is unknown: scale by width and height")
	case r.MPP > 0:
		return r.MPP / im.MPPX, r.MPP / im.MPPY, nil
	case r.Magnification > 0 && im.ObjectivePower > 0:
		n := im.ObjectivePower / r.Magnification
		return n, n, nil
	case r.Magnification > 0 && known(im.MPPX):
		n := 10 / im.MPPX / r.Magnification // a pixel of 0.25 µm is 40×, as in the viewer
		return n, n, nil
	case r.Magnification > 0:
		return 0, 0, bad("magnification is not possible, as the magnification and the size of a pixel of this image are unknown: scale by width and height")
	}
	return 0, 0, nil
}

// ofLevel plans the stored pixels of a level from the one that covers the corner of b on.
func (r *Request) ofLevel(b Box, im *Image) (*Plan, error) {
	if r.Level >= len(im.Levels) {
		return nil, bad("level=%d is not in the image, which has the levels 0 to %d", r.Level, len(im.Levels)-1)
	}
	l := &im.Levels[r.Level]
	return &Plan{
		Box: Box{
			l.X*covering(b.X+float64(im.X), l.X) - float64(im.X), l.Y*covering(b.Y+float64(im.Y), l.Y) - float64(im.Y),
			l.X * float64(r.Width), l.Y * float64(r.Height),
		},
		Width: r.Width, Height: r.Height, Level: r.Level,
	}, nil
}

// covering returns the number of the pixel that covers position at of level 0, where a pixel
// is d wide. A position that a client computed from the number of a pixel may be too small
// by what floating point numbers cannot express.
func covering(at, d float64) float64 { return math.Floor(at/d + 1e-6) }

// scaled plans a region at the size that the request has, or that follows from its scale.
func (r *Request) scaled(b Box, im *Image) (*Plan, error) {
	rx, ry, err := r.ratios(im)
	if err != nil {
		return nil, err
	}
	if rx > 0 && r.Width > 0 { // so many pixels at that scale
		b.W, b.H = float64(r.Width)*rx, float64(r.Height)*ry
	}
	if rx == 0 {
		rx, ry = 1, 1
	}
	p := &Plan{Level: -1, Width: r.Width, Height: r.Height}
	p.X, p.W = b.X, b.W
	p.Y, p.H = b.Y, b.H
	if r.W == 0 && b.W == 0 {
		p.W = float64(im.Width) - b.X
	}
	if r.H == 0 && b.H == 0 {
		p.H = float64(im.Height) - b.Y
	}
	if p.W <= 0 || p.H <= 0 {
		return nil, outside(im)
	}
	w, h := p.W, p.H
	switch {
	case r.Width == 0 && r.Height == 0:
		p.Width, p.W = pixels(w, rx, r.W > 0)
		p.Height, p.H = pixels(h, ry, r.H > 0)
	case r.Width == 0:
		p.Width = count(w * float64(r.Height) / h)
	case r.Height == 0:
		p.Height = count(h * float64(r.Width) / w)
	}
	return p, p.check()
}

// pixels returns the number of pixels of a length of level 0 where a pixel is ratio wide. A
// length that was given exactly becomes that of the pixels, so that the scale is exact; one
// that ends at the edge of the image stays.
func pixels(length, ratio float64, given bool) (int, float64) {
	if given {
		n := count(length / ratio)
		return n, float64(n) * ratio
	}
	if ratio == 1 {
		n := max(1, int(min(length, maxCoordinate)))
		return n, min(float64(n), length)
	}
	return count(length / ratio), length
}

// count rounds to a number of pixels, at least 1.
func count(n float64) int { return int(max(1, min(math.Round(n), maxCoordinate))) }

func (p *Plan) check() error {
	if p.Width > MaxSide || p.Height > MaxSide {
		return fmt.Errorf("%w: it would have %d×%d pixels, at most %d a side are possible; scale it with width, height or mpp, or request several regions", ErrTooLarge, p.Width, p.Height, MaxSide)
	}
	return nil
}

func outside(im *Image) error {
	return bad("the region is outside of the image, which has %d×%d pixels", im.Width, im.Height)
}

// fill computes the part inside, and cuts the plan to it if clip is set.
func (p *Plan) fill(clip bool, im *Image) error {
	p.Inside = p.within(im)
	if p.Inside.empty() {
		return outside(im)
	}
	p.Clipped = p.Inside != p.Box
	if !clip || !p.Clipped {
		return nil
	}
	sx, sy := p.W/float64(p.Width), p.H/float64(p.Height)
	if p.Level >= 0 { // whole stored pixels
		l := &im.Levels[p.Level]
		right, bottom := float64(l.Width)*sx-float64(im.X), float64(l.Height)*sy-float64(im.Y)
		p.X, p.Width = cut(p.X, sx, p.Width, max(0, -float64(im.X)), min(right, math.Ceil(float64(im.Width)/sx)*sx))
		p.Y, p.Height = cut(p.Y, sy, p.Height, max(0, -float64(im.Y)), min(bottom, math.Ceil(float64(im.Height)/sy)*sy))
		p.W, p.H = float64(p.Width)*sx, float64(p.Height)*sy
		if p.Width < 1 || p.Height < 1 {
			return outside(im)
		}
	} else {
		p.Box = p.Inside
		p.Width, p.W = pixels(p.W, sx, false)
		p.Height, p.H = pixels(p.H, sy, false)
	}
	p.Inside = p.within(im)
	return nil
}

// cut returns the first position and the number of the n pixels of size d from position at
// on that begin between first and end.
func cut(at, d float64, n int, first, end float64) (float64, int) {
	i := int(max(0, math.Ceil((first-at)/d-1e-6)))
	j := int(min(float64(n), math.Ceil((end-at)/d-1e-6)))
	return at + float64(i)*d, j - i
}

// Unscaled reports whether the result has the pixels of level 0, from a whole one on.
func (p *Plan) Unscaled() bool {
	return p.W == float64(p.Width) && p.H == float64(p.Height) && p.X == math.Floor(p.X) && p.Y == math.Floor(p.Y)
}

// String returns a key that is equal for plans with the same result. It has no commas, which
// separate entity tags.
func (p *Plan) String() string {
	return fmt.Sprintf("%v_%v_%v_%v-%dx%d-l%d", p.X, p.Y, p.W, p.H, p.Width, p.Height, p.Level)
}

// bandPixels is how many pixels a band has at most: enough that few tiles lie in two bands,
// and little enough that a band may wait in memory for a slow client. As MCUs of 8 × 8
// pixels they are the longest restart interval of a JPEG.
const bandPixels = 64 * 65535

// Bands divide a picture into horizontal bands.
type Bands struct {
	plan          *Plan
	mirror        bool
	turn          int
	Width, Height int // of the picture, in pixels
	Rows          int // of each band but the last
}

// NewBands divides the result of a plan into bands, after it has been mirrored, if mirror is
// set, and then rotated clockwise by 0, 90, 180 or 270°.
func NewBands(p *Plan, mirror bool, turn int) *Bands {
	b := &Bands{plan: p, mirror: mirror, turn: turn, Width: p.Width, Height: p.Height}
	if turn%180 != 0 {
		b.Width, b.Height = b.Height, b.Width
	}
	b.Rows = bandPixels / ((b.Width + 15) &^ 15) &^ 15 // whole MCUs of a JPEG
	return b
}

// Count returns the number of bands.
func (b *Bands) Count() int { return (b.Height + b.Rows - 1) / b.Rows }

// Plan returns what to draw for band i, from 0 at the top, before it is mirrored and rotated
// as the picture.
func (b *Bands) Plan(i int) Plan {
	y0, y1 := i*b.Rows, min((i+1)*b.Rows, b.Height)
	w, h := b.plan.Width, b.plan.Height
	r := image.Rect(0, y0, w, y1)
	switch b.turn {
	case 90:
		r = image.Rect(y0, 0, y1, h)
	case 180:
		r = image.Rect(0, h-y1, w, h-y0)
	case 270:
		r = image.Rect(w-y1, 0, w-y0, h)
	}
	if b.mirror {
		r.Min.X, r.Max.X = w-r.Max.X, w-r.Min.X
	}
	return b.plan.part(r)
}

// part returns the plan of a part of the result.
func (p *Plan) part(r image.Rectangle) Plan {
	sx, sy := p.W/float64(p.Width), p.H/float64(p.Height)
	q := *p
	if r.Dx() != p.Width {
		q.X, q.W, q.Width = p.X+float64(r.Min.X)*sx, float64(r.Dx())*sx, r.Dx()
	}
	if r.Dy() != p.Height {
		q.Y, q.H, q.Height = p.Y+float64(r.Min.Y)*sy, float64(r.Dy())*sy, r.Dy()
	}
	return q
}
