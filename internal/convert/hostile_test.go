package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xtiff "golang.org/x/image/tiff"
)

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// samples are small pictures of all kinds.
func samples(t testing.TB) map[string][]byte {
	img := scene(image.NewNRGBA(image.Rect(0, 0, 90, 70)))
	return map[string][]byte{
		"PNG":          encodePNG(t, img),
		"PNG gray":     encodePNG(t, scene(image.NewGray16(image.Rect(0, 0, 33, 44)))),
		"JPEG":         encodeJPEG(t, img),
		"TIFF":         encodeTIFF(t, img, xtiff.Uncompressed),
		"TIFF deflate": encodeTIFF(t, img, xtiff.Deflate),
	}
}

// readAll reads all rows of a picture.
func readAll(data []byte) error {
	p, err := openPicture(context.Background(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	defer p.Close()
	if p.Width*p.Height > 1<<22 {
		return errors.New("too large for a test")
	}
	row := make([]byte, 4*p.Width)
	for range p.Height {
		if err := p.rows.Read(row); err != nil {
			return err
		}
	}
	return nil
}

// TestCutOff truncates pictures at every position that removes pixels.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for name, data := range samples(t) {
		if codecOnly && name != "JPEG" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := readAll(data); err != nil {
				t.Fatal(err)
			}
			for n := range len(data) - 40 {
				err := readAll(data[:n])
				if err == nil {
					t.Fatalf("%d of %d bytes: no error", n, len(data))
				}
				if errors.Is(err, io.EOF) {
					t.Fatalf("%d of %d bytes: a bare %v", n, len(data), err)
				}
			}
		})
	}
}

// TestDamaged changes bytes. No damaged PNG may be accepted if the byte matters: all of
// it is covered by checksums.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for name, data := range samples(t) {
		if codecOnly && name != "JPEG" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			passed := 0
			for range 3000 {
				b := bytes.Clone(data)
				at := rng.IntN(len(b) - 20)
				b[at] ^= byte(1 + rng.IntN(255))
				if err := readAll(b); err == nil {
					passed++
					if strings.HasPrefix(name, "PNG") {
						t.Errorf("byte %d of %d: no error", at, len(b))
					}
				}
			}
			t.Logf("%d of 3000 passed", passed)
		})
	}
}

// TestRefused has pictures with false sizes, and unsupported ones.
func TestRefused(t *testing.T) {
	t.Parallel()
	samples := samples(t)
	// head replaces the size in IHDR, and corrects its checksum.
	head := func(w, h uint32, more ...byte) []byte {
		b := bytes.Clone(samples["PNG"])
		binary.BigEndian.PutUint32(b[16:], w)
		binary.BigEndian.PutUint32(b[20:], h)
		copy(b[24:], more)
		binary.BigEndian.PutUint32(b[29:], crc(b[12:29]))
		return b
	}
	sized := func(h, w uint16) []byte {
		b := bytes.Clone(samples["JPEG"])
		i := bytes.Index(b, []byte{0xff, 0xc0})
		binary.BigEndian.PutUint16(b[i+5:], h)
		binary.BigEndian.PutUint16(b[i+7:], w)
		return b
	}
	progressive := func(h, w uint16) []byte {
		b := sized(h, w)
		b[bytes.Index(b, []byte{0xff, 0xc0})+1] = 0xc2
		return b
	}
	tests := []struct {
		name        string
		data        []byte
		unsupported bool
		want        string
	}{
		{"no pixels", head(0, 10), false, "0×10 pixels"},
		{"a bomb", head(200_000, 50_000), false, "the file is incomplete"},
		{"wide", head(1<<20, 10), true, "at most"},
		{"beyond all bounds", head(1<<31, 10), false, "out of range"},
		{"2 bits of colour", head(90, 70, 2, 2), false, "colour type 2 of 2 bits"},
		{"colour type 5", head(90, 70, 8, 5), false, "colour type 5"},
		{"interlaced and large", append(head(9000, 9000, 8, 6, 0, 0, 1), make([]byte, 400_000)...), true, "without interlacing"},
		{"no palette", head(90, 70, 8, 3), false, "the palette is missing"},
		{"unknown chunk", withChunk(samples["PNG"], "ABCD", []byte("x")), true, `"ABCD"`},
		{"other chunk", withChunk(samples["PNG"], "abCD", []byte("x")), false, ""},
		{"JPEG bomb", sized(65000, 65000), false, "the file is incomplete"},
		{"JPEG without height", sized(0, 100), false, "pixels"},
		{"progressive and large", progressive(9000, 9000), true, "baseline JPEG"},
		{"GIF", []byte("GIF89a 1234567890"), true, "not a JPEG, PNG or TIFF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			in := filepath.Join(dir, "in")
			if err := os.WriteFile(in, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := File(context.Background(), in, filepath.Join(dir, "out"), Options{})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrUnsupported) != tt.unsupported {
				t.Errorf("error %v, want one of %q, unsupported %v", err, tt.want, tt.unsupported)
			}
			if _, ok := errors.AsType[*FormatError](err); ok == tt.unsupported {
				t.Errorf("error %T", err)
			}
			if got := folder(t, dir); len(got) != 1 {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

func FuzzPicture(f *testing.F) {
	for _, data := range samples(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { readAll(data) })
}
