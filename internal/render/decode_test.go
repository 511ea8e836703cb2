package render

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

const decodeW, decodeH = 5, 3

type decodeCase struct {
	name   string
	layout slide.Layout
	data   []byte
	want   func(x, y int) color.RGBA
}

// sampleAt returns the 16-bit value of sample c of pixel x,y of the images below.
func sampleAt(x, y, c int) uint16 { return uint16(9000*x + 4000*y + 11111*c) }

func sample8(x, y, c int) byte { return byte(sampleAt(x, y, c) >> 8) }

func trueColorAt(x, y int) color.RGBA {
	return color.RGBA{sample8(x, y, 0), sample8(x, y, 1), sample8(x, y, 2), 255}
}

// rawSamples returns the bytes of the image with that layout, before compression.
func rawSamples(l slide.Layout) []byte {
	var order binary.ByteOrder = binary.LittleEndian
	if l.BigEndian {
		order = binary.BigEndian
	}
	var b []byte
	for y := range decodeH {
		for x := range decodeW {
			for c := range l.Samples {
				v := sampleAt(x, y, c)
				if l.Predictor == 2 && x > 0 {
					if l.Bits == 8 {
						v = uint16(sample8(x, y, c)-sample8(x-1, y, c)) << 8
					} else {
						v -= sampleAt(x-1, y, c)
					}
				}
				if l.Bits == 8 {
					b = append(b, byte(v>>8))
				} else {
					b = append(b, 0, 0)
					order.PutUint16(b[len(b)-2:], v)
				}
			}
		}
	}
	return b
}

