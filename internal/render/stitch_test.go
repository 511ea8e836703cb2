package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"math/rand/v2"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

// checkStitch compares a stitched part of a level with the tiles, sample by sample.
func checkStitch(s *slide.Slide, level int, r image.Rectangle, m *MarksCache, background color.RGBA) error {
	b, grown, err := Stitch(context.Background(), s, level, r, m, StitchOptions{Revision: "r", Background: background})
	if err != nil {
		return err
	}
	got, err := stdjpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return err
	}
	if got.Bounds().Size() != grown.Size() || !r.In(grown) || grown.Max != r.Max {
		return fmt.Errorf("%v decoded, grown to %v", got.Bounds(), grown)
	}
	l := &s.Levels[level]
	for row := grown.Min.Y / l.TileHeight; row*l.TileHeight < grown.Max.Y; row++ {
		for col := grown.Min.X / l.TileWidth; col*l.TileWidth < grown.Max.X; col++ {
			at := image.Pt(col*l.TileWidth, row*l.TileHeight)
			var tile image.Image = image.NewUniform(background)
			b, err := s.AppendTile(nil, level, col, row)
			empty := errors.Is(err, slide.ErrEmptyTile)
			if err == nil {
				tile, err = stdjpeg.Decode(bytes.NewReader(b))
			}
			if err != nil && !empty {
				return err
			}
			part := image.Rect(0, 0, l.TileWidth, l.TileHeight).Add(at).Intersect(grown)
			for y := part.Min.Y; y < part.Max.Y; y++ {
				for x := part.Min.X; x < part.Max.X; x++ {
					have, want := got.At(x-grown.Min.X, y-grown.Min.Y), tile.At(x-at.X, y-at.Y)
					if empty {
						c := color.RGBAModel.Convert(have).(color.RGBA)
						if max(int(c.R)-int(background.R), int(background.R)-int(c.R)) > 3 {
							return fmt.Errorf("pixel %d,%d of an empty tile is %v", x, y, have)
						}
					} else if have != want {
						return fmt.Errorf("pixel %d,%d is %v, want %v", x, y, have, want)
					}
				}
			}
		}
	}
	return nil
}

// randomPart returns a part of a level, of at most 1000 pixels a side.
func randomPart(l *slide.Level, rng *rand.Rand) image.Rectangle {
	x, y := rng.IntN(l.Width), rng.IntN(l.Height)
	return image.Rect(x, y, x+1+rng.IntN(min(1000, l.Width-x)), y+1+rng.IntN(min(1000, l.Height-y)))
}

func TestStitch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 17))
	s := openSlide(t, nil,
		testLevel{picture: jpegtest.Tissue(301, 203, 1), tile: 64, skip: func(c, r int) bool { return c == 2 && r == 1 }},
		testLevel{picture: jpegtest.Tissue(150, 101, 2), tile: 48},
	)
	m := NewMarksCache(1 << 20)
	for n := range 60 {
		level := n % 2
		r := randomPart(&s.Levels[level], rng)
		if err := checkStitch(s, level, r, m, color.RGBA{240, 240, 240, 255}); err != nil && !r.In(image.Rect(128, 64, 192, 128)) {
			t.Errorf("level %d, %v: %v", level, r, err)
		}
	}
	if n := m.marks.EstimatedSize(); n != 20+12-1 {
		t.Errorf("marks of %d tiles are cached", n)
	}
	// Marks of other contents under the same name are not used.
	other := openSlide(t, nil, testLevel{picture: jpegtest.Tissue(301, 203, 9), tile: 64})
	if err := checkStitch(other, 0, image.Rect(20, 30, 290, 190), m, white); err != nil {
		t.Error(err)
	}
}

