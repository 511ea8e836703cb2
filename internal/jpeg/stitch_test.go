package jpeg

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"math/rand/v2"
	"testing"

	"github.com/slideatlas/ptiffstore/test/jpegtest"
)

// A testGrid is some tiles and their decoded pixels.
type testGrid struct {
	Grid
	decoded []image.Image // nil for empty tiles
	mcu     image.Point
}

// newTestGrid returns tiles of the kind j. Their sizes are those of MCUs, apart from the last
// column and row, which may be cut.
func newTestGrid(t testing.TB, j jpegtest.JPEG, rng *rand.Rand, empty bool) *testGrid {
	t.Helper()
	g := &testGrid{mcu: image.Pt(8, 8)}
	if len(j.Sampling) > 1 {
		for _, s := range j.Sampling {
			g.mcu = image.Pt(max(g.mcu.X, 8*(s>>4)), max(g.mcu.Y, 8*(s&15)))
		}
	}
	g.Columns, g.Rows = 1+rng.IntN(3), 1+rng.IntN(3)
	g.TileWidth, g.TileHeight = g.mcu.X*(1+rng.IntN(7)), g.mcu.Y*(1+rng.IntN(5))
	cut := image.Pt(rng.IntN(g.mcu.X), rng.IntN(g.mcu.Y))
	frames := NewFrames()
	for i := range g.Columns * g.Rows {
		if empty && i > 0 && rng.IntN(3) == 0 {
			g.Tiles = append(g.Tiles, Tile{})
			g.decoded = append(g.decoded, nil)
			continue
		}
		j.W, j.H, j.Seed = g.TileWidth, g.TileHeight, rng.Uint64()
		if i%g.Columns == g.Columns-1 {
			j.W -= cut.X
		}
		if i/g.Columns == g.Rows-1 {
			j.H -= cut.Y
		}
		data := j.Encode()
		m, err := stdjpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		g.decoded = append(g.decoded, m)
		g.Tiles = append(g.Tiles, Tile{Data: data, Marks: index(t, data, rng.IntN(j.H+40), frames)})
		if t := &g.Tiles[i]; rng.IntN(2) == 0 || t.Marks.rows < t.Marks.all {
			t.Marks, err = Index(data, j.H, t.Marks, frames) // continued
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func index(t testing.TB, data []byte, height int, frames *Frames) *Marks {
	t.Helper()
	m, err := Index(data, height, nil, frames)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// randomPart returns a part of the grid, which often begins or ends where MCUs or tiles do.
func (g *testGrid) randomPart(rng *rand.Rand) image.Rectangle {
	w := (g.Columns-1)*g.TileWidth + g.decodedSize().X
	h := (g.Rows-1)*g.TileHeight + g.decodedSize().Y
	x, y := rng.IntN(w), rng.IntN(h)
	if rng.IntN(2) == 0 {
		x, y = x/g.mcu.X*g.mcu.X, y/g.mcu.Y*g.mcu.Y
	}
	r := image.Rect(x, y, x+1+rng.IntN(w-x), y+1+rng.IntN(h-y))
	if rng.IntN(4) == 0 {
		r.Max = image.Pt(w, h)
	}
	return r
}

// decodedSize returns the size of the last tile that is not empty in both directions: tile
// sizes in the last column and row may be smaller.
func (g *testGrid) decodedSize() image.Point {
	size := image.Pt(g.TileWidth, g.TileHeight)
	for i, m := range g.decoded {
		if m == nil {
			continue
		}
		if i%g.Columns == g.Columns-1 {
			size.X = m.Bounds().Dx()
		}
		if i/g.Columns == g.Rows-1 {
			size.Y = m.Bounds().Dy()
		}
	}
	return size
}

// check compares every sample of the stitched JPEG with those of the tiles.
func (g *testGrid) check(r image.Rectangle) error {
	data, grown, err := g.Stitch(nil, r)
	if err != nil {
		return err
	}
	if want := image.Rect(r.Min.X/g.mcu.X*g.mcu.X, r.Min.Y/g.mcu.Y*g.mcu.Y, r.Max.X, r.Max.Y); grown != want {
		return fmt.Errorf("grown to %v, want %v", grown, want)
	}
	got, err := stdjpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("decoding the stitched JPEG: %w", err)
	}
	if got.Bounds().Size() != grown.Size() {
		return fmt.Errorf("%v decoded, want %v", got.Bounds(), grown.Size())
	}
	for y := grown.Min.Y; y < grown.Max.Y; y++ {
		for x := grown.Min.X; x < grown.Max.X; x++ {
			tile := g.decoded[y/g.TileHeight*g.Columns+x/g.TileWidth]
			have := got.At(x-grown.Min.X, y-grown.Min.Y)
			if tile == nil {
				if !near(have, g.Background) {
					return fmt.Errorf("pixel %d,%d of the background is %v", x, y, have)
				}
				continue
			}
			// For YCbCr, At returns the samples themselves.
			if want := tile.At(x%g.TileWidth, y%g.TileHeight); have != want {
				return fmt.Errorf("pixel %d,%d is %v, want %v", x, y, have, want)
			}
		}
	}
	return nil
}

func near(c color.Color, want color.RGBA) bool {
	got := color.RGBAModel.Convert(c).(color.RGBA)
	return max(diff(got.R, want.R), diff(got.G, want.G), diff(got.B, want.B)) <= 6
}

func diff(a, b byte) int { return max(int(a)-int(b), int(b)-int(a)) }

// TestStitch stitches random parts of random grids of tiles of each kind.
func TestStitch(t *testing.T) {
	for i, tt := range jpegtest.Cases {
		if len(tt.JPEG.Sampling) == 4 {
			continue
		}
		t.Run(tt.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(i), 15))
			for n := range 40 {
				j := tt.JPEG
				if n%4 == 3 && !j.LongAC {
					j.SparseDC, j.LongAC = true, rng.IntN(2) == 0
				}
				if n%5 == 4 {
					j.Interval = rng.IntN(20)
				}
				g := newTestGrid(t, j, rng, n%3 == 0)
				if g.Background = (color.RGBA{250, 250, 250, 255}); n%6 == 0 {
					g.Background = color.RGBA{240, 230, 242, 255}
				}
				if len(j.Sampling) == 1 {
					g.Background = color.RGBA{90, 90, 90, 255}
				}
				for range 4 {
					r := g.randomPart(rng)
					if err := g.check(r); err != nil && !errors.Is(err, ErrEmpty) {
						t.Fatalf("%+v, %d×%d tiles of %d×%d, %v: %v", j, g.Columns, g.Rows, g.TileWidth, g.TileHeight, r, err)
					}
				}
			}
		})
	}
}

