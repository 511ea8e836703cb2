package render

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
)

// openFault opens a file of the folder faults of the test data.
func openFault(t *testing.T, name string) *slide.Slide {
	t.Helper()
	dir := os.Getenv("PTIFFSTORE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	b, err := os.ReadFile(filepath.Join(dir, "faults", name))
	if err != nil {
		t.Skip(err)
	}
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// zoomPixels renders a tile of a zoom level.
func zoomPixels(t *testing.T, s *slide.Slide, z, x, y int) *image.RGBA {
	t.Helper()
	b, err := Tile(context.Background(), s, z, x, y, Options{Quality: 95})
	if err != nil {
		t.Fatalf("zoom %d tile %d,%d: %v", z, x, y, err)
	}
	img, err := DecodeJPEG(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// extremes returns the darkest and lightest value of an image.
func extremes(img *image.RGBA) (low, high byte) {
	low = 255
	for i, v := range img.Pix {
		if i%4 != 3 {
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high
}

// distance returns the mean difference of the values of two images.
func distance(a, b *image.RGBA) float64 {
	sum := 0
	for i := range a.Pix {
		sum += max(int(a.Pix[i]), int(b.Pix[i])) - min(int(a.Pix[i]), int(b.Pix[i]))
	}
	return float64(sum) / float64(len(a.Pix))
}

func TestLossyWebPIsFullRange(t *testing.T) {
	img := zoomPixels(t, openFault(t, "webp-lossy-white.tif"), 2, 0, 0)
	if low, high := extremes(img); low < 253 || high != 255 {
		t.Errorf("white has values from %d to %d", low, high)
	}
}

func TestPaletteOf8Bits(t *testing.T) {
	s := openFault(t, "palette-8bit-map.tif")
	if low, high := extremes(zoomPixels(t, s, s.MaxZoom(), 0, 0)); high-low < 100 {
		t.Errorf("a palette image has values from %d to %d only", low, high)
	}
}

func TestUndeclaredAlpha(t *testing.T) {
	s := openFault(t, "rgba-without-338.tif")
	if got := zoomPixels(t, s, s.MaxZoom(), 0, 0).RGBAAt(2, 2); got != (color.RGBA{255, 255, 255, 255}) {
		t.Errorf("a transparent pixel is %v, want the background", got)
	}
}

// Tiles that the scanner failed to write are derived from level 0.
func TestMissingTiles(t *testing.T) {
	s := openFault(t, "svs-holes.svs")
	z := s.MaxZoom() - 2
	if s.Zooms[z].Level != 1 {
		t.Fatalf("zoom level %d is not level 1: %+v", z, s.Zooms)
	}
	missing := 0
	for y := range s.Zooms[z].Rows {
		for x := range s.Zooms[z].Columns {
			if _, err := s.AppendTile(nil, 1, x, y); err == slide.ErrMissingTile {
				missing++
			}
			got := zoomPixels(t, s, z, x, y)
			want := fromLevel0(t, s, z, x, y)
			w, h := min(256, s.Zooms[z].Width-x*256), min(256, s.Zooms[z].Height-y*256)
			if d := distance(cropped(got, w, h), cropped(want, w, h)); d > 6 {
				t.Errorf("tile %d,%d differs from level 0 by %.1f grey levels", x, y, d)
			}
		}
	}
	if missing == 0 {
		t.Error("no tile is missing")
	}
}

// fromLevel0 returns a tile of a zoom level four times smaller than level 0, made from it.
func fromLevel0(t *testing.T, s *slide.Slide, z, x, y int) *image.RGBA {
	t.Helper()
	large := image.NewRGBA(image.Rect(0, 0, 1024, 1024))
	fill(large, large.Rect, white)
	for i := range 16 {
		col, row := 4*x+i%4, 4*y+i/4
		if col < s.Levels[0].Columns && row < s.Levels[0].Rows {
			tile := zoomPixels(t, s, s.MaxZoom(), col, row)
			copyPart(large, image.Pt(i%4*256, i/4*256), tile, tile.Rect)
		}
	}
	small, err := scale(context.Background(), large, 256, 256)
	if err != nil {
		t.Fatal(err)
	}
	return small
}

// cropped returns a copy of the top left of img.
func cropped(img *image.RGBA, w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	copyPart(out, image.Point{}, img, out.Rect)
	return out
}

// A countingReader counts the bytes that are read.
type countingReader struct {
	*bytes.Reader
	n int
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.n += len(p)
	return r.Reader.ReadAt(p, off)
}

// A zoom level is made from the stored level that is a little larger, whatever its ratio,
// not from level 0.
func TestLevelsOfAnyRatio(t *testing.T) {
	openFault(t, "r10-30k.tif")
	dir := os.Getenv("PTIFFSTORE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	b, err := os.ReadFile(filepath.Join(dir, "faults", "r10-30k.tif"))
	if err != nil {
		t.Fatal(err)
	}
	r := &countingReader{Reader: bytes.NewReader(b)}
	s, err := slide.Open(r, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	img := zoomPixels(t, s, 0, 0, 0)
	if r.n > 200<<10 {
		t.Errorf("zoom level 0 took %d bytes, want the two tiles of the smallest level", r.n)
	}
	if got := img.RGBAAt(100, 150); got == white {
		t.Error("zoom level 0 is empty")
	}
	// One pixel beyond the image has the background.
	if got := img.RGBAAt(s.Zooms[0].Width+2, 10); got.R < 240 {
		t.Errorf("beyond the image: %v", got)
	}
}

// A level of half the size, rounded down, has lost the last column: zoom levels repeat the
// one before, instead of showing the padding of the tile.
func TestNoFringe(t *testing.T) {
	gray := color.RGBA{120, 120, 120, 255}
	large, small := image.NewRGBA(image.Rect(0, 0, 257, 193)), image.NewRGBA(image.Rect(0, 0, 128, 96))
	fill(large, large.Rect, gray)
	fill(small, small.Rect, gray)
	black := color.RGBA{0, 0, 0, 255}
	s := openSlide(t, nil, testLevel{picture: large, tile: 64, padding: black}, testLevel{picture: small, tile: 64, padding: black})
	for z := range s.Zooms {
		zoom := s.Zooms[z]
		d := newTileRenderer(s, Options{})
		for y := range zoom.Rows {
			for x := range zoom.Columns {
				img, err := d.tile(context.Background(), z, x, y)
				if err != nil {
					t.Fatal(err)
				}
				w, h := d.valid(z, x, y)
				if low, high := extremes(cropped(img, w, h)); low < 110 || high > 130 {
					t.Errorf("zoom %d tile %d,%d of %d×%d pixels has values from %d to %d, want 120", z, x, y, w, h, low, high)
				}
			}
		}
	}
}
