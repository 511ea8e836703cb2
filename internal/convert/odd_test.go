package convert

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

// TestUncommonTIFF compares files that libtiff writes, in layouts that slide scanners rarely
// use, with the pixels that libtiff reads from them: colours in planes, bilevel images, bits in
// reverse order, and YCbCr without JPEG.
func TestUncommonTIFF(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"vips", "tiffcp", "tiff2rgba"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed (Debian: libvips-tools, libtiff-tools)")
		}
	}
	const rgb, planes, tiled = "copy in.png a.tif", "-p separate", "-t -w 64 -l 48"
	for _, tt := range []struct {
		name string
		vips string // creates a.tif
		then string // program that makes b.tif from it
	}{
		{"planes in tiles", rgb, "tiffcp -c none " + planes + " " + tiled},
		{"planes in tiles, LZW", rgb, "tiffcp -c lzw " + planes + " " + tiled},
		{"planes in tiles, LZW with predictor", rgb, "tiffcp -c lzw:2 " + planes + " " + tiled},
		{"planes in tiles, deflate with predictor", rgb, "tiffcp -c zip:2 " + planes + " " + tiled},
		{"planes in tiles, PackBits", rgb, "tiffcp -c packbits " + planes + " " + tiled},
		{"planes in strips", rgb, "tiffcp -c none -r 16 " + planes},
		{"planes in strips, deflate", rgb, "tiffcp -c zip -r 16 " + planes},
		{"planes with alpha", "bandjoin_const in.png a.tif 128", "tiffcp -c lzw " + planes + " " + tiled},
		{"bilevel in tiles", "tiffsave grey.png a.tif --bitdepth 1 --tile --tile-width 64 --tile-height 48", ""},
		{"bilevel in tiles, white is 0", "tiffsave grey.png a.tif --bitdepth 1 --miniswhite --tile --tile-width 64 --tile-height 48", ""},
		{"bilevel in tiles, LZW", "tiffsave grey.png a.tif --bitdepth 1", "tiffcp -c lzw " + tiled},
		{"bilevel in strips, deflate", "tiffsave grey.png a.tif --bitdepth 1", "tiffcp -c zip -r 16"},
		{"2 bits", "tiffsave grey.png a.tif --bitdepth 2 --tile --tile-width 64 --tile-height 48", ""},
		{"4 bits", "tiffsave grey.png a.tif --bitdepth 4", ""},
		{"reverse bits", rgb, "tiffcp -f lsb2msb -c none " + tiled},
		{"reverse bits, LZW", rgb, "tiffcp -f lsb2msb -c lzw " + tiled},
		{"reverse bits, deflate in strips", rgb, "tiffcp -f lsb2msb -c zip -r 16"},
		{"reverse bits, planes", rgb, "tiffcp -f lsb2msb -c lzw " + planes + " " + tiled},
		{"reverse bits, bilevel", "tiffsave grey.png a.tif --bitdepth 1", "tiffcp -f lsb2msb -c packbits " + tiled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			drawUncommon(t, dir)
			in := runIn(t, dir)
			in(append([]string{"vips"}, strings.Fields(tt.vips)...)...)
			file := "a.tif"
			if tt.then != "" {
				file = "b.tif"
				in(append(strings.Fields(tt.then), "a.tif", file)...)
			}
			compareWithLibtiff(t, in, dir, file)
		})
	}
}

// TestYCbCrTIFF compares YCbCr without JPEG, with each subsampling and with codes of video
// range, with the pixels that libtiff reads.
func TestYCbCrTIFF(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"vips", "tiff2rgba"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed (Debian: libvips-tools, libtiff-tools)")
		}
	}
	for _, tt := range []struct {
		x, y           int
		deflate, video bool
	}{
		{1, 1, false, false}, {2, 1, true, false}, {2, 2, false, false}, {2, 2, true, true}, {4, 1, false, false}, {4, 2, false, false}, {4, 4, true, false}, {1, 2, false, false},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := yCbCrTIFF(150, 117, tt.x, tt.y, tt.deflate, tt.video)
			if err := os.WriteFile(filepath.Join(dir, "a.tif"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			compareWithLibtiff(t, runIn(t, dir), dir, "a.tif")
		})
	}
}

