package render

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// realJPEG2000 opens a slide of Aperio with tiles of JPEG 2000, and returns its path.
func realJPEG2000(t testing.TB) (*slide.Slide, string) {
	t.Helper()
	dir := os.Getenv("PTIFFSTORE_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	path := filepath.Join(dir, "real", "CMU-1-JP2K-Region.svs")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("no test data: %v", err)
	}
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

// TestJPEG2000AsOpenSlide compares every pixel of a slide, tile by tile, with OpenSlide.
func TestJPEG2000AsOpenSlide(t *testing.T) {
	if !jpeg2000.Available() {
		t.Skip("this build does not read JPEG 2000")
	}
	s, path := realJPEG2000(t)
	const script = `import openslide, sys
s = openslide.OpenSlide(sys.argv[1])
sys.stdout.buffer.write(s.read_region((0, 0), 0, s.dimensions).convert("RGBA").tobytes())`
	l := &s.Levels[0]
	want, err := exec.Command("/usr/bin/python3", "-c", script, path).Output()
	if err != nil {
		t.Skipf("no OpenSlide (Debian: python3-openslide): %v", err)
	}
	if len(want) != 4*l.Width*l.Height {
		t.Fatalf("OpenSlide gave %d bytes", len(want))
	}
	d, tiles := newTileRenderer(s, Options{}), 0
	for row := range l.Rows {
		for col := range l.Columns {
			img, err := d.stored(t.Context(), 0, col, row)
			if err != nil {
				t.Fatal(err)
			}
			tiles++
			w, h := min(l.TileWidth, l.Width-col*l.TileWidth), min(l.TileHeight, l.Height-row*l.TileHeight)
			for y := range h {
				at := 4 * ((row*l.TileHeight+y)*l.Width + col*l.TileWidth)
				if !bytes.Equal(img.Pix[y*img.Stride:][:4*w], want[at:][:4*w]) {
					t.Errorf("tile %d,%d differs in row %d", col, row, y)
					break
				}
			}
			Discard(t.Context(), img)
		}
	}
	if tiles != 221 {
		t.Errorf("%d tiles, want 221", tiles)
	}
}

// TestJPEG2000Quality compares pictures of fewer resolutions with Pillow's Lanczos filter on the
// pixels that OpenSlide reads. The bounds are a little below what was measured; without the
// correction of where samples lie, they are missed by 8 dB and more.
func TestJPEG2000Quality(t *testing.T) {
	if !jpeg2000.Available() {
		t.Skip("this build does not read JPEG 2000")
	}
	s, path := realJPEG2000(t)
	dir := t.TempDir()
	w, h := float64(s.Bounds.Dx()), float64(s.Bounds.Dy())
	tests := []struct {
		x, y, w, h    float64
		width, height int
		psnr          float64 // dB, at least
	}{
		{301, 401, 1024, 1024, 512, 512, 36},
		{300, 400, 1024, 1024, 512, 512, 36},
		{300, 400, 1024, 1024, 256, 256, 31},
		{300, 400, 1024, 1024, 128, 128, 31},
		{301, 401, 1200, 1200, 500, 500, 40},
		{301, 401, 1200, 1200, 390, 390, 43},
		{w - 700, h - 700, 700, 700, 350, 350, 37}, // with padding
		{0, 0, w, h, 400, 300, 35},
		{480, 480, 480, 480, 240, 240, 36}, // as the zoom level
	}
	script := fmt.Sprintf("import openslide\nfrom PIL import Image\ns = openslide.OpenSlide(%q)\nimg = s.read_region((0, 0), 0, s.dimensions).convert('RGB')\n", path)
	for i, tt := range tests {
		script += fmt.Sprintf("img.resize((%d, %d), Image.LANCZOS, box=(%v, %v, %v, %v)).save('%s/%d.png')\n",
			tt.width, tt.height, tt.x, tt.y, tt.x+tt.w, tt.y+tt.h, dir, i)
	}
	if b, err := exec.Command("/usr/bin/python3", "-c", script).CombinedOutput(); err != nil {
		t.Skipf("no OpenSlide (Debian: python3-openslide): %v: %s", err, b)
	}
	for i, tt := range tests {
		want := readPNG(t, filepath.Join(dir, fmt.Sprint(i, ".png")))
		got := psnr(rendered(t, s, View{X: tt.x, Y: tt.y, W: tt.w, H: tt.h, Width: tt.width, Height: tt.height, Level: -1}, Options{}), want)
		t.Logf("%v×%v to %d×%d: %.1f dB", tt.w, tt.h, tt.width, tt.height, got)
		if got < tt.psnr {
			t.Errorf("%v×%v at %v,%v to %d×%d: %.1f dB, want %v", tt.w, tt.h, tt.x, tt.y, tt.width, tt.height, got, tt.psnr)
		}
	}
	// A tile of the zoom level repeats pixels at its edges, as it reads no other tiles.
	img, err := newTileRenderer(s, Options{}).tile(t.Context(), s.MaxZoom()-1, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := readPNG(t, filepath.Join(dir, fmt.Sprint(len(tests)-1, ".png")))
	got := psnr(img, want)
	t.Logf("zoom level: %.1f dB", got)
	if got < 36 {
		t.Errorf("tile of the zoom level: %.1f dB", got)
	}
}

// j2kSlide returns a slide of one level of 2×2 tiles of 96×80 pixels, of which the right and
// lower ones reach beyond the image.
func j2kSlide(t *testing.T, compression uint32, tile []byte) *slide.Slide {
	t.Helper()
	b := slidetest.Level{Width: 180, Height: 150, TileWidth: 96, TileHeight: 80, Codec: compression, Photometric: 2, Tile: tile}.Bytes()
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func j2kSample(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../jpeg2000/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestJPEG2000Colours decodes the same samples as YCbCr with half the columns of colour, as
// Aperio's compression 33003, and checks every pixel by arithmetic.
func TestJPEG2000Colours(t *testing.T) {
	if !jpeg2000.Available() {
		t.Skip("this build does not read JPEG 2000")
	}
	data := j2kSample(t, "422.j2k") // lossless
	planes, err := jpeg2000.Decode(t.Context(), data, jpeg2000.Options{Width: 96, Height: 80, Components: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		compression uint32
		want        func(a, b, c byte) (r, g, bl float64)
	}{
		{33003, func(y, cb, cr byte) (r, g, b float64) {
			return float64(y) + 1.402*(float64(cr)-128), float64(y) - 0.344136*(float64(cb)-128) - 0.714136*(float64(cr)-128), float64(y) + 1.772*(float64(cb)-128)
		}},
		{33005, func(r, g, b byte) (float64, float64, float64) { return float64(r), float64(g), float64(b) }},
	} {
		s := j2kSlide(t, tt.compression, data)
		img, err := newTileRenderer(s, Options{}).stored(t.Context(), 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for y := range 80 {
			for x := range 96 {
				r, g, b := tt.want(planes.Planes[0].Pix[96*y+x], planes.Planes[1].Pix[48*y+x/2], planes.Planes[2].Pix[48*y+x/2])
				got := img.RGBAAt(x, y)
				for i, pair := range [][2]float64{{r, float64(got.R)}, {g, float64(got.G)}, {b, float64(got.B)}} {
					if want := min(max(pair[0], 0), 255); pair[1] < want-0.51 || pair[1] > want+0.51 {
						t.Fatalf("compression %d, pixel %d,%d, colour %d: %v, want %v", tt.compression, x, y, i, pair[1], want)
					}
				}
			}
		}
	}
}

// TestJPEG2000Slide renders a generic TIFF: its tile, the next smaller zoom level, which comes
// from fewer resolutions, and tiles that are damaged.
func TestJPEG2000Slide(t *testing.T) {
	lossless := j2kSample(t, "lossless.jp2")
	for _, compression := range []uint32{33003, 33004, 33005, 34712} {
		s := j2kSlide(t, compression, lossless)
		if !jpeg2000.Available() {
			if _, err := Tile(t.Context(), s, 1, 0, 0, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "not read by this build") {
				t.Errorf("compression %d: %v", compression, err)
			}
			continue
		}
		full := image.NewRGBA(image.Rect(0, 0, 180, 150))
		for i := range 4 {
			img, err := newTileRenderer(s, Options{}).tile(t.Context(), 1, i%2, i/2)
			if err != nil {
				t.Fatal(err)
			}
			copyPart(full, image.Pt(i%2*96, i/2*80), img, img.Rect.Intersect(full.Rect.Sub(image.Pt(i%2*96, i/2*80))))
		}
		half, err := newTileRenderer(s, Options{}).tile(t.Context(), 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		// The filter of the wavelets is another one than the mean: alike, not equal.
		var total float64
		for y := range 75 {
			for x := range 90 {
				total += difference(half.RGBAAt(x, y), full.RGBAAt(2*x, 2*y))
			}
		}
		if mean := total / (75 * 90); mean > 16 || mean == 0 {
			t.Errorf("compression %d: the smaller zoom level differs by %.1f on average", compression, mean)
		}
		if got := half.RGBAAt(94, 78); got != (color.RGBA{255, 255, 255, 255}) {
			t.Errorf("compression %d: beyond the image is %v", compression, got)
		}
	}
	if !jpeg2000.Available() {
		return
	}
	for _, bad := range [][]byte{lossless[:len(lossless)/2], j2kSample(t, "deep.j2k"), j2kSample(t, "offset.j2k"), j2kSample(t, "gray.j2k"), bytes.Repeat([]byte{7}, 99)} {
		s := j2kSlide(t, 33005, bad)
		for z := range 2 {
			if _, err := Tile(t.Context(), s, z, 0, 0, Options{}); err == nil {
				t.Errorf("zoom %d of damaged tiles of %d bytes was rendered", z, len(bad))
			}
		}
	}
}

// TestJPEG2000Edge: a tile at the edge may be stored without what is beyond the image, but not
// with less than the image.
func TestJPEG2000Edge(t *testing.T) {
	if !jpeg2000.Available() {
		t.Skip("this build does not read JPEG 2000")
	}
	data := j2kSample(t, "rgb.j2k")
	for _, tt := range []struct {
		w, h int // of the image; its tiles are of 128×128 pixels
		ok   bool
	}{{96, 80, true}, {90, 70, true}, {97, 80, false}, {96, 81, false}} {
		l := &slide.Level{Width: tt.w, Height: tt.h, TileWidth: 128, TileHeight: 128, Layout: slide.Layout{Codec: slide.JPEG2000, Photometric: trueColor, Samples: 3, Bits: 8}}
		img, err := decodeTile(t.Context(), data, l, 0, 0)
		if (err == nil) != tt.ok {
			t.Errorf("%d×%d pixels: %v", tt.w, tt.h, err)
		}
		if err == nil && (img.Rect != image.Rect(0, 0, 128, 128) || img.RGBAAt(127, 40) != img.RGBAAt(95, 40) || img.RGBAAt(127, 127) != img.RGBAAt(95, 79)) {
			t.Errorf("%d×%d pixels: beyond them are %v and %v", tt.w, tt.h, img.RGBAAt(127, 40), img.RGBAAt(127, 127))
		}
	}
}

func difference(a, b color.RGBA) float64 {
	abs := func(a, b byte) int { return max(int(a)-int(b), int(b)-int(a)) }
	return float64(abs(a.R, b.R)+abs(a.G, b.G)+abs(a.B, b.B)) / 3
}

// BenchmarkJPEG2000 decodes tiles of a real slide through helpers.
func BenchmarkJPEG2000(b *testing.B) {
	if !jpeg2000.Available() {
		b.Skip("this build does not read JPEG 2000")
	}
	s, _ := realJPEG2000(b)
	for _, reduce := range []int{0, 1, 2} {
		b.Run(fmt.Sprintf("reduce=%d", reduce), func(b *testing.B) {
			var buf []byte
			for i := 0; b.Loop(); i++ {
				x, y := i%16, i/16%12
				data, err := s.AppendTile(buf[:0], 0, x, y)
				if err != nil {
					b.Fatal(err)
				}
				buf = data
				img, err := jpeg2000Picture(b.Context(), data, s.Levels[0].Layout, jpeg2000Options(&s.Levels[0], x, y, reduce))
				if err != nil {
					b.Fatal(err)
				}
				Discard(b.Context(), img)
			}
		})
	}
}
