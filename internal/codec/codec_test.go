package codec

import (
	"bytes"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

// The tests run in both builds. In the native one they compare libjpeg-turbo with Go's
// image/jpeg; in the other they check Go against properties.

// Tolerances of a sample: the two inverse transforms round differently, and the one of
// libjpeg-turbo for 1/2 and 1/4 is not quite the mean of the samples.
const (
	sampleTolerance = 2
	rgbaTolerance   = 5 // two steps of chroma are up to 3.5 of blue
	inkTolerance    = rgbaTolerance
)

// goRepeats reports whether Go repeats subsampled colours, and so cannot be compared.
func goRepeats(j jpegtest.JPEG) bool { return len(j.Sampling) == 4 && j.Sampling[0] != j.Sampling[1] }

var sizes = []image.Point{{1, 1}, {7, 3}, {8, 8}, {16, 16}, {17, 33}, {40, 24}, {67, 49}, {130, 97}}

// cases returns JPEGs of all kinds that both implementations decode.
func cases() map[string]jpegtest.JPEG {
	all := map[string]jpegtest.JPEG{}
	for _, c := range jpegtest.Cases {
		all[c.Name] = c.JPEG
	}
	all["4:1:0"] = jpegtest.JPEG{Sampling: []int{0x42, 0x11, 0x11}}
	all["YCCK"] = jpegtest.JPEG{Sampling: []int{0x11, 0x11, 0x11, 0x11}, Head: jpegtest.Adobe(2)}
	all["YCCK, 4:2:0"] = jpegtest.JPEG{Sampling: []int{0x22, 0x11, 0x11, 0x22}, Head: jpegtest.Adobe(2)}
	all["Adobe RGB, subsampled"] = jpegtest.JPEG{Sampling: []int{0x22, 0x11, 0x11}, Head: jpegtest.Adobe(0)}
	return all
}

func each(t *testing.T, f func(t *testing.T, data []byte, j jpegtest.JPEG)) {
	for name, j := range cases() {
		t.Run(name, func(t *testing.T) {
			for i, size := range sizes {
				j.W, j.H, j.Seed = size.X, size.Y, uint64(i)
				f(t, j.Encode(), j)
				if t.Failed() {
					t.Fatalf("size %v", size)
				}
			}
		})
	}
}

// byGo decodes with Go in both builds.
func byGo(t *testing.T, data []byte, o Options) *planes.Picture {
	t.Helper()
	j, err := open(data, o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := j.decodeByGo()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rgbaByGo(t *testing.T, data []byte, o Options) *image.RGBA {
	t.Helper()
	j, err := open(data, o)
	if err != nil {
		t.Fatal(err)
	}
	img, err := j.decodeRGBAByGo()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// differ describes how two pictures differ by more than most; it is empty if they do not.
func differ(got, want *planes.Picture, most int) string {
	if got.Width != want.Width || got.Height != want.Height || got.Model != want.Model || len(got.Planes) != len(want.Planes) {
		return fmt.Sprintf("%d×%d pixels of model %d, want %d×%d of %d", got.Width, got.Height, got.Model, want.Width, want.Height, want.Model)
	}
	for i, p := range got.Planes {
		q := want.Planes[i]
		if p.Width != q.Width || p.Height != q.Height || p.H != q.H || p.V != q.V {
			return fmt.Sprintf("plane %d of %d×%d samples, each %d×%d; want %d×%d, each %d×%d", i, p.Width, p.Height, p.H, p.V, q.Width, q.Height, q.H, q.V)
		}
		for y := range p.Height {
			a, b := p.Row(y), q.Row(y)
			for x := range a {
				if d := int(a[x]) - int(b[x]); d > most || -d > most {
					return fmt.Sprintf("plane %d, sample %d,%d is %d, want %d", i, x, y, a[x], b[x])
				}
			}
		}
	}
	return ""
}

func differRGBA(got, want *image.RGBA, most int) string {
	if got.Rect.Size() != want.Rect.Size() {
		return fmt.Sprintf("size %v, want %v", got.Rect.Size(), want.Rect.Size())
	}
	for y := range got.Rect.Dy() {
		a, b := got.Pix[y*got.Stride:][:4*got.Rect.Dx()], want.Pix[y*want.Stride:][:4*got.Rect.Dx()]
		for i := range a {
			if d := int(a[i]) - int(b[i]); d > most || -d > most || i%4 == 3 && a[i] != 255 {
				return fmt.Sprintf("pixel %d,%d is %v, want %v", i/4, y, a[i&^3:][:4], b[i&^3:][:4])
			}
		}
	}
	return ""
}

func TestDecode(t *testing.T) {
	each(t, func(t *testing.T, data []byte, j jpegtest.JPEG) {
		got, err := Decode(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		most := sampleTolerance
		if len(j.Sampling) == 4 {
			most = inkTolerance
		}
		if d := differ(got, byGo(t, data, Options{}), most); d != "" && !goRepeats(j) {
			t.Error(d)
		}
		got.Recycle()
	})
}

// TestDecodeSubsampling checks that planes are as the JPEG stores them.
func TestDecodeSubsampling(t *testing.T) {
	for sampling, want := range map[int][2]int{0x11: {1, 1}, 0x21: {2, 1}, 0x12: {1, 2}, 0x22: {2, 2}, 0x41: {4, 1}, 0x42: {4, 2}} {
		j := jpegtest.JPEG{W: 33, H: 21, Sampling: []int{sampling, 0x11, 0x11}}
		p, err := Decode(j.Encode(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if q := p.Planes[2]; p.Model != planes.YCbCr || q.H != want[0] || q.V != want[1] {
			t.Errorf("%02x: model %d, chroma covers %d×%d pixels, want %v", sampling, p.Model, q.H, q.V, want)
		}
	}
}

func TestDecodeRGBA(t *testing.T) {
	each(t, func(t *testing.T, data []byte, j jpegtest.JPEG) {
		got, err := DecodeRGBA(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := rgbaByGo(t, data, Options{})
		if d := differRGBA(got, want, rgbaTolerance); d != "" && !goRepeats(j) {
			t.Error(d)
		}
		// The conversion of planes to RGBA is exactly that of the decoder.
		p, err := Decode(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := differRGBA(p.RGBA(), got, 0); d != "" {
			t.Errorf("planes converted to RGBA: %s", d)
		}
	})
}

// TestDecodePart compares parts with the same part of the entire image.
func TestDecodePart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	each(t, func(t *testing.T, data []byte, j jpegtest.JPEG) {
		for _, n := range []int{1, 2, 4, 8} {
			all, err := Decode(data, Options{Denominator: n})
			if err != nil {
				t.Fatal(err)
			}
			allRGBA, err := DecodeRGBA(data, Options{Denominator: n})
			if err != nil {
				t.Fatal(err)
			}
			for range 4 {
				x, y := rng.IntN(j.W)&^15, rng.IntN(j.H)&^15
				part := image.Rect(x, y, x+1+rng.IntN(j.W-x), y+1+rng.IntN(j.H-y))
				got, err := Decode(data, Options{Part: part, Denominator: n})
				if err != nil {
					t.Fatal(err)
				}
				if d := differ(got, all.Part(outer(part, n)), 0); d != "" {
					t.Errorf("%v at 1/%d: %s", part, n, d)
				}
				part.Min.X += rng.IntN(min(15, part.Dx()))
				part.Min.Y += rng.IntN(min(15, part.Dy()))
				rgba, err := DecodeRGBA(data, Options{Part: part, Denominator: n})
				if err != nil {
					t.Fatal(err)
				}
				if d := differRGBA(rgba, cut(allRGBA, outer(part, n)), 0); d != "" {
					t.Errorf("%v at 1/%d as RGBA: %s", part, n, d)
				}
			}
		}
	})
}

// TestDecodeLargeParts decodes parts of a large image, of which most is skipped.
func TestDecodeLargeParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, j := range cases() {
		t.Run(name, func(t *testing.T) {
			j.W, j.H = 401, 299
			data := j.Encode()
			all, err := DecodeRGBA(data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for range 12 {
				x, y := rng.IntN(j.W), rng.IntN(j.H)
				part := image.Rect(x, y, x+1+rng.IntN(j.W-x), y+1+rng.IntN(j.H-y))
				got, err := DecodeRGBA(data, Options{Part: part})
				if err != nil {
					t.Fatal(err)
				}
				if d := differRGBA(got, cut(all, part), 0); d != "" {
					t.Fatalf("%v: %s", part, d)
				}
			}
		})
	}
}

// TestDecodeScaled compares images of tissue at all denominators with the means of their
// samples.
func TestDecodeScaled(t *testing.T) {
	for _, quality := range []int{80, 95} {
		data := encodeRGBAByGo(jpegtest.Tissue(203, 157, 1), quality)
		for n, most := range map[int]int{2: 24, 4: 16, 8: 2} {
			got, err := Decode(data, Options{Denominator: n})
			if err != nil {
				t.Fatal(err)
			}
			// The last column and row cover padding, which the two see differently.
			r := image.Rect(0, 0, got.Width-1, got.Height-1)
			r.Max.X, r.Max.Y = r.Max.X&^1, r.Max.Y&^1
			want := byGo(t, data, Options{Denominator: n})
			if d := differ(got.Part(r), want.Part(r), most); d != "" {
				t.Errorf("1/%d: %s", n, d)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := jpegtest.JPEG{W: 128, H: 96, Sampling: []int{0x22, 0x11, 0x11}}.Encode()
	tests := []struct {
		name string
		data []byte
		o    Options
		want string // part of the error
	}{
		{"nothing", nil, Options{}, "does not begin"},
		{"cut off", good[:len(good)*2/3], Options{}, "JPEG of"},
		{"cut off, with an end", append(bytes.Clone(good[:len(good)*2/3]), 0xff, jpeg.MarkEOI), Options{}, "JPEG of"},
		{"no end", good[:len(good)-2], Options{}, "JPEG of"},
		{"part outside", good, Options{Part: image.Rect(100, 0, 129, 10)}, "part"},
		{"negative part", good, Options{Part: image.Rect(-1, 0, 12, 10)}, "part"},
		{"denominator 3", good, Options{Denominator: 3}, "1/3"},
		{"denominator -1", good, Options{Denominator: -1}, ""},
		{"12 bits", jpegtest.Replace(good, []byte{0, 17, 8, 0, 96}, []byte{0, 17, 12, 0, 96}), Options{}, "12 bits"},
		{"arithmetic coding", jpegtest.Replace(good, []byte{0xff, jpeg.MarkSOF0}, []byte{0xff, 0xc9}), Options{}, "C9"},
		{"four colours, unknown", jpegtest.JPEG{W: 8, H: 8, Sampling: []int{0x11, 0x11, 0x11, 0x11}}.Encode(), Options{}, "Adobe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decode(tt.data, tt.o)
			img, err2 := DecodeRGBA(tt.data, tt.o)
			if tt.want == "" {
				if err != nil || err2 != nil {
					t.Error(err, err2)
				}
				return
			}
			if err == nil || err2 == nil {
				t.Fatalf("%v, %v and no error", p, img)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err2.Error(), tt.want) {
				t.Errorf("errors %q and %q, want %q", err, err2, tt.want)
			}
		})
	}
}

// TestDamage damages JPEGs in every place: each is an image of the right size or an error, of
// both implementations.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, j := range cases() {
		t.Run(name, func(t *testing.T) {
			j.W, j.H = 40, 35
			data := j.Encode()
			for range 300 {
				b := bytes.Clone(data)
				for range 1 + rng.IntN(3) {
					b[2+rng.IntN(len(b)-2)] = byte(rng.Uint32())
				}
				if rng.IntN(4) == 0 {
					b = b[:rng.IntN(len(b))]
				}
				checkAny(t, b, image.Rect(16, 16, 30, 33), 2)
			}
		})
	}
}

// checkAny decodes any bytes in all ways.
func checkAny(t *testing.T, data []byte, part image.Rectangle, denominator int) {
	head, err := jpeg.ParseHeader(data)
	if err == nil && head.Width*head.Height > 1<<20 {
		return
	}
	for _, o := range []Options{{}, {Part: part}, {Denominator: denominator}, {Part: part, Denominator: denominator}} {
		p, err := Decode(data, o)
		if err == nil {
			r := o.Part
			if r.Empty() {
				r = image.Rect(0, 0, head.Width, head.Height)
			}
			if r = outer(r, max(o.Denominator, 1)); p.Width != r.Dx() || p.Height != r.Dy() {
				t.Fatalf("%d×%d pixels, want %v", p.Width, p.Height, r)
			}
			planes.RecycleRGBA(p.RGBA())
			p.Recycle()
		}
		img, err := DecodeRGBA(data, o)
		if err == nil {
			planes.RecycleRGBA(img)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, j := range cases() {
		j.W, j.H = 40, 35
		f.Add(j.Encode(), uint16(0), uint16(0), uint16(40), uint16(35), byte(0))
		f.Add(j.Encode(), uint16(16), uint16(16), uint16(30), uint16(33), byte(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, x0, y0, x1, y1 uint16, shift byte) {
		checkAny(t, data, image.Rect(int(x0), int(y0), int(x1), int(y1)), 1<<(shift&3))
	})
}

// TestEncode encodes planes of every kind and decodes them again.
func TestEncode(t *testing.T) {
	for _, size := range sizes {
		img := jpegtest.Tissue(size.X, size.Y, 1)
		pictures := map[string]*planes.Picture{"4:2:0": planes.FromRGBA(img), "RGB": fromRGBA(img)}
		gray := pictures["4:2:0"].Part(img.Rect)
		gray.Model, gray.Planes = planes.Gray, gray.Planes[:1]
		pictures["gray"] = gray
		for name, p := range pictures {
			b, err := Encode(p, 95)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := differ(got, p.YCbCr(), 14); d != "" {
				t.Errorf("%s %v: %s", name, size, d)
			}
		}
	}
}

// TestEncodeAsGo compares the two encoders: their JPEGs decode to nearly the same, and have
// the same tables.
func TestEncodeAsGo(t *testing.T) {
	img := jpegtest.Tissue(131, 97, 1)
	for _, quality := range []int{1, 50, 85, 100} {
		a, err := EncodeRGBA(img, quality)
		if err != nil {
			t.Fatal(err)
		}
		b := encodeRGBAByGo(img, quality)
		most := map[int]int{1: 60, 50: 30, 85: 12, 100: 3}[quality] // a coefficient rounded to the other side
		if d := differ(byGo(t, a, Options{}), byGo(t, b, Options{}), most); d != "" {
			t.Errorf("quality %d: %s", quality, d)
		}
	}
}

// TestEncodeBytes encodes planes of every kind and of extreme samples. In the native build it
// compares the bytes of libjpeg-turbo with those of the encoder in Go; in both, Go's image/jpeg
// decodes the planes.
func TestEncodeBytes(t *testing.T) {
	for _, sub := range []image.Point{{0, 0}, {1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}} {
		for _, size := range sizes {
			for _, noise := range []bool{false, true} {
				p := samplesOf(size, sub, noise)
				for _, quality := range []int{1, 30, 85, 100} {
					name := fmt.Sprintf("%v, %v, noise %t, quality %d", sub, size, noise, quality)
					want := encodeByGo(p, quality)
					if got, err := Encode(p, quality); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
					}
					got := byGo(t, want, Options{})
					if last := got.Planes[len(got.Planes)-1]; len(got.Planes) > 1 && (last.H != sub.X || last.V != sub.Y) {
						t.Errorf("%s: chroma covers %d×%d pixels", name, last.H, last.V)
					}
					if quality == 100 {
						if d := differ(got, p, 2); d != "" {
							t.Errorf("%s: %s", name, d)
						}
					}
				}
			}
		}
	}
}

// samplesOf returns smooth planes or noise of the extremes, gray if sub is 0.
func samplesOf(size, sub image.Point, noise bool) *planes.Picture {
	model := planes.YCbCr
	if sub.X == 0 {
		model, sub = planes.Gray, image.Pt(1, 1)
	}
	p := planes.New(size.X, size.Y, model, sub.X, sub.Y)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range p.Planes {
		q := &p.Planes[i]
		for y := range q.Height {
			for x, row := 0, q.Row(y); x < len(row); x++ {
				if row[x] = byte(100 + 3*x + y*(i+1)); noise {
					row[x] = byte(255 * r.IntN(2))
				}
			}
		}
	}
	return p
}

func TestEncodeRefuses(t *testing.T) {
	img := jpegtest.Tissue(16, 16, 1)
	for _, quality := range []int{-1, 0, 101} {
		if _, err := EncodeRGBA(img, quality); err == nil {
			t.Errorf("quality %d: no error", quality)
		}
	}
	if _, err := Encode(&planes.Picture{}, 85); err == nil {
		t.Error("an empty picture: no error")
	}
	p := planes.New(64, 64, planes.YCbCr, 2, 2)
	p.Planes[2].Pix = p.Planes[2].Pix[:100]
	if _, err := Encode(p, 85); err == nil {
		t.Error("a plane that is too short: no error")
	}
}

// TestDjpeg compares planes and pixels with djpeg, libjpeg-turbo's own program.
func TestDjpeg(t *testing.T) {
	djpeg, err := exec.LookPath("djpeg")
	if err != nil {
		t.Skip("djpeg is not installed: apt-get install libjpeg-turbo-progs")
	}
	for _, name := range []string{"4:2:0", "4:2:2", "4:4:0", "4:4:4", "gray"} {
		j := cases()[name]
		j.W, j.H = 130, 97
		file := filepath.Join(t.TempDir(), "a.jpg")
		data := j.Encode()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(djpeg, "-rgb", "-pnm", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := image.NewRGBA(image.Rect(0, 0, j.W, j.H))
		pix := out[len(out)-3*j.W*j.H:]
		for i := range j.W * j.H {
			copy(want.Pix[4*i:], pix[3*i:3*i+3])
			want.Pix[4*i+3] = 255
		}
		got, err := DecodeRGBA(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		most := rgbaTolerance
		if Native() {
			most = 0
		}
		if d := differRGBA(got, want, most); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	data := encodeRGBAByGo(jpegtest.Tissue(512, 512, 1), 80)
	for name, o := range map[string]Options{"all": {}, "quarter": {Part: image.Rect(256, 256, 512, 512)}, "half": {Denominator: 2}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, err := Decode(data, o)
				if err != nil {
					b.Fatal(err)
				}
				p.Recycle()
			}
		})
		b.Run(name+"/RGBA", func(b *testing.B) {
			for b.Loop() {
				img, err := DecodeRGBA(data, o)
				if err != nil {
					b.Fatal(err)
				}
				planes.RecycleRGBA(img)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	img := jpegtest.Tissue(512, 512, 1)
	p := planes.FromRGBA(img)
	b.Run("planes", func(b *testing.B) {
		for b.Loop() {
			if _, err := Encode(p, 85); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("RGBA", func(b *testing.B) {
		for b.Loop() {
			if _, err := EncodeRGBA(img, 85); err != nil {
				b.Fatal(err)
			}
		}
	})
}
