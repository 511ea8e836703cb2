package cutout

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/bigtiff"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

const width, height = 300, 200 // of the slides below

// generic returns a synthetic slide.
func generic(t testing.TB, g synth.Generic) []byte {
	t.Helper()
	g.Width, g.Height = width, height
	path := filepath.Join(t.TempDir(), "slide.tiff")
	if _, err := g.Write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// grey returns a slide of one level, whose JPEGs have one component.
func grey(t testing.TB) []byte {
	t.Helper()
	const side = 64
	columns, rows := ceilDiv(width, side), ceilDiv(height, side)
	var tiles []byte
	var lengths []uint32
	for i := range columns * rows {
		m := image.NewGray(image.Rect(0, 0, side, side))
		for j := range m.Pix {
			m.Pix[j] = byte(j*j/37 + 19*i)
		}
		var b bytes.Buffer
		if err := stdjpeg.Encode(&b, m, nil); err != nil {
			t.Fatal(err)
		}
		tiles, lengths = append(tiles, b.Bytes()...), append(lengths, uint32(b.Len()))
	}
	file := func(at int) []byte {
		offsets := make([]uint32, len(lengths))
		for i, n := range lengths {
			offsets[i] = uint32(at)
			at += int(n)
		}
		return appendDirectory([]byte{'I', 'I', 42, 0, 8, 0, 0, 0}, []bigtiff.Field{
			bigtiff.Long(tiff.TagImageWidth, width), bigtiff.Long(tiff.TagImageLength, height), bigtiff.Shorts(tiff.TagBitsPerSample, 8),
			bigtiff.Shorts(tiff.TagCompression, 7), bigtiff.Shorts(tiff.TagPhotometric, minIsBlack), bigtiff.Shorts(tiff.TagSamplesPerPixel, 1),
			bigtiff.Long(tiff.TagTileWidth, side), bigtiff.Long(tiff.TagTileLength, side),
			bigtiff.Longs(tiff.TagTileOffsets, offsets), bigtiff.Longs(tiff.TagTileByteCounts, lengths),
		}, false, true)
	}
	return append(file(len(file(0))), tiles...)
}

// kinds returns slides with all kinds of blocks.
func kinds(t testing.TB) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"4:2:0": generic(t, synth.Generic{TileW: 64, TileH: 64, Sparse: true}),
		"RGB":   generic(t, synth.Generic{TileW: 64, TileH: 48, RGB: true, Big: true, Levels: 2, Sparse: true}),
		"grey":  grey(t),
	}
}

// checkFile compares a cut-out with its slide.
func checkFile(t *testing.T, c *Cutout, file []byte, part image.Rectangle) {
	t.Helper()
	s := c.s
	got := open(t, file)
	if err := got.Check(); err != nil {
		t.Fatal(err)
	}
	if all := (image.Rectangle{Max: s.Bounds.Size()}); got.Bounds.Size() != c.Box.Size() || !part.Intersect(all).In(c.Box) || c.Box.Max.X > all.Max.X || c.Box.Max.Y > all.Max.Y {
		t.Errorf("the box of %v is %v, of which %v is in the file", part, c.Box, got.Bounds)
	}
	if len(got.Levels) != len(c.levels) {
		t.Fatalf("%d levels, want %d", len(got.Levels), len(c.levels))
	}
	for i, l := range c.levels {
		if l.source < 0 {
			continue
		}
		if err := sameSamples(got, i, s, l.source, l.at); err != nil {
			t.Errorf("level %d of %v: %v", i, part, err)
		}
	}
}

// TestKinds cuts from RGB and grey slides, also from one that shows a part of its levels, and
// writes the same as BigTIFF.
func TestKinds(t *testing.T) {
	for name, b := range kinds(t) {
		for _, bounds := range []image.Rectangle{image.Rect(0, 0, width, height), image.Rect(37, 21, 280, 190)} {
			s := open(t, b)
			s.Bounds = bounds
			part := image.Rect(50, 33, 180, 9999)
			c, file := cut(t, s, part, Options{})
			checkFile(t, c, file, part)
			if want := map[string]int{"RGB": rgb, "grey": minIsBlack, "4:2:0": yCbCr}[name]; c.levels[0].kind.photometric != want {
				t.Errorf("%s: photometric %d, want %d", name, c.levels[0].kind.photometric, want)
			}
			c.layOut(0)
			var big bytes.Buffer
			if err := c.WriteTo(t.Context(), &big); err != nil || int64(big.Len()) != c.Size() || big.Bytes()[2] != 43 {
				t.Fatalf("%s as BigTIFF: %d bytes, want %d: %v", name, big.Len(), c.Size(), err)
			}
			checkFile(t, c, big.Bytes(), part)
		}
	}
}

// FuzzPart cuts any part of a slide: it is refused, or the file has the samples of the slide.
func FuzzPart(f *testing.F) {
	const most = 1<<63 - 1
	for kind := range byte(3) {
		f.Add(kind, 0, 0, width, height, byte(0), byte(0), byte(0))
		f.Add(kind, 50, 33, 180, 9999, byte(4), byte(0), byte(0))
		f.Add(kind, -most, -most, most, most, byte(8), byte(37), byte(21))
		f.Add(kind, 299, 199, 300, 200, byte(6), byte(0), byte(5))
		f.Add(kind, most-1, 0, most, 1<<32, byte(3), byte(255), byte(1))
	}
	all := kinds(f)
	names := []string{"4:2:0", "RGB", "grey"}
	f.Fuzz(func(t *testing.T, kind byte, x0, y0, x1, y1 int, tileSize, left, top byte) {
		s := open(t, all[names[int(kind)%len(names)]])
		s.Bounds.Min = image.Pt(int(left), int(top)%height)
		part := image.Rectangle{image.Pt(x0, y0), image.Pt(x1, y1)}
		o := Options{TileSize: int(tileSize) * 8, Background: color.RGBA{255, 255, 255, 255}}
		c, err := New(t.Context(), s, part, o)
		if err != nil {
			if o.TileSize%32 == 0 && !errors.Is(err, slide.ErrNoTile) && !errors.Is(err, jpeg.ErrNotLossless) {
				t.Fatal(err)
			}
			return
		}
		var b bytes.Buffer
		if err := c.WriteTo(t.Context(), &b); err != nil || int64(b.Len()) != c.Size() {
			t.Fatalf("%d bytes, want %d: %v", b.Len(), c.Size(), err)
		}
		checkFile(t, c, b.Bytes(), part)
	})
}
