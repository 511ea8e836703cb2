package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
)

// pixelsOf returns a part of level 0 of a slide, as it is decoded.
func pixelsOf(t *testing.T, s *slide.Slide, part image.Rectangle) *image.RGBA {
	t.Helper()
	v := render.ViewOf(part, part.Dx(), part.Dy())
	v.FullChroma = true
	p, err := render.Draw(t.Context(), s, v, render.Options{Background: white})
	if err != nil {
		t.Fatal(err)
	}
	img, err := render.AsRGBA(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestCrop compares the pixels of parts with those of the slide.
func TestCrop(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		slide    *slideFile
		box, out string
		want     box
	}{
		{philips, "700,500,600,450", "a.tif", box{688, 496, 624, 464}},
		{philips, "0,0,512,512", "b.TIFF", box{0, 0, 512, 512}},
		{plain, "800, 600,5000,5000", "c.tiff", box{800, 592, 100, 108}},
		{philips, "701,503,211,97", "d.png", box{701, 503, 211, 97}},
		{deflated, "1,2,300,200", "e.png", box{1, 2, 300, 200}},
		{philips, "528,528,100,80", "f.jpg", box{528, 528, 100, 80}},
	} {
		out := filepath.Join(t.TempDir(), tt.out)
		r := command(t, "crop", tt.slide.file(t), tt.box, out, "--json")
		var got cropped
		if err := json.Unmarshal([]byte(r.out), &got); r.code != exitOK || err != nil || got.Box != tt.want {
			t.Errorf("%s %s: %v, want the box %v", tt.box, tt.out, r, tt.want)
			continue
		}
		if fi, err := os.Stat(out); err != nil || fi.Size() != got.Bytes {
			t.Errorf("%s: %v, want %d bytes", tt.out, err, got.Bytes)
		}
		part := image.Rect(got.Box.X, got.Box.Y, got.Box.X+got.Box.Width, got.Box.Y+got.Box.Height)
		if len(got.Levels) > 0 {
			if !bytes.Equal(samplesOfFile(t, out), samplesOf(t, tt.slide.open(t), part)) {
				t.Errorf("%s %s: the samples differ from those of the slide", tt.box, tt.out)
			}
			continue
		}
		want := pixelsOf(t, tt.slide.open(t), part)
		most := 0
		if strings.HasSuffix(out, ".jpg") {
			most = 16 // decoders differ in how they scale chroma
		}
		inner := want.Rect.Inset(2) // chroma at the edges is interpolated with what is beyond them
		if worst := largest(want.SubImage(inner).(*image.RGBA), readPicture(t, out).SubImage(inner).(*image.RGBA)); worst > most {
			t.Errorf("%s %s: a sample differs by %d", tt.box, tt.out, worst)
		}
	}
}

// wide has more pixels than a band of a picture.
var wide = &slideFile{name: "wide.tiff", make: synth.Generic{Seed: 9, Width: 5000, Height: 900, Levels: 1}.Write}

// TestCropBands writes pictures in two bands, whose pixels are those of the slide.
func TestCropBands(t *testing.T) {
	t.Parallel()
	part := image.Rect(3, 5, 4990, 897)
	want := pixelsOf(t, wide.open(t), part)
	for _, tt := range []struct {
		out     string
		most    int
		options []string
	}{
		{"a.png", 0, nil},
		{"b.jpg", 40, []string{"--quality", "95", "--quiet"}},
	} {
		out := filepath.Join(t.TempDir(), tt.out)
		r := command(t, append([]string{"crop", wide.file(t), "3,5,4987,892", out}, tt.options...)...)
		fi, err := os.Stat(out)
		if r.code != exitOK || err != nil || r.out != fmt.Sprintf("3,5,4987,892, %d bytes\n", fi.Size()) {
			t.Fatalf("%s: %v, %v", tt.out, r, err)
		}
		if quiet := tt.options != nil; quiet != (r.err == "") || !quiet && !strings.HasSuffix(r.err, "100 %\n") {
			t.Errorf("%s: progress %q", tt.out, r.err)
		}
		if worst := largest(want.SubImage(want.Rect.Inset(2)).(*image.RGBA), readPicture(t, out).SubImage(want.Rect.Inset(2)).(*image.RGBA)); worst > tt.most {
			t.Errorf("%s: a sample differs by %d", tt.out, worst)
		}
	}
}

// TestCropQuality compares JPEGs of two qualities.
func TestCropQuality(t *testing.T) {
	t.Parallel()
	var sizes []int64
	for _, quality := range []string{"20", "85"} {
		out := filepath.Join(t.TempDir(), "a.jpg")
		r := command(t, "crop", philips.file(t), "701,503,600,450", out, "--quality", quality)
		fi, err := os.Stat(out)
		if r.code != exitOK || err != nil {
			t.Fatalf("%v, %v", r, err)
		}
		sizes = append(sizes, fi.Size())
	}
	if sizes[1] < 2*sizes[0] {
		t.Errorf("%d and %d bytes: the quality makes no difference", sizes[0], sizes[1])
	}
}

// samplesOf returns the samples of a part of level 0 as the slide stores them, with its
// subsampling.
func samplesOf(t *testing.T, s *slide.Slide, part image.Rectangle) (all []byte) {
	t.Helper()
	p, err := render.Draw(t.Context(), s, render.ViewOf(part, part.Dx(), part.Dy()), render.Options{Background: white})
	if err != nil {
		t.Fatal(err)
	}
	defer render.DiscardPicture(t.Context(), p)
	for i := range p.Planes {
		l := &p.Planes[i]
		all = fmt.Append(all, l.Width, "×", l.Height, ":")
		for y := range l.Height {
			all = append(all, l.Pix[y*l.Stride:][:l.Width]...)
		}
	}
	return all
}

// samplesOfFile is samplesOf for all of a file.
func samplesOfFile(t *testing.T, path string) []byte {
	t.Helper()
	s, f, err := openSlide(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	return samplesOf(t, s, image.Rectangle{Max: s.Bounds.Size()})
}

// readPicture returns the pixels of a PNG or JPEG.
func readPicture(t *testing.T, path string) *image.RGBA {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".jpg") {
		img, err := render.DecodeJPEG(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out := image.NewRGBA(img.Bounds())
	draw.Draw(out, out.Rect, img, out.Rect.Min, draw.Src)
	return out
}

// TestCropRefused checks errors, which leave no file behind.
func TestCropRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := filepath.Join(dir, "there.tif")
	if err := os.WriteFile(there, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.tif")
	for _, tt := range []struct {
		slide    *slideFile
		box, out string
		code     int
		want     string
	}{
		{plain, "0,0,100", out, exitUsage, "use x,y,w,h"},
		{plain, "0,0,100,100,1", out, exitUsage, "use x,y,w,h"},
		{plain, "0,0,1e3,100", out, exitUsage, "use x,y,w,h"},
		{plain, "0,0,0,100", out, exitUsage, "use x,y,w,h"},
		{plain, "0,-1,10,100", out, exitUsage, "use x,y,w,h"},
		{plain, "0,0,9223372036854775808,9", out, exitUsage, "use x,y,w,h"},
		{plain, "0,0,9,9", filepath.Join(dir, "out.gif"), exitUsage, "must end with .tif"},
		{plain, "0,0,9,9", filepath.Join(dir, "q.jpg") + " --quality=101", exitUsage, "must be from 1 to 100"},
		{plain, "0,0,9,9", filepath.Join(dir, "q.png") + " --quality=80", exitUsage, "only for .jpg"},
		{plain, "0,0,9,9", out + " --quality=80", exitUsage, "only for .jpg"},
		{plain, "900,0,9,9", out, exitFailure, "outside of the image, which has 900×700 pixels"},
		{plain, "0,0,9,9", there, exitFailure, "exists already"},
		{plain, "0,0,9,9", filepath.Join(dir, "none", "out.tif"), exitFailure, "no such file or directory"},
		{deflated, "0,0,9,9", out, exitFile, "write a .png"},
	} {
		r := command(t, append([]string{"crop", tt.slide.file(t), tt.box}, strings.Fields(tt.out)...)...)
		if r.code != tt.code || r.out != "" || !strings.Contains(r.err, tt.want) {
			t.Errorf("%s %s: %v, want exit code %d and %q", tt.box, tt.out, r, tt.code, tt.want)
		}
	}
	list, err := os.ReadDir(dir)
	if b, _ := os.ReadFile(there); err != nil || len(list) != 1 || string(b) != "precious" {
		t.Errorf("%d files remain, want 1, unchanged: %v", len(list), err)
	}
	r := command(t, "crop", plain.file(t), "0,0,9,9", filepath.Join(dir, "new.tif"))
	if r.code != exitOK || !strings.HasPrefix(r.out, "0,0,16,16: 1 levels, 1 of them lossless, ") {
		t.Errorf("%v", r)
	}
}
