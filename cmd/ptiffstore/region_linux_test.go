package main

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// openSlideRegion returns the pixels of OpenSlide's read_region on white.
func openSlideRegion(t *testing.T, file string, x, y, level, w, h int) *image.RGBA {
	t.Helper()
	program, err := exec.LookPath("openslide-write-png")
	if err != nil {
		t.Skip("openslide-write-png is not installed (Debian: openslide-tools)")
	}
	to := filepath.Join(t.TempDir(), "region.png")
	args := []string{file, strconv.Itoa(x), strconv.Itoa(y), strconv.Itoa(level), strconv.Itoa(w), strconv.Itoa(h), to}
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
			if worst := largest(want, got); worst > 2 {
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

// TestLargeRegions has clients that take nothing of a large region, or hang up: others get
// theirs, in both servers, and a region whose file changes while it is sent is not complete.
func TestLargeRegions(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	s, dir := serving(t, map[string]*slideFile{"a.tiff": plain}, "--data", data)
	ts := beside(t, data)
	im := s.available("a.tiff")
	at := "/api/v1/images/" + im.ID + "/region?"
	const w, h = 8000, 3000 // six bands
	large := fmt.Sprintf("%sx=-200&y=-200&w=%d&h=%d&format=raw", at, w, h)
	for _, one := range []*running{s, ts} {
		one.until("a region", func() bool { return one.get(at+"w=10&h=10").status == http.StatusOK })
		var stuck []net.Conn
		for range 12 {
			stuck = append(stuck, one.stuck(large))
		}
		for _, query := range []string{"w=100&h=100", fmt.Sprintf("x=-9&y=-9&w=%d&h=%d&format=png", w, h)} {
			a := one.get(at + query)
			if a.status != http.StatusOK {
				t.Errorf("%s while others take nothing: status %d, %.200s", query, a.status, a.body)
			}
			if _, _, err := image.Decode(strings.NewReader(a.body)); err != nil {
				t.Errorf("%s while others take nothing: %d bytes, %v", query, len(a.body), err)
			}
		}
		for _, c := range stuck {
			c.Close()
		}
		if a := one.get(large); len(a.body) != 3*w*h {
			t.Errorf("after the others have hung up: status %d, %d bytes", a.status, len(a.body))
		}
	}
	// The client has taken the first band, and reads on when the file has been replaced.
	for _, one := range []*running{s, ts} {
		for _, format := range []string{"raw", "png", "jpeg"} {
			c := one.stuck(fmt.Sprintf("%sx=-200&y=-200&w=%d&h=%d&format=%s", at, w, h, format))
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%v, %v", resp, err)
			}
			now := time.Now()
			if err := os.Chtimes(filepath.Join(dir, "a.tiff"), now, now); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err == nil && format == "raw" {
				t.Errorf("%s: %d bytes without an error, of a file that has changed", format, n)
			}
			c.Close()
			one.until("the changed file", func() bool { return one.get(at+"w=10&h=10").status == http.StatusOK })
		}
	}
}

// stuck requests a path on a connection of which nothing is read.
func (s *running) stuck(path string) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.(*net.TCPConn).SetReadBuffer(4096)
	io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	return c
}
