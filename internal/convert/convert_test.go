package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	xtiff "golang.org/x/image/tiff"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

// scene paints smooth colours into any kind of picture.
func scene[T draw.Image](img T) T {
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			fx, fy := float64(x)/40, float64(y)/50
			img.Set(x, y, color.NRGBA64{
				wave(fx), wave(fy + 1), wave(fx + fy), uint16(min(65535, 30000+100*(x+y))),
			})
		}
	}
	return img
}

func wave(x float64) uint16 { return uint16(32768 + 30000*math.Sin(x)) }

// overWhite is the reference: the picture on white, composed by the standard library.
func overWhite(src image.Image) *image.RGBA {
	img := image.NewRGBA(image.Rectangle{Max: src.Bounds().Size()})
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(img, img.Rect, src, src.Bounds().Min, draw.Over)
	return img
}

// halve is a straightforward box filter.
func halve(src *image.RGBA) *image.RGBA {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	img := image.NewRGBA(image.Rect(0, 0, (w+1)/2, (h+1)/2))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			for c := range 4 {
				sum := 2
				for _, at := range []image.Point{{2 * x, 2 * y}, {2*x + 1, 2 * y}, {2 * x, 2*y + 1}, {2*x + 1, 2*y + 1}} {
					sum += int(src.Pix[src.PixOffset(min(at.X, w-1), min(at.Y, h-1))+c])
				}
				img.Pix[img.PixOffset(x, y)+c] = byte(sum / 4)
			}
		}
	}
	return img
}

// psnr compares two pictures of one size, in decibels.
func psnr(a, b *image.RGBA) float64 {
	sum := 0.0
	for i := range a.Pix {
		d := float64(a.Pix[i]) - float64(b.Pix[i])
		sum += d * d
	}
	return 10 * math.Log10(255*255/max(sum/float64(len(a.Pix)), 1e-6))
}

// levels decodes all levels of the slide at path.
func levels(t testing.TB, path string) []*image.RGBA {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	var all []*image.RGBA
	for i, l := range s.Levels {
		img := image.NewRGBA(image.Rect(0, 0, l.Width, l.Height))
		for row := range l.Rows {
			for col := range l.Columns {
				b, err := s.AppendTile(nil, i, col, row)
				if err != nil {
					t.Fatal(err)
				}
				tile, err := render.Decode(t.Context(), b, l.Layout, l.TileWidth, l.TileHeight)
				if err != nil {
					t.Fatal(err)
				}
				at := image.Pt(col*l.TileWidth, row*l.TileHeight)
				draw.Draw(img, tile.Rect.Add(at), tile, image.Point{}, draw.Src)
			}
		}
		all = append(all, img)
	}
	return all
}

// checkPyramid compares the slide at path with the expected picture, and returns its levels.
func checkPyramid(t *testing.T, path string, want *image.RGBA, near float64) []*image.RGBA {
	t.Helper()
	all := levels(t, path)
	for i, got := range all {
		if got.Rect != want.Rect {
			t.Fatalf("level %d is %v, want %v", i, got.Rect, want.Rect)
		}
		if db := psnr(got, want); db < near {
			t.Errorf("level %d of %v: %.1f dB, want %.0f", i, got.Rect.Size(), db, near)
		}
		want = halve(want)
	}
	if last := all[len(all)-1].Rect; last.Dx() > tileSide || last.Dy() > tileSide {
		t.Errorf("the smallest level is %v", last.Size())
	}
	if n := len(all); n > 1 && all[n-2].Rect.Dx() <= tileSide && all[n-2].Rect.Dy() <= tileSide {
		t.Errorf("a level more than are needed: %v", all[n-1].Rect.Size())
	}
	return all
}

func convertFile(t *testing.T, data []byte) string {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out.tiff")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := File(context.Background(), in, out, Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t testing.TB, f func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodePNG(t testing.TB, img image.Image) []byte {
	return encode(t, func(b *bytes.Buffer) error { return png.Encode(b, img) })
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	return encode(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, img, &jpeg.Options{Quality: 97}) })
}

func encodeTIFF(t testing.TB, img image.Image, c xtiff.CompressionType) []byte {
	return encode(t, func(b *bytes.Buffer) error {
		return xtiff.Encode(b, img, &xtiff.Options{Compression: c, Predictor: true})
	})
}

var sizes = []image.Point{{1, 1}, {2, 1}, {3, 5}, {511, 2}, {512, 512}, {513, 513}, {1025, 700}, {7, 1100}}

