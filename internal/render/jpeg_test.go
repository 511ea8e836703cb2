package render

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	gojpeg "image/jpeg"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

const jfifHead = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"

// TestDecodeJPEGColours decodes streams of one colour, whose components are 178, 58 and
// 228, with all indications of the colour space.
func TestDecodeJPEGColours(t *testing.T) {
	// The DC quantizer is 4, and the mean of a block is its DC × 4 / 8 + 128.
	dc := [4]int{100, -140, 200, 60}
	rgb := color.RGBA{178, 58, 228, 255}
	ycc := color.RGBA{255, 132, 54, 255} // of Y 178, Cb 58, Cr 228
	three := []int{0x11, 0x11, 0x11}
	tests := []struct {
		name     string
		head     string
		ids      string
		sampling []int
		want     color.RGBA
	}{
		{"nothing said", "", "", three, ycc},
		{"nothing said, ids 0 1 2", "", "\x00\x01\x02", three, ycc},
		{"JFIF", jfifHead, "", three, ycc},
		{"Adobe YCbCr", jpegtest.Adobe(1), "", three, ycc},
		{"Adobe RGB", jpegtest.Adobe(0), "", three, rgb},
		{"Adobe RGB, subsampled", jpegtest.Adobe(0), "", []int{0x22, 0x11, 0x11}, rgb},
		{"ids RGB", "", "RGB", three, rgb},
		{"JFIF and ids RGB", jfifHead, "RGB", three, ycc},
		{"JFIF and Adobe RGB", jfifHead + jpegtest.Adobe(0), "", three, ycc},
		{"Adobe YCbCr and ids RGB", jpegtest.Adobe(1), "RGB", three, ycc},
		{"4:2:0", "", "", []int{0x22, 0x11, 0x11}, ycc},
		{"4:2:2", "", "", []int{0x21, 0x11, 0x11}, ycc},
		{"4:4:0", "", "", []int{0x12, 0x11, 0x11}, ycc},
		{"gray", "", "", []int{0x11}, color.RGBA{178, 178, 178, 255}},
		{"gray with factors of 2", "", "", []int{0x22}, color.RGBA{178, 178, 178, 255}},
		// Adobe's inks are inverted: 255 means no ink. In YCCK, YCC is RGB, the inks its
		// inverse.
		{"Adobe CMYK", jpegtest.Adobe(0), "", []int{0x11, 0x11, 0x11, 0x11}, color.RGBA{110, 36, 141, 255}},
		{"Adobe YCCK", jpegtest.Adobe(2), "", []int{0x11, 0x11, 0x11, 0x11}, color.RGBA{0, 77, 125, 255}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := jpegtest.JPEG{W: 40, H: 24, Sampling: tt.sampling, IDs: tt.ids, Head: tt.head, Flat: true, DC: dc}
			got, err := DecodeJPEG(t.Context(), j.Encode())
			if err != nil {
				t.Fatal(err)
			}
			checkPixels(t, got, plain(40, 24, tt.want), 1)
		})
	}
}

func TestDecodeJPEGRefuses(t *testing.T) {
	good, err := codec.EncodeRGBA(jpegtest.Tissue(128, 96, 1), 85)
	if err != nil {
		t.Fatal(err)
	}
	scan := []byte{0xff, jpeg.MarkSOS, 0, 12}
	scans := append(jpegtest.Replace(good, []byte{0xff, jpeg.MarkSOF0}, []byte{0xff, jpeg.MarkSOF2}), bytes.Repeat(scan, 200)...)
	tests := []struct {
		name string
		data []byte
		want string // part of the error
	}{
		{"nothing", nil, "does not begin"},
		{"zeros", make([]byte, 1000), "does not begin"},
		{"PNG", []byte("\x89PNG\r\n\x1a\n"), "does not begin"},
		{"cut off in the header", good[:100], "past the end"},
		{"cut off in the pixels", good[:len(good)*2/3], "JPEG of"},
		{"cut off in the pixels, with an end", append(bytes.Clone(good[:len(good)*2/3]), 0xff, jpeg.MarkEOI), "JPEG of"},
		{"pixels of zeros", append(bytes.Clone(good[:len(good)/2]), make([]byte, len(good)/2)...), "JPEG of"},
		{"huge", jpegtest.Replace(good, []byte{0, 96, 0, 128}, []byte{0xff, 0xff, 0xff, 0xff}), "pixels"},
		{"as many pixels as are allowed", jpegtest.Replace(good, []byte{0, 96, 0, 128}, []byte{0x1f, 0xff, 0x1f, 0xff}), "the file is incomplete"},
		{"no pixels", jpegtest.Replace(good, []byte{0, 96, 0, 128}, []byte{0, 0, 0, 128}), "pixels"},
		{"scans without end", scans, "scans"},
		{"5 colours", jpegtest.Replace(good, []byte{0, 17, 8, 0, 96, 0, 128, 3}, []byte{0, 17, 8, 0, 96, 0, 128, 5}), "colours"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := DecodeJPEG(t.Context(), tt.data)
			if err == nil {
				t.Fatalf("%v and no error", img.Rect)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want one of %q", err, tt.want)
			}
		})
	}
}

