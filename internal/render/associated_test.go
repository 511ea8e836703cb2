package render

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/barcode"
	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// strips cuts img into strips of n rows and encodes each. If pad is set, the last strip is
// as high as the others.
func strips(t testing.TB, img *image.RGBA, n int, pad bool) [][]byte {
	var all [][]byte
	size := img.Rect.Size()
	for y := 0; y < size.Y; y += n {
		h := min(n, size.Y-y)
		strip := image.NewRGBA(image.Rect(0, 0, size.X, n))
		copyPart(strip, image.Point{}, img, image.Rect(0, y, size.X, y+h))
		Stretch(strip, size.X, h, size.X, n)
		if !pad {
			strip = Crop(strip, size.X, h)
		}
		b, err := codec.EncodeRGBA(strip, 95)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestDecodeAssociated(t *testing.T) {
	img := ramps(90, 70)
	jpegs := slide.Layout{Codec: slide.JPEG, Photometric: 6, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	raw := slide.Layout{Codec: slide.None, Photometric: 2, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	var bytesRGB []byte
	for i := 0; i < len(img.Pix); i += 4 {
		bytesRGB = append(bytesRGB, img.Pix[i:i+3]...)
	}
	row := 90 * 3
	tests := []struct {
		name    string
		picture slide.AssociatedImage
		wantErr string
	}{
		{"one JPEG", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 70, Layout: jpegs, Strips: strips(t, img, 70, false)}, ""},
		{"one JPEG of unknown size", slide.AssociatedImage{Layout: jpegs, Strips: strips(t, img, 70, false)}, ""},
		{"JPEG strips", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 16, Layout: jpegs, Strips: strips(t, img, 16, false)}, ""},
		{"JPEG strips, the last one padded", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 16, Layout: jpegs, Strips: strips(t, img, 16, true)}, ""},
		{"raw", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 1 << 30, Layout: raw, Strips: [][]byte{bytesRGB}}, ""},
		{"raw strips", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 50, Layout: raw, Strips: [][]byte{bytesRGB[:50*row], bytesRGB[50*row:]}}, ""},
		{"no strips", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 16, Layout: jpegs}, "has no strips"},
		{"a strip missing", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 16, Layout: jpegs, Strips: strips(t, img, 16, false)[:4]}, "4 strips"},
		{"strips of another width", slide.AssociatedImage{Width: 91, Height: 70, RowsPerStrip: 16, Layout: jpegs, Strips: strips(t, img, 16, false)}, "strip 0"},
		{"a strip cut off", slide.AssociatedImage{Width: 90, Height: 70, RowsPerStrip: 50, Layout: raw, Strips: [][]byte{bytesRGB[:50*row], bytesRGB[51*row:]}}, "strip 1"},
		{"huge", slide.AssociatedImage{Width: 1 << 30, Height: 1 << 30, RowsPerStrip: 1 << 30, Layout: raw, Strips: [][]byte{bytesRGB}}, "pixels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeAssociated(t.Context(), &tt.picture)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error %v, want one of %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkPixels(t, got, img, 6)
		})
	}
}

func TestThumbnail(t *testing.T) {
	full := ramps(400, 300)
	s := openSlide(t, nil,
		testLevel{picture: full, tile: 64, padding: poison, raw: true},
		testLevel{picture: shrunkBy(full, 2), tile: 64, padding: poison, raw: true},
		testLevel{picture: shrunkBy(full, 8), tile: 32, padding: poison, raw: true})
	tests := []struct {
		maxW, maxH int
		want       image.Point
	}{
		{200, 200, image.Pt(200, 150)},
		{256, 256, image.Pt(256, 192)},
		{100, 1000, image.Pt(100, 75)},
		{1000, 100, image.Pt(133, 100)},
		{50, 50, image.Pt(50, 38)},
		{40, 2, image.Pt(3, 2)},
		{1, 1, image.Pt(1, 1)},
		{400, 300, image.Pt(400, 300)},
		{5000, 5000, image.Pt(400, 300)},
	}
	for _, tt := range tests {
		p, err := thumbnail(context.Background(), s, tt.maxW, tt.maxH, Options{Background: rust})
		if err != nil {
			t.Fatalf("%d×%d: %v", tt.maxW, tt.maxH, err)
		}
		checkPixels(t, p.RGBA(), areas(full, tt.want.X, tt.want.Y), 6)
		b, err := Thumbnail(context.Background(), s, tt.maxW, tt.maxH, Options{Background: rust})
		if err != nil {
			t.Fatal(err)
		}
		if h, err := jpeg.ReadHeader(b); err != nil || h.Width != tt.want.X || h.Height != tt.want.Y {
			t.Errorf("%d×%d: a JPEG of %d×%d, error %v", tt.maxW, tt.maxH, h.Width, h.Height, err)
		}
	}
	if _, err := Thumbnail(context.Background(), s, 0, 10, Options{}); err == nil {
		t.Error("no width: no error")
	}
}

