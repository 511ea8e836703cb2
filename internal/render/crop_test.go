package render

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"testing"
)

// cropCases are kinds of JPEG that can be cropped without loss.
var cropCases = []struct {
	name string
	jpeg codedJPEG
}{
	{"4:2:0", codedJPEG{sampling: []int{0x22, 0x11, 0x11}}},
	{"4:2:2", codedJPEG{sampling: []int{0x21, 0x11, 0x11}}},
	{"4:4:0", codedJPEG{sampling: []int{0x12, 0x11, 0x11}}},
	{"4:1:1", codedJPEG{sampling: []int{0x41, 0x11, 0x11}}},
	{"4:4:4", codedJPEG{sampling: []int{0x11, 0x11, 0x11}}},
	{"4:4:4 with factors of 2", codedJPEG{sampling: []int{0x21, 0x21, 0x21}}},
	{"gray", codedJPEG{sampling: []int{0x11}}},
	{"gray with factors of 2", codedJPEG{sampling: []int{0x22}}},
	{"RGB", codedJPEG{sampling: []int{0x11, 0x11, 0x11}, ids: "RGB"}},
	{"restart every MCU", codedJPEG{sampling: []int{0x22, 0x11, 0x11}, interval: 1}},
	{"restart every 7 MCUs", codedJPEG{sampling: []int{0x22, 0x11, 0x11}, interval: 7}},
	{"restart in 4:4:4", codedJPEG{sampling: []int{0x11, 0x11, 0x11}, interval: 10}},
	{"restart in gray", codedJPEG{sampling: []int{0x11}, interval: 3}},
	{"DC tables made to measure", codedJPEG{sampling: []int{0x22, 0x11, 0x11}, sparseDC: true, interval: 2}},
	{"long codes", codedJPEG{sampling: []int{0x22, 0x11, 0x11}, longAC: true}},
	{"extended sequential", codedJPEG{sampling: []int{0x22, 0x11, 0x11}, frame: markSOF1}},
	{"CMYK", codedJPEG{sampling: []int{0x11, 0x11, 0x11, 0x11}, head: adobe(0)}},
}

// adobe is an APP14 segment with the given colour transform.
func adobe(transform byte) string {
	return "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + string(transform)
}

// cropSizes are sizes of images, and the sizes to crop them to.
var cropSizes = []struct{ w, h, toW, toH int }{
	{64, 64, 32, 32},
	{64, 64, 33, 47},
	{64, 64, 64, 1},
	{64, 64, 1, 64},
	{64, 64, 1, 1},
	{64, 64, 63, 64},
	{64, 64, 16, 16},
	{61, 43, 60, 42},
	{61, 43, 17, 40},
	{100, 9, 40, 8},
	{9, 100, 8, 99},
}

func TestCropJPEG(t *testing.T) {
	for _, tt := range cropCases {
		t.Run(tt.name, func(t *testing.T) {
			for i, size := range cropSizes {
				j := tt.jpeg
				j.w, j.h, j.seed = size.w, size.h, uint64(i)
				checkCrop(t, j.encode(), size.toW, size.toH)
			}
		})
	}
}

// TestCropJPEGOfGo crops the output of Go's encoder.
func TestCropJPEGOfGo(t *testing.T) {
	data, err := stdEncode(tissue(512, 512, 1), 80)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []image.Point{{512, 300}, {300, 512}, {352, 280}, {511, 511}, {5, 5}} {
		checkCrop(t, data, to.X, to.Y)
	}
}

// checkCrop compares the pixels of a crop with those of the complete image, both decoded by
// Go, which does not blend neighbouring blocks.
func checkCrop(t *testing.T, data []byte, w, h int) {
	t.Helper()
	whole, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("decoding the complete image: %v", err)
	}
	got, err := CropJPEG(data, w, h)
	if err != nil {
		t.Fatalf("CropJPEG of %v to %d×%d: %v", whole.Bounds(), w, h, err)
	}
	if err := sameCrop(whole, got, w, h); err != nil {
		t.Fatalf("CropJPEG of %v to %d×%d: %v", whole.Bounds(), w, h, err)
	}
}

// sameCrop compares the JPEG in data with the top left w × h pixels of whole.
func sameCrop(whole image.Image, data []byte, w, h int) error {
	crop, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("decoding the crop: %w", err)
	}
	if want := image.Rect(0, 0, w, h); crop.Bounds() != want {
		return fmt.Errorf("bounds %v, want %v", crop.Bounds(), want)
	}
	for y := range h {
		for x := range w {
			if got, want := crop.At(x, y), whole.At(x, y); got != want {
				return fmt.Errorf("pixel %d,%d is %v, want %v", x, y, got, want)
			}
		}
	}
	return nil
}

