package slide

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/tiff"
)

// A testFile is a TIFF to write. The zero value is classic, little-endian and without
// directories.
type testFile struct {
	big, bigEndian bool
	front          []byte // bytes after the header
	dirs           []testDir
}

// A testDir is a directory. Values are of type uint16 (SHORT), uint32 (LONG),
// uint64 (LONG8), slices of these, string (ASCII), []byte (UNDEFINED) or
// [2]uint32 (RATIONAL). Offsets and byte counts of data are added to them unless
// they are there.
type testDir struct {
	fields  map[tiff.Tag]any
	data    [][]byte // tiles or strips; nil for a missing one
	asStrip bool     // tiles use the tags of strips
	subs    []testDir
}

func (d testDir) with(fields map[tiff.Tag]any) testDir {
	all := maps.Clone(d.fields)
	maps.Copy(all, fields)
	d.fields = all
	return d
}

func (f testFile) bytes() []byte {
	w := &testWriter{testFile: f, order: binary.LittleEndian}
	mark := "II"
	if f.bigEndian {
		w.order, mark = binary.BigEndian, "MM"
	}
	w.b = []byte(mark)
	link := int64(4)
	if f.big {
		w.u16(43)
		w.u16(8)
		w.u16(0)
		link = 8
	} else {
		w.u16(42)
	}
	w.word(0)
	w.b = append(w.b, f.front...)
	for i := range f.dirs {
		link = w.dir(&f.dirs[i], link)
	}
	return w.b
}

type testWriter struct {
	testFile
	order binary.AppendByteOrder
	b     []byte
}

func (w *testWriter) u16(v uint16) { w.b = w.order.AppendUint16(w.b, v) }

// word writes an offset or count in the size of the format.
func (w *testWriter) word(v uint64) {
	if w.big {
		w.b = w.order.AppendUint64(w.b, v)
	} else {
		w.b = w.order.AppendUint32(w.b, uint32(v))
	}
}

func (w *testWriter) patch(at int64, v uint64) {
	old := w.b
	w.b = old[:at:at]
	w.word(v)
	copy(old[at:], w.b[at:])
	w.b = old
}

// dir writes d and its offset at the link, and returns the position of its own link.
func (w *testWriter) dir(d *testDir, link int64) int64 {
	fields := maps.Clone(d.fields)
	if len(d.subs) > 0 {
		var offs []uint64
		for i := range d.subs {
			at := int64(len(w.b)) // a place for the link
			w.word(0)
			w.dir(&d.subs[i], at)
			off := w.order.(binary.ByteOrder).Uint32(w.b[at:])
			if w.big {
				off = uint32(w.order.(binary.ByteOrder).Uint64(w.b[at:]))
			}
			offs = append(offs, uint64(off))
		}
		fields[tiff.TagSubIFDs] = offs
	}
	offTag, countTag := tiff.TagTileOffsets, tiff.TagTileByteCounts
	if _, tiled := fields[tiff.TagTileWidth]; !tiled || d.asStrip {
		offTag, countTag = tiff.TagStripOffsets, tiff.TagStripByteCounts
	}
	var offs, counts []uint64
	for _, t := range d.data {
		off := uint64(len(w.b))
		if t == nil {
			off = 0
		}
		offs, counts = append(offs, off), append(counts, uint64(len(t)))
		w.b = append(w.b, t...)
	}
	if _, ok := fields[offTag]; !ok && d.data != nil {
		fields[offTag] = offs
	}
	if _, ok := fields[countTag]; !ok && d.data != nil {
		fields[countTag] = counts
	}
	return w.entries(fields, link)
}

func (w *testWriter) entries(fields map[tiff.Tag]any, link int64) int64 {
	type entry struct {
		typ, count uint64
		val        []byte
	}
	room := 4
	if w.big {
		room = 8
	}
	out := map[tiff.Tag]entry{}
	for _, tag := range slices.Sorted(maps.Keys(fields)) {
		typ, n, val := w.value(fields[tag])
		if len(val) > room {
			at := uint64(len(w.b))
			w.b = append(w.b, val...)
			val = w.sized(at)
		}
		out[tag] = entry{typ, n, append(val, make([]byte, room)...)[:room]}
	}
	w.patch(link, uint64(len(w.b)))
	if w.big {
		w.word(uint64(len(out)))
	} else {
		w.u16(uint16(len(out)))
	}
	for _, tag := range slices.Sorted(maps.Keys(out)) {
		w.u16(uint16(tag))
		w.u16(uint16(out[tag].typ))
		w.word(out[tag].count)
		w.b = append(w.b, out[tag].val...)
	}
	next := int64(len(w.b))
	w.word(0)
	return next
}

func (w *testWriter) sized(v uint64) []byte {
	if w.big {
		return w.order.AppendUint64(nil, v)
	}
	return w.order.AppendUint32(nil, uint32(v))
}

func (w *testWriter) value(v any) (typ, n uint64, b []byte) {
	switch v := v.(type) {
	case uint16:
		return w.value([]uint16{v})
	case uint32:
		return w.value([]uint32{v})
	case uint64:
		return w.value([]uint64{v})
	case int:
		return w.value([]uint32{uint32(v)})
	case []uint16:
		for _, x := range v {
			b = w.order.AppendUint16(b, x)
		}
		return 3, uint64(len(v)), b
	case []uint32:
		for _, x := range v {
			b = w.order.AppendUint32(b, x)
		}
		return 4, uint64(len(v)), b
	case []uint64:
		for _, x := range v {
			b = append(b, w.sized(x)...)
		}
		if w.big {
			return 16, uint64(len(v)), b
		}
		return 4, uint64(len(v)), b
	case string:
		return 2, uint64(len(v) + 1), append([]byte(v), 0)
	case []byte:
		return 7, uint64(len(v)), v
	case [2]uint32:
		return 5, 1, w.order.AppendUint32(w.order.AppendUint32(nil, v[0]), v[1])
	}
	panic(fmt.Sprintf("no TIFF type for %T", v))
}

