package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// decode decodes a JPEG.
func decode(t *testing.T, b string) image.Image {
	t.Helper()
	img, err := jpeg.Decode(strings.NewReader(b))
	if err != nil {
		t.Fatalf("%v in %d bytes", err, len(b))
	}
	return img
}

// TestTile compares every stored tile with the bytes in the file. Tiles that the scanner
// left out are white and have the usual size.
func TestTile(t *testing.T) {
	t.Parallel()
	s, file := philips.open(t), philips.file(t)
	stored, empty := 0, 0
	for z, zoom := range s.Zooms {
		for y := range zoom.Rows {
			for x := range zoom.Columns {
				r := command(t, "tile", file, strconv.Itoa(z), strconv.Itoa(x), strconv.Itoa(y))
				want, err := s.AppendTile(nil, zoom.Level, x, y)
				switch {
				case r.code != exitOK || r.err != "":
					t.Fatalf("zoom %d tile %d,%d: %v", z, x, y, r)
				case errors.Is(err, slide.ErrEmptyTile):
					empty++
					checkWhite(t, decode(t, r.out), s.Levels[0].TileWidth)
				case err != nil || r.out != string(want):
					t.Fatalf("zoom %d tile %d,%d: %d bytes, the file stores %d: %v", z, x, y, len(r.out), len(want), err)
				default:
					stored++
				}
			}
		}
	}
	if stored < 20 || empty < 3 {
		t.Errorf("%d stored tiles and %d empty ones: too few to tell", stored, empty)
	}
}

func checkWhite(t *testing.T, img image.Image, side int) {
	t.Helper()
	if b := img.Bounds(); b != image.Rect(0, 0, side, side) {
		t.Errorf("an empty tile of %v, want %d pixels a side", b, side)
	}
	for _, p := range []image.Point{{0, 0}, {side / 2, side / 3}, {side - 1, side - 1}} {
		if r, g, b, _ := img.At(p.X, p.Y).RGBA(); min(r, g, b) < 0xfe00 {
			t.Errorf("an empty tile has colour %v at %v, want white", img.At(p.X, p.Y), p)
		}
	}
}

// TestTileMade asks for tiles that have to be rendered: of a zoom between two levels, and
// with a codec that browsers do not support.
func TestTileMade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		slide   *slideFile
		z, x, y string
	}{{plain, "1", "1", "1"}, {deflated, "1", "0", "0"}, {deflated, "0", "0", "0"}} {
		r := command(t, "tile", tt.slide.file(t), tt.z, tt.x, tt.y)
		if r.code != exitOK {
			t.Fatalf("%s %s %s %s: %v", tt.slide.name, tt.z, tt.x, tt.y, r)
		}
		if b := decode(t, r.out).Bounds(); b != image.Rect(0, 0, 256, 256) {
			t.Errorf("%s %s %s %s: %v, want 256 pixels a side", tt.slide.name, tt.z, tt.x, tt.y, b)
		}
	}
}

// TestNoTile asks for tiles beyond every edge.
func TestNoTile(t *testing.T) {
	t.Parallel()
	file := philips.file(t)
	for _, tt := range []struct{ z, x, y, want string }{
		{"4", "0", "0", "the slide has zoom levels 0 to 3"},
		{"-1", "0", "0", "the slide has zoom levels 0 to 3"},
		{"9223372036854775807", "0", "0", "the slide has zoom levels 0 to 3"},
		{"3", "5", "0", "zoom 3 has 5 columns and 4 rows"},
		{"3", "0", "4", "zoom 3 has 5 columns and 4 rows"},
		{"3", "-1", "0", "zoom 3 has 5 columns and 4 rows"},
		{"0", "0", "1", "zoom 0 has 1 columns and 1 rows"},
	} {
		r := command(t, "tile", file, "--", tt.z, tt.x, tt.y)
		if r.code != exitFailure || r.out != "" || r.err != "ptiffstore: "+tt.want+"\n" {
			t.Errorf("tile %s %s %s: %v, want exit code %d and %q", tt.z, tt.x, tt.y, r, exitFailure, tt.want)
		}
	}
}