// TestStitchOfDifferentTables stitches tiles whose Huffman tables differ.
func TestStitchOfDifferentTables(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 16))
	base := jpegtest.JPEG{Sampling: []int{0x22, 0x11, 0x11}}
	for n := range 30 {
		g := newTestGrid(t, base, rng, n%2 == 0)
		for i := range g.Tiles {
			if g.Tiles[i].Data == nil || i%2 == 0 {
				continue
			}
			j := base
			b := g.decoded[i].Bounds()
			j.W, j.H, j.Seed, j.LongAC, j.SparseDC, j.Interval = b.Dx(), b.Dy(), rng.Uint64(), n%3 > 0, n%3 < 2, n%4
			data := j.Encode()
			var err error
			if g.decoded[i], err = stdjpeg.Decode(bytes.NewReader(data)); err != nil {
				t.Fatal(err)
			}
			g.Tiles[i] = Tile{data, index(t, data, j.H, nil)}
		}
		g.Background = color.RGBA{255, 255, 255, 255}
		for range 4 {
			r := g.randomPart(rng)
			if err := g.check(r); err != nil {
				t.Fatalf("%d×%d tiles of %d×%d, %v: %v", g.Columns, g.Rows, g.TileWidth, g.TileHeight, r, err)
			}
		}
	}
}

