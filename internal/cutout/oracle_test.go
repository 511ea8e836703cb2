package cutout

import (
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOracles compares the pixels of a cut-out with those of its slide, both as OpenSlide and
// libvips read them.
func TestOracles(t *testing.T) {
	if _, err := exec.LookPath("vips"); err != nil {
		t.Skip("the oracle vips is not installed (Debian's libvips-tools)")
	}
	name := "real/CMU-1-Small-Region.svs"
	s := open(t, testSlide(t, name))
	c, b := cut(t, s, image.Rect(500, 600, 1300, 1200), Options{})
	dir := t.TempDir()
	file, source := filepath.Join(dir, "cut.tif"), filepath.Join(dir, "slide.svs")
	for path, data := range map[string][]byte{file: b, source: testSlide(t, name)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	vips := func(args ...string) string {
		out, err := exec.Command("vips", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("vips %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	at := func(name string) string { return filepath.Join(dir, name+".v") }
	for _, loader := range []string{"tiffload", "openslideload"} {
		vips(loader, file, at("got"))
		vips(loader, source, at("all"))
		vips("crop", at("all"), at("want"), fmt.Sprint(c.Box.Min.X), fmt.Sprint(c.Box.Min.Y), fmt.Sprint(c.Box.Dx()), fmt.Sprint(c.Box.Dy()))
		vips("subtract", at("got"), at("want"), at("difference"))
		vips("abs", at("difference"), at("distance"))
		if d := vips("max", at("distance")); d != "0.000000" {
			t.Errorf("%s: pixels differ by up to %s", loader, d)
		}
	}
}
