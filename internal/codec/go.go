package codec

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	gojpeg "image/jpeg"
	"io"

	"github.com/slideatlas/ptiffstore/internal/planes"
)

// jfif is SOI and a JFIF 1.1 header with square pixels and no thumbnail.
const jfif = "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"

// decodeByGo decodes with Go's image/jpeg.
func (j *input) decodeByGo() (*planes.Picture, error) {
	p, err := j.planesByGo()
	if err != nil {
		return nil, err
	}
	if j.denominator > 1 {
		p = shrink(p, j.denominator)
	}
	return p.Part(outer(j.part, j.denominator)), nil
}

// planesByGo decodes the entire JPEG.
func (j *input) planesByGo() (*planes.Picture, error) {
	// Three components are returned as they are, without conversion from RGB, if the stream
	// is JFIF.
	var r io.Reader = bytes.NewReader(j.data)
	if len(j.head.Components) == 3 {
		r = io.MultiReader(bytes.NewReader([]byte(jfif)), bytes.NewReader(j.data[2:]))
	}
	img, err := gojpeg.Decode(r)
	if err != nil {
		return nil, err
	}
	if b := img.Bounds(); b != image.Rect(0, 0, j.head.Width, j.head.Height) {
		return nil, fmt.Errorf("%d×%d pixels were decoded to %v", j.head.Width, j.head.Height, b)
	}
	p := &planes.Picture{Width: j.head.Width, Height: j.head.Height, Model: j.model()}
	switch img := img.(type) {
	case *image.Gray:
		p.Planes = []planes.Plane{{Pix: img.Pix, Stride: img.Stride, Width: p.Width, Height: p.Height, H: 1, V: 1}}
	case *image.YCbCr:
		x, y, ok := j.subsampling()
		if !ok {
			return nil, fmt.Errorf("unexpected subsampling %v", img.SubsampleRatio)
		}
		cw, ch := (p.Width+x-1)/x, (p.Height+y-1)/y
		p.Planes = []planes.Plane{
			{Pix: img.Y, Stride: img.YStride, Width: p.Width, Height: p.Height, H: 1, V: 1},
			{Pix: img.Cb, Stride: img.CStride, Width: cw, Height: ch, H: x, V: y},
			{Pix: img.Cr, Stride: img.CStride, Width: cw, Height: ch, H: x, V: y},
		}
	default: // four inks, or RGB in a stream with an extension of JFIF
		rgba := planes.NewRGBA(p.Width, p.Height)
		defer planes.RecycleRGBA(rgba)
		draw.Draw(rgba, rgba.Rect, img, image.Point{}, draw.Src)
		p := fromRGBA(rgba)
		if len(j.head.Components) == 3 {
			p.Model = j.model() // Go does not convert either
		}
		return p, nil
	}
	return p, nil
}

// fromRGBA returns an image as red, green and blue.
func fromRGBA(img *image.RGBA) *planes.Picture {
	p := planes.New(img.Rect.Dx(), img.Rect.Dy(), planes.RGB, 1, 1)
	for y := range p.Height {
		r, g, b := p.Planes[0].Row(y), p.Planes[1].Row(y), p.Planes[2].Row(y)
		row := img.Pix[y*img.Stride:][:4*p.Width]
		for x := range r {
			r[x], g[x], b[x] = row[4*x], row[4*x+1], row[4*x+2]
		}
	}
	return p
}

func (j *input) decodeRGBAByGo() (*image.RGBA, error) {
	// Some pixels more on each side, for the neighbours of the chroma, and because chroma of
	// one or two samples a row is not blended.
	n := j.denominator
	part := outer(j.part, n)
	all := outer(image.Rect(0, 0, j.head.Width, j.head.Height), n)
	grown := part.Inset(-8).Intersect(all)
	grown.Min.X, grown.Min.Y = grown.Min.X&^3, grown.Min.Y&^3
	wide := *j
	wide.part = image.Rect(grown.Min.X*n, grown.Min.Y*n, min(grown.Max.X*n, j.head.Width), min(grown.Max.Y*n, j.head.Height))
	p, err := wide.decodeByGo()
	if err != nil {
		return nil, err
	}
	defer p.Recycle()
	img := p.RGBA()
	if grown == part {
		return img, nil
	}
	defer planes.RecycleRGBA(img)
	return cut(img, part.Sub(grown.Min)), nil
}

// cut copies a part of an image.
func cut(img *image.RGBA, r image.Rectangle) *image.RGBA {
	to := planes.NewRGBA(r.Dx(), r.Dy())
	for y := range r.Dy() {
		copy(to.Pix[y*to.Stride:][:to.Stride], img.Pix[img.PixOffset(r.Min.X, r.Min.Y+y):])
	}
	return to
}

// shrink returns p at 1/n of its size, each sample the mean of those that it covers.
func shrink(p *planes.Picture, n int) *planes.Picture {
	subX, subY := 1, 1
	if p.Model != planes.Gray {
		subX, subY = p.Planes[1].H, p.Planes[1].V
	}
	x, y := scaled(subX, subY, n)
	to := planes.New((p.Width+n-1)/n, (p.Height+n-1)/n, p.Model, x, y)
	for i := range p.Planes {
		shrinkPlane(&to.Planes[i], &p.Planes[i], n)
	}
	p.Recycle()
	return to
}

func shrinkPlane(to, from *planes.Plane, n int) {
	across, down := n*to.H/from.H, n*to.V/from.V
	sums := make([]int, to.Width)
	for y := range to.Height {
		clear(sums)
		for dy := range down {
			row := from.Row(min(y*down+dy, from.Height-1))
			if across == 1 {
				for x := range sums {
					sums[x] += int(row[x])
				}
				continue
			}
			for x := range sums {
				for dx := range across {
					sums[x] += int(row[min(x*across+dx, from.Width-1)])
				}
			}
		}
		out, all := to.Row(y), across*down
		for x, s := range sums {
			out[x] = byte((s + all/2) / all)
		}
	}
}

func encodeByGo(p *planes.Picture, quality int) []byte {
	if p.Model == planes.RGB {
		ycc := p.YCbCr()
		defer ycc.Recycle()
		return encodePlanes(ycc, quality)
	}
	return encodePlanes(p, quality)
}

func encodeRGBAByGo(img *image.RGBA, quality int) []byte {
	p := planes.FromRGBA(img)
	defer p.Recycle()
	return encodePlanes(p, quality)
}
