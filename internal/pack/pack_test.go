package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	side     = 512
	tileSize = 128
	levels   = 3
)

var (
	atTop    = image.Rect(0, 0, 400, 300)
	atBottom = image.Rect(0, 212, 400, 512)
)

// A stored is the collection of an image: its tiles by the names of their documents.
type stored map[string][]byte

// picture returns the tiles of a picture of which the image covers the bounds. With cut,
// tiles at the right and bottom edges end with the image, as those of the C++ uploader.
func picture(t testing.TB, bounds image.Rectangle, cut bool, encode func(image.Image) []byte) stored {
	t.Helper()
	tiles := stored{}
	for zoom := range levels {
		scale := 1 << (levels - 1 - zoom)
		g := slideatlas.Grid{TileSize: tileSize, Levels: levels, Bounds: bounds}
		r := g.Tiles(zoom)
		for row := r.Min.Y; row < r.Max.Y; row++ {
			for col := r.Min.X; col < r.Max.X; col++ {
				at := slideatlas.Tile{Zoom: zoom, Column: col, Row: row}
				size := image.Pt(tileSize, tileSize)
				if cut {
					size = g.Visible(at).Max
				}
				m := image.NewRGBA(image.Rectangle{Max: size})
				draw.Draw(m, m.Rect, image.White, image.Point{}, draw.Src)
				v := g.Visible(at)
				for y := v.Min.Y; y < v.Max.Y; y++ {
					for x := v.Min.X; x < v.Max.X; x++ {
						m.SetRGBA(x, y, color.RGBA{uint8((col*tileSize + x) * scale / 2), uint8((row*tileSize + y) * scale / 2), uint8(40 * zoom), 255})
					}
				}
				tiles[at.Name()] = encode(m)
			}
		}
	}
	return tiles
}

