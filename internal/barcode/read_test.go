package barcode

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// samples hold at least one text for each kind, as used on labels.
var samples = []struct {
	kind Kind
	text string
}{
	{DataMatrix, "S24-00817;A1;HE"},
	{DataMatrix, "Müller 7"},
	{DataMatrix, "an identifier so long that its matrix has four blocks of modules, S24-00817"},
	{QR, "S24-00817;A1;HE"},
	{QR, "Grüße, 病理"},
	{QR, "240081700123"},
	{Aztec, "S24-00817;A1;HE"},
	{Code128, "S24-00817-A1"},
	{Code39, "S24-00817"},
	{Code93, "S24-00817"},
	{Codabar, "24-00817"},
	{ITF, "24008170"},
	{EAN8, "96385074"},
	{EAN13, "5901234123457"},
}

func TestRead(t *testing.T) {
	const modulePx = 3
	places := []image.Point{{60, 320}, {110, 300}, {70, 400}}
	turned := func(degrees float64) func(*image.Gray) image.Image {
		return func(code *image.Gray) image.Image { return tilted(code, degrees) }
	}
	tests := []struct {
		name string
		view func(code *image.Gray) image.Image
	}{
		{"unchanged", func(code *image.Gray) image.Image { return code }},
		{"turned 90", turned(90)},
		{"turned 180", turned(180)},
		{"turned 270", turned(270)},
		{"tilted 3", turned(3)},
		{"tilted -5", turned(-5)},
		{"turned 90 and tilted", turned(94)},
		{"negative", func(code *image.Gray) image.Image { return invert(code) }},
		{"JPEG q60", func(code *image.Gray) image.Image { return compressed(t, tilted(code, 2), 60) }},
		{"noise", func(code *image.Gray) image.Image { return noisy(tilted(code, 2), 10) }},
		{"label 0", func(code *image.Gray) image.Image { return label(code, places[0]) }},
		{"label 1", func(code *image.Gray) image.Image { return compressed(t, label(code, places[1]), 60) }},
		{"label 2", func(code *image.Gray) image.Image { return label(tilted(code, -3), places[2]) }},
		{"label, noise", func(code *image.Gray) image.Image { return noisy(label(tilted(code, 1), places[0]), 6) }},
		{"beside a torn one", func(code *image.Gray) image.Image {
			const torn = 60
			img := image.NewGray(image.Rect(0, 0, torn+code.Rect.Dx(), code.Rect.Dy()))
			draw.Draw(img, img.Rect, code, image.Point{}, draw.Src)
			draw.Draw(img, img.Rect, code, image.Pt(-torn, 0), draw.Src)
			return img
		}},
		{"label on its side", func(code *image.Gray) image.Image { return tilted(label(code, places[0]), 90) }},
	}
	for _, s := range samples {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s %.9s/%s", s.kind, s.text, tt.name), func(t *testing.T) {
				text, kind, err := Read(t.Context(), tt.view(mustDraw(t, s.kind, s.text, modulePx)))
				if text != s.text || kind != s.kind || err != nil {
					t.Errorf("Read gives %q, %q, %v, want %q, %q", text, kind, err, s.text, s.kind)
				}
			})
		}
	}
}

func TestReadSizes(t *testing.T) {
	for _, s := range samples {
		for _, modulePx := range []int{2, 3, 5, 8, 13} {
			text, kind, err := Read(t.Context(), mustDraw(t, s.kind, s.text, modulePx))
			if text != s.text || kind != s.kind || err != nil {
				t.Errorf("Read of %s with modules of %d pixels gives %q, %q, %v, want %q", s.kind, modulePx, text, kind, err, s.text)
			}
		}
	}
}

// TestReadOnePixel reads a Data Matrix with modules of one pixel, at eight positions and
// in all orientations.
func TestReadOnePixel(t *testing.T) {
	const want = "S24-00817;A1"
	g := mustDraw(t, DataMatrix, want, 1)
	for turns := range 4 {
		for x := range 8 {
			img := image.NewGray(image.Rect(0, 0, 60, 70))
			draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
			draw.Draw(img, g.Rect.Add(image.Pt(20+x, 20)), g, image.Point{}, draw.Src)
			if got, _, err := Read(t.Context(), img); got != want {
				t.Errorf("Read after %d quarter turns at column %d gives %q, %v", turns, x, got, err)
			}
		}
		g = quarterTurn(g)
	}
}

