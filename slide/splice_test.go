package slide

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"image"
	"image/jpeg"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// markersOf lists the markers of a JPEG up to its first SOS, as "SOI APP14(0) DQT
// SOF0 SOS"; tables are followed by their numbers.
func markersOf(b []byte) string {
	names := map[byte]string{
		markSOI: "SOI", markEOI: "EOI", markAPP0: "APP0", markCOM: "COM", 0xdd: "DRI",
		markSOF0: "SOF0", markSOF1: "SOF1", markSOF2: "SOF2", markSOS: "SOS",
	}
	var out []string
	for i := 0; i < len(b); {
		mark, seg, next, err := segment(b, i)
		if err != nil {
			return strings.Join(append(out, err.Error()), " ")
		}
		switch name := names[mark]; mark {
		case markAPP14:
			out = append(out, fmt.Sprintf("APP14(%d)", seg[11]))
		case markDQT, markDHT:
			name = map[byte]string{markDQT: "DQT", markDHT: "DHT"}[mark]
			for j := 0; j < len(seg); {
				n, _ := tableAt(mark, seg[j:])
				name += fmt.Sprintf(" %02x", seg[j])
				j += n
			}
			out = append(out, name)
		case markSOS:
			return strings.Join(append(out, name), ", ")
		default:
			out = append(out, name)
		}
		i = next
	}
	return strings.Join(out, ", ")
}

// without removes all segments of a marker from the header of a JPEG.
func without(b []byte, marker byte) []byte {
	out := []byte{0xff, markSOI}
	for i := 2; ; {
		mark, _, next, _ := segment(b, i)
		if mark == markSOS || mark == markEOI {
			return append(out, b[i:]...)
		}
		if mark != marker {
			out = append(out, b[i:next]...)
		}
		i = next
	}
}

// insert inserts a segment after SOI.
func insert(b []byte, seg string) []byte {
	return slices.Insert(slices.Clone(b), 2, []byte(seg)...)
}

// frameOf returns the parameters of the SOF0 segment, to be changed.
func frameOf(b []byte) []byte {
	for i := 2; ; {
		mark, seg, next, _ := segment(b, i)
		if mark == markSOF0 {
			return seg
		}
		i = next
	}
}

// plain444 removes the subsampling from the header of a JPEG. The result can be parsed but
// not decoded.
func plain444(b []byte) []byte {
	b = slices.Clone(b)
	frameOf(b)[7] = 0x11
	return b
}

// named gives the three components of a JPEG other ids.
func named(b []byte, ids string) []byte {
	b = slices.Clone(b)
	sof := frameOf(b)
	for i := range 3 {
		sof[6+3*i] = ids[i]
	}
	return b
}

const (
	jfif     = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
	adobeRGB = app14
	adobeYCC = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
)

