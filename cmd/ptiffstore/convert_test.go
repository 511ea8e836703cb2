package main

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	t.Parallel()
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
		want string // part of the error
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

// TestConvertImage makes a pyramid of a quarantined image in a managed store that does not
// convert automatically.
func TestConvertImage(t *testing.T) {
	t.Parallel()
	db, dir := "--data="+newCatalog(t), filepath.Join(slidesIn(t, nil), "archive")
	store := done(t, "store", "add", dir, db, "--managed", "--no-convert")
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

// TestPicturesBecomePyramids drops images into a managed store, which converts each to a
// pyramid once and keeps the originals. It reports images that it cannot convert and leaves
// them in place.
func TestPicturesBecomePyramids(t *testing.T) {
	t.Parallel()
	db, dir := "--data="+newCatalog(t), filepath.Join(slidesIn(t, nil), "archive")
	done(t, "store", "add", dir, db, "--managed", "--settle", "1s")
	s := start(t, "serve", db)
	drop := func(name string, encode func(*os.File) error) {
		t.Helper()
		create(t, filepath.Join(dir, "."+name), encode)
		if err := os.Rename(filepath.Join(dir, "."+name), filepath.Join(dir, "incoming", name)); err != nil {
			t.Fatal(err)
		}
	}
	strips, camera, screen, damaged := patient+".tif", patient+" camera.JPG", patient+" screen.png", patient+" damaged.png"
	drop(strips, func(f *os.File) error { return xtiff.Encode(f, ramp(), nil) })
	drop(camera, func(f *os.File) error { return jpeg.Encode(f, ramp(), nil) })
	// This one is still arriving when the scan finds it.
	var held *os.File
	drop(screen, func(f *os.File) (err error) {
		if held, err = os.Open(f.Name()); err != nil {
			return err
		}
		return errors.Join(syscall.Flock(int(held.Fd()), syscall.LOCK_EX), png.Encode(f, ramp()))
	})
	s.until("it has been looked at", func() bool { return s.images()[screen].State == "unsupported" })
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	drop(damaged, func(f *os.File) error {
		var b bytes.Buffer
		if err := png.Encode(&b, ramp()); err != nil {
			return err
		}
		b.Bytes()[b.Len()/2] ^= 0xff
		_, err := f.Write(b.Bytes())
		return err
	})
	for _, name := range []string{camera, screen, strips} { // in the order of scanning
		s.available(name + ".tiff")
	}
	s.until("the damaged one is reported", func() bool {
		im := s.images()[damaged]
		return im.State == "quarantined" && im.Reason != nil && strings.Contains(*im.Reason, "it is a PNG image, not a pyramid; it cannot be converted to a pyramid: ")
	})
	s.until("the pictures are no images", func() bool { return len(s.images()) == 4 })
	if kept, _ := filepath.Glob(filepath.Join(dir, "originals", "*", "*.json")); len(kept) != 3 {
		t.Errorf("originals: %v", kept)
	}
	tasks := func() int {
		return strings.Count(done(t, "task", "list", db, "--kind", "convert_image"), "convert_image")
	}
	before, images := tasks(), s.images()
	if before != 4 {
		t.Errorf("%d pictures were converted or tried, want 4", before)
	}
	s.stop()
	s = start(t, "serve", db)
	drop("last.png", func(f *os.File) error {
		return png.Encode(f, ramp().(*image.RGBA).SubImage(image.Rect(0, 0, 700, 600)))
	})
	s.available("last.png.tiff") // by then the earlier files have been inspected
	if n := tasks(); n != before+1 {
		t.Errorf("%d conversions after a restart, %d before: want one more", n, before)
	}
	for name, im := range images {
		if s.images()[name].ID != im.ID {
			t.Errorf("%s is another image after a restart", name)
		}
	}
}