func TestPictures(t *testing.T) {
	t.Parallel()
	small := palette.Plan9[:16]
	kinds := []struct {
		name string
		make func(image.Rectangle) image.Image
		near float64
	}{
		{"gray", func(r image.Rectangle) image.Image { return scene(image.NewGray(r)) }, 38},
		{"gray 16", func(r image.Rectangle) image.Image { return scene(image.NewGray16(r)) }, 38},
		{"rgb", func(r image.Rectangle) image.Image { return overWhite(scene(image.NewNRGBA(r))) }, 35},
		{"alpha", func(r image.Rectangle) image.Image { return scene(image.NewNRGBA(r)) }, 35},
		{"alpha 16", func(r image.Rectangle) image.Image { return scene(image.NewNRGBA64(r)) }, 35},
		{"palette", func(r image.Rectangle) image.Image { return scene(image.NewPaletted(r, palette.Plan9)) }, 20},
		{"palette of 4 bits", func(r image.Rectangle) image.Image { return scene(image.NewPaletted(r, small)) }, 20},
		{"bits", func(r image.Rectangle) image.Image {
			return image.NewPaletted(r, color.Palette{color.White, color.Black})
		}, 40},
	}
	for _, k := range kinds {
		for _, size := range sizes {
			t.Run(fmt.Sprint(k.name, size), func(t *testing.T) {
				t.Parallel()
				img := k.make(image.Rectangle{Max: size})
				want := overWhite(img)
				checkPyramid(t, convertFile(t, encodePNG(t, img)), want, k.near)
				if k.name == "bits" || strings.HasPrefix(k.name, "palette of") {
					return
				}
				for _, c := range []xtiff.CompressionType{xtiff.Uncompressed, xtiff.Deflate} {
					if codecOnly {
						break
					}
					checkPyramid(t, convertFile(t, encodeTIFF(t, img, c)), want, k.near)
				}
				data := encodeJPEG(t, img)
				decoded, err := render.DecodeJPEG(t.Context(), data)
				if err != nil {
					t.Fatal(err)
				}
				checkPyramid(t, convertFile(t, data), decoded, k.near)
			})
		}
	}
}

// TestExact converts a picture that JPEG preserves exactly: pixels must not be moved,
// mirrored or mixed up.
func TestExact(t *testing.T) {
	t.Parallel()
	img := image.NewRGBA(image.Rect(0, 0, 1536, 1040))
	for y := range 1040 {
		for x := range 1536 {
			v := byte((x/64*7 + y/64*11) % 256)
			img.SetRGBA(x, y, color.RGBA{v, v, v, 255})
		}
	}
	for i, got := range levels(t, convertFile(t, encodePNG(t, img))) {
		want := img
		for range i {
			want = halve(want)
		}
		for j := range want.Pix {
			if d := int(got.Pix[j]) - int(want.Pix[j]); (d > 2 || d < -2) && i < 2 {
				t.Fatalf("level %d: pixel %d is %d, want %d", i, j/4, got.Pix[j], want.Pix[j])
			}
		}
	}
}

// pngChunk inserts a chunk behind IHDR.
func withChunk(data []byte, name string, body []byte) []byte {
	const behind = 8 + 25
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, name...), body...)
	b = binary.BigEndian.AppendUint32(b, crc(b[4:]))
	return append(append(bytes.Clone(data[:behind]), b...), data[behind:]...)
}

func TestResolution(t *testing.T) {
	t.Parallel()
	img := scene(image.NewNRGBA(image.Rect(0, 0, 900, 600)))
	phys := binary.BigEndian.AppendUint32(nil, 4_000_000) // per metre: 0.25 µm
	phys = append(binary.BigEndian.AppendUint32(phys, 2_000_000), 1)
	density := append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x02"), 0x9c, 0x40, 0x9c, 0x40, 0, 0) // 40,000 per cm
	tests := []struct {
		name string
		data []byte
		x, y float64 // µm
	}{
		{"PNG", withChunk(encodePNG(t, img), "pHYs", phys), 0.25, 0.5},
		{"PNG without", encodePNG(t, img), 0, 0},
		{"JPEG", append(density, encodeJPEG(t, img)[2:]...), 0.25, 0.25},
		{"JPEG without", encodeJPEG(t, img), 0, 0},
		{"TIFF of 72 dpi", encodeTIFF(t, img, xtiff.Uncompressed), 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := os.ReadFile(convertFile(t, tt.data))
			if err != nil {
				t.Fatal(err)
			}
			s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if s.MPPX != tt.x || s.MPPY != tt.y {
				t.Errorf("%v × %v µm, want %v × %v", s.MPPX, s.MPPY, tt.x, tt.y)
			}
			if text := s.Properties["tiff.ImageDescription"]; !strings.HasPrefix(text, "Pyramid of a "+tt.name[:3]) {
				t.Errorf("description %q", text)
			}
		})
	}
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, scene(image.NewNRGBA(image.Rect(0, 0, 1300, 900))))
	a, errA := os.ReadFile(convertFile(t, data))
	b, errB := os.ReadFile(convertFile(t, data))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("two files of %d and %d bytes differ: %v, %v", len(a), len(b), errA, errB)
	}
}