// TestSplice checks which tables and markers are added to a tile: exactly those it lacks.
// The colours declared by the stream take precedence over the tag.
func TestSplice(t *testing.T) {
	whole := without(testJPEG(32, 32, "x"), markCOM)
	tables, tile := splitJPEG(whole)
	const allDQT, allDHT = "DQT 00 01", "DHT 00 10 01 11"
	onlyDQT := without(tables, markDHT)
	tileWithDHT := without(whole, markDQT)
	tileWithDQT := without(whole, markDHT)
	flat := plain444(tile)
	tests := []struct {
		name   string
		tables []byte
		tile   []byte
		ycc    string // markers if tag 262 says YCbCr
		rgb    string // and if it says RGB; "" for the same
	}{
		{"abbreviated", tables, flat, "SOI, " + allDQT + ", " + allDHT + ", SOF0, SOS", "SOI, APP14(0), " + allDQT + ", " + allDHT + ", SOF0, SOS"},
		{"whole, no tag 347", nil, plain444(whole), "SOI, " + allDQT + ", SOF0, " + allDHT + ", SOS", "SOI, APP14(0), " + allDQT + ", SOF0, " + allDHT + ", SOS"},
		{"whole, and tag 347", tables, plain444(whole), "SOI, " + allDQT + ", SOF0, " + allDHT + ", SOS", "SOI, APP14(0), " + allDQT + ", SOF0, " + allDHT + ", SOS"},
		{"quantization of its own", tables, plain444(tileWithDQT), "SOI, DHT 00, DHT 10, DHT 01, DHT 11, " + allDQT + ", SOF0, SOS", "SOI, APP14(0), DHT 00, DHT 10, DHT 01, DHT 11, " + allDQT + ", SOF0, SOS"},
		{"Huffman tables of its own", tables, plain444(tileWithDHT), "SOI, DQT 00, DQT 01, SOF0, " + allDHT + ", SOS", "SOI, APP14(0), DQT 00, DQT 01, SOF0, " + allDHT + ", SOS"},
		{"tag 347 with quantization only, as GDAL writes it", onlyDQT, plain444(tileWithDHT), "SOI, " + allDQT + ", SOF0, " + allDHT + ", SOS", "SOI, APP14(0), " + allDQT + ", SOF0, " + allDHT + ", SOS"},
		{"JFIF", tables, insert(flat, jfif), "SOI, " + allDQT + ", " + allDHT + ", APP0, SOF0, SOS", "SOI, DQT 00, DQT 01, DHT 00, DHT 10, DHT 01, DHT 11, APP0, SOF0, SOS"},
		{"Adobe says RGB", nil, insert(plain444(whole), adobeRGB), "SOI, APP14(0), " + allDQT + ", SOF0, " + allDHT + ", SOS", ""},
		{"Adobe says YCbCr", nil, insert(plain444(whole), adobeYCC), "SOI, APP14(1), " + allDQT + ", SOF0, " + allDHT + ", SOS", ""},
		{"components R, G, B", nil, named(plain444(whole), "RGB"), "SOI, " + allDQT + ", SOF0, " + allDHT + ", SOS", "SOI, APP14(0), " + allDQT + ", SOF0, " + allDHT + ", SOS"},
		{"components 0, 1, 2", nil, named(plain444(whole), "\x00\x01\x02"), "SOI, " + allDQT + ", SOF0, " + allDHT + ", SOS", "SOI, APP14(0), " + allDQT + ", SOF0, " + allDHT + ", SOS"},
		{"subsampled, and so no RGB", nil, whole, "SOI, " + allDQT + ", SOF0, " + allDHT + ", SOS", ""},
		{"markers in tag 347 are the tables' own", insert(insert(tables, jfif), "\xff\xdd\x00\x04\x00\x08"), flat, "SOI, " + allDQT + ", " + allDHT + ", SOF0, SOS", "SOI, APP14(0), " + allDQT + ", " + allDHT + ", SOF0, SOS"},
		{"tag 347 without SOI and EOI", tables[2 : len(tables)-2], flat, "SOI, " + allDQT + ", " + allDHT + ", SOF0, SOS", "SOI, APP14(0), " + allDQT + ", " + allDHT + ", SOF0, SOS"},
		{"tag 347 padded", append(slices.Clone(tables), 0), flat, "SOI, " + allDQT + ", " + allDHT + ", SOF0, SOS", "SOI, APP14(0), " + allDQT + ", " + allDHT + ", SOF0, SOS"},
	}
	for _, tt := range tests {
		for _, rgb := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, tag says RGB %v", tt.name, rgb), func(t *testing.T) {
				want := tt.ycc
				if rgb && tt.rgb != "" {
					want = tt.rgb
				}
				got := splice(t, tt.tables, rgb, tt.tile)
				if m := markersOf(got); m != want {
					t.Errorf("markers\n got %s\nwant %s", m, want)
				}
				if !bytes.HasSuffix(got, tile[len(tile)-100:]) {
					t.Error("the pixels are not those of the tile")
				}
			})
		}
	}
}

// splice makes a stream of tables and tile after three existing bytes.
func splice(t *testing.T, tables []byte, rgb bool, tile []byte) []byte {
	t.Helper()
	sp, bad := newSplicer(tables, rgb)
	if bad != nil {
		t.Fatalf("newSplicer: %v", bad)
	}
	dst := append(make([]byte, 3, 8<<10), make([]byte, sp.reserve())...)
	dst = append(dst, tile...)
	var h header
	dst, bad = sp.finish(dst, 3, &h)
	if bad != nil {
		t.Fatalf("finish: %v", bad)
	}
	if string(dst[:3]) != "\x00\x00\x00" {
		t.Errorf("what stood before became %x", dst[:3])
	}
	return dst[3:]
}

