package convert

import (
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExpansion converts a small file of a large blank picture: with a bound it is
// refused before anything is written, without it is made.
func TestExpansion(t *testing.T) {
	blank := encodePNG(t, image.NewGray(image.Rect(0, 0, 32<<10, 40<<10))) // 20 MB of blank tiles
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.tiff")
	if err := os.WriteFile(in, blank, 0o644); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no room")
	asked := int64(0)
	for name, tt := range map[string]struct {
		o    Options
		want error
	}{
		"more than its file stands for": {Options{Expansion: 1}, ErrUnsupported},
		"no room": {Options{Room: func(_, more int64) error {
			asked = more
			return full
		}}, full},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := File(t.Context(), in, out, tt.o); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if found, _ := os.ReadDir(dir); len(found) != 1 {
				t.Errorf("%v in the folder, want the picture alone", found)
			}
		})
	}
	if least := int64(32<<10) * (40 << 10) / 2; asked < least {
		t.Errorf("asked for %d bytes, want at least %d", asked, least)
	}
}

// TestRoomWhileWriting has the disk fill up while a pyramid is written.
func TestRoomWhileWriting(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.tiff")
	if err := os.WriteFile(in, encodePNG(t, scene(image.NewNRGBA(image.Rect(0, 0, 700, 600)))), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &container{room: func(written, _ int64) error { return errors.New("full at " + strings.Repeat("x", int(written>>20))) }, pos: askEvery}
	if err := c.write([]byte("tile")); err == nil || err.Error() != "full at xxxx" {
		t.Errorf("got %v, want that it is full at 4 MB", err)
	}
	if _, err := File(t.Context(), in, out, Options{Expansion: 64, Room: func(int64, int64) error { return nil }}); err != nil {
		t.Error(err)
	}
}