func TestCropJPEGKeepsColours(t *testing.T) {
	j := codedJPEG{w: 32, h: 32, sampling: []int{0x11, 0x11, 0x11}, flat: true, dc: [4]int{10, 90, -90}}
	j.head = adobe(0) + "\xff\xfe\x00\x0apatient!" + "\xff\xe2\x00\x06icc!"
	got, err := CropJPEG(j.encode(), 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		bytes string
		want  bool
	}{
		{adobe(0), true},
		{"icc!", true},
		{"patient!", false},
	} {
		if bytes.Contains(got, []byte(tt.bytes)) != tt.want {
			t.Errorf("crop holds %q: %v, want %v", tt.bytes, !tt.want, tt.want)
		}
	}
}

func TestCropJPEGNothing(t *testing.T) {
	data := codedJPEG{w: 40, h: 30, sampling: []int{0x11}}.encode()
	got, err := CropJPEG(data, 40, 30)
	if err != nil || &got[0] != &data[0] {
		t.Errorf("a crop to the same size: %d bytes, error %v; want the data themselves", len(got), err)
	}
}

func TestCropJPEGRefuses(t *testing.T) {
	base := codedJPEG{w: 64, h: 64, sampling: []int{0x22, 0x11, 0x11}}
	good := base.encode()
	restarts := base
	restarts.interval = 2
	rst := restarts.encode()
	progressive := base
	progressive.frame = markSOF2
	tests := []struct {
		name     string
		data     []byte
		w, h     int
		lossless bool // the error is not about the kind of stream
	}{
		{"progressive", progressive.encode(), 10, 10, false},
		{"arithmetic", replace(good, []byte{0xff, markSOF0}, []byte{0xff, 0xc9}), 10, 10, false},
		{"12 bits", replace(good, []byte{markSOF0, 0, 17, 8}, []byte{markSOF0, 0, 17, 12}), 10, 10, false},
		{"scan of one colour", replace(good, []byte{0xff, markSOS, 0, 12, 3, 1, 0, 2, 0, 3, 0}, []byte{0xff, markSOS, 0, 8, 1, 1, 0}), 10, 10, false},
		{"larger than the picture", good, 65, 10, true},
		{"no width", good, 0, 10, true},
		{"negative height", good, 10, -1, true},
		{"cut off", good[:len(good)/2], 60, 60, true},
		{"restart marker missing", replace(rst, []byte{0xff, markRST0 + 1}, nil), 60, 60, true},
		{"restart markers in disorder", replace(rst, []byte{0xff, markRST0 + 1}, []byte{0xff, markRST0 + 3}), 60, 60, true},
		{"no Huffman table", replace(good, []byte{0xff, markDHT}, []byte{0xff, 0xe5}), 10, 10, true},
		{"nothing", nil, 1, 1, true},
		{"no JPEG", []byte("RIFF....WEBP"), 1, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := CropJPEG(tt.data, tt.w, tt.h)
			if err == nil {
				t.Fatalf("%d bytes and no error", len(got))
			}
			if errors.Is(err, ErrNotLossless) == tt.lossless {
				t.Errorf("error %v, want ErrNotLossless: %v", err, !tt.lossless)
			}
		})
	}
}

func replace(data, old, with []byte) []byte {
	if !bytes.Contains(data, old) {
		panic(fmt.Sprintf("% x is not in the data", old))
	}
	return bytes.Replace(data, old, with, 1)
}

func FuzzCropJPEG(f *testing.F) {
	for i, tt := range cropCases {
		j := tt.jpeg
		j.w, j.h, j.seed = 40, 25, uint64(i)
		f.Add(j.encode(), uint16(21), uint16(17))
	}
	if data, err := stdEncode(tissue(48, 48, 1), 80); err == nil {
		f.Add(data, uint16(32), uint16(47))
	}
	f.Fuzz(func(t *testing.T, data []byte, cropW, cropH uint16) {
		w, h := int(cropW), int(cropH)
		if head, err := readHeader(data); err == nil { // else hardly any size fits
			w, h = 1+w%head.width, 1+h%head.height
		}
		got, err := CropJPEG(data, w, h)
		if err != nil {
			return
		}
		whole, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		if err := sameCrop(whole, got, w, h); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkCropJPEG crops a tile at the edge of a level of Philips-1 (352×280 of 512×512),
// losslessly and by decoding it. Bytes are those of the tile.
func BenchmarkCropJPEG(b *testing.B) {
	data, err := stdEncode(tissue(512, 512, 1), 80)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("lossless", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := CropJPEG(data, 352, 280); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decoding", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			img, err := DecodeJPEG(b.Context(), data)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := EncodeJPEG(Crop(img, 352, 280), 85); err != nil {
				b.Fatal(err)
			}
			recycle(img)
		}
	})
}
