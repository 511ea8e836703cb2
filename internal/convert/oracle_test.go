package convert

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/render"
)

// script opens a slide with OpenSlide, prints its levels, and writes the pixels of
// each.
const script = `
import json, sys, openslide
s = openslide.OpenSlide(sys.argv[1])
for i, size in enumerate(s.level_dimensions):
    s.read_region((0, 0), i, size).convert("RGB").save("%s/%d.png" % (sys.argv[2], i))
p = s.properties
json.dump({"Levels": s.level_dimensions, "Downsamples": s.level_downsamples, "MPP": p.get("openslide.mpp-x", "")}, sys.stdout)
`

var interpreter = sync.OnceValue(func() string {
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import openslide, PIL").Run() == nil {
			return p
		}
	}
	return ""
})

// sameDecoder is the minimum PSNR of pictures that were decoded here and elsewhere, in
// decibels. Go repeats the chroma of four pixels, where libjpeg interpolates.
func sameDecoder() float64 {
	if strings.HasPrefix(render.DecoderName(), "libjpeg") {
		return 45
	}
	return 30
}

// readPNG decodes a PNG with the reader under test.
func readPNG(t *testing.T, path string) *image.RGBA {
	t.Helper()
	f, fi, err := openRegular(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := openPicture(t.Context(), f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	img := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	for y := range p.Height {
		if err := p.rows.Read(img.Pix[y*img.Stride:][:img.Stride]); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// TestOpenSlide compares a pyramid in OpenSlide with the same in package slide: the
// levels, and all of their pixels.
func TestOpenSlide(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a Python for each slide")
	}
	if interpreter() == "" {
		t.Skip("no Python with openslide and PIL (Debian: python3-openslide)")
	}
	for _, size := range []image.Point{{1, 1}, {513, 700}, {1500, 1201}, {2051, 1025}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path := convertFile(t, encodePNG(t, scene(image.NewNRGBA(image.Rectangle{Max: size}))))
			dir := t.TempDir()
			cmd := exec.Command(interpreter(), "-c", script, path, dir)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("OpenSlide: %v", err)
			}
			var seen struct{ Levels [][2]int }
			if err := json.Unmarshal(out, &seen); err != nil {
				t.Fatal(err)
			}
			var want [][2]int
			for i, img := range levels(t, path) {
				want = append(want, [2]int{img.Rect.Dx(), img.Rect.Dy()})
				if db := psnr(readPNG(t, filepath.Join(dir, fmt.Sprintf("%d.png", i))), img); db < sameDecoder() {
					t.Errorf("level %d differs from OpenSlide's: %.1f dB", i, db)
				}
			}
			if diff := cmp.Diff(want, seen.Levels); diff != "" {
				t.Errorf("levels (-slide +OpenSlide):\n%s", diff)
			}
		})
	}
}

// vips runs a command of libvips.
func vips(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("vips", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("vips %v: %v: %s", args, err, out)
	}
	return string(out)
}

func needVips(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts programs")
	}
	if _, err := exec.LookPath("vips"); err != nil {
		t.Skip("no vips (Debian: libvips-tools)")
	}
}

