package region

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zlib"
)

// tissue returns a smooth image with some noise.
func tissue(w, h int) *image.RGBA {
	r := rand.New(rand.NewPCG(1, uint64(w*h)))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			n := uint8(r.IntN(20))
			img.SetRGBA(x, y, color.RGBA{uint8(x) + n, uint8(y*2) - n, uint8(x+y) / 2, 255})
		}
	}
	return img
}

func part(img *image.RGBA, y, rows int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, img.Rect.Dx(), min(rows, img.Rect.Dy()-y)))
	draw.Draw(out, out.Rect, img, image.Pt(0, y), draw.Src)
	return out
}

func encodeJPEG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A joined JPEG decodes to the samples of its bands.
func TestJPEG(t *testing.T) {
	for _, gray := range []bool{false, true} {
		for _, size := range []image.Point{{50, 16}, {100, 170}, {33, 16 * 12}, {1, 145}} {
			var img draw.Image = tissue(size.X, size.Y)
			if gray {
				g := image.NewGray(img.Bounds())
				draw.Draw(g, g.Rect, img, image.Point{}, draw.Src)
				img = g
			}
			const rows = 16
			j := NewJPEG(size.X, size.Y, rows)
			var got []byte
			var bands [][]byte
			for y := 0; y < size.Y; y += rows {
				r := image.Rect(0, y, size.X, min(y+rows, size.Y))
				one := img.(interface {
					SubImage(r image.Rectangle) image.Image
				}).SubImage(r)
				bands = append(bands, encodeJPEG(t, one))
				var err error
				if got, err = j.Append(got, bands[len(bands)-1]); err != nil {
					t.Fatal(err)
				}
			}
			whole, err := jpeg.Decode(bytes.NewReader(got))
			if err != nil {
				t.Fatalf("%v: %v", size, err)
			}
			if whole.Bounds().Size() != size {
				t.Fatalf("%v pixels, want %v", whole.Bounds().Size(), size)
			}
			for i, b := range bands {
				band, err := jpeg.Decode(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				for y := range band.Bounds().Dy() {
					for x := range size.X {
						if band.At(x, y) != whole.At(x, i*rows+y) {
							t.Fatalf("%v, band %d: pixel %d,%d is %v, want %v", size, i, x, y, whole.At(x, i*rows+y), band.At(x, y))
						}
					}
				}
			}
		}
	}
}

func TestJPEGRefused(t *testing.T) {
	good := encodeJPEG(t, tissue(32, 16))
	narrow, flat := encodeJPEG(t, tissue(31, 16)), encodeJPEG(t, tissue(32, 8))
	var other bytes.Buffer
	if err := jpeg.Encode(&other, tissue(32, 16), &jpeg.Options{Quality: 30}); err != nil {
		t.Fatal(err)
	}
	marker := bytes.Clone(good)
	marker[len(marker)-4], marker[len(marker)-3] = 0xff, 0xd0
	for name, bands := range map[string][][]byte{
		"other width": {narrow}, "other height": {flat}, "other tables": {good, other.Bytes()}, "truncated": {good[:len(good)-1]}, "empty": {{}},
		"marker": {marker}, "too many": {good, good, good},
		"no scan": {append([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2}, 0xff, 0xd9)}, "short segment": {{0xff, 0xd8, 0xff, 0xe0, 0, 1, 0xff, 0xd9}},
	} {
		j := NewJPEG(32, 32, 16)
		var err error
		for _, b := range bands {
			if _, err = j.Append(nil, b); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewJPEG(16384, 16384, 8192).Append(nil, encodeJPEG(t, image.NewGray(image.Rect(0, 0, 16384, 8192)))); err == nil {
		t.Error("an interval that is too long: no error")
	}
}

// FuzzJPEG fails if joining panics, or if it makes a JPEG that is longer than its bands.
func FuzzJPEG(f *testing.F) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, tissue(32, 16), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), 32, 32, 16)
	f.Fuzz(func(t *testing.T, band []byte, width, height, rows int) {
		if width < 1 || height < 1 || rows < 1 || width > MaxSide || height > MaxSide || rows > MaxSide {
			return
		}
		j := NewJPEG(width, height, rows)
		var out []byte
		for range 3 {
			var err error
			if out, err = j.Append(out, band); err != nil {
				return
			}
		}
		if len(out) > 3*len(band)+16 {
			t.Errorf("%d bytes of three bands of %d", len(out), len(band))
		}
	})
}

// A PNG that was written in bands has the pixels, and the profile.
func TestPNG(t *testing.T) {
	profile := bytes.Repeat([]byte("profile"), 100)
	for _, size := range []image.Point{{1, 1}, {50, 16}, {100, 171}, {3, 500}} {
		img := tissue(size.X, size.Y)
		p := NewPNG(size.X, size.Y, profile)
		var got, raw []byte
		for y := 0; y < size.Y; y += 33 {
			var err error
			if _, err = p.Compress(part(img, y, 33)); err != nil { // and again, as if the file had moved
				t.Fatal(err)
			}
			b, err := p.Compress(part(img, y, 33))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = p.Append(got, b); err != nil {
				t.Fatal(err)
			}
			raw = AppendRaw(raw, part(img, y, 33))
		}
		whole, err := png.Decode(bytes.NewReader(got))
		if err != nil {
			t.Fatalf("%v: %v", size, err)
		}
		back := image.NewRGBA(img.Rect)
		draw.Draw(back, back.Rect, whole, image.Point{}, draw.Src)
		if diff := cmp.Diff(img.Pix, back.Pix); diff != "" {
			t.Errorf("%v: pixels differ", size)
		}
		for i := range size.X * size.Y {
			if !bytes.Equal(raw[3*i:][:3], img.Pix[4*i:][:3]) {
				t.Fatalf("%v: raw pixel %d differs", size, i)
			}
		}
		if len(raw) != 3*size.X*size.Y || !bytes.Equal(chunk(t, got, "iCCP"), profile) {
			t.Errorf("%v: %d bytes raw, profile %q", size, len(raw), chunk(t, got, "iCCP"))
		}
	}
}

// chunk returns the decompressed profile of a PNG, and checks its checksum.
func chunk(t *testing.T, b []byte, kind string) []byte {
	t.Helper()
	for b = b[8:]; len(b) >= 12; {
		n := int(binary.BigEndian.Uint32(b))
		data := b[8:][:n]
		if crc32.ChecksumIEEE(b[4:8+n]) != binary.BigEndian.Uint32(b[8+n:]) {
			t.Fatalf("the checksum of %s is wrong", b[4:8])
		}
		if string(b[4:8]) == kind {
			_, data, _ := bytes.Cut(data, []byte{0})
			z, err := zlib.NewReader(bytes.NewReader(data[1:]))
			if err != nil {
				t.Fatal(err)
			}
			profile, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			return profile
		}
		b = b[12+n:]
	}
	return nil
}
