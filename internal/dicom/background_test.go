package dicom

import (
	"bytes"
	"errors"
	"image/jpeg"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
)

// TestSkippedTile checks the frames of tiles that the scanner skipped: white, and of the same
// sampling as the others.
func TestSkippedTile(t *testing.T) {
	t.Parallel()
	s := write(t, philips)
	in := newSeries(t, s, everything()).Instances[0]
	for n := range in.Frames() {
		if _, err := s.AppendTile(nil, 0, n%in.Columns, n/in.Columns); !errors.Is(err, slide.ErrEmptyTile) {
			continue
		}
		b, err := in.AppendFrame(t.Context(), nil, n)
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range [][2]int{{0, 0}, {127, 127}} {
			if r, g, b, _ := img.At(p[0], p[1]).RGBA(); r>>8 != 255 || g>>8 != 255 || b>>8 != 255 {
				t.Errorf("pixel %v is %d, %d, %d", p, r>>8, g>>8, b>>8)
			}
		}
		if img.Bounds().Dx() != 128 || img.Bounds().Dy() != 128 {
			t.Errorf("the frame has %v", img.Bounds())
		}
		return
	}
	t.Error("no tile of the slide was skipped")
}