func compress(t testing.TB, codec slide.Codec, b []byte) []byte {
	var buf bytes.Buffer
	var err error
	switch codec {
	case slide.None:
		return b
	case slide.Deflate:
		z := zlib.NewWriter(&buf)
		z.Write(b)
		err = z.Close()
	case slide.Zstd:
		var z *zstd.Encoder
		if z, err = zstd.NewWriter(&buf, zstd.WithEncoderCRC(true)); err == nil {
			z.Write(b)
			err = z.Close()
		}
	case slide.LZW:
		return lzwOf(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// lzwOf writes b as TIFF LZW without compressing it: a clear code, codes of 9 bits, and
// another clear code before they would become longer.
func lzwOf(b []byte) []byte {
	const clearCode, endCode = 256, 257
	var out []byte
	acc, n := 0, 0
	put := func(code int) {
		acc, n = acc<<9&0xffff|code, n+9
		for ; n >= 8; n -= 8 {
			out = append(out, byte(acc>>(n-8)))
		}
	}
	put(clearCode)
	for i, v := range b {
		if i > 0 && i%200 == 0 {
			put(clearCode)
		}
		put(int(v))
	}
	put(endCode)
	return append(out, byte(acc<<(8-n)))
}

func decodeCases(t testing.TB) []decodeCase {
	colorMap := make([]uint16, 768)
	for i := range colorMap {
		colorMap[i] = uint16(i * 80)
	}
	rgb := slide.Layout{Photometric: 2, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	with := func(l slide.Layout, change func(l *slide.Layout)) slide.Layout {
		change(&l)
		return l
	}
	cases := []decodeCase{
		{name: "RGB", layout: rgb, want: trueColorAt},
		{name: "RGB and a sample of no meaning", layout: with(rgb, func(l *slide.Layout) { l.Samples, l.ExtraSamples = 4, []int{0} }), want: trueColorAt},
		{name: "RGB and a sample not named", layout: with(rgb, func(l *slide.Layout) { l.Samples = 4 }), want: trueColorAt},
		{name: "alpha", layout: with(rgb, func(l *slide.Layout) { l.Samples, l.ExtraSamples = 4, []int{2} }), want: func(x, y int) color.RGBA {
			a := int(sample8(x, y, 3))
			over := func(c int) byte { return byte((int(sample8(x, y, c))*a + 255*(255-a) + 127) / 255) }
			return color.RGBA{over(0), over(1), over(2), 255}
		}},
		{name: "alpha multiplied already", layout: with(rgb, func(l *slide.Layout) { l.Samples, l.ExtraSamples = 4, []int{1} }), want: func(x, y int) color.RGBA {
			over := func(c int) byte { return byte(min(255, int(sample8(x, y, c))+255-int(sample8(x, y, 3)))) }
			return color.RGBA{over(0), over(1), over(2), 255}
		}},
		{name: "gray", layout: with(rgb, func(l *slide.Layout) { l.Photometric, l.Samples = 1, 1 }), want: func(x, y int) color.RGBA {
			v := sample8(x, y, 0)
			return color.RGBA{v, v, v, 255}
		}},
		{name: "gray, white is 0", layout: with(rgb, func(l *slide.Layout) { l.Photometric, l.Samples = 0, 1 }), want: func(x, y int) color.RGBA {
			v := 255 - sample8(x, y, 0)
			return color.RGBA{v, v, v, 255}
		}},
		{name: "palette", layout: with(rgb, func(l *slide.Layout) { l.Photometric, l.Samples, l.ColorMap = 3, 1, colorMap }), want: func(x, y int) color.RGBA {
			v := int(sample8(x, y, 0))
			return color.RGBA{byte(colorMap[v] >> 8), byte(colorMap[256+v] >> 8), byte(colorMap[512+v] >> 8), 255}
		}},
		{name: "CMYK", layout: with(rgb, func(l *slide.Layout) { l.Photometric, l.Samples = 5, 4 }), want: func(x, y int) color.RGBA {
			r, g, b := color.CMYKToRGB(sample8(x, y, 0), sample8(x, y, 1), sample8(x, y, 2), sample8(x, y, 3))
			return color.RGBA{r, g, b, 255}
		}},
		{name: "predictor", layout: with(rgb, func(l *slide.Layout) { l.Predictor = 2 }), want: trueColorAt},
		{name: "predictor over gray", layout: with(rgb, func(l *slide.Layout) { l.Predictor, l.Photometric, l.Samples = 2, 1, 1 }), want: func(x, y int) color.RGBA {
			v := sample8(x, y, 0)
			return color.RGBA{v, v, v, 255}
		}},
	}
	for _, big := range []bool{false, true} {
		for predictor := 1; predictor <= 2; predictor++ {
			cases = append(cases, decodeCase{
				name:   "16 bits",
				layout: with(rgb, func(l *slide.Layout) { l.Bits, l.BigEndian, l.Predictor = 16, big, predictor }),
				want: func(x, y int) color.RGBA {
					scaled := func(c int) byte { return byte((int(sampleAt(x, y, c)) + 128) / 257) }
					return color.RGBA{scaled(0), scaled(1), scaled(2), 255}
				},
			})
		}
	}
	var all []decodeCase
	for _, codec := range []slide.Codec{slide.None, slide.LZW, slide.Deflate, slide.Zstd} {
		for _, c := range cases {
			c.name = codec.String() + " " + c.name
			c.layout.Codec = codec
			c.data = compress(t, codec, rawSamples(c.layout))
			all = append(all, c)
		}
	}
	return all
}

func TestDecode(t *testing.T) {
	for _, tt := range decodeCases(t) {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(t.Context(), tt.data, tt.layout, decodeW, decodeH)
			if err != nil {
				t.Fatal(err)
			}
			want := image.NewRGBA(image.Rect(0, 0, decodeW, decodeH))
			for y := range decodeH {
				for x := range decodeW {
					want.SetRGBA(x, y, tt.want(x, y))
				}
			}
			checkPixels(t, got, want, 0)
			if got.RGBAAt(0, 0).A != 255 {
				t.Error("not opaque")
			}
		})
	}
}

// webpRust is 6 × 3 pixels, lossless: the left half rust, the right half transparent.
const webpRust = "UklGRiAAAABXRUJQVlA4TBMAAAAvBYAAEA8wWqM6PPMf8OhBRP8DAA=="

func TestDecodeWebP(t *testing.T) {
	data, err := base64.StdEncoding.DecodeString(webpRust)
	if err != nil {
		t.Fatal(err)
	}
	lay := slide.Layout{Codec: slide.WebP, Photometric: 2, Samples: 4, Bits: 8, Planar: 1, Predictor: 1}
	got, err := Decode(t.Context(), data, lay, 6, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := plain(6, 3, rust)
	fill(want, image.Rect(3, 0, 6, 3), white)
	checkPixels(t, got, want, 0)
	for _, size := range []image.Point{{3, 6}, {6, 4}, {512, 512}} {
		if _, err := Decode(t.Context(), data, lay, size.X, size.Y); err == nil {
			t.Errorf("as %v: no error", size)
		}
	}
	if _, err := Decode(t.Context(), data[:len(data)-4], lay, 6, 3); err == nil {
		t.Error("cut off: no error")
	}
}

func TestDecodeRefuses(t *testing.T) {
	rgb := slide.Layout{Codec: slide.None, Photometric: 2, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	with := func(change func(l *slide.Layout)) slide.Layout {
		l := rgb
		change(&l)
		return l
	}
	codec := func(c slide.Codec) slide.Layout { return with(func(l *slide.Layout) { l.Codec = c }) }
	raw := make([]byte, 64*64*3)
	for i := range raw {
		raw[i] = byte(i * i >> 4)
	}
	deflated, zstandard, zipped := compress(t, slide.Deflate, raw), compress(t, slide.Zstd, raw), compress(t, slide.LZW, raw)
	tests := []struct {
		name        string
		data        []byte
		layout      slide.Layout
		w, h        int
		unsupported bool
		want        string // part of the error
	}{
		{"unknown codec", raw, codec(99), 64, 64, true, "Codec(99)"},
		{"floating point predictor", raw, with(func(l *slide.Layout) { l.Predictor = 3 }), 64, 64, true, "predictor 3"},
		{"planes", raw, with(func(l *slide.Layout) { l.Planar = 2 }), 64, 64, false, "colour 0 of 3"},
		{"32 bits", raw, with(func(l *slide.Layout) { l.Bits = 32 }), 64, 64, true, "32 bits"},
		{"1 bit", raw, with(func(l *slide.Layout) { l.Bits = 1 }), 64, 64, true, "1 bits"},
		{"YCbCr", raw, with(func(l *slide.Layout) { l.Photometric = 6 }), 64, 64, true, "YCbCr"},
		{"16-bit palette", raw, with(func(l *slide.Layout) { l.Photometric, l.Samples, l.Bits = 3, 1, 16 }), 64, 64, true, "photometric"},
		{"no palette", raw, with(func(l *slide.Layout) { l.Photometric, l.Samples = 3, 1 }), 64, 64, false, "palette"},
		{"too few samples", raw, with(func(l *slide.Layout) { l.Samples = 2 }), 64, 64, false, "samples"},
		{"too short", raw[:len(raw)-1], rgb, 64, 64, false, "incomplete"},
		{"huge", raw, rgb, 60000, 60000, false, "60000"},
		{"no size", raw, rgb, 0, 64, false, "0×64"},
		{"samples without end", raw, with(func(l *slide.Layout) { l.Samples = 64 }), 8000, 8000, false, "bytes"},
		{"deflate cut off", deflated[:len(deflated)/2], codec(slide.Deflate), 64, 64, false, "unexpected EOF"},
		{"deflate of nothing", nil, codec(slide.Deflate), 64, 64, false, "incomplete"},
		{"deflate of too little", deflated, codec(slide.Deflate), 64, 65, false, "row 64 of 65"},
		{"deflate, wrong checksum", append(bytes.Clone(deflated[:len(deflated)-1]), deflated[len(deflated)-1]^1), codec(slide.Deflate), 64, 64, false, "checksum"},
		{"deflate of far too little", deflated, codec(slide.Deflate), 8000, 8000, false, "cannot hold"},
		{"zstd cut off", zstandard[:len(zstandard)/2], codec(slide.Zstd), 64, 64, false, "zstd"},
		{"zstd, wrong checksum", append(bytes.Clone(zstandard[:len(zstandard)-1]), zstandard[len(zstandard)-1]^1), codec(slide.Zstd), 64, 64, false, "zstd"},
		{"LZW cut off", zipped[:len(zipped)/2], codec(slide.LZW), 64, 64, false, "unexpected EOF"},
		{"JPEG of another size", jpegtest.JPEG{W: 64, H: 64, Sampling: []int{0x11}}.Encode(), codec(slide.JPEG), 64, 32, false, "64×64"},
		{"not a JPEG", raw, codec(slide.JPEG), 64, 64, false, "does not begin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := Decode(t.Context(), tt.data, tt.layout, tt.w, tt.h)
			if err == nil {
				t.Fatalf("%v and no error", img.Rect)
			}
			if errors.Is(err, ErrUnsupported) != tt.unsupported || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want one of %q, unsupported: %v", err, tt.want, tt.unsupported)
			}
		})
	}
}

// fuzzLayout derives a layout from bytes.
func fuzzLayout(codec, photometric, samples, form byte) slide.Layout {
	l := slide.Layout{
		Codec: slide.Codec(codec % 8), Photometric: int(photometric % 8), Samples: int(samples),
		Bits: int(form &^ 7), Planar: 1, Predictor: int(form & 3), BigEndian: form&4 != 0,
	}
	if photometric&8 != 0 {
		l.ExtraSamples = []int{int(photometric >> 4)}
	}
	if codec&8 != 0 {
		l.Planar = 2
	}
	if l.Bits == 0 {
		l.Bits = 1 << (codec >> 4 & 3)
	}
	if l.Photometric == 6 {
		l.Chroma = &slide.Chroma{X: 1 << (codec >> 4 & 3), Y: 1 << (codec >> 6), White: [3]float64{255, 255, 255}}
	}
	if l.Photometric == 3 {
		l.ColorMap = make([]uint16, 768)
	}
	return l
}