func TestStitchRefuses(t *testing.T) {
	base := jpegtest.JPEG{W: 64, H: 64, Sampling: []int{0x22, 0x11, 0x11}}
	tile := func(change func(*jpegtest.JPEG)) Tile {
		j := base
		change(&j)
		data := j.Encode()
		return Tile{data, index(t, data, 1<<20, nil)}
	}
	plain := tile(func(*jpegtest.JPEG) {})
	quantized := bytes.Replace(plain.Data, []byte{0xff, MarkDQT, 0, 67, 0, 4}, []byte{0xff, MarkDQT, 0, 67, 0, 5}, 1)
	adobe := tile(func(j *jpegtest.JPEG) { j.Sampling, j.Head = []int{0x11, 0x11, 0x11}, jpegtest.Adobe(0) })
	full := tile(func(j *jpegtest.JPEG) { j.Sampling = []int{0x11, 0x11, 0x11} })
	half := plain
	half.Marks = index(t, plain.Data, 32, nil)
	grid := func(tiles ...Tile) Grid {
		return Grid{Columns: len(tiles), Rows: 1, TileWidth: 64, TileHeight: 64, Tiles: tiles}
	}
	limited, odd := grid(plain), grid(plain, plain)
	limited.MaxBytes = 100
	odd.TileWidth = 56
	all := image.Rect(0, 0, 128, 64)
	tests := []struct {
		name string
		grid Grid
		r    image.Rectangle
		want error // nil for any other than the named ones
	}{
		{"another sampling", grid(plain, full), all, ErrNotLossless},
		{"another quantization", grid(plain, Tile{quantized, index(t, quantized, 64, nil)}), all, ErrNotLossless},
		{"other colours", grid(full, adobe), all, ErrNotLossless},
		{"a smaller tile", grid(plain, tile(func(j *jpegtest.JPEG) { j.W = 40 })), all, ErrNotLossless},
		{"a tile that ends in a block", odd, image.Rect(0, 0, 112, 64), ErrNotLossless},
		{"all empty", grid(Tile{}, Tile{}), all, ErrNotLossless},
		{"too many bytes", limited, image.Rect(0, 0, 64, 64), ErrTooLarge},
		{"no pixels", grid(plain), image.Rect(3, 3, 3, 8), nil},
		{"outside", grid(plain), image.Rect(0, 0, 65, 8), nil},
		{"before the first tile", grid(plain), image.Rect(-16, 0, 16, 8), nil},
		{"too few marks", grid(half), image.Rect(0, 0, 64, 64), nil},
		{"marks of another JPEG", grid(Tile{plain.Data[:len(plain.Data)-1], plain.Marks}), image.Rect(0, 0, 64, 64), nil},
		{"too few tiles", Grid{Columns: 2, Rows: 1, TileWidth: 64, TileHeight: 64, Tiles: []Tile{plain}}, image.Rect(0, 0, 64, 64), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := tt.grid.Stitch([]byte{1, 2}, tt.r)
			if err == nil || len(got) != 2 {
				t.Fatalf("%d bytes and error %v", len(got), err)
			}
			for _, kind := range []error{ErrNotLossless, ErrTooLarge} {
				if errors.Is(err, kind) != (tt.want == kind) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
			}
		})
	}
	unlike := grid(half, full)
	if _, _, err := unlike.Stitch(nil, image.Rect(8, 8, 60, 30)); err != nil {
		t.Errorf("the other tile is not needed, but: %v", err)
	}
}

