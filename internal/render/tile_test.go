package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"sync"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

var (
	rust   = color.RGBA{170, 90, 60, 255}
	poison = color.RGBA{0, 255, 0, 255} // colour of padding, which no rendered tile may show
)

// halvings returns img and all its halved versions.
func halvings(img *image.RGBA) []*image.RGBA {
	all := []*image.RGBA{img}
	for img.Rect.Dx() > 1 || img.Rect.Dy() > 1 {
		w, h := img.Rect.Dx(), img.Rect.Dy()
		small := image.NewRGBA(image.Rect(0, 0, (w+1)/2, (h+1)/2))
		halve(small, image.Point{}, img, w, h)
		img = small
		all = append(all, img)
	}
	return all
}

// TestTile compares every tile of every zoom level pixel by pixel with the image of level
// 0, halved. The levels are not compressed.
func TestTile(t *testing.T) {
	const tile = 64
	pictures := halvings(jpegtest.Tissue(301, 203, 1))
	level := func(halvings, tile int) testLevel {
		return testLevel{picture: pictures[halvings], tile: tile, raw: true, padding: poison}
	}
	lost := func(halvings, tile int) testLevel { // without the last column and row
		l := level(halvings, tile)
		size := pictures[halvings].Rect.Size()
		l.picture = Crop(pictures[halvings], size.X-1, size.Y-1)
		return l
	}
	tests := []struct {
		name   string
		levels []testLevel
		lost   int // pixels that may differ at the right and below
	}{
		{"level 0 only", []testLevel{level(0, tile)}, 0},
		{"steps of 2", []testLevel{level(0, tile), level(1, tile), level(2, tile)}, 0},
		{"a step of 4", []testLevel{level(0, tile), level(2, tile)}, 0},
		{"larger tiles above", []testLevel{level(0, tile), level(1, 2*tile)}, 0},
		{"smaller tiles above", []testLevel{level(0, tile), level(1, tile/4), level(2, 48)}, 0},
		{"last pixels lost", []testLevel{level(0, tile), lost(1, tile)}, 1},
		{"last pixels lost in smaller tiles", []testLevel{level(0, tile), lost(1, 32)}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openSlide(t, nil, tt.levels...)
			if got, want := len(s.Levels), len(tt.levels); got != want {
				t.Fatalf("%d levels, want %d", got, want)
			}
			for z := range s.Zooms {
				checkZoom(t, s, z, pictures[s.MaxZoom()-z], tt.lost)
			}
		})
	}
}

func checkZoom(t *testing.T, s *slide.Slide, z int, want *image.RGBA, lost int) {
	t.Helper()
	d := tileRenderer{s: s, o: Options{Background: rust}, tileW: s.Levels[0].TileWidth, tileH: s.Levels[0].TileHeight}
	for y := range s.Zooms[z].Rows {
		for x := range s.Zooms[z].Columns {
			got, err := d.tile(context.Background(), z, x, y)
			if err != nil {
				t.Fatalf("zoom %d tile %d,%d: %v", z, x, y, err)
			}
			for p := range got.Pix[:len(got.Pix)/4] {
				at := image.Pt(p%d.tileW, p/d.tileW)
				from := at.Add(image.Pt(x*d.tileW, y*d.tileH))
				wantColor := rust
				switch {
				case from.In(image.Rect(0, 0, want.Rect.Dx()-lost, want.Rect.Dy()-lost)):
					wantColor = want.RGBAAt(from.X, from.Y)
				case from.In(want.Rect) || s.Zooms[z].Level >= 0: // or the padding of a stored tile
					continue
				}
				if got := got.RGBAAt(at.X, at.Y); got != wantColor {
					t.Fatalf("zoom %d tile %d,%d: pixel %v is %v, want %v", z, x, y, at, got, wantColor)
				}
			}
		}
	}
}

// TestTileStretched checks the pixels that a level has lost: they equal their neighbours
// and not the background.
func TestTileStretched(t *testing.T) {
	blue := color.RGBA{60, 90, 170, 255}
	for _, tt := range []struct{ full, level, levelTile, zoom int }{
		{141, 70, 32, 71},   // in the middle of a tile
		{129, 64, 64, 65},   // all of a tile
		{257, 128, 32, 129}, // the same, more of them
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			s := openSlide(t, nil,
				testLevel{picture: plain(tt.full, tt.full, blue), tile: 64, raw: true},
				testLevel{picture: plain(tt.level, tt.level, blue), tile: tt.levelTile, raw: true, padding: poison})
			z := s.MaxZoom() - 1
			if got := s.Zooms[z]; got.Level != -1 || got.Width != tt.zoom {
				t.Fatalf("zoom %d is %+v: want one that is not stored, %d pixels wide", z, got, tt.zoom)
			}
			checkZoom(t, s, z, plain(tt.zoom, tt.zoom, blue), 0)
		})
	}
}

func makeTile(t testing.TB, s *slide.Slide, z, x, y int, o Options) *image.RGBA {
	t.Helper()
	b, err := Tile(context.Background(), s, z, x, y, o)
	if err != nil {
		t.Fatalf("Tile %d %d,%d: %v", z, x, y, err)
	}
	return decodeByGo(t, b)
}

func TestDerivedTileStored(t *testing.T) {
	s := openSlide(t, nil, testLevel{picture: ramps(100, 100), tile: 64})
	want, err := s.AppendTile(nil, 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Tile(context.Background(), s, s.MaxZoom(), 1, 1, Options{})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, error %v; want the %d stored ones", len(got), err, len(want))
	}
}

