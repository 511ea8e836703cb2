// Package slidetest makes small slides for tests.
package slidetest

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"maps"
	"slices"
	"sync"
)

// A Pyramid is a small slide: 150 × 130 pixels in JPEG tiles of 64, and two more
// levels.
type Pyramid struct {
	Seed    uint8
	Tail    bool        // the directories come after the tiles
	Label   image.Image // nil for none
	Codec   uint32      // tag 259; that of JPEG if 0
	Striped bool        // no pyramid
}

// A directory is an IFD of a Pyramid. Values are of type LONG.
type directory struct {
	fields map[uint16][]uint32
	text   string // tag 270
	data   [][]byte
}

// Bytes returns the file: classic, little-endian.
func (p Pyramid) Bytes() []byte {
	dirs := []*directory{p.level(150, 130, 9), p.level(75, 65, 4), p.level(37, 32, 1)}
	if p.Label != nil {
		dirs = append(dirs, p.labelDirectory())
	}
	head := 8
	for _, d := range dirs {
		if !p.Tail {
			head += d.size()
		}
	}
	var data []byte
	for _, d := range dirs {
		data = d.place(data, head)
	}
	at := 8
	if p.Tail {
		at = head + len(data)
	}
	out := binary.LittleEndian.AppendUint32([]byte("II*\x00"), uint32(at))
	var tables []byte
	for i, d := range dirs {
		tables = d.write(tables, at+len(tables), i == len(dirs)-1)
	}
	if p.Tail {
		return append(append(out, data...), tables...)
	}
	return append(append(out, tables...), data...)
}

// level returns a level of n tiles or strips.
func (p Pyramid) level(w, h uint32, n int) *directory {
	d := &directory{fields: map[uint16][]uint32{
		256: {w}, 257: {h}, 258: {8, 8, 8}, 259: {7}, 262: {6}, 277: {3}, 322: {64}, 323: {64}, 324: nil, 325: nil,
	}}
	if p.Codec != 0 {
		d.fields[259] = []uint32{p.Codec}
	}
	if p.Striped {
		for _, tag := range []uint16{322, 323, 324, 325} {
			delete(d.fields, tag)
		}
		maps.Copy(d.fields, map[uint16][]uint32{273: nil, 278: {64}, 279: nil})
	}
	for i := range n {
		d.data = append(d.data, picture(64, 64, p.Seed+uint8(i)*5))
	}
	return d
}

func (p Pyramid) labelDirectory() *directory {
	size := p.Label.Bounds().Size()
	w, h := uint32(size.X), uint32(size.Y)
	return &directory{text: "Label of a slide", data: [][]byte{encode(p.Label)}, fields: map[uint16][]uint32{
		254: {1}, 256: {w}, 257: {h}, 258: {8, 8, 8}, 259: {7}, 262: {6}, 273: nil, 277: {3}, 278: {h}, 279: nil,
	}}
}

// place appends the tiles or strips to data, which begins at byte head of the file.
func (d *directory) place(data []byte, head int) []byte {
	offsets, counts := uint16(324), uint16(325)
	if _, tiled := d.fields[offsets]; !tiled {
		offsets, counts = 273, 279
	}
	for _, b := range d.data {
		d.fields[offsets] = append(d.fields[offsets], uint32(head+len(data)))
		d.fields[counts] = append(d.fields[counts], uint32(len(b)))
		data = append(data, b...)
	}
	return data
}

// size is the size of the directory and its values.
func (d *directory) size() int {
	e := *d
	e.fields = maps.Clone(d.fields)
	e.place(nil, 0)
	return len(e.write(nil, 0, true))
}

// write appends the directory, which is at byte at of the file and is followed by the
// next.
func (d *directory) write(out []byte, at int, last bool) []byte {
	le := binary.LittleEndian
	tags := slices.Collect(maps.Keys(d.fields))
	if d.text != "" {
		tags = append(tags, 270)
	}
	slices.Sort(tags)
	values := at + 2 + 12*len(tags) + 4
	var body []byte
	out = le.AppendUint16(out, uint16(len(tags)))
	for _, tag := range tags {
		typ, n, val := uint16(4), len(d.fields[tag]), []byte{}
		for _, v := range d.fields[tag] {
			val = le.AppendUint32(val, v)
		}
		if tag == 270 {
			val = append([]byte(d.text), 0)
			typ, n = 2, len(val)
		}
		out = le.AppendUint32(le.AppendUint16(le.AppendUint16(out, tag), typ), uint32(n))
		if len(val) <= 4 {
			out = append(out, append(val, 0, 0, 0, 0)[:4]...)
			continue
		}
		out = le.AppendUint32(out, uint32(values+len(body)))
		body = append(body, val...)
	}
	next := uint32(values + len(body))
	if last {
		next = 0
	}
	return append(le.AppendUint32(out, next), body...)
}

// pictures are the JPEGs that picture has encoded: encoding them takes most of the time of a
// slide, above all under the race detector.
var pictures sync.Map // of [3]int to []byte

// picture returns a JPEG that differs for each seed, which the caller must not change.
func picture(w, h int, seed uint8) []byte {
	key := [3]int{w, h, int(seed)}
	if b, ok := pictures.Load(key); ok {
		return b.([]byte)
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			copy(img.Pix[img.PixOffset(x, y):], []byte{uint8(x) + seed, uint8(y)*3 + seed, 200 - seed, 255})
		}
	}
	b, _ := pictures.LoadOrStore(key, encode(img))
	return b.([]byte)
}

func encode(img image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
}