// folder lists the names in a folder.
func folder(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.tiff")
	data := encodePNG(t, scene(image.NewNRGBA(image.Rect(0, 0, 700, 900))))
	for path, b := range map[string][]byte{in: data, out: []byte("mine")} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := File(context.Background(), in, out, Options{}); !errors.Is(err, ErrExists) {
		t.Errorf("error %v, want ErrExists", err)
	}
	stopped, stop := context.WithCancel(context.Background())
	o := Options{Force: true, Progress: func(done, _ int64) {
		if done > 300 {
			stop()
		}
	}}
	if _, err := File(stopped, in, out, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if b, err := os.ReadFile(out); string(b) != "mine" {
		t.Errorf("the file that was there is %q, %v", b, err)
	}
	if diff := cmp.Diff([]string{"in.png", "out.tiff"}, folder(t, dir)); diff != "" {
		t.Errorf("folder (-want +got):\n%s", diff)
	}
	var seen [][2]int64
	r, err := File(context.Background(), in, out, Options{Force: true, Progress: func(done, total int64) { seen = append(seen, [2]int64{done, total}) }})
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Result{"PNG", 700, 900, 2, fi.Size()}, r); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if first, last := seen[0], seen[len(seen)-1]; first != [2]int64{0, 900} || last != [2]int64{900, 900} {
		t.Errorf("progress from %v to %v", first, last)
	}
	if diff := cmp.Diff([]string{"in.png", "out.tiff"}, folder(t, dir)); diff != "" {
		t.Errorf("folder (-want +got):\n%s", diff)
	}
}

// TestGrown writes to the picture while it is read.
func TestGrown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.tiff")
	if err := os.WriteFile(in, encodePNG(t, scene(image.NewNRGBA(image.Rect(0, 0, 40, 300)))), 0o600); err != nil {
		t.Fatal(err)
	}
	grow := func(done, total int64) {
		f, err := os.OpenFile(in, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		f.WriteString("more")
	}
	if _, err := File(context.Background(), in, out, Options{Progress: grow}); !errors.Is(err, ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
	if diff := cmp.Diff([]string{"in.png"}, folder(t, dir)); diff != "" {
		t.Errorf("folder (-want +got):\n%s", diff)
	}
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	img := scene(image.NewNRGBA(image.Rect(0, 0, 700, 600)))
	pyramid, err := os.ReadFile(convertFile(t, encodePNG(t, img)))
	if err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(convertFile(t, encodePNG(t, scene(image.NewNRGBA(image.Rect(0, 0, 60, 60))))))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		want bool
		why  string // part of it
	}{
		{"PNG", encodePNG(t, img), true, "a PNG of 700×600 pixels"},
		{"JPEG", encodeJPEG(t, img), true, "a JPEG of 700×600 pixels"},
		{"TIFF", encodeTIFF(t, img, xtiff.Deflate), true, "a TIFF of 700×600 pixels"},
		{"pyramid", pyramid, false, "pyramid already"},
		{"pyramid of one tile", one, false, "pyramid already"},
		{"text", []byte("hello, this is a text"), false, "not a JPEG, PNG or TIFF"},
		{"nothing", nil, false, "empty"},
		{"cut off", encodePNG(t, img)[:40], false, "PNG: at byte"},
		{"Canon's", []byte("II*\x00\xff\x00\x00\x00"), false, "the file ends at byte 8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "name of a patient")
			if err := os.WriteFile(path, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			got, why := Needed(t.Context(), path)
			if got != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("%v, %q, want %v, %q", got, why, tt.want, tt.why)
			}
		})
	}
	if got, why := Needed(t.Context(), filepath.Join(t.TempDir(), "name of a patient")); got || strings.Contains(why, "patient") {
		t.Errorf("of no file: %v, %q", got, why)
	}
}
