package slide

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/tiff"
)

// openData opens a file of the test data.
func openData(t *testing.T, elem ...string) (*Slide, error) {
	t.Helper()
	b, err := os.ReadFile(testData(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return Open(bytes.NewReader(b), int64(len(b)))
}

// TestOddFiles checks valid but unusual files of other writers: their structure, and one
// tile.
func TestOddFiles(t *testing.T) {
	tests := []struct {
		file    string
		levels  string
		zooms   int
		tiles   int // present, of all levels
		markers string
	}{
		// Big-endian, 256-pixel tiles of a 64-pixel image.
		{"be_cog.tiff", "64x64 32x32 16x16 8x8 4x4", 1, 5, "SOI, DQT 00, DQT 01, DHT 00, DHT 10, DHT 01, DHT 11, SOF0, SOS"},
		// Tag 347 holds quantization only.
		{"cog.tiff", "64x64 32x32 16x16 8x8 4x4", 1, 5, "SOI, APP14(0), DQT 00, SOF0, DHT 00, DHT 10, SOS"},
		// The tag says RGB, the stream JFIF with halved chroma: it is YCbCr.
		{"jpeg_rgb_encoded_as_ycbcr.tiff", "1011x1051", 5, 140, "SOI, APP0, DQT 00, DQT 01, SOF0, DHT 00, DHT 10, DHT 01, DHT 11, SOS"},
		// The tag says YCbCr, the stream R, G, B and Adobe: it is RGB.
		{"jpeg_ycbcr_encoded_as_rgb.tiff", "1011x1051", 6, 170, "SOI, APP14(0), DQT 00, SOF0, DHT 00, DHT 10, SOS"},
		// Five pages of the same size.
		{"jpeg_rgb_tiled_sparse_philips_like.tiff", "1011x1051", 5, 36, "SOI, APP14(0), DQT 00, SOF0, DHT 00, DHT 10, SOS"},
		// Tiles have quantization tables although tag 347 has them.
		{"quad-tile.jpg.tiff", "512x384", 3, 12, "SOI, DHT 00, DHT 10, DHT 01, DHT 11, DQT 00, DQT 01, SOF0, SOS"},
		// No tile is present.
		{"sparse.tiff", "20480x20480 10240x10240 5120x5120 2048x2048 1024x1024 512x512", 7, 0, ""},
		{"tiff_with_subifd_chain.tif", "1024x512 512x256 256x128", 4, 42, ""},
		{"tiled-jpeg-rgb-u8.tif", "374x499", 5, 192, "SOI, APP14(0), DQT 00, DHT 00, DHT 10, SOF0, SOS"},
		// Masks between the levels.
		{"usda_naip_512_jpeg_z5.tif", "8192x16384 4096x8192 2048x4096 1024x2048 512x1024", 6, 14, "SOI, DQT 00, DQT 01, SOF0, DHT 00, DHT 10, DHT 01, DHT 11, SOS"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			s, err := openData(t, "tiff-odd", tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if got := levelSizes(s); got != tt.levels || len(s.Zooms) != tt.zooms {
				t.Errorf("levels %s and %d zooms, want %s and %d", got, len(s.Zooms), tt.levels, tt.zooms)
			}
			tiles, first := allTiles(t, s)
			if tiles != tt.tiles {
				t.Errorf("%d tiles, want %d", tiles, tt.tiles)
			}
			if tt.markers != "" {
				if diff := cmp.Diff(tt.markers, markersOf(first)); diff != "" {
					t.Errorf("markers of a tile (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// allTiles reads every tile, decodes those in JPEG, and returns their number and
// the first.
func allTiles(t *testing.T, s *Slide) (n int, first []byte) {
	t.Helper()
	for i, l := range s.Levels {
		for row := range l.Rows {
			for col := range l.Columns {
				b, err := s.AppendTile(nil, i, col, row)
				if err == ErrEmptyTile {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if l.Layout.Codec == JPEG {
					if _, err := jpeg.Decode(bytes.NewReader(b)); err != nil {
						t.Fatalf("level %d tile %d,%d: %v", i, col, row, err)
					}
				}
				if n++; n == 1 {
					first = b
				}
			}
		}
	}
	return n, first
}

// TestRealAperio checks the colours of a slide with RGB tiles that do not declare it: the
// glass at its corner is nearly white, and would be pink as YCbCr.
func TestRealAperio(t *testing.T) {
	s, err := openData(t, "real", "CMU-1-Small-Region.svs")
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.AppendTile(nil, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if c := averageColor(m); c.R < 230 || c.G < 220 || c.B < 230 {
		t.Errorf("tile 0,0 is %v on average, want nearly white", c)
	}
	if s.MPPX != 0.499 || s.ObjectivePower != 20 {
		t.Errorf("MPP %v, power %v, want 0.499, 20", s.MPPX, s.ObjectivePower)
	}
	for kind, want := range map[string]string{"label": "387x463 LZW", "macro": "1280x431 JPEG", "thumbnail": "574x768 JPEG"} {
		p, err := s.ReadAssociated(kind)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got := fmt.Sprintf("%dx%d %v", p.Width, p.Height, p.Layout.Codec); got != want {
			t.Errorf("%s is %s, want %s", kind, got, want)
		}
		if p.Layout.Codec == JPEG {
			checkAssociated(t, p)
		}
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestRealJPEG2000(t *testing.T) {
	s, err := openData(t, "real", "CMU-1-JP2K-Region.svs")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := levelSizes(s), "4000x3000"; got != want || s.Format != "aperio" || s.Levels[0].Layout.Codec != JPEG2000 {
		t.Errorf("%s %s of %v, want aperio %s", s.Format, got, s.Levels[0].Layout.Codec, want)
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
	if got, _ := allTiles(t, s); got != 221 {
		t.Errorf("%d tiles, want 221", got)
	}
}

// TestForeignPhilips checks slides of another generator.
func TestForeignPhilips(t *testing.T) {
	for file, tiles := range map[string]int{"small.tiff": 109, "small-422.tiff": 84, "small-444-big.tiff": 109} {
		t.Run(file, func(t *testing.T) {
			s, err := openData(t, "philips-synthetic", file)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := levelSizes(s), "5120x4096 2560x2048 1280x1024 640x512 320x256"; got != want || s.Format != "philips" {
				t.Errorf("%s %s, want philips %s", s.Format, got, want)
			}
			if s.MPPX != 0.25 || s.MPPY != 0.25 || s.ObjectivePower != 40 || s.Vendor != "PHILIPS" || s.Barcode == "" {
				t.Errorf("MPP %v, %v, power %v, vendor %q, barcode %q", s.MPPX, s.MPPY, s.ObjectivePower, s.Vendor, s.Barcode)
			}
			for kind, want := range map[string]string{"label": "387x410", "macro": "1700x800"} {
				p, err := s.ReadAssociated(kind)
				if err != nil {
					t.Errorf("%s: %v", kind, err)
				} else if got := fmt.Sprintf("%dx%d", p.Width, p.Height); got != want {
					t.Errorf("%s is %s, want %s", kind, got, want)
				}
			}
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			if got, _ := allTiles(t, s); got != tiles {
				t.Errorf("%d tiles, want %d", got, tiles)
			}
		})
	}
}

// TestDamagedFiles opens every damaged and malicious file of the test data: each is opened
// or rejected with a reason in under a second and 64 MB.
func TestDamagedFiles(t *testing.T) {
	root := testData(t, "tiff-damaged")
	opened, refused := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		if exercise(t, b) {
			opened++
		} else {
			refused++
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if size := after.TotalAlloc - before.TotalAlloc; took > time.Second || size > 64<<20 {
			t.Errorf("%s took %v and %d bytes", path, took, size)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files opened, %d refused", opened, refused)
}

// exercise opens b and reads everything, and a few tiles of each level. It reports whether
// b is a slide, and checks that the results are consistent.
func exercise(t *testing.T, b []byte) bool {
	t.Helper()
	s, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		_, broken := errors.AsType[*tiff.FormatError](err)
		_, unsupported := errors.AsType[*tiff.UnsupportedError](err)
		if broken == unsupported {
			t.Fatalf("Open: %T %v, want one of the two types of error", err, err)
		}
		return false
	}
	if len(s.Levels) == 0 || len(s.Zooms) == 0 || s.Zooms[0].Columns != 1 || s.Zooms[0].Rows != 1 || s.Format == "" {
		t.Fatalf("a slide of %+v, %+v", s.Levels, s.Zooms)
	}
	for i, l := range s.Levels {
		for _, at := range [][2]int{{0, 0}, {l.Columns - 1, 0}, {l.Columns / 2, l.Rows / 2}, {l.Columns - 1, l.Rows - 1}} {
			b, err := s.AppendTile(nil, i, at[0], at[1])
			if err != nil && err != ErrEmptyTile {
				continue
			}
			if l.Layout.Codec == JPEG && err == nil && (!bytes.HasPrefix(b, []byte{0xff, markSOI}) || !bytes.HasSuffix(b, []byte{0xff, markEOI})) {
				t.Fatalf("level %d tile %v: %d bytes from % x", i, at, len(b), b[:min(len(b), 16)])
			}
		}
		if _, err := s.AppendTile(nil, i, l.Columns, 0); err != ErrNoTile {
			t.Fatalf("level %d: a column too many: %v", i, err)
		}
	}
	for _, kind := range s.Associated() {
		if p, err := s.ReadAssociated(kind); err == nil && len(p.Strips) == 0 {
			t.Fatalf("%s: no strips", kind)
		} else if err == ErrNoAssociated {
			t.Fatalf("%s is listed, and not there", kind)
		}
	}
	_, _ = s.ICC()
	_ = s.Check()
	if s.Bytes() <= 0 || s.Bytes() > int64(64<<10+8*len(b)) {
		t.Fatalf("%d bytes held of a file of %d", s.Bytes(), len(b))
	}
	return true
}