// yCbCrTIFF returns a TIFF with strips of 16 rows in units of x × y pixels.
func yCbCrTIFF(w, h, x, y int, deflate, video bool) []byte {
	le := binary.LittleEndian
	b := []byte("II*\x00\x00\x00\x00\x00")
	var offsets, counts []uint32
	for top := 0; top < h; top += 16 {
		var raw []byte
		for row := top; row < min(top+16, h); row += y {
			for col := 0; col < w; col += x {
				for i := range x * y {
					raw = append(raw, byte(40+(col+i%x)+(row+i/x)/2))
				}
				raw = append(raw, byte(90+col/2), byte(200-row))
			}
		}
		if deflate {
			var z bytes.Buffer
			zw := zlib.NewWriter(&z)
			zw.Write(raw)
			zw.Close()
			raw = z.Bytes()
		}
		offsets, counts = append(offsets, uint32(len(b))), append(counts, uint32(len(raw)))
		b = append(b, raw...)
	}
	long := func(v []uint32) uint32 {
		at := len(b)
		for _, n := range v {
			b = le.AppendUint32(b, n)
		}
		return uint32(at)
	}
	n, compression := uint32(len(offsets)), uint32(1)
	if deflate {
		compression = 8
	}
	fields := [][4]uint32{ // tag, type, count, value
		{256, 4, 1, uint32(w)},
		{257, 4, 1, uint32(h)},
		{258, 3, 3, long([]uint32{8 | 8<<16, 8})},
		{259, 3, 1, compression},
		{262, 3, 1, 6},
		{273, 4, n, long(offsets)},
		{277, 3, 1, 3},
		{278, 4, 1, 16},
		{279, 4, n, long(counts)},
		{284, 3, 1, 1},
		{530, 3, 2, uint32(x) | uint32(y)<<16},
	}
	if video {
		fields = append(fields, [4]uint32{532, 5, 6, long([]uint32{16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1})})
	}
	le.PutUint32(b[4:], uint32(len(b)))
	b = le.AppendUint16(b, uint16(len(fields)))
	for _, f := range fields {
		b = le.AppendUint16(le.AppendUint16(b, uint16(f[0])), uint16(f[1]))
		b = le.AppendUint32(le.AppendUint32(b, f[2]), f[3])
	}
	return le.AppendUint32(b, 0)
}

// runIn returns a function that runs a program in a folder.
func runIn(t *testing.T, dir string) func(args ...string) {
	return func(args ...string) {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
}

// compareWithLibtiff compares the pixels of a file, and its tiles if it has any, with those
// that libtiff reads.
func compareWithLibtiff(t *testing.T, in func(args ...string), dir, file string) {
	t.Helper()
	in("tiff2rgba", "-c", "none", file, "rgba.tif")
	in("vips", "flatten", "rgba.tif", "want.png", "--background", "255")
	want, got := readPNG(t, filepath.Join(dir, "want.png")), readPNG(t, filepath.Join(dir, file))
	comparePixels(t, "converted", got, want)
	compareTiles(t, filepath.Join(dir, file), want)
}

// drawUncommon writes a picture in colour and one in grey.
func drawUncommon(t *testing.T, dir string) {
	t.Helper()
	const w, h = 150, 117 // neither is a multiple of a tile, of 8 pixels, or of a unit of chroma
	img, grey := image.NewRGBA(image.Rect(0, 0, w, h)), image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{byte(x * 255 / w), byte(y * 255 / h), byte((x/7 + y/5) * 37), 255})
			grey.SetGray(x, y, color.Gray{byte((x*x + 3*y*x) >> 4)})
		}
	}
	for name, img := range map[string]image.Image{"in.png": img, "grey.png": grey} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// comparePixels allows a difference of two: libtiff rounds 16 bits, and steps between colours,
// differently.
func comparePixels(t *testing.T, what string, got, want *image.RGBA) {
	t.Helper()
	if got.Rect != want.Rect {
		t.Fatalf("%s: %v, want %v", what, got.Rect, want.Rect)
	}
	for i := range want.Pix {
		if d := int(got.Pix[i]) - int(want.Pix[i]); d < -2 || d > 2 {
			t.Fatalf("%s: pixel %d,%d is %v, want %v", what, i/4%want.Rect.Dx(), i/4/want.Rect.Dx(), got.Pix[i/4*4:][:4], want.Pix[i/4*4:][:4])
		}
	}
}

// compareTiles compares the tiles of a file that a server opens, and checks that it is
// complete.
func compareTiles(t *testing.T, path string, want *image.RGBA) {
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
		if strings.Contains(err.Error(), "strips") {
			return
		}
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Errorf("not complete: %v", err)
	}
	l := &s.Levels[0]
	got := image.NewRGBA(want.Rect)
	for row := range l.Rows {
		for col := range l.Columns {
			b, err := s.AppendTile(nil, 0, col, row)
			if err != nil {
				t.Fatal(err)
			}
			if n := s.TileBytes(0, col, row); n < int64(len(b)) {
				t.Errorf("TileBytes is %d for %d bytes", n, len(b))
			}
			img, err := render.Decode(t.Context(), b, l.Layout, l.TileWidth, l.TileHeight)
			if err != nil {
				t.Fatal(err)
			}
			for y := range l.TileHeight {
				for x := range l.TileWidth {
					if at := image.Pt(col*l.TileWidth+x, row*l.TileHeight+y); at.In(got.Rect) {
						got.SetRGBA(at.X, at.Y, img.RGBAAt(x, y))
					}
				}
			}
		}
	}
	comparePixels(t, "tiles", got, want)
}
