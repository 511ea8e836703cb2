package jpeg

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/slide"
)

// picture returns a small JPEG without JFIF, as image/jpeg writes it.
func picture(t testing.TB) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 20, 10))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// jfif returns a JPEG with the JFIF segment that it lacks.
func jfif(b []byte) []byte {
	app0 := []byte{0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0}
	return append(append(bytes.Clone(b[:2]), app0...), b[2:]...)
}

func profileOf(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*131 + i>>8)
	}
	return p
}

// TestEmbed embeds profiles of one and of several segments: what comes back is the same, the picture
// too, and JFIF stays in front.
func TestEmbed(t *testing.T) {
	plain := picture(t)
	for _, data := range [][]byte{plain, jfif(plain)} {
		for _, n := range []int{1, 600, profilePart, profilePart + 1, 200_000} {
			profile := profileOf(n)
			got := Embed(data, profile)
			back, err := slide.JPEGProfile(got)
			if err != nil || !bytes.Equal(back, profile) {
				t.Fatalf("%d bytes: %d come back, %v", n, len(back), err)
			}
			if want := pixels(t, data); !cmp.Equal(want, pixels(t, got)) {
				t.Errorf("%d bytes: the picture has changed", n)
			}
			if i := bytes.Index(got, []byte("JFIF")); i >= 0 && i != 6 {
				t.Errorf("%d bytes: JFIF at %d", n, i)
			}
			again := Embed(got, profileOf(77))
			if back, err := slide.JPEGProfile(again); err != nil || !bytes.Equal(back, profileOf(77)) || len(again) != len(data)+77+18 {
				t.Errorf("replaced: %d bytes of profile, %v, %d in all", len(back), err, len(again))
			}
		}
	}
	for _, tt := range []struct {
		name          string
		data, profile []byte
	}{
		{"not a JPEG", []byte("\x89PNG and more"), profileOf(9)},
		{"empty", nil, profileOf(9)},
		{"no profile", plain, nil},
		{"too large", plain, make([]byte, MaxProfile+1)},
	} {
		if got := Embed(tt.data, tt.profile); !bytes.Equal(got, tt.data) {
			t.Errorf("%s: changed", tt.name)
		}
	}
	if got := Embed(plain, make([]byte, MaxProfile)); len(got) < MaxProfile {
		t.Errorf("the largest profile: %d bytes", len(got))
	}
}

func pixels(t *testing.T, b []byte) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// FuzzEmbed damages JPEGs: the result begins like one and ends as the data did, and has the profile.
func FuzzEmbed(f *testing.F) {
	plain := picture(f)
	f.Add(plain)
	f.Add(jfif(plain))
	f.Add(Embed(jfif(plain), profileOf(70_000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = slide.JPEGProfile(data)
		profile := profileOf(100)
		got := Embed(data, profile)
		if len(got) > len(data)+118 {
			t.Fatalf("%d bytes from %d", len(got), len(data))
		}
		if len(data) < 4 || data[0] != 0xff || data[1] != MarkSOI {
			return
		}
		if !bytes.HasPrefix(got, data[:2]) {
			t.Fatalf("begins with % x", got[:2])
		}
		if _, err := ParseHeader(data); err != nil {
			return
		}
		if back, err := slide.JPEGProfile(got); err != nil || !bytes.Equal(back, profile) {
			t.Fatalf("%d bytes of profile, %v", len(back), err)
		}
	})
}
