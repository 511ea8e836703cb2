package render

import (
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
)

// TestDrawQuality compares pictures of real tissue with Pillow's Lanczos filter on the largest
// level. The slide is a pyramid that libvips wrote. The bounds are a little below what was
// measured (in docs/rendering.md); the mean of areas of the same levels is up to 2 dB below
// that.
func TestDrawQuality(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := exec.LookPath("vips"); err != nil || exec.Command(python, "-c", "import PIL").Run() != nil {
		t.Skip("vips or python3-pil is not installed")
	}
	data := os.Getenv("PTIFFSTORE_TESTDATA")
	if data == "" {
		data = "../../../shared/data"
	}
	source := filepath.Join(data, "real", "CMU-1-Small-Region.svs")
	if _, err := os.Stat(source); err != nil {
		t.Skipf("no test data: %v", err)
	}
	dir := t.TempDir()
	path, level0 := filepath.Join(dir, "a.tif"), filepath.Join(dir, "a.png")
	run(t, "vips", "tiffsave", source, path, "--tile", "--tile-width=256", "--tile-height=256", "--pyramid", "--compression=jpeg", "--Q=85", "--bigtiff")
	run(t, "vips", "copy", path, level0)
	s := openFile(t, path)
	w, h := s.Bounds.Dx(), s.Bounds.Dy()
	tests := []struct {
		x, y, w, h    float64
		width, height int
		psnr          float64 // dB, at least
	}{
		{301, 401, 1500, 1500, 512, 512, 34},
		{301, 401, 1500, 1500, 700, 700, 32},
		{301, 401, 1500, 1500, 1000, 1000, 41},
		{301, 401, 1024, 1024, 512, 512, 32},
		{300, 400, 1024, 1024, 512, 512, 32.5},
		{301, 401, 512, 512, 512, 512, 50},
		{0, 0, float64(w), float64(h), 300, 300 * h / w, 33},
		{0, 0, float64(w), float64(h), 740, 740 * h / w, 34},
	}
	script := fmt.Sprintf("from PIL import Image\nimg = Image.open(%q).convert('RGB')\n", level0)
	for i, tt := range tests {
		script += fmt.Sprintf("img.resize((%d, %d), Image.LANCZOS, box=(%v, %v, %v, %v)).save('%s/%d.png')\n",
			tt.width, tt.height, tt.x, tt.y, tt.x+tt.w, tt.y+tt.h, dir, i)
	}
	run(t, python, "-c", script)
	for i, tt := range tests {
		v := View{X: tt.x, Y: tt.y, W: tt.w, H: tt.h, Width: tt.width, Height: tt.height, Level: -1}
		got := psnr(rendered(t, s, v, Options{}), readPNG(t, filepath.Join(dir, fmt.Sprint(i, ".png"))))
		t.Logf("%v×%v to %d×%d: %.1f dB", tt.w, tt.h, tt.width, tt.height, got)
		if got < tt.psnr {
			t.Errorf("%v×%v at %v,%v to %d×%d: %.1f dB, want %v", tt.w, tt.h, tt.x, tt.y, tt.width, tt.height, got, tt.psnr)
		}
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if b, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, b)
	}
}

func openFile(t testing.TB, path string) *slide.Slide {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readPNG(t *testing.T, path string) *image.RGBA {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	out := image.NewRGBA(img.Bounds())
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Set(x, y, img.At(x, y))
		}
	}
	return out
}

// psnr returns the peak signal to noise ratio of two images of the same size in dB.
func psnr(a, b *image.RGBA) float64 {
	sum := 0.0
	for i := range a.Pix {
		d := float64(a.Pix[i]) - float64(b.Pix[i])
		sum += d * d
	}
	return 10 * math.Log10(255*255/(sum/float64(len(a.Pix)*3/4)))
}
