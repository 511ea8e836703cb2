package render

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"
	"testing"

	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

// readBands decodes all bands into one image.
func readBands(r io.Reader) (*image.RGBA, error) {
	b, err := NewBands(context.Background(), r)
	if err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, b.Width, b.Height))
	y := 0
	for {
		band, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		h := band.Rect.Dy()
		copyPart(img, image.Pt(0, y), band, band.Rect)
		y += h
	}
	if y != b.Height {
		return nil, errors.New("bands end early")
	}
	return img, nil
}

// TestBands compares the bands with the image decoded at once: they must be identical, also
// where bands meet.
func TestBands(t *testing.T) {
	samplings := [][]int{{0x11}, {0x11, 0x11, 0x11}, {0x22, 0x11, 0x11}, {0x21, 0x11, 0x11}, {0x12, 0x11, 0x11}, {0x11, 0x11, 0x11, 0x11}}
	for _, sampling := range samplings {
		for _, size := range []image.Point{{1, 1}, {17, 9}, {40, 300}, {333, 517}} {
			j := jpegtest.JPEG{W: size.X, H: size.Y, Sampling: sampling, Seed: 7}
			if len(sampling) == 4 {
				j.Head = jpegtest.Adobe(2)
			}
			data := j.Encode()
			want, err := DecodeJPEG(t.Context(), data)
			if err != nil {
				t.Fatal(err)
			}
			b, err := newBands(t.Context(), iotestOneByte{bytes.NewReader(data)}, 3)
			if err != nil {
				t.Fatalf("%x %v: %v", sampling, size, err)
			}
			y := 0
			for {
				band, err := b.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%x %v row %d: %v", sampling, size, y, err)
				}
				part := want.SubImage(image.Rect(0, y, size.X, y+band.Rect.Dy())).(*image.RGBA)
				checkPixels(t, flat(band), flat(part), 0)
				y += band.Rect.Dy()
			}
			if y != size.Y {
				t.Errorf("%x %v: %d rows", sampling, size, y)
			}
		}
	}
}

// flat copies an image to the origin.
func flat(img *image.RGBA) *image.RGBA {
	to := image.NewRGBA(image.Rectangle{Max: img.Rect.Size()})
	copyPart(to, image.Point{}, img, img.Rect)
	return to
}

// iotestOneByte returns few bytes at a time.
type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 7)]) }

func TestBandsCutOff(t *testing.T) {
	j := jpegtest.JPEG{W: 100, H: 200, Sampling: []int{0x22, 0x11, 0x11}, Seed: 3}
	data := j.Encode()
	for n := range len(data) - 8 {
		if n%37 != 0 && n > 700 {
			continue
		}
		if _, err := readBands(bytes.NewReader(data[:n])); err == nil {
			t.Fatalf("%d of %d bytes: no error", n, len(data))
		}
	}
}

func FuzzBands(f *testing.F) {
	for i, tt := range jpegtest.Cases {
		j := tt.JPEG
		j.W, j.H, j.Seed = 24, 60, uint64(i)
		f.Add(j.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := NewBands(t.Context(), bytes.NewReader(data))
		if err != nil || b.Width*b.Height > 1<<20 {
			return
		}
		for y := 0; ; {
			band, err := b.Next()
			if err != nil {
				if errors.Is(err, io.EOF) && y != b.Height {
					t.Fatalf("%d of %d rows", y, b.Height)
				}
				return
			}
			y += band.Rect.Dy()
		}
	})
}