// decodeByGo decodes with Go, for tests that need chroma without blending.
func decodeByGo(t testing.TB, data []byte) *image.RGBA {
	t.Helper()
	src, err := gojpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewRGBA(src.Bounds())
	draw.Draw(img, img.Rect, src, image.Point{}, draw.Src)
	return img
}

func TestEncodeJPEG(t *testing.T) {
	img := ramps(100, 70)
	for _, quality := range []int{0, 60, 85, 100} {
		b, err := EncodeJPEG(img, quality)
		if err != nil {
			t.Fatal(err)
		}
		h, err := jpeg.ReadHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range h.Segments {
			switch s.Mark {
			case jpeg.MarkAPP0, jpeg.MarkDQT, jpeg.MarkDHT, jpeg.MarkSOF0, jpeg.MarkSOS:
			default:
				t.Errorf("quality %d: a segment %02X", quality, s.Mark)
			}
		}
		if s := h.Segments[0]; s.Mark != jpeg.MarkAPP0 || string(s.Data[:5]) != "JFIF\x00" {
			t.Errorf("quality %d: first segment %02X %q, want JFIF", quality, s.Mark, s.Data)
		}
		if c := h.Components; len(c) != 3 || c[0].H != 2 || c[0].V != 2 || c[1].H != 1 {
			t.Errorf("quality %d: components %v, want 4:2:0", quality, c)
		}
		got, err := DecodeJPEG(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		checkPixels(t, got, img, 12)
	}
	for _, quality := range []int{-1, 101} {
		if _, err := EncodeJPEG(img, quality); err == nil {
			t.Errorf("quality %d: no error", quality)
		}
	}
	if _, err := EncodeJPEG(image.NewRGBA(image.Rectangle{}), 85); err == nil {
		t.Error("no pixels: no error")
	}
}

func TestEncodeJPEGOfPart(t *testing.T) {
	img := ramps(100, 70)
	part := img.SubImage(image.Rect(30, 20, 90, 60)).(*image.RGBA)
	b, err := EncodeJPEG(Crop(part, 50, 30), 95)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeJPEG(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	want := image.NewRGBA(image.Rect(0, 0, 50, 30))
	copyPart(want, image.Point{}, img, image.Rect(30, 20, 80, 50))
	checkPixels(t, got, want, 8)
}

func TestBlank(t *testing.T) {
	for _, c := range []color.RGBA{white, {0, 0, 0, 255}, {244, 241, 246, 255}} {
		b, err := Blank(300, 200, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeJPEG(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		checkPixels(t, got, plain(300, 200, c), 1)
	}
	for _, size := range []image.Point{{0, 10}, {10, -1}, {70000, 10}, {60000, 60000}} {
		if _, err := Blank(size.X, size.Y, white); err == nil {
			t.Errorf("%v: no error", size)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i, tt := range jpegtest.Cases {
		j := tt.JPEG
		j.W, j.H, j.Seed = 24, 20, uint64(i)
		f.Add(j.Encode(), byte(0), byte(0), byte(0), byte(0), byte(24), byte(20))
	}
	for _, tt := range decodeCases(f) {
		l := tt.layout
		f.Add(tt.data, byte(l.Codec), byte(l.Photometric), byte(l.Samples), byte(l.Bits|l.Predictor), byte(decodeW), byte(decodeH))
	}
	planes := []byte("\x00\x00\x00\x0fabcdefghijklmno\x00\x00\x00\x0fabcdefghijklmno\x00\x00\x00\x0fabcdefghijklmno")
	f.Add(planes, byte(slide.None)|8, byte(trueColor), byte(3), byte(8), byte(5), byte(3))
	f.Add(planes, byte(slide.None)|1<<4|1<<6, byte(yCbCr), byte(3), byte(8), byte(5), byte(3)) // 2 × 2
	f.Add(planes, byte(slide.None), byte(minIsWhite), byte(1), byte(0), byte(5), byte(3))      // 1 bit
	f.Fuzz(func(t *testing.T, data []byte, codec, photometric, samples, form, w, h byte) {
		lay := fuzzLayout(codec, photometric, samples, form)
		img, err := Decode(t.Context(), data, lay, int(w), int(h))
		if err != nil {
			if img != nil || errors.Is(err, jpeg.ErrNotLossless) {
				t.Fatalf("%v with error %v", img.Rect, err)
			}
			return
		}
		if want := image.Rect(0, 0, int(w), int(h)); img.Rect != want || len(img.Pix) != 4*want.Dx()*want.Dy() {
			t.Fatalf("%v of %d bytes, want %v", img.Rect, len(img.Pix), want)
		}
		for i := 3; i < len(img.Pix); i += 4 {
			if img.Pix[i] != 255 {
				t.Fatalf("pixel %d has alpha %d", i/4, img.Pix[i])
			}
		}
	})
}

func BenchmarkDecodeJPEG(b *testing.B) {
	data, err := codec.EncodeRGBA(jpegtest.Tissue(512, 512, 1), 80)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(4 * 512 * 512)
	b.ReportAllocs()
	for b.Loop() {
		img, err := DecodeJPEG(b.Context(), data)
		if err != nil {
			b.Fatal(err)
		}
		recycle(img)
	}
}

func BenchmarkEncodeJPEG(b *testing.B) {
	img := jpegtest.Tissue(512, 512, 1)
	b.SetBytes(4 * 512 * 512)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeJPEG(img, 85); err != nil {
			b.Fatal(err)
		}
	}
}
