package slide

import (
	"bytes"
	"errors"
	"image"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/tiff"
)

// memoryTiles are tiles in memory, by column and row.
type memoryTiles map[image.Point][]byte

func (m memoryTiles) AppendTile(dst []byte, col, row int) ([]byte, int64, error) {
	b, ok := m[image.Pt(col, row)]
	if !ok {
		return dst, 0, ErrEmptyTile
	}
	return append(dst, b...), 1000, nil
}

func (m memoryTiles) TileBytes(col, row int) int64 { return int64(len(m[image.Pt(col, row)])) }

func (m memoryTiles) Ends() (ends []image.Point, err error) {
	for at := range m {
		ends = append(ends, at)
	}
	return ends, nil
}

func (m memoryTiles) Memory() int64 { return 7 }

// storedJPEG is a level of 60 × 30 pixels in two tiles, of which one is stored.
func storedJPEG(b []byte, photometric int) Stored {
	return Stored{
		Width: 60, Height: 30, TileWidth: 32, TileHeight: 32, Profile: []byte("profile"), Tiles: memoryTiles{image.Pt(1, 0): b},
		Layout: Layout{Codec: JPEG, Photometric: photometric, Samples: 3, Bits: 8, Planar: 1, Predictor: 1},
	}
}

// TestCompositeColours checks that a tile gets a marker where its colours would otherwise be
// displayed wrong, and only there.
func TestCompositeColours(t *testing.T) {
	plain := testJPEG(32, 32, "x")
	frameOf(plain)[7] = 0x11 // without subsampling nothing says that it is not RGB
	for _, tt := range []struct {
		name        string
		data        []byte
		photometric int
		marked      bool
	}{
		{"YCbCr", plain, yCbCr, false},
		{"RGB", plain, rgb, true},
		{"RGB with padding", append(bytes.Clone(plain), 0), rgb, true},
		{"RGB that says so", insert(plain, adobeRGB), rgb, true},
		{"JFIF called RGB", insert(plain, jfif), rgb, false},
		{"subsampled called RGB", testJPEG(32, 32, "x"), rgb, false},
	} {
		s, err := NewComposite(Composite{Format: "f", Levels: []Stored{storedJPEG(tt.data, tt.photometric)}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.AppendTile([]byte("xy"), 0, 1, 0)
		if err != nil || string(b[:2]) != "xy" {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := strings.Count(string(b), "Adobe"); got != 1 == tt.marked || int64(len(b)-2) > s.TileBytes(0, 1, 0) {
			t.Errorf("%s: %d markers in %d bytes, at most %d", tt.name, got, len(b)-2, s.TileBytes(0, 1, 0))
		}
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, err := s.AppendTile(nil, 0, 0, 0); !errors.Is(err, ErrEmptyTile) {
			t.Errorf("%s: a tile that is not stored: %v", tt.name, err)
		}
		if icc, err := s.ICC(); string(icc) != "profile" || err != nil {
			t.Errorf("%s: profile %q, %v", tt.name, icc, err)
		}
		other := s.WithTiles(func(dst []byte, _, _, _ int) ([]byte, error) { return append(dst, 'z'), nil })
		if b, err := other.AppendTile(nil, 0, 0, 0); string(b) != "z" || err != nil || other.IsPyramid() || other.Bytes() < 7 {
			t.Errorf("%s: with other tiles %q, %v", tt.name, b, err)
		}
	}
}

func TestCompositeRefuses(t *testing.T) {
	good := testJPEG(32, 32, "x")
	level := func(change func(p *Stored)) Composite {
		p := storedJPEG(good, yCbCr)
		change(&p)
		return Composite{Levels: []Stored{p}}
	}
	for _, tt := range []struct {
		name string
		c    Composite
		text string
	}{
		{"no level", Composite{}, "no level"},
		{"no width", level(func(p *Stored) { p.Width = 0 }), "0×30"},
		{"a huge height", level(func(p *Stored) { p.Height = maxSide + 1 }), "60×2147483648"},
		{"no tile", level(func(p *Stored) { p.TileWidth = 0 }), "0×32"},
		{"huge tiles", level(func(p *Stored) { p.TileWidth, p.TileHeight = maxTileSide, maxTileSide }), "too large"},
		{"another size", level(func(p *Stored) { p.TileWidth = 16; p.Tiles = memoryTiles{{}: good} }), "32×32 pixels instead of 16×32"},
		{"no end", level(func(p *Stored) { p.Tiles = memoryTiles{{}: good[:len(good)-2]} }), "no end"},
		{"no tiles", level(func(p *Stored) { p.Tiles = memoryTiles{} }), "no tile of its largest level"},
		{"zeros", level(func(p *Stored) { p.Layout.Codec, p.Tiles = None, memoryTiles{{}: make([]byte, 3072)} }), "only zeros"},
		{"too few pixels", level(func(p *Stored) { p.Layout.Codec, p.Tiles = None, memoryTiles{{}: make([]byte, 3071)} }), "3071 bytes instead of 3072"},
	} {
		s, err := NewComposite(tt.c)
		if err == nil {
			err = s.Check()
		}
		var format *tiff.FormatError
		var unsupported *tiff.UnsupportedError
		if !errors.As(err, &format) && !errors.As(err, &unsupported) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.text)
		}
	}
}
