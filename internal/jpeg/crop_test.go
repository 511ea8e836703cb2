package jpeg

import (
	"bytes"
	"errors"
	"image"
	stdjpeg "image/jpeg"
	"io"
	"testing"

	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

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

func TestCrop(t *testing.T) {
	for _, tt := range jpegtest.Cases {
		t.Run(tt.Name, func(t *testing.T) {
			for i, size := range cropSizes {
				j := tt.JPEG
				j.W, j.H, j.Seed = size.w, size.h, uint64(i)
				checkCrop(t, j.Encode(), size.toW, size.toH)
			}
		})
	}
}

// TestCropOfGo crops the output of Go's encoder.
func TestCropOfGo(t *testing.T) {
	data, err := encoded(512)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []image.Point{{512, 300}, {300, 512}, {352, 280}, {511, 511}, {5, 5}} {
		checkCrop(t, data, to.X, to.Y)
	}
}

// encoded returns a picture of the given side as Go's encoder writes it.
func encoded(side int) ([]byte, error) {
	var b bytes.Buffer
	err := stdjpeg.Encode(&b, jpegtest.Tissue(side, side, 1), &stdjpeg.Options{Quality: 80})
	return b.Bytes(), err
}

// checkCrop compares the pixels of a crop with those of the complete image, both decoded by
// Go, which does not blend neighbouring blocks.
func checkCrop(t *testing.T, data []byte, w, h int) {
	t.Helper()
	whole, err := stdjpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("decoding the complete image: %v", err)
	}
	got, err := Crop(data, w, h)
	if err != nil {
		t.Fatalf("Crop of %v to %d×%d: %v", whole.Bounds(), w, h, err)
	}
	if err := jpegtest.SameCrop(whole, got, w, h); err != nil {
		t.Fatalf("Crop of %v to %d×%d: %v", whole.Bounds(), w, h, err)
	}
}

func TestCropKeepsColours(t *testing.T) {
	j := jpegtest.JPEG{W: 32, H: 32, Sampling: []int{0x11, 0x11, 0x11}, Flat: true, DC: [4]int{10, 90, -90}}
	j.Head = jpegtest.Adobe(0) + "\xff\xfe\x00\x0apatient!" + "\xff\xe2\x00\x06icc!"
	got, err := Crop(j.Encode(), 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		bytes string
		want  bool
	}{
		{jpegtest.Adobe(0), true},
		{"icc!", true},
		{"patient!", false},
	} {
		if bytes.Contains(got, []byte(tt.bytes)) != tt.want {
			t.Errorf("crop holds %q: %v, want %v", tt.bytes, !tt.want, tt.want)
		}
	}
}

func TestCropNothing(t *testing.T) {
	data := jpegtest.JPEG{W: 40, H: 30, Sampling: []int{0x11}}.Encode()
	got, err := Crop(data, 40, 30)
	if err != nil || &got[0] != &data[0] {
		t.Errorf("a crop to the same size: %d bytes, error %v; want the data themselves", len(got), err)
	}
}

func TestCropRefuses(t *testing.T) {
	base := jpegtest.JPEG{W: 64, H: 64, Sampling: []int{0x22, 0x11, 0x11}}
	good := base.Encode()
	restarts := base
	restarts.Interval = 2
	rst := restarts.Encode()
	progressive := base
	progressive.Frame = MarkSOF2
	tests := []struct {
		name     string
		data     []byte
		w, h     int
		lossless bool // the error is not about the kind of stream
	}{
		{"progressive", progressive.Encode(), 10, 10, false},
		{"arithmetic", jpegtest.Replace(good, []byte{0xff, MarkSOF0}, []byte{0xff, 0xc9}), 10, 10, false},
		{"12 bits", jpegtest.Replace(good, []byte{MarkSOF0, 0, 17, 8}, []byte{MarkSOF0, 0, 17, 12}), 10, 10, false},
		{"scan of one colour", jpegtest.Replace(good, []byte{0xff, MarkSOS, 0, 12, 3, 1, 0, 2, 0, 3, 0}, []byte{0xff, MarkSOS, 0, 8, 1, 1, 0}), 10, 10, false},
		{"larger than the picture", good, 65, 10, true},
		{"no width", good, 0, 10, true},
		{"negative height", good, 10, -1, true},
		{"cut off", good[:len(good)/2], 60, 60, true},
		{"restart marker missing", jpegtest.Replace(rst, []byte{0xff, MarkRST0 + 1}, nil), 60, 60, true},
		{"restart markers in disorder", jpegtest.Replace(rst, []byte{0xff, MarkRST0 + 1}, []byte{0xff, MarkRST0 + 3}), 60, 60, true},
		{"no Huffman table", jpegtest.Replace(good, []byte{0xff, MarkDHT}, []byte{0xff, 0xe5}), 10, 10, true},
		{"nothing", nil, 1, 1, true},
		{"no JPEG", []byte("RIFF....WEBP"), 1, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Crop(tt.data, tt.w, tt.h)
			if err == nil {
				t.Fatalf("%d bytes and no error", len(got))
			}
			if errors.Is(err, ErrNotLossless) == tt.lossless {
				t.Errorf("error %v, want ErrNotLossless: %v", err, !tt.lossless)
			}
		})
	}
}

func FuzzCrop(f *testing.F) {
	for i, tt := range jpegtest.Cases {
		j := tt.JPEG
		j.W, j.H, j.Seed = 40, 25, uint64(i)
		f.Add(j.Encode(), uint16(21), uint16(17))
	}
	if data, err := encoded(48); err == nil {
		f.Add(data, uint16(32), uint16(47))
	}
	f.Fuzz(func(t *testing.T, data []byte, cropW, cropH uint16) {
		w, h := int(cropW), int(cropH)
		if head, err := ReadHeader(data); err == nil { // else hardly any size fits
			w, h = 1+w%head.Width, 1+h%head.Height
		}
		got, err := Crop(data, w, h)
		if err != nil {
			return
		}
		whole, err := stdjpeg.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		if err := jpegtest.SameCrop(whole, got, w, h); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkCrop crops a tile at the edge of a level of Philips-1 (352×280 of 512×512),
// losslessly and by decoding it. Bytes are those of the tile.
func BenchmarkCrop(b *testing.B) {
	data, err := encoded(512)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("lossless", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Crop(data, 352, 280); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decoding", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			img, err := stdjpeg.Decode(bytes.NewReader(data))
			if err != nil {
				b.Fatal(err)
			}
			part := img.(*image.YCbCr).SubImage(image.Rect(0, 0, 352, 280))
			if err := stdjpeg.Encode(io.Discard, part, &stdjpeg.Options{Quality: 85}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
