package render

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// A testLevel is a level to write. Its tiles are cut from image.
type testLevel struct {
	picture image.Image
	tile    int                 // side of the tiles
	raw     bool                // uncompressed; JPEG of quality 95 if not
	skip    func(c, r int) bool // tiles that the scanner skipped
	damage  func(c, r int) bool // tiles that are truncated
	padding color.RGBA          // colour of tiles beyond the image
}

// A testPhilips contains the parts that identify a Philips slide.
type testPhilips struct {
	barcode      string
	label, macro []byte // JPEGs
}

// openSlide writes a classic little-endian TIFF with these levels and opens it.
func openSlide(t testing.TB, p *testPhilips, levels ...testLevel) *slide.Slide {
	t.Helper()
	file := []byte("II*\x00\x00\x00\x00\x00")
	link := 4 // where the offset of the next directory goes
	for i, l := range levels {
		var offsets, counts []uint32
		for _, b := range l.tiles(t) {
			offset := 0
			if len(b) > 0 {
				offset = len(file)
			}
			offsets, counts = append(offsets, uint32(offset)), append(counts, uint32(len(b)))
			file = append(file, b...)
		}
		size := l.picture.Bounds().Size()
		compression, photometric := 7, 6
		if l.raw {
			compression, photometric = 1, 2
		}
		fields := map[int][]uint32{
			254: {uint32(min(i, 1))}, 256: {uint32(size.X)}, 257: {uint32(size.Y)}, 258: {8, 8, 8},
			259: {uint32(compression)}, 262: {uint32(photometric)}, 277: {3}, 284: {1},
			322: {uint32(l.tile)}, 323: {uint32(l.tile)}, 324: offsets, 325: counts,
		}
		description := ""
		if p != nil && i == 0 {
			description = p.xml()
		}
		file, link = appendDirectory(file, link, fields, description)
	}
	s, err := slide.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// appendDirectory appends a directory and writes its offset at link. Every value is a LONG;
// a description that is not empty is written as tag 270.
func appendDirectory(file []byte, link int, fields map[int][]uint32, description string) ([]byte, int) {
	le := binary.LittleEndian
	var entries []byte
	n := 0
	for tag := range 400 {
		kind, count, value := 4, len(fields[tag]), []byte(nil)
		for _, v := range fields[tag] {
			value = le.AppendUint32(value, v)
		}
		if tag == 270 && description != "" {
			kind, count, value = 2, len(description)+1, append([]byte(description), 0)
		}
		if count == 0 {
			continue
		}
		entries = le.AppendUint16(entries, uint16(tag))
		entries = le.AppendUint16(entries, uint16(kind))
		entries = le.AppendUint32(entries, uint32(count))
		if len(value) > 4 {
			file = append(file, make([]byte, len(file)&1)...)
			entries = le.AppendUint32(entries, uint32(len(file)))
			file = append(file, value...)
		} else {
			entries = append(entries, append(value, 0, 0, 0, 0)[:4]...)
		}
		n++
	}
	file = append(file, make([]byte, len(file)&1)...)
	le.PutUint32(file[link:], uint32(len(file)))
	file = le.AppendUint16(file, uint16(n))
	file = append(file, entries...)
	return append(file, 0, 0, 0, 0), len(file)
}

// tiles returns the compressed tiles of l; nil for those that the scanner skipped.
func (l *testLevel) tiles(t testing.TB) [][]byte {
	size := l.picture.Bounds().Size()
	var all [][]byte
	for row := range (size.Y + l.tile - 1) / l.tile {
		for col := range (size.X + l.tile - 1) / l.tile {
			if l.skip != nil && l.skip(col, row) {
				all = append(all, nil)
				continue
			}
			img := image.NewRGBA(image.Rect(0, 0, l.tile, l.tile))
			fill(img, img.Rect, l.padding)
			for y := range min(l.tile, size.Y-row*l.tile) {
				for x := range min(l.tile, size.X-col*l.tile) {
					img.Set(x, y, l.picture.At(col*l.tile+x, row*l.tile+y))
				}
			}
			b := l.encode(t, img)
			if l.damage != nil && l.damage(col, row) {
				b = append(b[:len(b)/2], 0xff, jpeg.MarkEOI)
			}
			all = append(all, b)
		}
	}
	return all
}

func (l *testLevel) encode(t testing.TB, img *image.RGBA) []byte {
	if !l.raw {
		b, err := codec.EncodeRGBA(img, 95)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var b []byte
	for i := 0; i < len(img.Pix); i += 4 {
		b = append(b, img.Pix[i:i+3]...)
	}
	return b
}

// xml returns a description like those of Philips, with the parts that are read here.
func (p *testPhilips) xml() string {
	attribute := func(name, value string) string {
		return fmt.Sprintf("<Attribute Name=%q Group=\"0x301D\" Element=\"0x1000\" PMSVR=\"IString\">%s</Attribute>", name, value)
	}
	object := func(kind string, b []byte) string {
		content := attribute("PIM_DP_IMAGE_TYPE", kind)
		if b != nil {
			content += attribute("PIM_DP_IMAGE_DATA", base64.StdEncoding.EncodeToString(b))
		}
		return `<DataObject ObjectType="DPScannedImage">` + content + `</DataObject>`
	}
	images := object("WSI", nil)
	if p.label != nil {
		images += object("LABELIMAGE", p.label)
	}
	if p.macro != nil {
		images += object("MACROIMAGE", p.macro)
	}
	x := `<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">` +
		attribute("PIM_DP_SCANNED_IMAGES", "<Array>"+images+"</Array>")
	if p.barcode != "" {
		x += attribute("PIM_DP_UFS_BARCODE", base64.StdEncoding.EncodeToString([]byte(p.barcode)))
	}
	return x + `</DataObject>`
}

// ramps returns an image in which the colour of each pixel encodes its position. It is
// smooth enough to survive JPEG compression.
func ramps(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{byte(40 + x*160/w), byte(40 + y*160/h), 128, 255})
		}
	}
	return img
}

// plain returns an image of one colour.
func plain(w, h int, c color.RGBA) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	fill(img, img.Rect, c)
	return img
}

// farthest returns the largest difference between the pixels of two images of the same
// size, and its position.
func farthest(a, b *image.RGBA) (int, image.Point) {
	most, at := 0, image.Point{}
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			p, q := a.RGBAAt(x, y), b.RGBAAt(x, y)
			for _, d := range []int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B)} {
				if d = max(d, -d); d > most {
					most, at = d, image.Pt(x, y)
				}
			}
		}
	}
	return most, at
}

func checkPixels(t *testing.T, got *image.RGBA, want *image.RGBA, tolerance int) {
	t.Helper()
	if got.Rect.Size() != want.Rect.Size() {
		t.Fatalf("size %v, want %v", got.Rect.Size(), want.Rect.Size())
	}
	if d, at := farthest(got, want); d > tolerance {
		t.Errorf("pixel %v is %v, want %v within %d", at, got.RGBAAt(at.X, at.Y), want.RGBAAt(at.X, at.Y), tolerance)
	}
}
