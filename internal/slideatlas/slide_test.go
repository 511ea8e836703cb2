package slideatlas

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// TestSlide reads the tiles of both uploaders through a slide: their bytes are those of the
// documents, and their pixels those of a picture at the head or the foot of the square. The
// tile of the whole image is absent, and rendered from the next larger level.
func TestSlide(t *testing.T) {
	const side, tileSize, levels = 512, 128, 3
	for name, bounds := range map[string]image.Rectangle{"head": image.Rect(0, 0, 400, 300), "foot": image.Rect(0, 212, 400, 512)} {
		t.Run(name, func(t *testing.T) {
			square := image.NewRGBA(image.Rect(0, 0, side, side))
			draw.Draw(square, square.Rect, image.White, image.Point{}, draw.Src)
			for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
				for x := bounds.Min.X; x < bounds.Max.X; x++ {
					square.SetRGBA(x, y, color.RGBA{uint8(x / 2), uint8((y - bounds.Min.Y) / 2), 100, 255})
				}
			}
			stored := map[string][]byte{}
			for name, m := range cut(square, bounds, tileSize) {
				if m.Rect.Dx() > tileSize {
					m = shrunk(m, m.Rect.Dx()/tileSize)
				}
				var b bytes.Buffer
				if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
					t.Fatal(err)
				}
				stored[name] = b.Bytes()
			}
			delete(stored, "t.jpg")
			im := Image{Grid: Grid{tileSize, levels, bounds}, SpacingX: 250, SpacingY: 250, Warnings: []string{"w"}}
			s, err := im.Slide(func(dst []byte, tile Tile) ([]byte, error) {
				b, ok := stored[tile.Name()]
				if !ok {
					return dst, ErrNoTile
				}
				return append(dst, b...), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if s.MPPX != 0.25 || s.MPPY != 0.25 || s.Format != "slideatlas" || len(s.Warnings) != 1 || s.Bounds != bounds {
				t.Errorf("%+v", s)
			}
			if err := s.Check(); err != nil {
				t.Error(err)
			}
			for name, want := range stored {
				tile, _ := ParseName(name)
				if got, err := s.AppendTile(nil, levels-1-tile.Zoom, tile.Column, tile.Row); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
				}
			}
			if _, err := s.AppendTile(nil, levels-1, 0, 0); !errors.Is(err, slide.ErrMissingTile) {
				t.Errorf("the tile of the whole image: %v", err)
			}
			b, err := render.Tile(context.Background(), s, 0, 0, 0, render.Options{Background: color.RGBA{255, 255, 255, 255}})
			if err != nil {
				t.Fatal(err)
			}
			m, err := jpeg.Decode(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			want := shrunk(square, side/tileSize)
			for _, at := range []image.Point{{2, 2}, {50, 30}, {90, 60}, {20, 100}, {110, 110}, {50, 70}} {
				if r, g, b := difference(m.At(at.X, at.Y), want.At(at.X, at.Y)); max(r, g, b) > 12 {
					t.Errorf("pixel %v of the rendered tile is %v, want %v", at, m.At(at.X, at.Y), want.At(at.X, at.Y))
				}
			}
			delete(stored, "tqr.jpg")
			delete(stored, "ttr.jpg")
			absent := Tile{2, 1, 0}
			if name == "foot" {
				absent = Tile{2, 1, 2}
			}
			if _, err := s.AppendTile(nil, 0, absent.Column, absent.Row); !errors.Is(err, slide.ErrEmptyTile) {
				t.Errorf("an absent tile: %v", err)
			}
		})
	}
}

// shrunk returns the picture reduced n times, by the mean of each square.
func shrunk(m *image.RGBA, n int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, m.Rect.Dx()/n, m.Rect.Dy()/n))
	for y := range out.Rect.Max.Y {
		for x := range out.Rect.Max.X {
			var sum [3]int
			for dy := range n {
				for dx := range n {
					c := m.RGBAAt(m.Rect.Min.X+x*n+dx, m.Rect.Min.Y+y*n+dy)
					sum[0], sum[1], sum[2] = sum[0]+int(c.R), sum[1]+int(c.G), sum[2]+int(c.B)
				}
			}
			out.SetRGBA(x, y, color.RGBA{uint8(sum[0] / n / n), uint8(sum[1] / n / n), uint8(sum[2] / n / n), 255})
		}
	}
	return out
}

// difference returns how much two colours differ.
func difference(a, b color.Color) (red, green, blue int) {
	r1, g1, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	abs := func(a, b uint32) int { return max(int(a>>8)-int(b>>8), int(b>>8)-int(a>>8)) }
	return abs(r1, r2), abs(g1, g2), abs(b1, b2)
}

func TestSlideUnsupported(t *testing.T) {
	im := Image{Unsupported: "The pixels are in a Girder server."}
	_, err := im.Slide(nil)
	if e, ok := errors.AsType[*tiff.UnsupportedError](err); !ok || e.Msg != im.Unsupported {
		t.Errorf("error %v", err)
	}
}
