package cutout

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

func open(t testing.TB, b []byte) *slide.Slide {
	t.Helper()
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cut returns the cut-out and its file.
func cut(t testing.TB, s *slide.Slide, part image.Rectangle, o Options) (*Cutout, []byte) {
	t.Helper()
	c, err := New(t.Context(), s, part, o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != c.Size() {
		t.Errorf("%d bytes, want %d", b.Len(), c.Size())
	}
	return c, b.Bytes()
}

// A reader returns single samples of a level.
type reader struct {
	s     *slide.Slide
	level int
	tiles map[image.Point]image.Image
}

// at returns the sample at a pixel of the level; nil where the scanner skipped a tile.
func (r *reader) at(x, y int) (color.Color, error) {
	l := &r.s.Levels[r.level]
	at := image.Pt(x/l.TileWidth, y/l.TileHeight)
	m, ok := r.tiles[at]
	if !ok {
		b, err := r.s.AppendTile(nil, r.level, at.X, at.Y)
		if err == nil {
			m, err = stdjpeg.Decode(bytes.NewReader(b))
		}
		if err != nil && !errors.Is(err, slide.ErrEmptyTile) {
			return nil, err
		}
		r.tiles[at] = m
	}
	if m == nil {
		return nil, nil
	}
	return m.At(x%l.TileWidth, y%l.TileHeight), nil
}

// sameSamples compares every sample of a level of a cut-out with the slide's.
func sameSamples(got *slide.Slide, level int, want *slide.Slide, source int, at image.Point) error {
	a := reader{got, level, map[image.Point]image.Image{}}
	b := reader{want, source, map[image.Point]image.Image{}}
	l := &got.Levels[level]
	for y := range l.Height {
		for x := range l.Width {
			have, err := a.at(x, y)
			if err != nil {
				return err
			}
			was, err := b.at(x+at.X, y+at.Y)
			if err != nil {
				return err
			}
			if was == nil { // background
				c := color.RGBAModel.Convert(have).(color.RGBA)
				if min(c.R, c.G, c.B) < 250 {
					return fmt.Errorf("pixel %d,%d of a skipped tile is %v", x, y, have)
				}
				continue
			}
			if have != was {
				return fmt.Errorf("pixel %d,%d is %v, want %v", x, y, have, was)
			}
		}
	}
	return nil
}

// testSlide returns a slide of the test data.
func testSlide(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("PTIFFSTORE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("no test data: %v", err)
	}
	return b
}

func TestCutout(t *testing.T) {
	marks := render.NewMarksCache(1 << 20)
	for _, tt := range []struct {
		file string
		part image.Rectangle
		o    Options
	}{
		{"real/CMU-1-Small-Region.svs", image.Rect(500, 600, 1300, 1200), Options{}},
		{"real/CMU-1-Small-Region.svs", image.Rect(240, 480, 1300, 1200), Options{}},
		{"real/CMU-1-Small-Region.svs", image.Rect(1700, 2500, 9999, 9999), Options{TileSize: 256}},
		{"philips-synthetic/small-422.tiff", image.Rect(100, 100, 1500, 1000), Options{}},
		{"philips-synthetic/small.tiff", image.Rect(0, 0, 1500, 1000), Options{TileSize: 128}},
		{"philips-synthetic/small-444-big.tiff", image.Rect(512, 256, 1300, 700), Options{}},
		{"faults/svs-holes.svs", image.Rect(0, 0, 5000, 5000), Options{}},
	} {
		t.Run(tt.file+tt.part.String(), func(t *testing.T) {
			s := open(t, testSlide(t, tt.file))
			tt.o.Marks, tt.o.Revision = marks, tt.file
			c, b := cut(t, s, tt.part, tt.o)
			got := open(t, b)
			if err := got.Check(); err != nil {
				t.Fatal(err)
			}
			if got.Bounds.Size() != c.Box.Size() || !tt.part.Intersect(s.Bounds).In(c.Box) {
				t.Errorf("the box is %v, of which %v is in the file", c.Box, got.Bounds)
			}
			if len(got.Levels) != len(c.Levels) {
				t.Fatalf("%d levels, want %d", len(got.Levels), len(c.Levels))
			}
			for i, l := range c.levels {
				if l.source < 0 {
					continue
				}
				if err := sameSamples(got, i, s, l.source, l.at); err != nil {
					t.Errorf("level %d: %v", i, err)
				}
			}
			if d := got.MPPX - s.MPPX; d > 1e-6 || d < -1e-6 {
				t.Errorf("%v µm a pixel, want %v", got.MPPX, s.MPPX)
			}
			want, _ := s.ICC()
			if icc, err := got.ICC(); err != nil || !bytes.Equal(icc, want) {
				t.Errorf("a profile of %d bytes, want %d: %v", len(icc), len(want), err)
			}
		})
	}
}
