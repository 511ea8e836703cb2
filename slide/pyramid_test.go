package slide

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/tiff"
)

// jpegOf returns a JPEG of a size and grey value.
func jpegOf(t testing.TB, w, h int, grey uint8) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = grey
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// newPyramid returns a pyramid of three zoom levels whose image of 90 × 70 pixels lies at the
// foot of a square of 128 pixels. Each tile has its address as its grey value.
func newPyramid(t testing.TB, edit func(zoom, col, row int, b []byte) ([]byte, error)) *Slide {
	t.Helper()
	s, err := New(Pyramid{
		Format: "slideatlas", TileSize: 32, Zooms: 3, Bounds: image.Rect(0, 58, 90, 128), MPPX: 0.25, MPPY: 0.25,
		AppendTile: func(dst []byte, zoom, col, row int) ([]byte, error) {
			b := jpegOf(t, 32, 32, uint8(zoom<<6|row<<3|col))
			if edit != nil {
				var err error
				if b, err = edit(zoom, col, row, b); err != nil {
					return dst, err
				}
			}
			return append(dst, b...), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPyramid(t *testing.T) {
	s := newPyramid(t, nil)
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if len(s.Zooms) != 3 || s.MaxZoom() != 2 || s.Bounds != image.Rect(0, 58, 90, 128) || s.Associated() != nil || s.Bytes() == 0 {
		t.Errorf("zoom levels %+v, bounds %v, associated images %v, %d bytes", s.Zooms, s.Bounds, s.Associated(), s.Bytes())
	}
	// The rows of tiles that show a part of the image.
	rows := [][2]int{{0, 1}, {0, 2}, {1, 4}}
	columns := []int{1, 2, 3}
	for z := range s.Zooms {
		zoom := &s.Zooms[z]
		if zoom.Columns != 1<<z || zoom.Rows != 1<<z || zoom.Level != 2-z {
			t.Fatalf("zoom level %d: %+v", z, *zoom)
		}
		for row := range zoom.Rows {
			for col := range zoom.Columns {
				name := fmt.Sprintf("tile %d,%d of zoom level %d", col, row, z)
				b, err := s.AppendTile([]byte("before"), zoom.Level, col, row)
				if row < rows[z][0] || row >= rows[z][1] || col >= columns[z] {
					if !errors.Is(err, ErrNoTile) || string(b) != "before" {
						t.Errorf("%s: %d bytes, %v, want no tile", name, len(b), err)
					}
					continue
				}
				if err != nil || !bytes.HasPrefix(b, []byte("before")) {
					t.Errorf("%s: %v", name, err)
					continue
				}
				m, err := jpeg.Decode(bytes.NewReader(b[len("before"):]))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := m.At(5, 5).(color.Gray).Y, uint8(z<<6|row<<3|col); got != want {
					t.Errorf("%s has the grey value %d, want %d", name, got, want)
				}
				if limit := s.TileBytes(zoom.Level, col, row); limit < int64(len(b)) {
					t.Errorf("%s: %d bytes, at most %d", name, len(b), limit)
				}
			}
		}
	}
	for _, at := range [][3]int{{-1, 0, 0}, {3, 0, 0}, {0, -1, 2}, {0, 0, 4}, {0, 4, 2}} {
		if _, err := s.AppendTile(nil, at[0], at[1], at[2]); !errors.Is(err, ErrNoTile) {
			t.Errorf("tile %v: %v", at, err)
		}
	}
	if n := s.TileBytes(3, 0, 0); n != 0 {
		t.Errorf("a tile that does not exist has up to %d bytes", n)
	}
}

// TestPyramidTiles reads tiles that are cut, absent or damaged.
func TestPyramidTiles(t *testing.T) {
	disk := errors.New("the disk is on fire")
	for _, tt := range []struct {
		name     string
		col, row int // of zoom level 2
		b        []byte
		err      error
		words    string // of the error, if the tile is damaged
	}{
		{name: "complete", col: 1, row: 2, b: jpegOf(t, 32, 32, 1)},
		{name: "cut at the right", col: 2, row: 2, b: jpegOf(t, 26, 32, 1)},
		{name: "cut in the middle", col: 1, row: 2, b: jpegOf(t, 26, 32, 1), words: "26×32 pixels instead of 32×32"},
		{name: "larger", col: 1, row: 2, b: jpegOf(t, 64, 64, 1), words: "64×64 pixels"},
		{name: "background", col: 1, row: 2, err: ErrEmptyTile},
		{name: "to be derived", col: 1, row: 2, err: ErrMissingTile},
		{name: "unreadable", col: 1, row: 2, err: disk},
		{name: "empty", col: 1, row: 2, b: []byte{}, words: "has no bytes"},
		{name: "text", col: 1, row: 2, b: []byte("no JPEG"), words: "does not begin with FF D8"},
		{name: "cut short", col: 1, row: 2, b: jpegOf(t, 32, 32, 1)[:400], words: "incomplete"},
		{name: "too large", col: 1, row: 2, b: append(jpegOf(t, 32, 32, 1), make([]byte, 100<<10)...), words: "bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newPyramid(t, func(int, int, int, []byte) ([]byte, error) { return tt.b, tt.err })
			b, err := s.AppendTile([]byte("before"), 0, tt.col, tt.row)
			damaged, ok := errors.AsType[*tiff.FormatError](err)
			switch {
			case tt.words != "":
				if !ok || !strings.Contains(damaged.Error(), tt.words) {
					t.Errorf("error %v, want one with %q", err, tt.words)
				}
			case !errors.Is(err, tt.err):
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if want := "before" + string(tt.b); err == nil && string(b) != want || err != nil && string(b) != "before" {
				t.Errorf("%d bytes, want %d", len(b), len(want))
			}
		})
	}
}

// TestPlace has tiles of the sizes that programs store at the edges of an image.
func TestPlace(t *testing.T) {
	s := newPyramid(t, nil)
	for _, tt := range []struct {
		name            string
		level, col, row int
		w, h            int
		at              image.Point
		ok              bool
	}{
		{"padded", 0, 2, 1, 32, 32, image.Pt(0, 0), true},
		{"cut at the right", 0, 2, 1, 26, 32, image.Pt(0, 0), true},
		{"cut at the top", 0, 0, 1, 32, 6, image.Pt(0, 26), true},
		{"cut on two sides", 0, 2, 1, 26, 6, image.Pt(0, 26), true},
		{"another height", 0, 0, 1, 32, 7, image.Point{}, false},
		{"a size that is no part", 0, 2, 1, 25, 32, image.Point{}, false},
		{"nothing", 0, 2, 1, 0, 32, image.Point{}, false},
		{"larger", 0, 2, 1, 33, 32, image.Point{}, false},
		{"partial pixel kept", 2, 0, 0, 23, 32, image.Pt(0, 0), true},
		{"partial pixel dropped", 2, 0, 0, 22, 32, image.Pt(0, 0), true},
		{"more than a pixel dropped", 2, 0, 0, 21, 32, image.Point{}, false},
	} {
		at, ok := s.Place(tt.level, tt.col, tt.row, image.Pt(tt.w, tt.h))
		if ok != tt.ok || ok && at != tt.at {
			t.Errorf("%s: %v, %v, want %v, %v", tt.name, at, ok, tt.at, tt.ok)
		}
	}
}

// TestWithTiles reads the tiles of a pyramid through another function.
func TestWithTiles(t *testing.T) {
	s := newPyramid(t, nil)
	calls := 0
	other := s.WithTiles(func(dst []byte, level, col, row int) ([]byte, error) {
		calls++
		return s.AppendTile(dst, level, col, row)
	})
	if !other.IsPyramid() || !other.Cropped() || other.Bounds != s.Bounds || other.MaxZoom() != s.MaxZoom() || other.Bytes() == 0 {
		t.Errorf("%+v", other)
	}
	want, err := s.AppendTile(nil, 0, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.AppendTile(nil, 0, 1, 2); err != nil || !bytes.Equal(got, want) || calls != 1 {
		t.Errorf("%d bytes, %v, %d calls", len(got), err, calls)
	}
	if _, err := other.AppendTile(nil, 0, 3, 0); !errors.Is(err, ErrNoTile) || calls != 1 {
		t.Errorf("a tile outside of the image: %v, %d calls", err, calls)
	}
	if err := other.Check(); err != nil {
		t.Error(err)
	}
}

func TestPyramidCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		edit  func(zoom, col, row int, b []byte) ([]byte, error)
		words string
	}{
		"without the smallest level": {edit: func(zoom, _, _ int, b []byte) ([]byte, error) {
			if zoom == 0 {
				return nil, ErrMissingTile
			}
			return b, nil
		}},
		"without tiles":       {func(int, int, int, []byte) ([]byte, error) { return nil, ErrEmptyTile }, "has no tiles"},
		"with a damaged tile": {func(_, _, _ int, b []byte) ([]byte, error) { return b[:len(b)/2], nil }, "level 2 tile 0,0"},
	} {
		if err := newPyramid(t, tt.edit).Check(); (err == nil) != (tt.words == "") || err != nil && !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %q", name, err, tt.words)
		}
	}
}

func TestNewRefused(t *testing.T) {
	for name, p := range map[string]Pyramid{
		"no tile size":    {Zooms: 1, Bounds: image.Rect(0, 0, 1, 1)},
		"huge tiles":      {TileSize: 1 << 20, Zooms: 1, Bounds: image.Rect(0, 0, 1, 1)},
		"no zoom levels":  {TileSize: 256, Bounds: image.Rect(0, 0, 1, 1)},
		"too many":        {TileSize: 256, Zooms: 24, Bounds: image.Rect(0, 0, 1, 1)},
		"absurdly many":   {TileSize: 1, Zooms: 1 << 40, Bounds: image.Rect(0, 0, 1, 1)},
		"no image":        {TileSize: 256, Zooms: 2},
		"negative bounds": {TileSize: 256, Zooms: 2, Bounds: image.Rect(-1, 0, 1, 1)},
		"bounds outside":  {TileSize: 256, Zooms: 2, Bounds: image.Rect(0, 0, 513, 1)},
	} {
		s, err := New(p)
		if _, ok := errors.AsType[*tiff.UnsupportedError](err); !ok {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