// TestOutput writes each kind of image to a file, and compares it with standard output.
func TestOutput(t *testing.T) {
	t.Parallel()
	file := philips.file(t)
	for _, args := range [][]string{{"tile", file, "2", "1", "0"}, {"associated", file, "macro"}, {"preview", file}} {
		want := command(t, args...)
		if want.code != exitOK || want.out == "" {
			t.Fatalf("%s: %v", args[0], want)
		}
		path := filepath.Join(t.TempDir(), "out.jpg")
		for _, flag := range []string{"-o", "--output"} {
			r := command(t, append(args, flag, path)...)
			got, err := os.ReadFile(path)
			if r.code != exitOK || r.out+r.err != "" || err != nil || string(got) != want.out {
				t.Errorf("%s %s FILE: %v, %d bytes in the file, %v; want %d", args[0], flag, r, len(got), err, len(want.out))
			}
		}
		none := filepath.Join(t.TempDir(), "none", "out.jpg")
		if r := command(t, append(args, "-o", none)...); r.code != exitFailure || !strings.Contains(r.err, "no such file or directory") {
			t.Errorf("%s -o into a folder that is not there: %v", args[0], r)
		}
	}
}

// TestAssociated compares stored images with the bytes in the file, and renders a label
// that the file lacks.
func TestAssociated(t *testing.T) {
	t.Parallel()
	s := philips.open(t)
	for _, kind := range []string{"label", "macro"} {
		p, err := s.ReadAssociated(kind)
		if err != nil {
			t.Fatal(err)
		}
		r := command(t, "associated", philips.file(t), kind)
		if r.code != exitOK || r.err != "" {
			t.Fatalf("%s: %v", kind, r)
		}
		if kind == "macro" && r.out != string(p.Strips[0]) {
			t.Errorf("macro: %d bytes, the file stores %d", len(r.out), len(p.Strips[0]))
		}
		width, height := p.Width, p.Height
		if kind == "label" { // it is shown upright
			width, height = height, width
		}
		if b := decode(t, r.out).Bounds(); b.Dx() != width || b.Dy() != height {
			t.Errorf("%s: %v, want %d×%d", kind, b, width, height)
		}
	}
	for _, tt := range []struct {
		slide *slideFile
		kind  string
	}{{philips, "thumbnail"}, {plain, "label"}, {plain, "macro"}} {
		r := command(t, "associated", tt.slide.file(t), tt.kind)
		if r.code != exitFailure || r.out != "" || !strings.Contains(r.err, "no such associated image") {
			t.Errorf("%s of %s: %v, want exit code %d", tt.kind, tt.slide.name, r, exitFailure)
		}
	}
	bare := filepath.Join(t.TempDir(), "bare.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 600, Height: 400, Barcode: "D-7"}).Write(bare); err != nil {
		t.Fatal(err)
	}
	r := command(t, "associated", bare, "label")
	if r.code != exitOK {
		t.Fatalf("a label to be made: %v", r)
	}
	decode(t, r.out)
}

// TestPreview asks for previews of several heights.
func TestPreview(t *testing.T) {
	t.Parallel()
	for _, height := range []int{0, 1, 50, 300} {
		args, want := []string{"preview", philips.file(t)}, 100
		if height > 0 {
			args, want = append(args, "--height", strconv.Itoa(height)), height
		}
		r := command(t, args...)
		if r.code != exitOK || r.err != "" {
			t.Fatalf("%v: %v", args, r)
		}
		if b := decode(t, r.out).Bounds(); b.Dy() != want || b.Dx() <= b.Dy() {
			t.Errorf("%v: %v, want %d pixels high and wider than that", args, b, want)
		}
	}
	if r := command(t, "preview", plain.file(t)); r.code != exitOK {
		t.Errorf("of a slide without label and macro: %v, want its thumbnail", r)
	}
}

// TestDamagedPictures asks for images of broken files. Damage elsewhere in the file must
// not affect them.
func TestDamagedPictures(t *testing.T) {
	t.Parallel()
	made := damaged(t)
	const broken, foreign = "is broken: ", "is not a supported slide: "
	for _, tt := range []struct {
		damage string
		args   []string
		code   int
		want   string
	}{
		{"zeros-in-first-tile", []string{"tile", "2", "0", "0"}, exitFile, broken},
		{"zeros-in-first-tile", []string{"tile", "2", "1", "0"}, exitOK, ""},
		{"no-soi", []string{"tile", "2", "1", "1"}, exitFile, broken},
		{"label-corrupt", []string{"associated", "label"}, exitFile, broken},
		{"label-corrupt", []string{"associated", "macro"}, exitOK, ""},
		{"label-corrupt", []string{"preview"}, exitFile, broken},
		{"label-corrupt-in-xml", []string{"associated", "label"}, exitFile, broken},
		{"text", []string{"preview"}, exitFile, broken},
		{"jpeg-xl", []string{"tile", "0", "0", "0"}, exitFile, foreign},
	} {
		args := append([]string{tt.args[0], made[tt.damage]}, tt.args[1:]...)
		r := command(t, args...)
		if r.code != tt.code || !strings.Contains(r.err, tt.want) || (tt.code == exitOK) != (r.err == "" && r.out != "") {
			t.Errorf("%s of %s: %v, want exit code %d and %q", tt.args, tt.damage, r, tt.code, tt.want)
		}
	}
}