func TestIndexRefuses(t *testing.T) {
	base := jpegtest.JPEG{W: 64, H: 64, Sampling: []int{0x22, 0x11, 0x11}}
	good := base.Encode()
	base.Interval = 2
	rst := base.Encode()
	cmyk := jpegtest.JPEG{W: 64, H: 64, Sampling: []int{0x11, 0x11, 0x11, 0x11}}.Encode()
	tests := []struct {
		name     string
		data     []byte
		lossless bool // the error is not about the kind of stream
	}{
		{"progressive", jpegtest.Replace(good, []byte{0xff, MarkSOF0}, []byte{0xff, MarkSOF2}), false},
		{"12 bits", jpegtest.Replace(good, []byte{MarkSOF0, 0, 17, 8}, []byte{MarkSOF0, 0, 17, 12}), false},
		{"four colours", cmyk, false},
		{"cut off", good[:len(good)/2], true},
		{"restart marker missing", jpegtest.Replace(rst, []byte{0xff, MarkRST0 + 1}, nil), true},
		{"a marker between the pixels", jpegtest.Replace(rst, []byte{0xff, MarkRST0 + 1}, []byte{0xff, MarkEOI}), true},
		{"no quantization table", jpegtest.Replace(good, []byte{0xff, MarkDQT}, []byte{0xff, 0xe5}), true},
		{"nothing", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Index(tt.data, 64, nil, NewFrames())
			if err == nil || errors.Is(err, ErrNotLossless) == tt.lossless {
				t.Errorf("error %v, want ErrNotLossless: %v", err, !tt.lossless)
			}
		})
	}
	if _, err := Index(good[:len(good)/2], 16, nil, nil); err != nil {
		t.Errorf("the first rows of a JPEG that is cut off: %v", err)
	}
}

func TestIndexKnown(t *testing.T) {
	j := jpegtest.JPEG{W: 64, H: 64, Sampling: []int{0x22, 0x11, 0x11}}
	data := j.Encode()
	m := index(t, data, 20, nil)
	if again, err := Index(data, 32, m, nil); again != m || err != nil {
		t.Errorf("marks of 2 rows were made again: %v", err)
	}
	if longer, err := Index(data, 33, m, nil); err != nil || longer == m || longer.Frame != m.Frame || m.rows != 2 || longer.rows != 3 {
		t.Errorf("continued: %v, %v", longer, err)
	}
	other := bytes.Clone(data)
	other[len(other)-9] ^= 4
	if fresh, err := Index(other, 16, m, nil); err != nil || fresh == m || fresh.Frame == m.Frame {
		t.Errorf("marks of other bytes were used: %v", err)
	}
	frames := NewFrames()
	a, b := index(t, data, 64, frames), index(t, other, 16, frames)
	if a.Frame != b.Frame {
		t.Error("the frame is not shared")
	}
	for i := range 3 * maxFrames {
		j.W = 8 + i
		index(t, j.Encode(), 8, frames)
	}
	if n := len(frames.all); n > maxFrames {
		t.Errorf("%d frames are kept", n)
	}
}

func TestCompleteDC(t *testing.T) {
	counts := func(n ...byte) []byte { return append(n, make([]byte, 16-len(n))...) }
	for _, tt := range []struct {
		name  string
		table codeTable
		want  bool
	}{
		{"standard", standardDC[0], true},
		{"one size, of one bit", codeTable{counts(1), []byte{5}}, true},
		{"all but the code of ones", codeTable{counts(1, 1, 1, 1, 1), []byte{3, 2, 1, 0, 4}}, true},
		{"two of one bit: no free code", codeTable{counts(2), []byte{3, 2}}, false},
		{"the longest are of 16 bits", codeTable{counts(1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), []byte{3, 2, 1}}, false},
		{"none", codeTable{counts(), nil}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole, ok := completeDC(tt.table)
			if ok != tt.want {
				t.Fatalf("complete: %v", ok)
			}
			if !ok {
				return
			}
			if _, err := newDecodeTable(whole); err != nil || !newDCCodes(whole).complete() {
				t.Errorf("%v: %v", whole, err)
			}
			before, after := newDCCodes(tt.table), newDCCodes(whole)
			ones := 0
			for size := range after {
				if b := before[size]; b.length > 0 && b != after[size] {
					t.Errorf("the code of size %d was %v and is %v", size, b, after[size])
				}
				if a := after[size]; int(a.bits) == 1<<a.length-1 {
					ones++
				}
			}
			if ones > 0 {
				t.Error("a code has only ones")
			}
		})
	}
}