func TestDerivedTileSparse(t *testing.T) {
	blue := color.RGBA{60, 90, 170, 255}
	level := testLevel{picture: plain(256, 256, blue), tile: 64, raw: true}
	level.skip = func(c, r int) bool { return c < 2 && r < 2 || c == 2 && r == 2 }
	s := openSlide(t, nil, level)
	if _, err := Tile(context.Background(), s, 2, 0, 0, Options{}); !errors.Is(err, slide.ErrEmptyTile) {
		t.Errorf("a stored tile that the scanner skipped: error %v, want %v", err, slide.ErrEmptyTile)
	}
	if _, err := Tile(context.Background(), s, 1, 0, 0, Options{}); !errors.Is(err, slide.ErrEmptyTile) {
		t.Errorf("a tile of four that the scanner skipped: error %v, want %v", err, slide.ErrEmptyTile)
	}
	got := makeTile(t, s, 1, 1, 1, Options{Background: rust})
	want := plain(64, 64, blue)
	fill(want, image.Rect(0, 0, 32, 32), rust)
	checkPixels(t, got, want, 6)
	got = makeTile(t, s, 0, 0, 0, Options{})
	fill(want, want.Rect, blue)
	fill(want, image.Rect(0, 0, 32, 32), white)
	fill(want, image.Rect(32, 32, 48, 48), white)
	checkPixels(t, got, want, 6)
}

func TestDerivedTileDamage(t *testing.T) {
	level := testLevel{picture: ramps(256, 256), tile: 64}
	level.damage = func(c, r int) bool { return c == 3 && r == 0 }
	s := openSlide(t, nil, level)
	for _, at := range []struct {
		z, x, y int
		bad     bool
	}{{1, 0, 0, false}, {1, 1, 1, false}, {1, 1, 0, true}, {0, 0, 0, true}} {
		b, err := Tile(context.Background(), s, at.z, at.x, at.y, Options{})
		if (err != nil) != at.bad {
			t.Errorf("zoom %d tile %d,%d: %d bytes, error %v; want error: %v", at.z, at.x, at.y, len(b), err, at.bad)
		}
	}
}

func TestDerivedTileOutside(t *testing.T) {
	s := openSlide(t, nil, testLevel{picture: ramps(130, 65), tile: 64})
	for _, at := range [][3]int{{-1, 0, 0}, {3, 0, 0}, {2, 3, 0}, {2, 0, 2}, {0, 1, 0}, {0, 0, -1}, {1, -1, 0}} {
		if _, err := Tile(context.Background(), s, at[0], at[1], at[2], Options{}); !errors.Is(err, slide.ErrNoTile) {
			t.Errorf("tile %v: error %v, want %v", at, err, slide.ErrNoTile)
		}
	}
}

func TestDerivedTileCancelled(t *testing.T) {
	s := openSlide(t, nil, testLevel{picture: ramps(256, 256), tile: 64})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Tile(ctx, s, 0, 0, 0, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// TestDerivedTileFromCached derives a tile from cached ones, and requests only those that are
// not stored.
func TestDerivedTileFromCached(t *testing.T) {
	s := openSlide(t, nil, testLevel{picture: plain(256, 256, rust), tile: 64})
	kept, err := EncodeJPEG(plain(64, 64, color.RGBA{0, 0, 200, 255}), 95)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	o := Options{Tile: func(_ context.Context, z, x, y int) ([]byte, error) {
		asked = append(asked, fmt.Sprint(z, x, y))
		if x == 1 && y == 1 {
			return nil, slide.ErrEmptyTile
		}
		return kept, nil
	}}
	got := makeTile(t, s, 0, 0, 0, o)
	want := plain(64, 64, color.RGBA{0, 0, 200, 255})
	fill(want, image.Rect(32, 32, 64, 64), white)
	checkPixels(t, got, want, 6)
	if got, want := fmt.Sprint(asked), "[1 0 0 1 1 0 1 0 1 1 1 1]"; got != want {
		t.Errorf("requested %v, want %v", got, want)
	}
	asked = nil
	checkPixels(t, makeTile(t, s, 1, 0, 0, o), plain(64, 64, rust), 6)
	if len(asked) > 0 {
		t.Errorf("requested %v, which are stored", asked)
	}
	o.Tile = func(context.Context, int, int, int) ([]byte, error) { return nil, errors.New("no disk") }
	if _, err := Tile(context.Background(), s, 0, 0, 0, o); err == nil || err.Error() != "no disk" {
		t.Errorf("error %v, want that of Tile", err)
	}
	o.Tile = func(context.Context, int, int, int) ([]byte, error) { return kept[:len(kept)/2], nil }
	if _, err := Tile(context.Background(), s, 0, 0, 0, o); err == nil {
		t.Error("a cached tile that is damaged: no error")
	}
}

func TestDerivedTileConcurrently(t *testing.T) {
	s := openSlide(t, nil, testLevel{picture: ramps(512, 512), tile: 64})
	want, err := Tile(context.Background(), s, 0, 0, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 3 {
				got, err := Tile(context.Background(), s, 0, 0, 0, Options{})
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, error %v; want the same %d as alone", len(got), err, len(want))
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkMakeTile derives a tile of 512 pixels from four JPEG tiles of quality 95. This
// is the most expensive usual case: the smallest level of the file is too large for the
// viewer. Bytes are pixels rendered.
func BenchmarkMakeTile(b *testing.B) {
	s := openSlide(b, nil, testLevel{picture: jpegtest.Tissue(1024, 1024, 1), tile: 512})
	b.SetBytes(4 * 512 * 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Tile(context.Background(), s, 0, 0, 0, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