func encodeColour(m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func encodeGrey(m image.Image) []byte {
	g := image.NewGray(m.Bounds())
	draw.Draw(g, g.Rect, m, image.Point{}, draw.Src)
	return encodeColour(g)
}

// slide returns the image as SlideAtlas's readers do.
func (s stored) slide(t testing.TB, bounds image.Rectangle) *slide.Slide {
	t.Helper()
	im := slideatlas.Image{Grid: slideatlas.Grid{TileSize: tileSize, Levels: levels, Bounds: bounds}, SpacingX: 249.1, SpacingY: 249.1}
	sl, err := im.Slide(func(dst []byte, tile slideatlas.Tile) ([]byte, error) {
		b, ok := s[tile.Name()]
		if !ok {
			return dst, slideatlas.ErrNoTile
		}
		return append(dst, b...), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sl
}

// packed writes a slide to a file and opens that.
func packed(t *testing.T, s *slide.Slide, o Options) (*slide.Slide, Result, string) {
	t.Helper()
	f := create(t)
	r, err := Write(t.Context(), s, f, o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := slide.Open(f, r.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return got, r, f.Name()
}

func create(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "packed.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestWrite packs images of both uploaders, and reads them through the file: bounds, sizes,
// zoom levels and tiles are those of the collection.
func TestWrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		bounds image.Rectangle
		cut    bool
		encode func(image.Image) []byte
		want   Result
	}{
		{"at the top, padded", atTop, false, encodeColour, Result{Levels: 2, Tiles: 15, Background: 1}},
		{"at the top, cut", atTop, true, encodeColour, Result{Levels: 2, Tiles: 15, Padded: 8, Background: 1}},
		{"at the bottom", atBottom, false, encodeColour, Result{Levels: 2, Tiles: 15, Background: 1}},
		{"grey", atBottom, true, encodeGrey, Result{Levels: 2, Tiles: 15, Padded: 5, Background: 1}},
		{"RGB", atTop, false, encodeRGB, Result{Levels: 2, Tiles: 15, Background: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tiles := picture(t, tt.bounds, tt.cut, tt.encode)
			delete(tiles, "t.jpg") // SlideAtlas does not always store it
			absent := slideatlas.Tile{Zoom: 2, Column: 1, Row: 2}
			delete(tiles, absent.Name())
			before := tiles.slide(t, tt.bounds)
			s, r, path := packed(t, before, Options{ID: "im1", Name: "a name"})
			got := r
			got.Digest, got.Bytes, got.TileBytes = "", 0, 0
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("result: %s", diff)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(data); r.Digest != hex.EncodeToString(sum[:]) || r.Bytes != int64(len(data)) {
				t.Errorf("digest %s of %d bytes, want %x of %d", r.Digest, r.Bytes, sum, len(data))
			}
			if s.Bounds != before.Bounds || s.MPPX != before.MPPX || s.MPPY != before.MPPY || s.MaxZoom() != before.MaxZoom() || len(s.Warnings) > 0 {
				t.Errorf("bounds %v, %v µm, %d zoom levels, warnings %v; want %v, %v, %d", s.Bounds, s.MPPX, s.MaxZoom(), s.Warnings, before.Bounds, before.MPPX, before.MaxZoom())
			}
			if diff := cmp.Diff(before.Levels[:2], s.Levels, cmp.FilterPath(func(p cmp.Path) bool { return strings.Contains(p.String(), "Layout") }, cmp.Ignore())); diff != "" {
				t.Errorf("levels: %s", diff)
			}
			if s.Zooms[0].Level != -1 {
				t.Errorf("the smallest zoom level is level %d, want a derived one", s.Zooms[0].Level)
			}
			sameTiles(t, before, s, tt.cut)
			if _, r2, _ := packed(t, before, Options{ID: "im1", Name: "a name"}); r2.Digest != r.Digest {
				t.Error("the same image twice gives other bytes")
			}
			if _, r2, _ := packed(t, before, Options{ID: "im2", Name: "a name"}); r2.Digest == r.Digest {
				t.Error("two images have the same bytes")
			}
		})
	}
}

// sameTiles compares all tiles of two slides, also those that they do not have. Tiles that
// were cut must begin with the same pixels.
func sameTiles(t *testing.T, before, s *slide.Slide, cut bool) {
	t.Helper()
	for i := range s.Levels {
		for row := range s.Levels[i].Rows {
			for col := range s.Levels[i].Columns {
				want, wantErr := before.AppendTile(nil, i, col, row)
				got, err := s.AppendTile(nil, i, col, row)
				if !errors.Is(err, wantErr) {
					t.Errorf("level %d tile %d,%d: %v, want %v", i, col, row, err, wantErr)
				}
				if wantErr != nil && s.TileBytes(i, col, row) != 0 {
					t.Errorf("level %d tile %d,%d: no tile has %d bytes", i, col, row, s.TileBytes(i, col, row))
				}
				if bytes.Equal(got, want) {
					continue
				}
				if !cut {
					t.Errorf("level %d tile %d,%d differs", i, col, row)
					continue
				}
				a, errA := jpeg.Decode(bytes.NewReader(want))
				b, errB := jpeg.Decode(bytes.NewReader(got))
				if errA != nil || errB != nil {
					t.Fatal(errA, errB)
				}
				for y := range a.Bounds().Dy() {
					for x := range a.Bounds().Dx() {
						if a.At(x, y) != b.At(x, y) {
							t.Fatalf("level %d tile %d,%d: pixel %d,%d is %v, want %v", i, col, row, x, y, b.At(x, y), a.At(x, y))
						}
					}
				}
			}
		}
	}
}

// encodeRGB declares the components of a JPEG without subsampling to be red, green and blue.
func encodeRGB(image.Image) []byte {
	return blank(kind{3, rgb, 1, 1}, tileSize)
}

// The file keeps the properties that SlideAtlas's addresses need, in one line each.
func TestProperties(t *testing.T) {
	t.Parallel()
	s := picture(t, atBottom, false, encodeGrey).slide(t, atBottom)
	s.Properties = map[string]string{"slideatlas.CoordinateSystem": "Photo", "slideatlas.copyright": "Hospital | 2014\nAll", "tiff.Make": "Scanner"}
	got, _, _ := packed(t, s, Options{})
	want := map[string]string{"slideatlas.CoordinateSystem": "Photo", "slideatlas.copyright": "Hospital   2014 All"}
	maps.DeleteFunc(got.Properties, func(key, _ string) bool { return !strings.HasPrefix(key, "slideatlas.") })
	if diff := cmp.Diff(want, got.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

// TestBlank decodes the background of each kind of JPEG.
func TestBlank(t *testing.T) {
	t.Parallel()
	for _, k := range []kind{{1, minIsBlack, 1, 1}, {3, rgb, 1, 1}, {3, yCbCr, 1, 1}, {3, yCbCr, 2, 1}, {3, yCbCr, 2, 2}, {3, yCbCr, 1, 2}} {
		b := blank(k, 256)
		got, w, h, err := kindOf(b)
		if err != nil || got != k || w != 256 || h != 256 {
			t.Errorf("%v: is %v of %d×%d, %v", k, got, w, h, err)
		}
		m, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%v: %v", k, err)
		}
		for y := range 256 {
			for x := range 256 {
				if c := color.RGBAModel.Convert(m.At(x, y)); c != (color.RGBA{255, 255, 255, 255}) {
					t.Fatalf("%v: pixel %d,%d is %v", k, x, y, c)
				}
			}
		}
	}
}

// TestRefuses packs images that a TIFF cannot contain, and expects the reason.
func TestRefuses(t *testing.T) {
	t.Parallel()
	tile := slideatlas.Tile{Zoom: 2, Column: 1, Row: 1}.Name()
	for _, tt := range []struct {
		name    string
		spoil   func(stored)
		want    error
		reason  string
		damaged int64 // with the option; -1 if that is an error too
	}{
		{"a tile of 0 bytes", func(s stored) { s[tile] = nil }, ErrDamaged, "no bytes", 1},
		{"a tile that ends early", func(s stored) { s[tile] = s[tile][:100] }, ErrDamaged, "level 0 tile 1,1", 1},
		{"a PNG", func(s stored) { s[tile] = []byte("\x89PNG\r\n\x1a\n") }, ErrDamaged, "FF D8", 1},
		{"a grey tile", func(s stored) { s[tile] = encodeGrey(image.NewRGBA(image.Rect(0, 0, tileSize, tileSize))) }, ErrUnsupported, "tile 1,1 is grey", -1},
		{"a tile of another size", func(s stored) { s[tile] = encodeColour(image.NewRGBA(image.Rect(0, 0, 100, 100))) }, ErrDamaged, "100×100", 1},
		{"no tile of the largest level", func(s stored) {
			for name := range s {
				if len(name) == len(tile) {
					delete(s, name)
				}
			}
		}, ErrUnsupported, "has no tiles", -1},
		{"names of colours", func(s stored) {
			b := bytes.Clone(blank(kind{3, yCbCr, 1, 1}, tileSize))
			b = append(b[:2:2], b[2+18:]...) // without JFIF
			i := bytes.Index(b, []byte{0xff, 0xc0})
			b[i+10], b[i+13], b[i+16] = 'R', 'G', 'B'
			j := bytes.Index(b, []byte{0xff, 0xda})
			b[j+5], b[j+7], b[j+9] = 'R', 'G', 'B'
			s[tile] = b
		}, ErrUnsupported, "R, G and B", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tiles := picture(t, atTop, false, encodeColour)
			tt.spoil(tiles)
			_, err := Write(t.Context(), tiles.slide(t, atTop), create(t), Options{})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("error %v, want %v with %q", err, tt.want, tt.reason)
			}
			r, err := Write(t.Context(), tiles.slide(t, atTop), create(t), Options{DamagedAsBackground: true})
			if tt.damaged < 0 {
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || r.Damaged != tt.damaged {
				t.Errorf("%d damaged, %v; want %d", r.Damaged, err, tt.damaged)
			}
		})
	}
	s, err := slide.New(slide.Pyramid{TileSize: 100, Zooms: 2, Bounds: image.Rect(0, 0, 150, 150)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), s, create(t), Options{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("tiles of 100 pixels: %v", err)
	}
	if s, err = slide.New(slide.Pyramid{TileSize: 256, Zooms: 14, Bounds: image.Rect(0, 0, 150, 150)}); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), s, create(t), Options{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("14 zoom levels: %v", err)
	}
}

// TestProgressive pads a cut tile that cannot be padded without decoding it.
func TestProgressive(t *testing.T) {
	t.Parallel()
	b, err := repaint(t.Context(), encodeColour(image.NewRGBA(image.Rect(0, 0, 30, 50))), 64, image.Point{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[image.Point]uint8{{2, 2}: 0, {20, 40}: 0, {55, 2}: 255, {2, 60}: 255} {
		if c := color.GrayModel.Convert(m.At(at.X, at.Y)).(color.Gray); max(c.Y, want)-min(c.Y, want) > 10 {
			t.Errorf("pixel %v is %v, want %d", at, c, want)
		}
	}
}

// TestInterrupted stops packing by its context, by a full disk and by an error of the tiles.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	tiles := picture(t, atTop, false, encodeColour)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Write(ctx, tiles.slide(t, atTop), create(t), Options{Progress: func(done, _ int64) {
		if done == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	comment := append([]byte{0xff, 0xfe, 0xff, 0xff}, make([]byte, 65533)...)
	for name, b := range tiles { // 7 comments make the tiles 8 MB large; a tile is smaller than its pixels
		tiles[name] = slices.Concat(b[:2], comment, b[2:])
	}
	full := errors.New("full")
	if _, err := Write(t.Context(), tiles.slide(t, atTop), create(t), Options{CheckSpace: func(int64, int64) error { return full }}); err != nil {
		t.Errorf("less than 4 MB: %v", err)
	}
	away := errors.New("unreachable")
	im := slideatlas.Image{Grid: slideatlas.Grid{TileSize: tileSize, Levels: levels, Bounds: atTop}}
	s, err := im.Slide(func(dst []byte, tile slideatlas.Tile) ([]byte, error) {
		if tile.Zoom == 2 && tile.Column == 2 {
			return dst, away
		}
		return append(dst, tiles[tile.Name()]...), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), s, create(t), Options{DamagedAsBackground: true}); !errors.Is(err, away) || errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want %v", err, away)
	}
}

// TestCheck changes a byte of the file before it is checked.
func TestCheck(t *testing.T) {
	t.Parallel()
	tiles := picture(t, atTop, false, encodeColour)
	f := create(t)
	spoiled := false
	_, err := Write(t.Context(), tiles.slide(t, atTop), f, Options{Progress: func(done, total int64) {
		if done <= total/2 || spoiled {
			return
		}
		spoiled = true
		at := int64(len(tiles["t.jpg"])) + 16 + int64(len(tiles["tq.jpg"])) + int64(len(tiles["tr.jpg"])) + int64(len(tiles["tt.jpg"])) + int64(len(tiles["ts.jpg"]))
		for _, name := range []string{"tqq", "tqr", "trq", "trr", "tqt", "tqs", "trt", "trs", "ttq", "ttr", "tsq"} {
			at += int64(len(tiles[name+".jpg"]))
		}
		if _, err := f.WriteAt([]byte{1, 2, 3}, at+300); err != nil {
			t.Error(err)
		}
	}})
	if !errors.Is(err, ErrCheck) || !strings.Contains(err.Error(), "level 0 tile 3,2") {
		t.Errorf("error %v, want %v", err, ErrCheck)
	}
}
