package planes

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNew(t *testing.T) {
	tests := []struct {
		name          string
		w, h          int
		model         Model
		subX, subY    int
		planes        int
		width, height int // of the last plane
	}{
		{"gray", 17, 9, Gray, 1, 1, 1, 17, 9},
		{"RGB", 17, 9, RGB, 1, 1, 3, 17, 9},
		{"4:2:0", 17, 9, YCbCr, 2, 2, 3, 9, 5},
		{"4:1:1", 17, 9, YCbCr, 4, 1, 3, 5, 9},
		{"one pixel", 1, 1, YCbCr, 2, 2, 3, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := New(tt.w, tt.h, tt.model, tt.subX, tt.subY)
			defer p.Recycle()
			if len(p.Planes) != tt.planes {
				t.Fatalf("%d planes, want %d", len(p.Planes), tt.planes)
			}
			last := p.Planes[tt.planes-1]
			if last.Width != tt.width || last.Height != tt.height {
				t.Errorf("last plane of %d×%d samples, want %d×%d", last.Width, last.Height, tt.width, tt.height)
			}
			bytes := int64(slack)
			for _, q := range p.Planes {
				if q.Stride%padColumns != 0 || len(q.Pix)%(q.Stride*padRows) != 0 {
					t.Errorf("%d bytes in rows of %d: not padded to MCUs", len(q.Pix), q.Stride)
				}
				bytes += int64(len(q.Pix))
			}
			if got := Cost(tt.w, tt.h, tt.model, tt.subX, tt.subY); got != bytes || got > int64(cap(p.memory)) {
				t.Errorf("cost %d, want %d", got, bytes)
			}
		})
	}
}

// random returns a picture of random samples.
func random(w, h int, m Model, subX, subY int) *Picture {
	rng := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	p := New(w, h, m, subX, subY)
	for i := range p.Planes {
		for j := range p.Planes[i].Pix {
			p.Planes[i].Pix[j] = byte(rng.Uint32())
		}
	}
	return p
}

func TestPart(t *testing.T) {
	p := random(50, 40, YCbCr, 2, 2)
	part := p.Part(image.Rect(10, 4, 37, 40))
	if part.Width != 27 || part.Height != 36 {
		t.Errorf("%d×%d pixels, want 27×36", part.Width, part.Height)
	}
	for i, want := range []image.Rectangle{image.Rect(10, 4, 37, 40), image.Rect(5, 2, 19, 20), image.Rect(5, 2, 19, 20)} {
		q := part.Planes[i]
		if q.Width != want.Dx() || q.Height != want.Dy() {
			t.Fatalf("plane %d of %d×%d samples, want %v", i, q.Width, q.Height, want.Size())
		}
		for y := range q.Height {
			if d := cmp.Diff(p.Planes[i].Row(want.Min.Y + y)[want.Min.X:want.Max.X], q.Row(y)); d != "" {
				t.Fatalf("plane %d, row %d: %s", i, y, d)
			}
		}
	}
	if empty := p.Part(image.Rect(60, 0, 70, 10)); empty.Width != 0 || len(empty.Planes) != 0 {
		t.Errorf("a part outside has %d×%d pixels", empty.Width, empty.Height)
	}
}

// TestGrayStaysGray converts gray pixels in both directions: all are kept exactly.
func TestGrayStaysGray(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 256, 3))
	for i := range img.Pix {
		img.Pix[i] = byte(i / 4)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	p := FromRGBA(img)
	defer p.Recycle()
	if d := cmp.Diff(img.Pix, p.RGBA().Pix); d != "" {
		t.Error(d)
	}
}

// TestFromRGBAOfPart converts a part of an image, whose rows are apart.
func TestFromRGBAOfPart(t *testing.T) {
	p := random(31, 23, RGB, 1, 1)
	img := p.RGBA()
	part := img.SubImage(image.Rect(5, 7, 30, 22)).(*image.RGBA)
	got, want := FromRGBA(part), p.Part(part.Rect).YCbCr()
	for i := range want.Planes {
		for y := range want.Planes[i].Height {
			if d := cmp.Diff(want.Planes[i].Row(y), got.Planes[i].Row(y)); d != "" {
				t.Fatalf("plane %d, row %d: %s", i, y, d)
			}
		}
	}
}

func BenchmarkRGBA(b *testing.B) {
	for name, sub := range map[string]int{"444": 1, "420": 2} {
		b.Run(name, func(b *testing.B) {
			p := random(512, 512, YCbCr, sub, sub)
			for b.Loop() {
				RecycleRGBA(p.RGBA())
			}
		})
	}
}

func BenchmarkFromRGBA(b *testing.B) {
	img := random(512, 512, RGB, 1, 1).RGBA()
	for b.Loop() {
		FromRGBA(img).Recycle()
	}
}