func FuzzStitch(f *testing.F) {
	for i, tt := range jpegtest.Cases {
		j := tt.JPEG
		j.W, j.H, j.Seed = 72, 41, uint64(i)
		f.Add(j.Encode(), uint16(21), uint16(17), uint16(40), uint16(20))
	}
	if data, err := encoded(48); err == nil {
		f.Add(data, uint16(0), uint16(16), uint16(47), uint16(31))
	}
	frames := NewFrames()
	f.Fuzz(func(t *testing.T, data []byte, x, y, w, h uint16) {
		m, err := Index(data, int(y)%100, nil, frames)
		if err != nil {
			return
		}
		width, height := m.Frame.Size()
		r := image.Rect(int(x)%width, int(y)%height, 0, 0)
		r.Max = image.Pt(r.Min.X+1+int(w)%(width-r.Min.X), r.Min.Y+1+int(h)%(height-r.Min.Y))
		if m, err = Index(data, r.Max.Y, m, frames); err != nil {
			return
		}
		g := Grid{Columns: 1, Rows: 1, TileWidth: width, TileHeight: height, Tiles: []Tile{{data, m}}, MaxBytes: 1 << 20}
		got, grown, err := g.Stitch(nil, r)
		if err != nil || width*height > 1<<20 {
			return
		}
		whole, err := stdjpeg.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		part, err := stdjpeg.Decode(bytes.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		for y := grown.Min.Y; y < grown.Max.Y; y++ {
			for x := grown.Min.X; x < grown.Max.X; x++ {
				if a, b := part.At(x-grown.Min.X, y-grown.Min.Y), whole.At(x, y); a != b {
					t.Fatalf("pixel %d,%d is %v, want %v", x, y, a, b)
				}
			}
		}
	})
}

// BenchmarkStitch stitches 33×33 MCUs of four tiles of 512×512 pixels, as for a region of
// 512×512 that begins anywhere: with marks from a cache, and without. Bytes are those of
// the tiles.
func BenchmarkStitch(b *testing.B) {
	g := Grid{Columns: 2, Rows: 2, TileWidth: 512, TileHeight: 512}
	n := 0
	frames := NewFrames()
	for i := range 4 {
		var buf bytes.Buffer
		if err := stdjpeg.Encode(&buf, jpegtest.Tissue(512, 512, uint64(i)), &stdjpeg.Options{Quality: 80}); err != nil {
			b.Fatal(err)
		}
		g.Tiles = append(g.Tiles, Tile{buf.Bytes(), index(b, buf.Bytes(), 512, frames)})
		n += buf.Len()
	}
	for _, tt := range []struct {
		name string
		r    image.Rectangle
	}{
		{"unaligned", image.Rect(250, 250, 250+512, 250+512)},
		{"aligned", image.Rect(256, 256, 256+512, 256+512)},
		{"256 of one tile", image.Rect(128, 128, 128+256, 128+256)},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				for i := range g.Tiles {
					t := &g.Tiles[i]
					if m, err := Index(t.Data, 512, t.Marks, frames); err != nil || m != t.Marks {
						b.Fatal(err)
					}
				}
				var err error
				if out, _, err = g.Stitch(out[:0], tt.r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("marks of one tile", func(b *testing.B) {
		b.SetBytes(int64(len(g.Tiles[0].Data)))
		b.ReportAllocs()
		for b.Loop() {
			index(b, g.Tiles[0].Data, 512, frames)
		}
	})
}