func shrunkBy(img *image.RGBA, n int) *image.RGBA {
	return areas(img, img.Rect.Dx()/n, img.Rect.Dy()/n)
}

func TestThumbnailSparse(t *testing.T) {
	blue := color.RGBA{60, 90, 170, 255}
	level := testLevel{picture: plain(256, 128, blue), tile: 64, raw: true}
	level.skip = func(c, r int) bool { return c < 2 }
	s := openSlide(t, nil, level)
	got, err := thumbnail(context.Background(), s, 16, 16, Options{Background: rust})
	if err != nil {
		t.Fatal(err)
	}
	want := plain(16, 8, blue)
	fill(want, image.Rect(0, 0, 8, 8), rust)
	img := got.RGBA()
	for x := 6; x < 10; x++ { // the filter overshoots at the edge
		copyPart(img, image.Pt(x, 0), want, image.Rect(x, 0, x+1, 8))
	}
	checkPixels(t, img, want, 2)
}

func TestThumbnailDamage(t *testing.T) {
	level := testLevel{picture: ramps(256, 128), tile: 64}
	level.damage = func(c, r int) bool { return c == 3 && r == 1 }
	if b, err := Thumbnail(context.Background(), openSlide(t, nil, level), 100, 100, Options{}); err == nil {
		t.Errorf("%d bytes and no error", len(b))
	}
	level.damage = nil
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Thumbnail(ctx, openSlide(t, nil, level), 100, 100, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestLabelMade(t *testing.T) {
	tests := []struct {
		text string
		kind barcode.Kind
	}{
		{"3311940", barcode.DataMatrix},
		{"S24-01234 A 1/3", barcode.DataMatrix},
		{"MÜLLER-7", barcode.DataMatrix},
		{"Пр-12345", barcode.QR},
		{strings.Repeat("0123456789", 12), barcode.QR},
		{strings.Repeat("long text, ", 60), barcode.QR},
	}
	for _, tt := range tests {
		s := openSlide(t, &testPhilips{barcode: tt.text}, testLevel{picture: plain(64, 64, white), tile: 64})
		b, made, err := Label(t.Context(), s)
		if err != nil || !made {
			t.Errorf("%q: made %v, error %v", tt.text, made, err)
			continue
		}
		img, err := DecodeJPEG(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := img.Rect, image.Rect(0, 0, 400, 400); got != want {
			t.Errorf("%q: %v, want %v", tt.text, got, want)
		}
		text, kind, err := barcode.Read(context.Background(), img)
		if err != nil || text != s.Barcode || kind != tt.kind {
			t.Errorf("%q: read as %s %q, error %v", tt.text, kind, text, err)
		}
		if dark := darkRows(img); dark[len(dark)-1] < 360 || dark[len(dark)-1] > 399-8 {
			t.Errorf("%q: the last dark row is %d: no text at the foot", tt.text, dark[len(dark)-1])
		}
	}
}

// darkRows returns the rows of img that are not all white.
func darkRows(img *image.RGBA) []int {
	var rows []int
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if img.RGBAAt(x, y).G < 100 {
				rows = append(rows, y)
				break
			}
		}
	}
	return rows
}

func TestLabelStored(t *testing.T) {
	stored := strips(t, ramps(120, 80), 80, false)[0]
	level := testLevel{picture: plain(64, 64, white), tile: 64}
	b, made, err := Label(t.Context(), openSlide(t, &testPhilips{barcode: "1", label: stored}, level))
	if err != nil || made {
		t.Fatalf("made %v, error %v; want the stored one", made, err)
	}
	checkPixels(t, decodeByGo(t, b), Turn(ramps(120, 80), false, 270), 12) // Philips stores labels turned right
	b, _, err = Label(t.Context(), openSlide(t, &testPhilips{barcode: "1", label: stored[:200]}, level))
	if err == nil || errors.Is(err, slide.ErrNoAssociated) {
		t.Errorf("a label that is cut off: %d bytes, error %v", len(b), err)
	}
	b, _, err = Label(t.Context(), openSlide(t, &testPhilips{}, level))
	if !errors.Is(err, slide.ErrNoAssociated) {
		t.Errorf("neither label nor barcode: %d bytes, error %v", len(b), err)
	}
}

// TestLabelUpright stores labels as scanners do: the arrow up of each must point up.
func TestLabelUpright(t *testing.T) {
	arrow := plain(96, 64, white)
	fill(arrow, image.Rect(0, 0, 96, 16), rust) // its upper edge
	fill(arrow, image.Rect(0, 16, 16, 64), color.RGBA{40, 120, 40, 255})
	level := testLevel{picture: plain(64, 64, white), tile: 64, raw: true}
	for _, tt := range []struct {
		format string
		turn   int // of the stored label, clockwise
	}{{"philips", 90}, {"aperio", 270}, {"generic", 0}} {
		t.Run(tt.format, func(t *testing.T) {
			stored := Turn(arrow, false, tt.turn)
			size := stored.Rect.Size()
			label := strips(t, stored, size.Y, false)[0]
			var s *slide.Slide
			if tt.format == "philips" {
				s = openSlide(t, &testPhilips{label: label}, level)
			} else {
				s = openLabelled(t, tt.format, label, size)
			}
			if s.Format != tt.format {
				t.Fatalf("format %q", s.Format)
			}
			b, _, err := Label(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			checkPixels(t, decodeByGo(t, b), arrow, 40)
			b, err = Preview(t.Context(), s, 64)
			if err != nil {
				t.Fatal(err)
			}
			checkPixels(t, decodeByGo(t, b), arrow, 40)
		})
	}
}

// openLabelled opens a slide of one gray tile, with a label in a directory of its own.
func openLabelled(t *testing.T, format string, label []byte, size image.Point) *slide.Slide {
	t.Helper()
	description, kind := "", "label"
	if format == "aperio" {
		description = "Aperio Image Library v11\r\n64x64 [0,0 64x64] (64x64) RAW|AppMag = 20|MPP = 0.5"
		kind = "Aperio Image Library v11\r\nlabel 1x1"
	}
	file, link := []byte("II*\x00\x00\x00\x00\x00"), 4
	at := uint32(len(file))
	file = append(file, bytes.Repeat([]byte{200}, 64*64*3)...)
	file, link = appendDirectory(file, link, map[int][]uint32{
		256: {64}, 257: {64}, 258: {8, 8, 8}, 259: {1}, 262: {2}, 277: {3}, 322: {64}, 323: {64}, 324: {at}, 325: {64 * 64 * 3},
	}, description)
	at = uint32(len(file))
	file = append(file, label...)
	file, _ = appendDirectory(file, link, map[int][]uint32{
		254: {1}, 256: {uint32(size.X)}, 257: {uint32(size.Y)}, 258: {8, 8, 8}, 259: {7}, 262: {6}, 273: {at}, 277: {3}, 278: {uint32(size.Y)}, 279: {uint32(len(label))},
	}, kind)
	s, err := slide.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPreview(t *testing.T) {
	blue := color.RGBA{60, 90, 170, 255}
	label := plain(80, 60, rust)
	fill(label, image.Rect(0, 0, 80, 8), color.RGBA{0, 0, 0, 255}) // its upper edge
	green := color.RGBA{40, 120, 40, 255}
	fill(label, image.Rect(64, 8, 80, 60), green)             // its right
	stored := strips(t, Turn(label, false, 90), 80, false)[0] // as Philips stores it
	macro := strips(t, plain(300, 150, blue), 150, false)[0]
	level := testLevel{picture: plain(256, 128, color.RGBA{200, 200, 100, 255}), tile: 64}
	tests := []struct {
		name    string
		philips testPhilips
		height  int
		want    image.Point
		at      map[image.Point]color.RGBA
	}{
		{"label and macro", testPhilips{label: stored, macro: macro}, 0, image.Pt(133+200, 100), map[image.Point]color.RGBA{
			{50, 5}: {0, 0, 0, 255}, {125, 60}: green, {60, 60}: rust, {145, 50}: blue, {325, 50}: blue,
		}},
		{"larger", testPhilips{label: stored, macro: macro}, 240, image.Pt(320+480, 240), map[image.Point]color.RGBA{
			{120, 10}: {0, 0, 0, 255}, {300, 120}: green, {340, 120}: blue,
		}},
		{"label alone", testPhilips{label: stored}, 100, image.Pt(133, 100), map[image.Point]color.RGBA{{60, 50}: rust}},
		{"macro alone", testPhilips{macro: macro}, 50, image.Pt(100, 50), map[image.Point]color.RGBA{{2, 2}: blue}},
		{"label made", testPhilips{macro: macro, barcode: "123"}, 100, image.Pt(100+200, 100), map[image.Point]color.RGBA{{2, 2}: white, {150, 50}: blue}},
		{"neither", testPhilips{barcode: "123"}, 100, image.Pt(200, 100), map[image.Point]color.RGBA{{100, 50}: {200, 200, 100, 255}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Preview(context.Background(), openSlide(t, &tt.philips, level), tt.height)
			if err != nil {
				t.Fatal(err)
			}
			img := decodeByGo(t, b)
			if img.Rect.Size() != tt.want {
				t.Fatalf("size %v, want %v", img.Rect.Size(), tt.want)
			}
			for p, want := range tt.at {
				pixel := Crop(img.SubImage(image.Rect(p.X, p.Y, p.X+1, p.Y+1)).(*image.RGBA), 1, 1)
				if d, _ := farthest(onePixel(pixel), plain(1, 1, want)); d > 12 {
					t.Errorf("pixel %v is %v, want %v", p, pixel.At(p.X, p.Y), want)
				}
			}
		})
	}
}

func onePixel(img *image.RGBA) *image.RGBA {
	return plain(1, 1, img.RGBAAt(img.Rect.Min.X, img.Rect.Min.Y))
}

func TestPreviewRefuses(t *testing.T) {
	level := testLevel{picture: plain(64, 64, white), tile: 64}
	macro := strips(t, ramps(300, 150), 150, false)[0]
	for _, height := range []int{-1, 2049} {
		if _, err := Preview(context.Background(), openSlide(t, &testPhilips{}, level), height); err == nil {
			t.Errorf("height %d: no error", height)
		}
	}
	broken := append(bytes.Clone(macro[:len(macro)/2]), 0xff, jpeg.MarkEOI)
	for _, p := range []testPhilips{{macro: broken}, {label: broken}, {macro: macro, label: broken}} {
		if b, err := Preview(context.Background(), openSlide(t, &p, level), 100); err == nil {
			t.Errorf("%d bytes of a damaged image, and no error", len(b))
		}
	}
}

// TestPreviewOfRibbon limits the cost of an image with an absurd aspect ratio.
func TestPreviewOfRibbon(t *testing.T) {
	level := testLevel{picture: plain(64, 64, white), tile: 64}
	p := testPhilips{macro: strips(t, plain(5000, 2, rust), 2, false)[0]}
	b, err := Preview(context.Background(), openSlide(t, &p, level), 500)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := jpeg.ReadHeader(b); err != nil || h.Width != 2000 || h.Height != 500 {
		t.Errorf("a JPEG of %d×%d, error %v", h.Width, h.Height, err)
	}
}