// testJPEG returns a JPEG of w×h pixels with its name in a comment.
func testJPEG(w, h int, name string) []byte {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = byte(i * 7)
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = byte(100+i%60), byte(150-i%60)
	}
	return encodeJPEG(m, name)
}

func encodeJPEG(m image.Image, name string) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err)
	}
	com := append([]byte{0xff, markCOM, 0, byte(len(name) + 2)}, name...)
	return slices.Insert(b.Bytes(), 2, com...)
}

// splitJPEG moves the tables out of a JPEG, as TIFF does.
func splitJPEG(whole []byte) (tables, tile []byte) {
	tables, tile = []byte{0xff, markSOI}, []byte{0xff, markSOI}
	for i := 2; ; {
		mark, _, next, err := segment(whole, i)
		if err != nil {
			panic(err)
		}
		switch mark {
		case markDQT, markDHT:
			tables = append(tables, whole[i:next]...)
		case markSOS:
			return append(tables, 0xff, markEOI), append(tile, whole[i:]...)
		default:
			tile = append(tile, whole[i:next]...)
		}
		i = next
	}
}

const testTile = 64 // side of the tiles of test slides, in pixels

// tiledDir returns a directory of w×h pixels in JPEG tiles with shared tables. The comment
// of each tile is "name col,row".
func tiledDir(w, h int, name string) testDir {
	d := testDir{fields: map[tiff.Tag]any{
		tiff.TagImageWidth:      w,
		tiff.TagImageLength:     h,
		tiff.TagBitsPerSample:   []uint16{8, 8, 8},
		tiff.TagCompression:     uint16(compressionJPEG),
		tiff.TagPhotometric:     uint16(yCbCr),
		tiff.TagSamplesPerPixel: uint16(3),
		tiff.TagTileWidth:       uint16(testTile),
		tiff.TagTileLength:      uint16(testTile),
	}}
	for row := range ceilDiv(h, testTile) {
		for col := range ceilDiv(w, testTile) {
			tables, tile := splitJPEG(testJPEG(testTile, testTile, fmt.Sprintf("%s %d,%d;", name, col, row)))
			d.fields[tiff.TagJPEGTables] = tables
			d.data = append(d.data, tile)
		}
	}
	return d
}

// reduced marks d as a smaller version of the first directory.
func reduced(d testDir) testDir {
	return d.with(map[tiff.Tag]any{tiff.TagNewSubfileType: uint32(reducedResolution)})
}

// stripDir returns an image of w×h pixels in JPEG strips of the given number of rows.
func stripDir(w, h, rows int, desc string) testDir {
	d := testDir{fields: map[tiff.Tag]any{
		tiff.TagNewSubfileType:   uint32(reducedResolution),
		tiff.TagImageWidth:       w,
		tiff.TagImageLength:      h,
		tiff.TagBitsPerSample:    []uint16{8, 8, 8},
		tiff.TagCompression:      uint16(compressionJPEG),
		tiff.TagPhotometric:      uint16(yCbCr),
		tiff.TagImageDescription: desc,
		tiff.TagSamplesPerPixel:  uint16(3),
		tiff.TagRowsPerStrip:     rows,
	}}
	for y := 0; y < h; y += rows {
		tables, strip := splitJPEG(testJPEG(w, min(rows, h-y), fmt.Sprintf("strip at %d;", y)))
		d.fields[tiff.TagJPEGTables] = tables
		d.data = append(d.data, strip)
	}
	return d
}

// open opens a file that must be a slide.
func (f testFile) open(t testing.TB) *Slide {
	t.Helper()
	b := f.bytes()
	s, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

// openError opens a file that must not be a slide.
func (f testFile) openError(t testing.TB) error {
	t.Helper()
	b := f.bytes()
	_, err := Open(bytes.NewReader(b), int64(len(b)))
	if err == nil {
		t.Fatal("Open: no error")
	}
	return err
}

// tileName returns the name in a tile, or the error.
func tileName(s *Slide, level, col, row int) string {
	b, err := s.AppendTile(nil, level, col, row)
	if err != nil {
		return err.Error()
	}
	if _, err := jpeg.Decode(bytes.NewReader(b)); err != nil {
		return err.Error()
	}
	_, after, _ := bytes.Cut(b, []byte{0xff, markCOM})
	name, _, _ := bytes.Cut(after[2:], []byte(";"))
	return string(name)
}

// levelSizes are the sizes of all levels, as "640x512 320x256".
func levelSizes(s *Slide) string {
	var sizes []string
	for _, l := range s.Levels {
		sizes = append(sizes, fmt.Sprintf("%dx%d", l.Width, l.Height))
	}
	return strings.Join(sizes, " ")
}

// testData is the directory of test data beside the repository; without it the test is
// skipped.
func testData(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv("PTIFFSTORE_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no test data: %v (PTIFFSTORE_TESTDATA names the folder)", err)
	}
	return path
}

// averageColor returns the mean of the pixels.
func averageColor(m image.Image) color.RGBA {
	var r, g, b, n uint64
	bounds := m.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
			r, g, b, n = r+uint64(c.R), g+uint64(c.G), b+uint64(c.B), n+1
		}
	}
	return color.RGBA{byte(r / n), byte(g / n), byte(b / n), 255}
}
