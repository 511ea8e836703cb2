package slidetest

import (
	"encoding/binary"
	"image"
)

// A Level is a slide of one level, whose tiles all have the same bytes.
type Level struct {
	Width, Height         int    // pixels
	TileWidth, TileHeight int    // pixels
	Codec                 uint32 // tag 259
	Photometric           uint32 // tag 262
	Tile                  []byte
	Label                 image.Image // nil for none
}

// Bytes returns the file: classic, little-endian.
func (l Level) Bytes() []byte {
	columns, rows := (l.Width+l.TileWidth-1)/l.TileWidth, (l.Height+l.TileHeight-1)/l.TileHeight
	d := &directory{fields: map[uint16][]uint32{
		256: {uint32(l.Width)}, 257: {uint32(l.Height)}, 258: {8, 8, 8}, 259: {l.Codec}, 262: {l.Photometric}, 277: {3},
		322: {uint32(l.TileWidth)}, 323: {uint32(l.TileHeight)}, 324: nil, 325: nil,
	}}
	for range columns * rows {
		d.data = append(d.data, l.Tile)
	}
	dirs := []*directory{d}
	if l.Label != nil {
		dirs = append(dirs, Pyramid{Label: l.Label}.labelDirectory())
	}
	head := 8
	for _, d := range dirs {
		head += d.size()
	}
	var data, tables []byte
	for _, d := range dirs {
		data = d.place(data, head)
	}
	out := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 8)
	for i, d := range dirs {
		tables = d.write(tables, 8+len(tables), i == len(dirs)-1)
	}
	return append(append(out, tables...), data...)
}