// TestSplicePixels checks that a JPEG from which the tables were removed has the same
// pixels after they are inserted again.
func TestSplicePixels(t *testing.T) {
	whole := testJPEG(48, 32, "x")
	tables, tile := splitJPEG(whole)
	want, err := jpeg.Decode(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	for name, tile := range map[string][]byte{
		"abbreviated":           tile,
		"quantization included": without(whole, markDHT),
		"Huffman included":      without(whole, markDQT),
		"whole":                 whole,
		"padded":                append(slices.Clone(tile), 0xff, 0xff, 0, 0),
		"garbage behind":        append(slices.Clone(tile), "garbage"...),
	} {
		got, err := jpeg.Decode(bytes.NewReader(splice(t, tables, false, tile)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want.(*image.YCbCr).Y, got.(*image.YCbCr).Y); diff != "" {
			t.Errorf("%s: pixels differ", name)
		}
	}
}

func TestSpliceTrimsPadding(t *testing.T) {
	tables, tile := splitJPEG(testJPEG(16, 16, "x"))
	want := splice(t, tables, false, tile)
	for _, tail := range []string{"\x00", "\xff", "\xff\xff\xff", "\x00\x00\x00\x00", "tail"} {
		if got := splice(t, tables, false, append(slices.Clone(tile), tail...)); !bytes.Equal(got, want) {
			t.Errorf("with %q behind: %d bytes, want %d", tail, len(got), len(want))
		}
	}
}

// TestSpliceRefuses checks which tiles are rejected.
func TestSpliceRefuses(t *testing.T) {
	whole := testJPEG(32, 32, "x")
	tables, tile := splitJPEG(whole)
	deep := slices.Clone(whole)
	frameOf(deep)[0] = 12
	four := slices.Clone(whole)
	frameOf(four)[5] = 4
	half := append(slices.Clone(tile[:len(tile)/2]), make([]byte, len(tile)/2)...)
	tests := []struct {
		name         string
		tables, tile []byte
		want         string
	}{
		{"zeros", tables, make([]byte, 5000), "only zeros"},
		{"a page of text", tables, []byte("<html>not found</html>"), "does not begin with FF D8"},
		{"empty", tables, nil, "only zeros"},
		{"first half, then zeros", tables, half, "no end (FF D9)"},
		{"cut off", tables, tile[:len(tile)-10], "no end (FF D9)"},
		{"cut off in its header", tables, tile[:12], "runs past the end"},
		{"nothing but SOI", tables, tile[:4], "ends inside its header"},
		{"SOI EOI", tables, []byte{0xff, markSOI, 0xff, markEOI}, "ends before its first pixel"},
		{"no marker", tables, []byte{0xff, markSOI, 0, 0, 0, 0}, "a marker is missing"},
		{"no tables anywhere", nil, tile, "neither it nor tag 347"},
		{"no Huffman tables", nil, without(whole, markDHT), "neither it nor tag 347"},
		{"12 bits", nil, deep, "12 bits per sample"},
		{"four colours", nil, four, "frame header is cut off"},
		{"lossless", nil, bytes.Replace(whole, []byte{0xff, markSOF0}, []byte{0xff, 0xc3}, 1), "lossless"},
		{"arithmetic", nil, bytes.Replace(whole, []byte{0xff, markSOF0}, []byte{0xff, 0xc9}, 1), "arithmetic"},
		{"no frame", nil, without(whole, markSOF0), "frame header is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sp, bad := newSplicer(tt.tables, false)
			if bad != nil {
				t.Fatalf("newSplicer: %v", bad)
			}
			dst := append(make([]byte, sp.reserve()), tt.tile...)
			var h header
			dst, bad = sp.finish(dst, 0, &h)
			if bad == nil || !strings.Contains(bad.Error(), tt.want) {
				t.Errorf("finish: %v, want %q", bad, tt.want)
			}
			if len(dst) != 0 {
				t.Errorf("%d bytes all the same", len(dst))
			}
		})
	}
}

func TestBadTables(t *testing.T) {
	for _, in := range []string{"00", "ff", "ffd8ff", "ffd800", "ffd8ffdb", "ffd8ffdb0043", "ffd8ffdb000300ffd9", "ffd8ffc40005001122ffd9", "ffd8ffdb0002ffc40004ffffffd9"} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if sp, bad := newSplicer(b, false); bad == nil {
			t.Errorf("newSplicer(%s) = %+v", in, sp)
		}
	}
}
