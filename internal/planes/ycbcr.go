package planes

import "image"

// FromRGBA returns img as YCbCr with chroma of half the width and height (4:2:0), by the
// arithmetic of libjpeg. The alpha of img is ignored.
func FromRGBA(img *image.RGBA) *Picture {
	p := New(img.Rect.Dx(), img.Rect.Dy(), YCbCr, 2, 2)
	p.fill(func(y int, luma, cb, cr []byte) {
		row := img.Pix[y*img.Stride:][:4*len(luma)]
		for x := range luma {
			d := row[4*x : 4*x+3 : 4*x+3]
			luma[x], cb[x], cr[x] = toYCbCr(d[0], d[1], d[2])
		}
	})
	return p
}

// YCbCr returns a picture of the model RGB as YCbCr with chroma of half the width and height
// (4:2:0); others as they are.
func (p *Picture) YCbCr() *Picture {
	if p.Model != RGB {
		return p
	}
	to := New(p.Width, p.Height, YCbCr, 2, 2)
	var up [3]*upsampler
	for i := range p.Planes {
		up[i] = newUpsampler(&p.Planes[i], p.Width)
	}
	to.fill(func(y int, luma, cb, cr []byte) {
		r, g, b := up[0].row(y), up[1].row(y), up[2].row(y)
		for x := range luma {
			luma[x], cb[x], cr[x] = toYCbCr(r[x], g[x], b[x])
		}
	})
	return to
}

// toYCbCr converts a pixel, as rgb_ycc_convert of libjpeg does (jccolor.c).
func toYCbCr(red, green, blue byte) (y, cb, cr byte) {
	const middle = 128<<fraction + half - 1
	r, g, b := int32(red), int32(green), int32(blue)
	y = byte((19595*r + 38470*g + 7471*b + half) >> fraction)
	cb = byte((-11059*r - 21709*g + 32768*b + middle) >> fraction)
	cr = byte((32768*r - 27439*g - 5329*b + middle) >> fraction)
	return y, cb, cr
}

// fill fills the planes of a 4:2:0 picture. The function row converts one row of pixels.
func (p *Picture) fill(row func(y int, luma, cb, cr []byte)) {
	w := p.Width
	even := w + w&1
	buf := make([]byte, 4*even) // cb and cr of two rows
	rows := [4][]byte{buf[:even], buf[even : 2*even], buf[2*even : 3*even], buf[3*even:]}
	for y := 0; y < p.Height; y += 2 {
		row(y, p.Planes[0].Row(y), rows[0][:w], rows[1][:w])
		cb1, cr1 := rows[0], rows[1]
		if y+1 < p.Height {
			row(y+1, p.Planes[0].Row(y+1), rows[2][:w], rows[3][:w])
			cb1, cr1 = rows[2], rows[3]
		}
		if even > w {
			for _, r := range rows {
				r[w] = r[w-1]
			}
		}
		mean(p.Planes[1].Row(y/2), rows[0], cb1)
		mean(p.Planes[2].Row(y/2), rows[1], cr1)
	}
}

// mean halves two rows to one. The rounding alternates, as in h2v2_downsample of libjpeg, so
// that a whole image is not shifted to brighter values.
func mean(dst, above, below []byte) {
	above, below = above[:2*len(dst)], below[:2*len(dst)]
	bias := 1
	for x := range dst {
		dst[x] = byte((int(above[2*x]) + int(above[2*x+1]) + int(below[2*x]) + int(below[2*x+1]) + bias) >> 2)
		bias ^= 3
	}
}