func quarterTurn(g *image.Gray) *image.Gray {
	r := image.NewGray(image.Rect(0, 0, g.Rect.Dy(), g.Rect.Dx()))
	for y := range r.Rect.Dy() {
		for x := range r.Rect.Dx() {
			r.SetGray(x, y, g.GrayAt(y, r.Rect.Dx()-1-x))
		}
	}
	return r
}

// TestCandidates bounds the area of the boxes that are tried in nested frames.
func TestCandidates(t *testing.T) {
	const side, want = 512, 4 * 512 * 512 // pixels
	g := painted(side, func(x, y int) bool { return min(x, y, side-1-x, side-1-y)%16 < 4 })
	for i, m := range binarized(g) {
		boxes := candidates(m)
		sum := 0
		for _, r := range boxes {
			sum += area(r)
		}
		if len(boxes) == 0 || sum > want {
			t.Errorf("binarized by rule %d: %d boxes of %d pixels, want some of at most %d", i, len(boxes), sum, want)
		}
	}
}

// TestReadDataMatrixSizes reads all sizes of the symbol, the larger of which have
// finder bars inside.
func TestReadDataMatrixSizes(t *testing.T) {
	const digits = "12345678901234567890"
	for n := 2; n < 400; n += n / 2 {
		var want string
		for len(want) < n {
			want += digits[:min(len(digits), n-len(want))]
		}
		got, _, err := Read(t.Context(), tilted(mustDraw(t, DataMatrix, want, 4), 1))
		if got != want {
			t.Errorf("Read of a Data Matrix of %d digits gives %q, %v", n, got, err)
		}
	}
}

// TestReadNoOther reads bars that are hard to read because of noise: the result is the
// text or nothing.
func TestReadNoOther(t *testing.T) {
	for _, s := range samples {
		for i := range 4 {
			code := noisy(tilted(mustDraw(t, s.kind, s.text, 2), float64(i)), float64(12+6*i))
			text, kind, err := Read(t.Context(), code)
			if err == nil && (text != s.text || kind != s.kind) {
				t.Errorf("Read of noisy %s %q, picture %d, gives %s %q", s.kind, s.text, i, kind, text)
			}
		}
	}
}

// TestReadBorder damages the border of a good Data Matrix, one module at a time: it is
// refused from the second on, although its text could still be decoded.
func TestReadBorder(t *testing.T) {
	code := mustDraw(t, DataMatrix, "S24", 1)
	for lost := range 5 {
		bits := sample(10, 10, func(x, y int) bool { return code.GrayAt(x+2, y+2).Y == 0 && (x > 0 || y >= lost) })
		got, err := decodeDataMatrix(bits)
		if want := lost <= 1; (err == nil) != want || want && got != "S24" {
			t.Errorf("with %d modules lost: %q, %v, want it read: %v", lost, got, err, want)
		}
	}
}

// painted returns a square picture that is black where f is true.
func painted(side int, f func(x, y int) bool) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, side, side))
	for i := range g.Pix {
		if !f(i%side, i/side) {
			g.Pix[i] = 0xff
		}
	}
	return g
}

