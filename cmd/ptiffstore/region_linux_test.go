package main

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/codec"
)

// openSlideRegion returns the pixels of OpenSlide's read_region on white.
func openSlideRegion(t *testing.T, file string, x, y, level, w, h int) *image.RGBA {
	t.Helper()
	program, err := exec.LookPath("openslide-write-png")
	if err != nil {
		t.Skip("openslide-write-png is not installed (Debian: openslide-tools)")
	}
	to := filepath.Join(t.TempDir(), "region.png")
	args := []string{"--", file, strconv.Itoa(x), strconv.Itoa(y), strconv.Itoa(level), strconv.Itoa(w), strconv.Itoa(h), to}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v %s", args, err, out)
	}
	f, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Over)
	return out
}

// rawRegion returns the pixels of a region in the format raw.
func rawRegion(t *testing.T, s *running, path string) *image.RGBA {
	t.Helper()
	a := s.get(path)
	w, _ := strconv.Atoi(a.header.Get("X-Region-Width"))
	h, _ := strconv.Atoi(a.header.Get("X-Region-Height"))
	if a.status != http.StatusOK || len(a.body) != 3*w*h {
		t.Fatalf("%s: status %d, %d bytes of %d×%d pixels: %.200s", path, a.status, len(a.body), w, h, a.body)
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(out.Pix[4*i:], a.body[3*i:][:3])
		out.Pix[4*i+3] = 255
	}
	return out
}

// TestRegions compares regions of both servers with OpenSlide: the pixels of stored levels
// differ by what two decoders of JPEG may differ, which is nothing if both are libjpeg-turbo.
func TestRegions(t *testing.T) {
	t.Parallel()
	most := 4 // Go's image/jpeg rounds differently
	if codec.Native() {
		most = 0
	}
	data := newCatalog(t)
	s, _ := serving(t, map[string]*slideFile{"philips.tiff": philips, "plain.tiff": plain}, "--data", data)
	ts := beside(t, data)
	for name, f := range map[string]*slideFile{"philips.tiff": philips, "plain.tiff": plain} {
		im := s.available(name)
		at := "/api/v1/images/" + im.ID + "/region?format=raw&"
		ts.until("the image", func() bool { return ts.get(at+"w=1&h=1").status == http.StatusOK })
		for _, r := range []struct{ x, y, level, w, h int }{
			{0, 0, 0, 512, 512}, {101, 203, 0, 300, 200}, {-40, -30, 0, 200, 150}, {600, 500, 0, 400, 300}, {4, 8, 1, 150, 120}, {-16, -16, 1, 100, 100}, {400, 400, 1, 300, 300},
		} {
			want := openSlideRegion(t, f.file(t), r.x, r.y, r.level, r.w, r.h)
			path := fmt.Sprintf("%sx=%d&y=%d&level=%d&width=%d&height=%d", at, r.x, r.y, r.level, r.w, r.h)
			got := rawRegion(t, s, path)
			if worst := largest(want, got); worst > most {
				t.Errorf("%s %+v: a sample differs by %d from OpenSlide's", name, r, worst)
			}
			if other := rawRegion(t, ts, path); !bytes.Equal(other.Pix, got.Pix) {
				t.Errorf("%s %+v: the tile server's pixels differ", name, r)
			}
		}
	}
}

// largest returns the largest difference of two samples.
func largest(a, b *image.RGBA) int {
	if a.Rect != b.Rect {
		return 256
	}
	worst := 0
	for i := range a.Pix {
		d := int(a.Pix[i]) - int(b.Pix[i])
		worst = max(worst, d, -d)
	}
	return worst
}
