package convert

import (
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExpansion expects a small file of a large picture to be refused before anything
// is written.
func TestExpansion(t *testing.T) {
	t.Parallel()
	full, asked := errors.New("no space"), int64(0)
	space := func(_, more int64) error {
		asked = more
		return full
	}
	src := &picture{Kind: "PNG", Width: 32 << 10, Height: 40 << 10} // 20 MB if it is blank
	for name, tt := range map[string]struct {
		o    Options
		want error
	}{
		"more than its file stands for": {Options{Expansion: 64}, ErrUnsupported},
		"no bound":                      {Options{}, nil},
		"no space":                      {Options{CheckSpace: space}, full},
	} {
		if _, err := checkExpansion(src, 55<<10, tt.o); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
	if least := int64(32<<10) * (40 << 10) / 2; asked < least {
		t.Errorf("asked for %d bytes, want at least %d", asked, least)
	}
}

// TestSpaceWhileWriting has the disk become full while a pyramid is written.
func TestSpaceWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.tiff")
	if err := os.WriteFile(in, encodePNG(t, scene(image.NewNRGBA(image.Rect(0, 0, 700, 600)))), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "pyramid"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := newContainer(f)
	if _, err := c.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	c.CheckSpace = func(written, _ int64) error { return errors.New("full at " + strings.Repeat("x", int(written>>20))) }
	if err := c.write([]byte("tile")); err == nil || err.Error() != "full at xxxx" {
		t.Errorf("got %v, want that it is full at 4 MB", err)
	}
	if _, err := File(t.Context(), in, out, Options{Expansion: 64, CheckSpace: func(int64, int64) error { return nil }}); err != nil {
		t.Error(err)
	}
}
