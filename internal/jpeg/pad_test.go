package jpeg

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"testing"

	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

// TestPad pads each kind of JPEG: the picture stays as it is to the last bit, and the
// blocks behind it are white.
func TestPad(t *testing.T) {
	for _, tt := range jpegtest.Cases {
		if tt.Name == "CMYK" { // tiles never are
			continue
		}
		t.Run(tt.Name, func(t *testing.T) {
			for i, size := range []struct{ w, h, toW, toH int }{{33, 47, 64, 64}, {64, 1, 64, 64}, {1, 64, 64, 64}, {16, 16, 48, 16}, {61, 43, 61, 100}} {
				j := tt.JPEG
				j.W, j.H, j.Seed = size.w, size.h, uint64(i)
				data := j.Encode()
				got, err := Pad(data, size.toW, size.toH)
				if err != nil {
					t.Fatalf("%+v: %v", size, err)
				}
				before, after := decoded(t, data), decoded(t, got)
				if want := image.Rect(0, 0, size.toW, size.toH); after.Bounds() != want {
					t.Fatalf("%v, want %v", after.Bounds(), want)
				}
				samePixels(t, fmt.Sprint(size), before, after)
				for _, p := range []image.Point{{size.toW - 1, 0}, {0, size.toH - 1}, {size.toW - 1, size.toH - 1}} {
					if p.X < size.w+32 && p.Y < size.h+32 {
						continue // perhaps in a block with a part of the picture
					}
					if c := color.RGBAModel.Convert(after.At(p.X, p.Y)).(color.RGBA); min(c.R, c.G, c.B) < 245 {
						t.Errorf("%+v: pixel %v is %v, want white", size, p, c)
					}
				}
			}
		})
	}
}

func decoded(t *testing.T, data []byte) image.Image {
	t.Helper()
	m, err := stdjpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// samePixels compares the samples of the first picture with those of the second.
func samePixels(t *testing.T, name string, a, b image.Image) {
	t.Helper()
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if a.At(x, y) != b.At(x, y) {
				t.Fatalf("%s: pixel %d,%d is %v, was %v", name, x, y, b.At(x, y), a.At(x, y))
			}
		}
	}
}

func TestPadRefuses(t *testing.T) {
	base := jpegtest.JPEG{Sampling: []int{0x22, 0x11, 0x11}, W: 40, H: 40}
	if _, err := Pad(base.Encode(), 30, 64); err == nil {
		t.Error("smaller than the picture")
	}
	progressive := bytes.Replace(base.Encode(), []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1)
	if _, err := Pad(progressive, 64, 64); !errors.Is(err, ErrNotLossless) {
		t.Errorf("progressive: %v", err)
	}
	if _, err := Pad(base.Encode()[:300], 64, 64); err == nil {
		t.Error("a cut JPEG")
	}
}
