package render

import (
	"bytes"
	"context"
	"errors"
	stdjpeg "image/jpeg"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

// TestFilesOfOthers renders images of every slide in the test data that was written by
// other programs.
func TestFilesOfOthers(t *testing.T) {
	dir := os.Getenv("PTIFFSTORE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no test data at %s: set PTIFFSTORE_TESTDATA to their folder", dir)
	}
	slides := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "tiff-damaged") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return nil // package slide tests that
		}
		if s.Levels[0].Layout.Codec == slide.JPEG2000 && !jpeg2000.Available() {
			return nil
		}
		slides++
		t.Run(d.Name(), func(t *testing.T) { checkSlide(t, s) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if slides == 0 {
		t.Errorf("no slide in %s", dir)
	}
}

// checkSlide renders the first tile of each zoom level, crops it, and renders the images.
func checkSlide(t *testing.T, s *slide.Slide) {
	ctx := context.Background()
	for z, zoom := range s.Zooms {
		b, err := Tile(ctx, s, z, 0, 0, Options{})
		if errors.Is(err, slide.ErrEmptyTile) {
			continue
		}
		if err != nil {
			t.Errorf("zoom %d: %v", z, err)
			continue
		}
		if _, err := DecodeJPEG(t.Context(), b); err != nil {
			t.Errorf("zoom %d: %v", z, err)
		}
		whole, err := stdjpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Errorf("zoom %d: %v", z, err)
			continue
		}
		w, h := min(zoom.Width, whole.Bounds().Dx()-3), min(zoom.Height, whole.Bounds().Dy()-20)
		crop, err := jpeg.Crop(b, w, h)
		if err == nil {
			err = jpegtest.SameCrop(whole, crop, w, h)
		}
		if err != nil {
			t.Errorf("zoom %d cropped to %d×%d: %v", z, w, h, err)
		}
	}
	m, rng := NewMarksCache(1<<20), rand.New(rand.NewPCG(1, 18))
	for level := range s.Levels {
		if l := &s.Levels[level]; l.Layout.Codec == slide.JPEG {
			r := randomPart(l, rng)
			if err := checkStitch(s, level, r, m, white); err != nil && !errors.Is(err, jpeg.ErrNotLossless) {
				t.Errorf("level %d, pixels %v: %v", level, r, err)
			}
		}
	}
	if _, err := Thumbnail(ctx, s, 256, 256, Options{}); err != nil {
		t.Errorf("thumbnail: %v", err)
	}
	if _, err := Preview(ctx, s, 100); err != nil {
		t.Errorf("preview: %v", err)
	}
	for _, kind := range s.Associated() {
		if _, err := associated(ctx, s, kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
