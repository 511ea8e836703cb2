package cutout

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/bigtiff"
	"github.com/slideatlas/ptiffstore/tiff"
)

// maxClassic is the largest file whose offsets fit into a classic TIFF.
const maxClassic = math.MaxUint32

// layOut makes what precedes the tiles: the header and the directories. The tiles of the
// largest level come first. Files of more than classic bytes become a BigTIFF.
func (c *Cutout) layOut(classic int64) {
	for _, big := range []bool{false, true} {
		c.head = c.directories(big, 0)
		first := int64(len(c.head))
		c.size = first
		for _, l := range c.levels {
			for _, n := range l.lengths {
				c.size += int64(n)
			}
			c.size += int64(len(l.blank))
		}
		if big || c.size <= classic {
			c.head = c.directories(big, first)
			return
		}
	}
}

// directories returns the header and the directories of a file whose tiles begin at an offset.
func (c *Cutout) directories(big bool, tiles int64) []byte {
	b := []byte{'I', 'I', 42, 0, 8, 0, 0, 0}
	if big {
		b = []byte{'I', 'I', 43, 0, 8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0}
	}
	for i, l := range c.levels {
		fields := c.fields(i, l, big, tiles)
		b = appendDirectory(b, fields, big, i == len(c.levels)-1)
		for _, n := range l.lengths {
			tiles += int64(n)
		}
		tiles += int64(len(l.blank))
	}
	return b
}

// fields returns the fields of the directory of a level, whose tiles begin at an offset.
func (c *Cutout) fields(i int, l *level, big bool, at int64) []bigtiff.Field {
	d := float64(l.downsample)
	f := (&bigtiff.Level{
		Reduced: i > 0, Width: l.width, Height: l.height, TileWidth: c.TileSize.X, TileHeight: c.TileSize.Y,
		Photometric: l.kind.photometric, Components: l.kind.components, ChromaX: l.kind.h, ChromaY: l.kind.v,
		MPPX: c.s.MPPX * d, MPPY: c.s.MPPY * d,
	}).Fields()
	if i == 0 && c.profile != nil {
		f = append(f, bigtiff.Field{Tag: tiff.TagICCProfile, Type: tiff.Undefined, Count: len(c.profile), Data: c.profile})
	}
	return append(f, l.tables(big, at)...)
}

// tables returns the tables of the tiles. The tile of the background follows the others.
func (l *level) tables(big bool, at int64) []bigtiff.Field {
	offsets, counts := make([]uint64, len(l.lengths)), slices.Clone(l.lengths)
	for i, n := range l.lengths {
		offsets[i] = uint64(at)
		at += int64(n)
	}
	for i, n := range l.lengths {
		if n == 0 {
			offsets[i], counts[i] = uint64(at), uint32(len(l.blank))
		}
	}
	lengths := bigtiff.Longs(tiff.TagTileByteCounts, counts)
	if big {
		return []bigtiff.Field{bigtiff.Longs8(tiff.TagTileOffsets, offsets), lengths}
	}
	short := make([]uint32, len(offsets))
	for i, n := range offsets {
		short[i] = uint32(n)
	}
	return []bigtiff.Field{bigtiff.Longs(tiff.TagTileOffsets, short), lengths}
}

// appendDirectory appends a directory to the beginning of a file, and after it its values and
// then, unless it is the last one, the next directory.
func appendDirectory(b []byte, fields []bigtiff.Field, big, last bool) []byte {
	slices.SortFunc(fields, func(a, b bigtiff.Field) int { return int(a.Tag) - int(b.Tag) })
	inline, entry := 4, 12
	word := func(b []byte, v int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) }
	size := 2 + entry*len(fields) + inline
	if big {
		inline, entry = 8, 20
		word = func(b []byte, v int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) }
		size = 8 + entry*len(fields) + inline
	}
	at := len(b) + size // of the values
	var values []byte
	if big {
		b = word(b, len(fields))
	} else {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(fields)))
	}
	for _, f := range fields {
		b = binary.LittleEndian.AppendUint16(b, uint16(f.Tag))
		b = binary.LittleEndian.AppendUint16(b, uint16(f.Type))
		b = word(b, f.Count)
		if len(f.Data) <= inline {
			b = append(append(b, f.Data...), make([]byte, inline-len(f.Data))...)
			continue
		}
		b = word(b, at+len(values))
		values = append(values, f.Data...)
		values = append(values, make([]byte, -(at+len(values))&7)...) // the next one begins at a multiple of 8
	}
	next := 0
	if !last {
		next = at + len(values)
	}
	return append(word(b, next), values...)
}
