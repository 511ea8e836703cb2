package planes

import "image"

// A conversion is tables for the conversion of YCbCr to RGB with 16 bits of fraction, as in
// libjpeg (jdcolor.c), so that both give the same.
type conversion struct {
	crToR, cbToB, crToG, cbToG [256]int32
}

const (
	fraction = 16
	half     = 1 << (fraction - 1)
)

// fix returns f with 16 bits of fraction.
func fix(f float64) int32 { return int32(f*(1<<fraction) + 0.5) }

var toRGB = func() (c conversion) {
	for i := range 256 {
		x := int32(i - 128)
		c.crToR[i] = (fix(1.402)*x + half) >> fraction
		c.cbToB[i] = (fix(1.772)*x + half) >> fraction
		c.crToG[i] = -fix(0.71414) * x
		c.cbToG[i] = -fix(0.34414)*x + half
	}
	return c
}()

// RGBA returns p as an opaque image, to be recycled with [RecycleRGBA]. Chroma of half the
// width or height is blended with its neighbours, as libjpeg does ("fancy upsampling") and
// with the same result; that of a quarter is repeated.
func (p *Picture) RGBA() *image.RGBA {
	img := NewRGBA(p.Width, p.Height)
	var up [3]*upsampler
	for i := range p.Planes {
		up[i] = newUpsampler(&p.Planes[i], p.Width)
	}
	for y := range p.Height {
		dst := img.Pix[y*img.Stride:][:4*p.Width]
		first := up[0].row(y)
		switch p.Model {
		case Gray:
			grayRow(dst, first)
		case YCbCr:
			yccRow(dst, first, up[1].row(y), up[2].row(y))
		case RGB:
			rgbRow(dst, first, up[1].row(y), up[2].row(y))
		}
	}
	return img
}

func grayRow(dst, gray []byte) {
	for _, v := range gray {
		d := dst[:4:4]
		d[0], d[1], d[2], d[3] = v, v, v, 255
		dst = dst[4:]
	}
}

func rgbRow(dst, r, g, b []byte) {
	g, b = g[:len(r)], b[:len(r)]
	for i, v := range r {
		d := dst[:4:4]
		d[0], d[1], d[2], d[3] = v, g[i], b[i], 255
		dst = dst[4:]
	}
}

func yccRow(dst, luma, cb, cr []byte) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	c := &toRGB
	for i, v := range luma {
		d := dst[:4:4]
		y, b, r := int32(v), cb[i], cr[i]
		d[0] = clamp(y + c.crToR[r])
		d[1] = clamp(y + (c.cbToG[b]+c.crToG[r])>>fraction)
		d[2] = clamp(y + c.cbToB[b])
		d[3] = 255
		dst = dst[4:]
	}
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 if negative, else 255
	}
	return byte(v)
}

// An upsampler enlarges the rows of a plane to those of the picture.
type upsampler struct {
	p     *Plane
	width int // pixels
	out   []byte
	sums  []int32
}

func newUpsampler(p *Plane, width int) *upsampler {
	u := &upsampler{p: p, width: width}
	if p.H > 1 || p.V > 1 {
		u.out = make([]byte, p.Width*p.H)
		u.sums = make([]int32, p.Width)
	}
	return u
}

// row returns row y of the picture. It is valid until the next call.
func (u *upsampler) row(y int) []byte {
	p := u.p
	in := p.Row(min(y/p.V, p.Height-1))
	switch {
	case p.H == 1 && p.V == 1:
		return in[:u.width]
	case p.H == 2 && p.V == 1 && p.Width > 2:
		blendColumns(u.out, in)
	case p.H == 1 && p.V == 2:
		blendRows(u.out, in, u.neighbour(y), 1+int32(y&1))
	case p.H == 2 && p.V == 2 && p.Width > 2:
		u.blendBoth(in, u.neighbour(y))
	default:
		repeat(u.out, in, p.H)
	}
	return u.out[:u.width]
}

// neighbour returns the row of samples that is next to the one at row y of the picture: above
// in even rows, below in odd ones.
func (u *upsampler) neighbour(y int) []byte {
	other := y/2 - 1 + 2*(y&1)
	return u.p.Row(min(max(other, 0), u.p.Height-1))
}

func repeat(out, in []byte, n int) {
	for x, v := range in {
		for i := range n {
			out[x*n+i] = v
		}
	}
}

// blendColumns is h2v1_fancy_upsample of libjpeg: three quarters of the nearest sample, and
// one of the next.
func blendColumns(out, in []byte) {
	last := len(in) - 1
	out[0] = in[0]
	for x := range last {
		a, b := int32(in[x]), int32(in[x+1])
		out[2*x+1] = byte((3*a + b + 2) >> 2)
		out[2*x+2] = byte((a + 3*b + 1) >> 2)
	}
	out[2*last+1] = in[last]
}

// blendRows is h1v2_fancy_upsample of libjpeg.
func blendRows(out, in, near []byte, bias int32) {
	near = near[:len(in)]
	for x, v := range in {
		out[x] = byte((3*int32(v) + int32(near[x]) + bias) >> 2)
	}
}

// blendBoth is h2v2_fancy_upsample of libjpeg.
func (u *upsampler) blendBoth(in, near []byte) {
	sums, near := u.sums[:len(in)], near[:len(in)]
	for x, v := range in {
		sums[x] = 3*int32(v) + int32(near[x])
	}
	out, last := u.out, len(in)-1
	out[0] = byte((4*sums[0] + 8) >> 4)
	for x := range last {
		a, b := sums[x], sums[x+1]
		out[2*x+1] = byte((3*a + b + 7) >> 4)
		out[2*x+2] = byte((a + 3*b + 8) >> 4)
	}
	out[2*last+1] = byte((4*sums[last] + 7) >> 4)
}
