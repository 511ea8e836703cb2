package jpeg2000

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReductions(t *testing.T) {
	for name, want := range map[string]int{
		"rgb.j2k": 3, "lossless.jp2": 3, "422.j2k": 3, "tiled.j2k": 5, "single.j2k": 0,
	} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := Reductions(b); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
		for n := range min(len(b), 300) {
			if got := Reductions(b[:n]); got != 0 && got != want {
				t.Errorf("the first %d bytes of %s: %d", n, name, got)
			}
		}
	}
	for _, b := range []string{"", "\xff\x4f", "\xff\x4f\xff\x52\x00\x00", "\xff\x4f\xff\x52\x00\x04\x00\x00", "\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x01jp2h\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if got := Reductions([]byte(b)); got != 0 {
			t.Errorf("%q: %d", b, got)
		}
	}
}

func FuzzReductions(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.j*")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 300)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := Reductions(b); n < 0 || n > 32 {
			t.Errorf("%d reductions", n)
		}
	})
}
