package pack

import (
	"bytes"
	"encoding/json"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// script opens a slide with OpenSlide, prints its levels, and writes the pixels of the
// largest one.
const script = `
import json, sys, openslide
s = openslide.OpenSlide(sys.argv[1])
s.read_region((0, 0), 0, s.dimensions).convert("RGB").save(sys.argv[2])
json.dump({"Levels": s.level_dimensions, "Downsamples": s.level_downsamples, "Resolution": s.properties.get("tiff.XResolution", ""),
	"Description": s.properties["tiff.ImageDescription"]}, sys.stdout)
`

// TestOtherReaders opens a packed file with OpenSlide and with libvips: both read all pixels
// of its square.
func TestOtherReaders(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts other programs")
	}
	tiles := picture(t, atBottom, true, encodeColour)
	delete(tiles, "t.jpg")
	s, _, path := packed(t, tiles.slide(t, atBottom), Options{ID: "im1"})
	t.Run("OpenSlide", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out.png")
		const python = "/usr/bin/python3"
		if exec.Command(python, "-c", "import openslide, PIL").Run() != nil {
			t.Skip("no Python with openslide and PIL (Debian: python3-openslide)")
		}
		text, err := exec.Command(python, "-c", script, path, out).Output()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Levels      [][2]int
			Downsamples []float64
			Resolution  string
			Description string
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([][2]int{{side, side}, {side / 2, side / 2}}, got.Levels); diff != "" {
			t.Error(diff)
		}
		if !strings.HasPrefix(got.Resolution, "40144.5") || !strings.Contains(got.Description, "openslide.bounds-y = 212") {
			t.Errorf("%+v", got)
		}
		comparePNG(t, out, func(level, col, row int) []byte {
			b, _ := s.AppendTile(nil, level, col, row)
			return b
		})
	})
	t.Run("libvips", func(t *testing.T) {
		if _, err := exec.LookPath("vips"); err != nil {
			t.Skip("no vips (Debian: libvips-tools)")
		}
		out := filepath.Join(t.TempDir(), "out.png")
		if text, err := exec.Command("vips", "copy", path, out).CombinedOutput(); err != nil || len(bytes.TrimSpace(text)) > 0 {
			t.Fatalf("%v: %s", err, text)
		}
		comparePNG(t, out, func(level, col, row int) []byte {
			b, _ := s.AppendTile(nil, level, col, row)
			return b
		})
	})
}

// comparePNG compares the pixels of the largest level with its tiles. Where there is no tile,
// they are white.
func comparePNG(t *testing.T, path string, tile func(level, col, row int) []byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	white := blank(kind{3, yCbCr, 2, 2}, tileSize)
	for row := range side / tileSize {
		for col := range side / tileSize {
			b := tile(0, col, row)
			if b == nil {
				b = white
			}
			want, err := jpeg.Decode(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			for y := 4; y < tileSize; y += 8 {
				for x := 4; x < tileSize; x += 8 {
					// The chroma is interpolated by one and repeated by the other.
					got := color.GrayModel.Convert(m.At(col*tileSize+x, row*tileSize+y)).(color.Gray).Y
					if y := color.GrayModel.Convert(want.At(x, y)).(color.Gray).Y; max(got, y)-min(got, y) > 8 {
						t.Fatalf("pixel %d,%d of tile %d,%d has brightness %d, want %d", x, y, col, row, got, y)
					}
				}
			}
		}
	}
}
