package render

import (
	"context"
	"fmt"
	"image"

	"golang.org/x/image/draw"
)

// A shrinker scales down an image that is added in pieces, in any order. Each pixel is the
// mean of the area that it covers. Only the small image is in memory.
type shrinker struct {
	w, h       int      // of the small image
	columns    []share  // of each column of the large image
	rows       []share  // of each row
	sums       []uint32 // three per pixel, 8.24 fixed point
	horizontal []uint32 // of one row
}

// A share divides a pixel of the large image between two pixels of the small one, in
// 65536ths of a small pixel: the first part belongs to pixel at, the rest to at+1.
type share struct {
	at          int
	first, rest uint32
}

// takeShrinker takes the memory for a shrinker and for the resulting image from the budget.
func takeShrinker(ctx context.Context, largeW, largeH, w, h int) error {
	if largeW+largeH > maxSpan {
		return fmt.Errorf("%w: %d×%d pixels are not scaled down", ErrTooLarge, largeW, largeH)
	}
	return Take(ctx, shrinkerCost(largeW, largeH, w, h))
}

// shrinkerCost returns the memory for a shrinker and for the resulting image in bytes.
func shrinkerCost(largeW, largeH, w, h int) int64 {
	return 16*int64(largeW+largeH) + 12*int64(w)*int64(h+1) + pictureCost(w, h)
}

func newShrinker(ctx context.Context, largeW, largeH, w, h int) (*shrinker, error) {
	if err := takeShrinker(ctx, largeW, largeH, w, h); err != nil {
		return nil, err
	}
	return shrinkerOf(shares(largeW, w), shares(largeH, h), w, h), nil
}

func shrinkerOf(columns, rows []share, w, h int) *shrinker {
	return &shrinker{w: w, h: h, columns: columns, rows: rows, sums: make([]uint32, 3*w*h), horizontal: make([]uint32, 3*w)}
}

// shares divides n pixels among m ≤ n. The shares of each of the m add up to 65536.
func shares(n, m int) []share {
	return sharesAt(n, func(i int) int { return i * (m << 16) / n })
}

// sharesAt divides n pixels, given the position of each in 65536ths of a small pixel. None
// may be wider than a small pixel.
func sharesAt(n int, position func(i int) int) []share {
	s := make([]share, n)
	for i := range s {
		from, to := position(i), position(i+1)
		at := from >> 16
		end := min(to, (at+1)<<16)
		s[i] = share{at, uint32(end - from), uint32(to - end)}
	}
	return s
}

// add adds the top left w × h pixels of img, the first of which is pixel x,y of the large
// image.
func (s *shrinker) add(img *image.RGBA, x, y, w, h int) {
	if w < 1 || h < 1 {
		return
	}
	columns := s.columns[x : x+w]
	left, right := columns[0].at, min(columns[w-1].at+2, s.w)
	sums := s.horizontal[:3*(right-left)]
	for i, row := range s.rows[y : y+h] {
		clear(sums)
		addRow(sums, img.Pix[i*img.Stride:][:4*w], columns, left)
		s.addSums(sums, left, row.at, row.first)
		if row.rest > 0 {
			s.addSums(sums, left, row.at+1, row.rest)
		}
	}
}

// addRow adds one row of pixels to sums, which begins at column left.
func addRow(sums []uint32, pix []byte, columns []share, left int) {
	for i, c := range columns {
		r, g, b := uint32(pix[4*i]), uint32(pix[4*i+1]), uint32(pix[4*i+2])
		to := sums[3*(c.at-left):]
		to[0] += r * c.first
		to[1] += g * c.first
		to[2] += b * c.first
		if c.rest > 0 {
			to[3] += r * c.rest
			to[4] += g * c.rest
			to[5] += b * c.rest
		}
	}
}

// addSums adds the sums of a row to row y of the small image.
func (s *shrinker) addSums(sums []uint32, left, y int, weight uint32) {
	to := s.sums[3*(y*s.w+left):][:len(sums)]
	for i, v := range sums {
		to[i] += v >> 8 * weight // 255 << 24 at most
	}
}

// picture returns the small image.
func (s *shrinker) picture() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, s.w, s.h))
	for i := range s.w * s.h {
		for c := range 3 {
			img.Pix[4*i+c] = byte(min((uint64(s.sums[3*i+c])+1<<23)>>24, 255))
		}
		img.Pix[4*i+3] = 255
	}
	return img
}

// scale returns img at w × h pixels.
func scale(ctx context.Context, img *image.RGBA, w, h int) (*image.RGBA, error) {
	size := img.Rect.Size()
	if w <= size.X && h <= size.Y {
		s, err := newShrinker(ctx, size.X, size.Y, w, h)
		if err != nil {
			return nil, err
		}
		s.add(img, 0, 0, size.X, size.Y)
		return s.picture(), nil
	}
	if err := Take(ctx, pictureCost(w, h)); err != nil {
		return nil, err
	}
	large := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.ApproxBiLinear.Scale(large, large.Rect, img, img.Rect, draw.Src, nil)
	return large, nil
}
