package api

import (
	pixels "image"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
)

// The bounds of a cutout count from the bottom of the image, or from the top of the square,
// as the image's document says; the part counts from the corner of the image.
func TestCutoutPart(t *testing.T) {
	top, foot := pixels.Rect(0, 0, 900, 700), pixels.Rect(0, 324, 900, 1024)
	for _, tt := range []struct {
		name, system string
		covered      pixels.Rectangle
		bounds       [4]int
		want         pixels.Rectangle
	}{
		{"a file", "", top, [4]int{10, 20, 30, 50}, pixels.Rect(10, 30, 20, 50)},
		{"Photo", "Photo", top, [4]int{10, 20, 30, 50}, pixels.Rect(10, 650, 20, 670)},
		{"Photo, bottom", "Photo", top, [4]int{0, 900, 0, 1}, pixels.Rect(0, 699, 900, 700)},
		{"Photo, cut", "Photo", top, [4]int{-5, 5, 690, 710}, pixels.Rect(0, 0, 5, 10)},
		{"Pixel", "Pixel", foot, [4]int{10, 20, 324, 350}, pixels.Rect(10, 0, 20, 26)},
		{"Pixel, cut", "Pixel", foot, [4]int{10, 20, 0, 325}, pixels.Rect(10, 0, 20, 1)},
	} {
		s := &slide.Slide{Bounds: tt.covered, Properties: map[string]string{"slideatlas.CoordinateSystem": tt.system}}
		got, err := cutoutPart(s, tt.bounds)
		if err != nil || got != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	s := &slide.Slide{Bounds: foot, Properties: map[string]string{"slideatlas.CoordinateSystem": "Pixel"}}
	if got, err := cutoutPart(s, [4]int{0, 9, 0, 324}); err != errCutoutPlace {
		t.Errorf("padding: %v, %v, want that it is outside of the image", got, err)
	}
}
