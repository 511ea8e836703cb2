package render

import (
	"image"
	"image/color"
	"testing"

	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

func TestHalve(t *testing.T) {
	gray := func(rows ...[]byte) *image.RGBA {
		img := image.NewRGBA(image.Rect(0, 0, len(rows[0]), len(rows)))
		for y, row := range rows {
			for x, v := range row {
				img.SetRGBA(x, y, color.RGBA{v, v / 2, 255 - v, 255})
			}
		}
		return img
	}
	tests := []struct {
		name string
		src  *image.RGBA
		want []byte // red, row by row
		w    int
	}{
		{"mean", gray([]byte{10, 20}, []byte{30, 40}), []byte{25}, 1},
		{"rounded down", gray([]byte{0, 0}, []byte{0, 1}), []byte{0}, 1},
		{"half is rounded up", gray([]byte{0, 1}, []byte{0, 1}), []byte{1}, 1},
		{"no overflow", gray([]byte{255, 255}, []byte{255, 255}), []byte{255}, 1},
		{"odd width", gray([]byte{0, 0, 80}, []byte{0, 0, 40}), []byte{0, 60}, 2},
		{"odd height", gray([]byte{10, 30}, []byte{10, 30}, []byte{50, 70}), []byte{20, 60}, 1},
		{"one pixel", gray([]byte{77}), []byte{77}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := plain(4, 4, poison)
			at := image.Pt(1, 2)
			halve(dst, at, tt.src, tt.src.Rect.Dx(), tt.src.Rect.Dy())
			rendered := 0
			for i, want := range tt.want {
				p := at.Add(image.Pt(i%tt.w, i/tt.w))
				if got := dst.RGBAAt(p.X, p.Y); got.R != want || got.A != 255 {
					t.Errorf("pixel %d is %v, want red %d and alpha 255", i, got, want)
				}
			}
			for i := range 16 {
				if dst.RGBAAt(i%4, i/4) != poison {
					rendered++
				}
			}
			if rendered != len(tt.want) {
				t.Errorf("%d pixels rendered, want %d", rendered, len(tt.want))
			}
		})
	}
}

// TestHalveColours compares the result with a plain computation.
func TestHalveColours(t *testing.T) {
	src := jpegtest.Tissue(64, 32, 3)
	got := image.NewRGBA(image.Rect(0, 0, 32, 16))
	halve(got, image.Point{}, src, 64, 32)
	want := image.NewRGBA(got.Rect)
	for i := range want.Pix {
		x, y, c := i/4%32, i/128, i%4
		sum := 2
		for _, p := range []image.Point{{2 * x, 2 * y}, {2*x + 1, 2 * y}, {2 * x, 2*y + 1}, {2*x + 1, 2*y + 1}} {
			sum += int(src.Pix[src.PixOffset(p.X, p.Y)+c])
		}
		want.Pix[i] = byte(sum / 4)
	}
	checkPixels(t, got, want, 0)
}

// areas scales img to w × h pixels with a slow and simple algorithm.
func areas(img *image.RGBA, w, h int) *image.RGBA {
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	sx, sy := float64(img.Rect.Dx())/float64(w), float64(img.Rect.Dy())/float64(h)
	overlap := func(i int, from, to float64) float64 { return max(0, min(float64(i+1), to)-max(float64(i), from)) }
	for y := range h {
		for x := range w {
			var sum [3]float64
			for v := int(float64(y) * sy); v < img.Rect.Dy() && float64(v) < float64(y+1)*sy; v++ {
				for u := int(float64(x) * sx); u < img.Rect.Dx() && float64(u) < float64(x+1)*sx; u++ {
					weight := overlap(u, float64(x)*sx, float64(x+1)*sx) * overlap(v, float64(y)*sy, float64(y+1)*sy)
					for c := range 3 {
						sum[c] += weight * float64(img.Pix[img.PixOffset(u, v)+c])
					}
				}
			}
			n := sx * sy
			small.SetRGBA(x, y, color.RGBA{byte(sum[0]/n + 0.5), byte(sum[1]/n + 0.5), byte(sum[2]/n + 0.5), 255})
		}
	}
	return small
}

func TestScaleUp(t *testing.T) {
	got, err := scale(t.Context(), ramps(40, 20), 80, 30)
	if err != nil {
		t.Fatal(err)
	}
	checkPixels(t, got, ramps(80, 30), 6)
}

// BenchmarkHalve halves a tile of 512 pixels. Bytes are pixels read.
func BenchmarkHalve(b *testing.B) {
	src, dst := jpegtest.Tissue(512, 512, 1), image.NewRGBA(image.Rect(0, 0, 256, 256))
	b.SetBytes(4 * 512 * 512)
	for b.Loop() {
		halve(dst, image.Point{}, src, 512, 512)
	}
}