// TestVipsTIFFs converts TIFFs that libvips wrote, and opens the pyramids with libvips.
func TestVipsTIFFs(t *testing.T) {
	t.Parallel()
	needVips(t)
	dir := t.TempDir()
	rgb, rgba := filepath.Join(dir, "rgb.png"), filepath.Join(dir, "rgba.png")
	picture := scene(image.NewNRGBA(image.Rect(0, 0, 1025, 523)))
	want := map[string]*image.RGBA{rgb: overWhite(picture), rgba: overWhite(picture)}
	for path, img := range map[string]image.Image{rgb: overWhite(picture), rgba: picture} {
		if err := os.WriteFile(path, encodePNG(t, img), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for _, c := range []string{"none", "lzw", "deflate", "packbits", "jpeg", "zstd", "webp,Q=100,lossless"} {
		all = append(all, "compression="+c, "tile,compression="+c)
	}
	all = append(all, "compression=lzw,predictor=horizontal", "compression=deflate,predictor=horizontal,bigtiff",
		"compression=deflate,tile,tile-width=64,tile-height=32", "compression=jpeg,Q=95,tile,tile-width=256,tile-height=256,rgbjpeg",
		"compression=none,xres=4000,yres=4000,resunit=cm")
	// What is compressed without loss becomes the same pyramid, which is compared once.
	var compared sync.Map // digests of pyramids
	for _, from := range []string{rgb, rgba} {
		for _, how := range all {
			if from == rgba && strings.Contains(how, "jpeg") || codecOnly && !strings.Contains(how, "jpeg") {
				continue // libvips drops alpha there
			}
			t.Run(filepath.Base(from)+" "+how, func(t *testing.T) {
				t.Parallel()
				in, out := filepath.Join(t.TempDir(), "in.tif"), filepath.Join(t.TempDir(), "out.tif")
				vips(t, "copy", from, in+"["+how+"]")
				if _, err := File(t.Context(), in, out, Options{Quality: 95}); err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				if _, same := compared.LoadOrStore(sha256.Sum256(data), true); same {
					return
				}
				near := 35.0
				if strings.Contains(how, "jpeg") {
					near = 30 // compressed twice
				}
				all := checkPyramid(t, out, want[from], near)
				header := vipsHeader(t, out)
				for _, want := range []string{"width: 1025", "height: 523", fmt.Sprintf("n-pages: %d", len(all))} {
					if !slices.Contains(header, want) {
						t.Errorf("vipsheader lacks %q: %q", want, header)
					}
				}
				if len(all) != 3 {
					t.Errorf("%d levels, want 3", len(all))
				}
				for i, img := range all {
					small := filepath.Join(t.TempDir(), "level.png")
					vips(t, "copy", fmt.Sprintf("%s[page=%d]", out, i), small)
					if db := psnr(readPNG(t, small), img); db < sameDecoder() {
						t.Errorf("level %d differs from that of libvips: %.1f dB", i, db)
					}
				}
			})
		}
	}
}

// vipsHeader returns the lines of the header, such as "width: 1025".
func vipsHeader(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command("vipsheader", "-a", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(out), "\n")
}

// TestMain lets a test run one conversion in a process of its own, to measure it.
func TestMain(m *testing.M) {
	if in := os.Getenv("PTIFFSTORE_TEST_CONVERT"); in != "" {
		if err := convertAlone(in); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// convertAlone converts the file, and prints the peak memory of this process.
func convertAlone(in string) error {
	dir, err := os.MkdirTemp("", "convert-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := File(context.Background(), in, filepath.Join(dir, "out.tiff"), Options{}); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmHWM:") {
			fmt.Print(line)
		}
	}
	return nil
}

// TestMemory converts large pictures in processes of their own.
func TestMemory(t *testing.T) {
	t.Parallel()
	needVips(t)
	if runtime.GOOS != "linux" {
		t.Skip("asks /proc for memory")
	}
	w, h, most := 8_000, 6_000, 160 // MB; the pixels alone take 192
	kinds := []string{"png[compression=1]", "jpg"}
	if codecOnly {
		kinds = kinds[1:]
	}
	if os.Getenv("PTIFFSTORE_LONG") != "" {
		w, h, most = 60_000, 40_000, 512
		kinds = append(kinds, "tif[compression=lzw,bigtiff]", "tif[compression=jpeg,tile,tile-width=512,tile-height=512,bigtiff]")
	}
	dir := t.TempDir()
	tile := filepath.Join(dir, "tile.png")
	if err := os.WriteFile(tile, encodePNG(t, overWhite(scene(image.NewNRGBA(image.Rect(0, 0, 1000, 1000))))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			name, how, _ := strings.Cut(kind, "[")
			in := filepath.Join(dir, "large."+name)
			if how != "" {
				how = "[" + how
			}
			vips(t, "replicate", tile, in+how, fmt.Sprint(w/1000), fmt.Sprint(h/1000))
			defer os.Remove(in)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "PTIFFSTORE_TEST_CONVERT="+in)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var kb int
			if _, err := fmt.Sscanf(string(out), "VmHWM: %d kB", &kb); err != nil {
				t.Fatalf("%v in %q", err, out)
			}
			t.Logf("%d MB", kb>>10)
			if kb>>10 > most {
				t.Errorf("%d MB, want at most %d", kb>>10, most)
			}
		})
	}
}
