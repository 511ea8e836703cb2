package render

import (
	"bytes"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
)

// TestPackBits decodes the example of TIFF 6.0 section 9, and truncated data.
func TestPackBits(t *testing.T) {
	const packed = "\xfe\xaa\x02\x80\x00\x2a\xfd\xaa\x03\x80\x00\x2a\x22\xf7\xaa"
	const plain = "\xaa\xaa\xaa\x80\x00\x2a\xaa\xaa\xaa\xaa\x80\x00\x2a\x22\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
	lay := slide.Layout{Codec: slide.PackBits, Photometric: minIsBlack, Samples: 1, Bits: 8, Planar: 1, Predictor: 1}
	for n := range len(packed) + 1 {
		data := []byte(packed[:n])
		img, err := Decode(t.Context(), data, lay, len(plain)/2, 2)
		if n < len(packed) {
			if err == nil {
				t.Errorf("%d of %d bytes: no error", n, len(packed))
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(plain) {
			if img.Pix[4*i] != plain[i] {
				t.Errorf("sample %d is %02x, want %02x", i, img.Pix[4*i], plain[i])
			}
		}
	}
}

// TestRowsBeyondMemory reads a strip that does not fit into memory.
func TestRowsBeyondMemory(t *testing.T) {
	lay := slide.Layout{Codec: slide.None, Photometric: trueColor, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	const w, h = 30_000, 30_000
	if _, err := NewRows(t.Context(), bytes.NewReader(nil), 100, lay, w, h); err == nil {
		t.Error("100 bytes: no error")
	}
	r, err := NewRows(t.Context(), zeros{}, 3*w*h, lay, w, h)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]byte, 4*w)
	for range 3 {
		if err := r.Read(row); err != nil {
			t.Fatal(err)
		}
	}
	if row[0] != 0 || row[3] != 255 {
		t.Errorf("pixel %v", row[:4])
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
