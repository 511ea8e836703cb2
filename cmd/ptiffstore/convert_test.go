package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xtiff "golang.org/x/image/tiff"
)

// ramp is a picture of several tiles.
func ramp() image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 900, 700))
	for y := range 700 {
		for x := range 900 {
			img.SetRGBA(x, y, color.RGBA{byte(x / 4), byte(y / 3), 128, 255})
		}
	}
	return img
}

// create writes a file with f.
func create(t *testing.T, path string, f func(*os.File) error) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConvert(t *testing.T) {
	dir := t.TempDir()
	in, out, cut := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.tiff"), filepath.Join(dir, "cut.png")
	create(t, in, func(f *os.File) error { return png.Encode(f, ramp()) })
	b, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	create(t, cut, func(f *os.File) error { _, err := f.Write(b[:len(b)/2]); return err })
	tests := []struct {
		name string
		args []string
		code int
		want string // part of what is said
	}{
		{"made", []string{in, out}, exitOK, "PNG of 900×700 pixels: 2 levels"},
		{"there", []string{in, out}, exitFailure, "--force"},
		{"forced", []string{in, out, "--force", "-q", "--quality", "60"}, exitOK, "2 levels"},
		{"a pyramid", []string{out, filepath.Join(dir, "again.tiff")}, exitFile, "pyramid already"},
		{"cut off", []string{cut, filepath.Join(dir, "cut.tiff")}, exitFile, "is broken: PNG: at byte"},
		{"no file", []string{filepath.Join(dir, "none"), out, "--force"}, exitFailure, "no such file"},
		{"quality", []string{in, out, "--quality", "0"}, exitUsage, "1 to 100"},
	}
	for _, tt := range tests {
		r := command(t, append([]string{"convert"}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.out+r.err, tt.want) {
			t.Errorf("%s: %v, want code %d and %q", tt.name, r, tt.code, tt.want)
		}
	}
	if r := command(t, "inspect", out); r.code != exitOK {
		t.Errorf("inspect: %v", r)
	}
}

// TestConvertImage makes a pyramid of what a managed store has in quarantine.
func TestConvertImage(t *testing.T) {
	t.Parallel()
	db, dir := "--data="+t.TempDir(), filepath.Join(slidesIn(t, nil), "archive")
	store := done(t, "store", "add", dir, db, "--managed")
	s := start(t, "serve", db)
	name := patient + ".tif"
	create(t, filepath.Join(dir, "incoming", name), func(f *os.File) error { return xtiff.Encode(f, ramp(), nil) })
	s.until("quarantined", func() bool {
		left, _ := filepath.Glob(filepath.Join(dir, "quarantine", "*.tif"))
		return len(left) == 1 && s.images()[name].State == "quarantined"
	})
	task := done(t, "task", "submit", "convert_image", store, db, "--image", s.images()[name].ID)
	if r := command(t, "task", "wait", task, db); r.code != exitOK || strings.Contains(r.out+r.err, patient) {
		t.Fatalf("the task: %v", r)
	}
	s.available(name + ".tiff")
	if kept, _ := filepath.Glob(filepath.Join(dir, "originals", "*", "*")); len(kept) != 2 {
		t.Errorf("originals: %v", kept)
	}
	if _, ok := s.images()[name]; ok {
		t.Error("the picture is still an image")
	}
}