// TestStitchPyramid stitches tiles that are cut to the image.
func TestStitchPyramid(t *testing.T) {
	picture := jpegtest.Tissue(200, 200, 3)
	tile := func(dst []byte, zoom, col, row int) ([]byte, error) {
		if zoom != 2 {
			return dst, slide.ErrMissingTile
		}
		r := image.Rect(64*col, 64*row, min(64*col+64, 200), min(64*row+64, 180))
		b, err := EncodeJPEG(flat(picture.SubImage(r).(*image.RGBA)), 90)
		return append(dst, b...), err
	}
	s, err := slide.New(slide.Pyramid{Format: "x", TileSize: 64, Zooms: 3, Bounds: image.Rect(0, 0, 200, 180), AppendTile: tile})
	if err != nil {
		t.Fatal(err)
	}
	m := NewMarksCache(1 << 20)
	for _, r := range []image.Rectangle{image.Rect(0, 0, 200, 180), image.Rect(100, 70, 199, 179), image.Rect(128, 128, 130, 180)} {
		if err := checkStitch(s, 0, r, m, white); err != nil {
			t.Errorf("%v: %v", r, err)
		}
	}
	for _, tt := range []struct {
		level int
		r     image.Rectangle
	}{{0, image.Rect(100, 100, 201, 150)}, {1, image.Rect(0, 0, 10, 10)}} {
		if _, _, err := Stitch(t.Context(), s, tt.level, tt.r, m, StitchOptions{}); !errors.Is(err, jpeg.ErrNotLossless) {
			t.Errorf("level %d, %v: %v", tt.level, tt.r, err)
		}
	}
}

func TestStitchRefuses(t *testing.T) {
	picture := jpegtest.Tissue(128, 128, 1)
	s := openSlide(t, nil, testLevel{picture: picture, tile: 64, damage: func(c, r int) bool { return c == 1 && r == 1 }})
	raw := openSlide(t, nil, testLevel{picture: picture, tile: 64, raw: true})
	for _, tt := range []struct {
		name  string
		s     *slide.Slide
		level int
		r     image.Rectangle
		want  error
	}{
		{"no level", s, 1, image.Rect(0, 0, 8, 8), slide.ErrNoTile},
		{"outside", s, 0, image.Rect(100, 100, 129, 128), slide.ErrNoTile},
		{"nothing", s, 0, image.Rect(8, 8, 8, 8), slide.ErrNoTile},
		{"not JPEG", raw, 0, image.Rect(0, 0, 8, 8), jpeg.ErrNotLossless},
	} {
		if _, _, err := Stitch(t.Context(), tt.s, tt.level, tt.r, nil, StitchOptions{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, _, err := Stitch(t.Context(), s, 0, image.Rect(0, 0, 128, 128), nil, StitchOptions{}); err == nil || errors.Is(err, jpeg.ErrNotLossless) {
		t.Errorf("a damaged tile: %v", err)
	}
	if err := checkStitch(s, 0, image.Rect(0, 0, 128, 64), nil, white); err != nil {
		t.Errorf("the damaged tile is not needed, but: %v", err)
	}
	for x, want := range map[int]bool{64: true, 80: true, 72: false, 63: false} {
		if _, _, err := Stitch(t.Context(), s, 0, image.Rect(x, 16, 100, 30), nil, StitchOptions{Exact: true}); (err == nil) != want {
			t.Errorf("exactly from %d on: %v", x, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Stitch(ctx, s, 0, image.Rect(0, 0, 64, 64), nil, StitchOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	work, end := NewBudget(1000).Begin(t.Context(), 0)
	defer end()
	if _, _, err := Stitch(work, s, 0, image.Rect(0, 0, 64, 64), nil, StitchOptions{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("with 1000 bytes: %v", err)
	}
}

// BenchmarkSlideStitch stitches parts of 512×512 pixels of a slide with tiles of 512 pixels,
// from its bytes in memory. Bytes are pixels.
func BenchmarkSlideStitch(b *testing.B) {
	s := openSlide(b, nil, testLevel{picture: jpegtest.Tissue(2048, 2048, 1), tile: 512})
	m := NewMarksCache(32 << 20)
	for _, tt := range []struct {
		name string
		step int
	}{{"aligned", 16}, {"unaligned", 1}} {
		b.Run(tt.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			b.SetBytes(512 * 512)
			b.ReportAllocs()
			for b.Loop() {
				x, y := rng.IntN(1536)/tt.step*tt.step, rng.IntN(1536)/tt.step*tt.step
				if _, _, err := Stitch(b.Context(), s, 0, image.Rect(x, y, x+512, y+512), m, StitchOptions{Revision: "r"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