// TestDamagedPixels damages the pixels of a tile but not its structure: only the decoder
// notices, and its error has no type of package tiff.
func TestDamagedPixels(t *testing.T) {
	t.Parallel()
	b := bytes.Clone(deflated.bytes(t))
	s := deflated.open(t)
	tile, err := s.AppendTile(nil, 0, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, tile)
	for i := at + len(tile)/2; i < at+len(tile); i++ {
		b[i] ^= 0x55
	}
	path := filepath.Join(t.TempDir(), "damaged.tiff")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "tile", path, "1", "1", "0"); r.code != exitFile || r.out != "" || !strings.Contains(r.err, path+" is broken: ") {
		t.Errorf("damaged tile: %v, want exit code %d", r, exitFile)
	}
	if r := command(t, "tile", path, "1", "0", "0"); r.code != exitOK {
		t.Errorf("its neighbour: %v", r)
	}
}

// TestUnsupportedPixels asks for a tile that has to be rendered from an undamaged tile that
// the decoder does not support.
func TestUnsupportedPixels(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "scans.tiff")
	if err := os.WriteFile(path, manyScans(t), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "inspect", path); r.code != exitOK {
		t.Fatalf("inspect: %v", r)
	}
	r := command(t, "tile", path, "1", "0", "0")
	if r.code != exitFile || r.out != "" || !strings.Contains(r.err, "is not a supported slide: ") || !strings.Contains(r.err, "scans") {
		t.Errorf("%v, want exit code %d and what is not read", r, exitFile)
	}
}

// manyScans returns plain with a tile 1,1 that claims to be a progressive JPEG with more
// scans than the decoder accepts. Zoom 1, which is not stored, is rendered from it.
func manyScans(t *testing.T) []byte {
	t.Helper()
	b := bytes.Clone(plain.bytes(t))
	tile, err := plain.open(t).AppendTile(nil, 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, tile[len(tile)-1000:]) + 1000 - len(tile) // its beginning is spliced in
	sof := bytes.LastIndex(b[:at+len(tile)], []byte{0xff, 0xc0})
	sos := bytes.LastIndex(b[:at+len(tile)], []byte{0xff, 0xda})
	if sof < 0 || sos < sof || sos+600 > at+len(tile) {
		t.Fatalf("frame at %d, scan at %d, of a tile that ends at %d", sof, sos, at+len(tile))
	}
	b[sof+1] = 0xc2
	copy(b[sos+100:], bytes.Repeat([]byte{0xff, 0xda}, 150))
	return b
}

// TestFileError checks the exit code and the text for each kind of error.
func TestFileError(t *testing.T) {
	t.Parallel()
	wrapped := func(err error) error { return fmt.Errorf("level 0: %w", err) }
	for _, tt := range []struct {
		err     error
		code    int
		picture int // the code if rendering an image caused it
		want    string
	}{
		{&tiff.FormatError{Offset: 8, Msg: "no"}, exitFile, exitFile, "f is broken: level 0: no (at byte 8)"},
		{&tiff.UnsupportedError{Offset: 8, Msg: "no"}, exitFile, exitFile, "f is not a supported slide: level 0: no (at byte 8)"},
		{render.ErrUnsupported, exitFile, exitFile, "f is not a supported slide: level 0: unsupported"},
		{&fs.PathError{Op: "read", Path: "f", Err: fs.ErrPermission}, exitFailure, exitFailure, "f: level 0: read f: permission denied"},
		{slide.ErrNoAssociated, exitFailure, exitFailure, "f: level 0: no such associated image"},
		{tile.ErrBusy, exitFailure, exitFailure, "f: level 0: too many requests at once"},
		{context.Canceled, exitFailure, exitFailure, "f: level 0: context canceled"},
		{jpeg.FormatError("bad"), exitFailure, exitFile, "level 0: invalid JPEG format: bad"},
	} {
		if got := codeOf(fileError("f", wrapped(tt.err))); got != tt.code {
			t.Errorf("fileError(%v): exit code %d, want %d", tt.err, got, tt.code)
		}
		err := pictureError("f", wrapped(tt.err))
		if got := codeOf(err); got != tt.picture || !strings.Contains(message(err), tt.want) {
			t.Errorf("pictureError(%v): exit code %d, %q, want %d, %q", tt.err, got, message(err), tt.picture, tt.want)
		}
	}
}

func codeOf(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailure
}