// TestReadNothing reads pictures without a code, among them the most expensive ones for
// the library.
func TestReadNothing(t *testing.T) {
	const (
		side  = 384
		bound = 30 * time.Second // of this process; 1 s is normal, and 10 s under the race detector
	)
	random := rand.New(rand.NewPCG(1, 1))
	finder := func(x, y, px int) bool {
		x, y = x%(8*px)/px, y%(8*px)/px
		d := max(x-3, 3-x, y-3, 3-y)
		return x < 7 && y < 7 && (d == 3 || d <= 1)
	}
	tests := []struct {
		name string
		img  image.Image
	}{
		{"label with print only", label(nil, image.Point{})},
		{"noisy label with print only", noisy(label(nil, image.Point{}), 15)},
		{"white", painted(side, func(x, y int) bool { return false })},
		{"noise", painted(side, func(x, y int) bool { return random.IntN(2) == 0 })},
		{"specks", painted(side, func(x, y int) bool { return random.IntN(8) == 0 })},
		{"stripes", painted(side, func(x, y int) bool { return x/3%2 == 0 })},
		{"uneven stripes", painted(side, func(x, y int) bool { return x*x/7%5 < 2 })},
		{"frames in frames", painted(side, func(x, y int) bool { return min(x, y, side-1-x, side-1-y)%16 < 4 })},
		{"finder patterns of QR", painted(side, func(x, y int) bool { return finder(x, y, 1) })},
		{"larger ones", painted(side, func(x, y int) bool { return finder(x, y, 3) })},
		{"borders of Data Matrix", painted(side, func(x, y int) bool {
			x, y = x%40, y%40
			return x < 30 && y < 30 && (x < 3 || y > 26 || random.IntN(2) == 0)
		})},
		{"no pixels", image.NewGray(image.Rectangle{})},
		{"one pixel", image.NewGray(image.Rect(0, 0, 1, 1))},
		{"a row", image.NewGray(image.Rect(0, 0, 5<<20, 1))},
		{"a column", image.NewGray(image.Rect(0, 0, 8, 1<<20))},
		{"without end", image.NewUniform(color.Black)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			begin := processorTime(t)
			text, kind, err := Read(t.Context(), tt.img)
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("Read gives %q, %q, %v, want %v", text, kind, err, ErrNotFound)
			}
			if d := processorTime(t) - begin; d > bound {
				t.Errorf("Read took %v of a processor, want at most %v", d, bound)
			}
		})
	}
}

// processorTime returns the processor time of the process, which other processes do not
// affect.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestReadOtherImages reads images whose bounds do not begin at 0,0, that have a
// transparent background, or that are reduced first.
func TestReadOtherImages(t *testing.T) {
	const want = "S24-00817"
	code := mustDraw(t, DataMatrix, want, 8)
	glass := image.NewNRGBA(code.Rect.Add(image.Pt(-50, 1000)))
	for y := range code.Rect.Dy() {
		for x := range code.Rect.Dx() {
			if code.GrayAt(x, y).Y == 0 {
				glass.SetNRGBA(x-50, y+1000, color.NRGBA{A: 255})
			}
		}
	}
	tests := []struct {
		name string
		img  image.Image
	}{
		{"cut out of a label", label(code, image.Pt(200, 300)).SubImage(image.Rect(180, 280, 360, 500))},
		{"on glass", glass},
		{"reduced", mustDraw(t, DataMatrix, want, 64).SubImage(image.Rect(0, 0, 1152, 1152))},
		{"much reduced", magnified(code, 40)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _, err := Read(t.Context(), tt.img); got != want {
				t.Errorf("Read gives %q, %v, want %q", got, err, want)
			}
		})
	}
}

// magnified returns a picture magnified by an integer factor.
func magnified(g *image.Gray, by int) image.Image {
	return &large{g, by}
}

type large struct {
	*image.Gray
	by int
}

func (l *large) Bounds() image.Rectangle {
	return image.Rectangle{Max: l.Rect.Max.Mul(l.by)}
}

func (l *large) At(x, y int) color.Color { return l.GrayAt(x/l.by, y/l.by) }

func (l *large) RGBA64At(x, y int) color.RGBA64 { return l.Gray.RGBA64At(x/l.by, y/l.by) }

func TestReadGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Read(ctx, label(nil, image.Point{}))
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotFound) {
		t.Errorf("Read gives %v, want %v", err, context.Canceled)
	}
}

// FuzzRead expects that no small picture panics, takes long, or gives a text without a
// kind.
func FuzzRead(f *testing.F) {
	for _, s := range samples {
		code := mustDraw(f, s.kind, s.text, 1)
		f.Add(code.Pix, uint8(code.Stride))
	}
	f.Fuzz(func(t *testing.T, pix []byte, width uint8) {
		w := int(width)
		if w == 0 || len(pix)/w == 0 || len(pix) > 1<<14 {
			t.Skip("not a small picture")
		}
		text, kind, err := Read(t.Context(), &image.Gray{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, len(pix)/w)})
		if (text == "") != (err != nil) || (text == "") != (kind == "") {
			t.Errorf("Read gives %q, %q, %v", text, kind, err)
		}
	})
}
