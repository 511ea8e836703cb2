package synth

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// The expected verdict on a damaged file.
const (
	Broken      = "broken"      // incomplete, or against the specification
	Unsupported = "unsupported" // complete, and not a supported slide
	Ready       = "ready"       // unusual, but displayed
)

// A Damage is a class of damaged or unusual files.
type Damage struct {
	Name  string // also of the file, without its ending
	Words string // what is wrong
	Want  string // Broken, Unsupported or Ready
	Make  func(dir string) (path string, err error)
}

// Damages are all classes, the truncations first.
var Damages = []Damage{
	broken("empty", "a file of no bytes", func(p *patient) { p.b = nil }),
	broken("one-byte", "a file of one byte", func(p *patient) { p.b = p.b[:1] }),
	broken("cut-in-header", "it ends within the header", func(p *patient) { p.b = p.b[:6] }),
	broken("cut-in-tiles", "it ends within the first tiles", func(p *patient) { p.b = p.b[:5000] }),
	broken("cut-in-directory", "it ends within the first directory", func(p *patient) { p.b = p.b[:p.ifd(0)+20] }),
	broken("cut-in-description", "it ends within the description", func(p *patient) { p.b = p.b[:p.value(0, tagImageDescription)+100] }),
	broken("cut-in-arrays", "it ends within the array of offsets", func(p *patient) { p.b = p.b[:p.value(0, tagTileOffsets)+6] }),
	broken("cut-last-byte", "the last byte is missing", func(p *patient) { p.b = p.b[:len(p.b)-1] }),
	broken("zeros", "nothing but zeros, as a copy that has only claimed its room", func(p *patient) { clear(p.b) }),
	broken("zeros-behind-header", "zeros behind the header", func(p *patient) { clear(p.b[8:]) }),
	broken("zeros-in-first-tile", "the first tile was never written", func(p *patient) { p.zeroTile(0) }),
	broken("zeros-in-last-tile", "the last tile was never written", func(p *patient) { p.zeroTile(p.lastTile()) }),
	broken("tile-cut", "the last tile has no end", func(p *patient) { at, n := p.tile(p.lastTile()); copy(p.b[at+n-2:], "\x11\x11") }),

	broken("offset-beyond-end", "a tile begins behind the end", func(p *patient) { p.put(p.value(0, tagTileOffsets)+8, 0xfffffff0) }),
	broken("count-beyond-end", "a tile reaches over the end", func(p *patient) { p.put(p.value(0, tagTileByteCounts)+8, 0x7fffffff) }),
	broken("offset-and-count-overflow", "offset and count add up to more than 32 bits hold", func(p *patient) {
		p.put(p.value(0, tagTileOffsets)+8, 0xffffffff)
		p.put(p.value(0, tagTileByteCounts)+8, 0xffffffff)
	}),
	broken("huge-count", "an array of four billion tiles", func(p *patient) { p.put(p.entry(0, tagTileOffsets)+4, 0xffffffff) }),
	broken("array-beyond-end", "the array of offsets lies behind the end", func(p *patient) { p.put(p.entry(0, tagTileOffsets)+8, 0xfffffff0) }),
	broken("no-offsets", "no array of offsets", func(p *patient) { p.retag(0, tagTileOffsets, 60000) }),
	broken("no-counts", "no array of byte counts", func(p *patient) { p.retag(0, tagTileByteCounts, 60001) }),
	broken("bad-type", "an array of a type that does not exist", func(p *patient) { p.put16(p.entry(0, tagTileOffsets)+2, 99) }),

	broken("loop-to-itself", "a directory that is followed by itself", func(p *patient) { p.put(p.next(0), uint32(p.ifd(0))) }),
	broken("loop-to-first", "the second directory is followed by the first", func(p *patient) { p.put(p.next(1), uint32(p.ifd(0))) }),
	broken("next-beyond-end", "the next directory lies behind the end", func(p *patient) { p.put(p.next(0), 0xfffffff0) }),
	broken("directory-in-header", "the first directory is the header", func(p *patient) { p.put(4, 2) }),
	broken("no-fields", "a directory of no fields", func(p *patient) { p.put16(p.ifd(0), 0) }),
	broken("all-fields", "a directory of 65535 fields", func(p *patient) { p.put16(p.ifd(0), 0xffff) }),

	broken("no-width", "a width of 0", func(p *patient) { p.put(p.entry(0, tagImageWidth)+8, 0) }),
	broken("no-tile-width", "tiles of no width", func(p *patient) { p.put(p.entry(0, tagTileWidth)+8, 0) }),
	broken("vast", "four billion pixels a side", func(p *patient) {
		p.put(p.entry(0, tagImageWidth)+8, 0xffffffff)
		p.put(p.entry(0, tagImageLength)+8, 0xffffffff)
	}),
	broken("vast-tiles", "tiles of four billion pixels a side", func(p *patient) {
		p.put(p.entry(0, tagTileWidth)+8, 0xffffffff)
		p.put(p.entry(0, tagTileLength)+8, 0xffffffff)
	}),
	broken("no-soi", "tiles that do not begin as a JPEG", func(p *patient) {
		for i := range p.tiles() {
			at, _ := p.tile(i)
			copy(p.b[at:], "GIF89a")
		}
	}),
	broken("tables-are-noise", "the shared tables are noise", func(p *patient) { copy(p.b[p.value(0, tagJPEGTables)+2:], garbage(200)) }),
	broken("tile-size-differs", "tiles of another size than the tags say", func(p *patient) {
		for i := range p.tiles() {
			at, n := p.tile(i)
			tile := p.b[at : at+n]
			if sof := bytes.Index(tile, []byte{0xff, 0xc0}); sof >= 0 {
				binary.BigEndian.PutUint16(tile[sof+5:], 256)
			}
		}
	}),

	described("xml-two-slides", "two whole-slide objects", Unsupported, Philips{XML: XMLStyle{SpareObject: true}}),
	described("xml-no-spacings", "no spacings of the levels", Ready, Philips{XML: XMLStyle{NoSpacings: true}}),
	described("label-corrupt", "a label that is noise", Ready, Philips{Label: true, Macro: true, CorruptLabel: true}),
	described("label-corrupt-in-xml", "a label in the XML that is noise", Ready, Philips{Label: true, Macro: true, CorruptLabel: true, AssociatedIn: InXML}),
	described("short-arrays", "arrays shorter than the grid", Ready, Philips{ShortArrays: 1}),
	described("missing-row", "a level without its last row", Ready, Philips{MissingRow: 1}),
	damage("xml-cut", "the description ends within the XML", Ready, func(p *patient) {
		at := p.value(0, tagImageDescription)
		clear(p.b[at+900 : at+int(p.get(p.entry(0, tagImageDescription)+4))])
	}),
	damage("xml-other-root", "a description of something else", Ready, func(p *patient) {
		p.b = bytes.Replace(p.b, []byte("DPUfsImport"), []byte("DPUfsExport"), 1)
	}),

	foreign("jpeg", "a JPEG that is called a TIFF", Unsupported, func() ([]byte, error) {
		var b bytes.Buffer
		err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 64, 64)), nil)
		return b.Bytes(), err
	}),
	foreign("text", "a text that is called a TIFF", Broken, func() ([]byte, error) {
		return []byte(strings.Repeat("not a slide\n", 100)), nil
	}),
	generic("jpeg-xl", "tiles of JPEG XL", Generic{Compression: 50002}),
	generic("old-jpeg", "tiles of the JPEG of TIFF 6.0", Generic{Compression: 6}),
	generic("fax", "tiles of a fax machine's codec", Generic{Compression: 4}),
	generic("planar", "each colour in JPEG tiles of its own", Generic{Planar: 2}),
	generic("turned", "a picture stored upside down", Generic{Orientation: 3}),
	{"stripped", "strips instead of tiles", Unsupported, writeStripped},
}

// A patient is a small classic slide that is being damaged.
type patient struct{ b []byte }

func broken(name, words string, do func(*patient)) Damage { return damage(name, words, Broken, do) }

func damage(name, words, want string, do func(*patient)) Damage {
	return Damage{name, words, want, func(dir string) (string, error) {
		path := filepath.Join(dir, name+".tiff")
		b, err := healthy()
		if err != nil {
			return "", err
		}
		p := &patient{bytes.Clone(b)}
		do(p)
		return path, os.WriteFile(path, p.b, 0o644)
	}}
}

var healthyFile struct {
	sync.Mutex
	b []byte
}

// healthy returns the file of a small classic slide. It is rendered once: most damages
// start from it.
func healthy() (b []byte, err error) {
	healthyFile.Lock()
	defer healthyFile.Unlock()
	if healthyFile.b == nil {
		healthyFile.b, err = writeHealthy()
	}
	return healthyFile.b, err
}

func writeHealthy() ([]byte, error) {
	dir, err := os.MkdirTemp("", "ptiffstore-healthy-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "healthy.tiff")
	if _, err := (Philips{Seed: 9, Width: 1300, Height: 900, Barcode: "D9"}).Write(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// described is a slide without damage.
func described(name, words, want string, p Philips) Damage {
	return Damage{name, words, want, func(dir string) (string, error) {
		path := filepath.Join(dir, name+".tiff")
		p.Seed, p.Width, p.Height = 9, 1300, 900
		_, err := p.Write(path)
		return path, err
	}}
}

func generic(name, words string, g Generic) Damage {
	return Damage{name, words, Unsupported, func(dir string) (string, error) {
		path := filepath.Join(dir, name+".tiff")
		g.Seed, g.Width, g.Height = 9, 700, 500
		_, err := g.Write(path)
		return path, err
	}}
}

func foreign(name, words, want string, contents func() ([]byte, error)) Damage {
	return Damage{name, words, want, func(dir string) (string, error) {
		path := filepath.Join(dir, name+".tiff")
		b, err := contents()
		if err != nil {
			return "", err
		}
		return path, os.WriteFile(path, b, 0o644)
	}}
}

// writeStripped writes a picture of one strip.
func writeStripped(dir string) (string, error) {
	path := filepath.Join(dir, "stripped.tiff")
	return path, create(path, func(f *os.File) error {
		const side = 256
		c := newContainer(f, false, false)
		at := c.pos
		c.Write(bytes.Repeat([]byte{200, 150, 190}, side*side))
		err := c.directory([]field{
			c.long(tagImageWidth, side), c.long(tagImageLength, side), c.short(tagBitsPerSample, 8, 8, 8), c.short(tagCompression, 1),
			c.short(tagPhotometric, 2), c.short(tagSamplesPerPixel, 3), c.long(tagRowsPerStrip, side),
			c.offset(tagStripOffsets, []int64{at}), c.offset(tagStripByteCounts, []int64{3 * side * side}),
		})
		if err != nil {
			return err
		}
		return c.close()
	})
}

func (p *patient) get(at int) uint32           { return binary.LittleEndian.Uint32(p.b[at:]) }
func (p *patient) put(at int, v uint32)        { binary.LittleEndian.PutUint32(p.b[at:], v) }
func (p *patient) put16(at int, v uint16)      { binary.LittleEndian.PutUint16(p.b[at:], v) }
func (p *patient) get16(at int) int            { return int(binary.LittleEndian.Uint16(p.b[at:])) }
func (p *patient) next(i int) int              { return p.ifd(i) + 2 + 12*p.get16(p.ifd(i)) }
func (p *patient) retag(i int, tag, to uint16) { p.put16(p.entry(i, tag), to) }

// ifd is the offset of directory i of the chain.
func (p *patient) ifd(i int) int {
	at := int(p.get(4))
	for range i {
		at = int(p.get(at + 2 + 12*p.get16(at)))
	}
	return at
}

// entry is the offset of the field of a tag in directory i.
func (p *patient) entry(i int, tag uint16) int {
	at := p.ifd(i)
	for n := range p.get16(at) {
		if e := at + 2 + 12*n; p.get16(e) == int(tag) {
			return e
		}
	}
	panic(fmt.Sprintf("synth: directory %d has no tag %d", i, tag)) // a bug in this package
}

// value is the offset of a value that does not fit its entry.
func (p *patient) value(i int, tag uint16) int { return int(p.get(p.entry(i, tag) + 8)) }

// tiles is the number of tiles of level 0.
func (p *patient) tiles() int { return int(p.get(p.entry(0, tagTileOffsets) + 4)) }

// tile is the offset of tile i of level 0.
func (p *patient) tile(i int) (at, n int) {
	return int(p.get(p.value(0, tagTileOffsets) + 4*i)), int(p.get(p.value(0, tagTileByteCounts) + 4*i))
}

func (p *patient) lastTile() int { return p.tiles() - 1 }

func (p *patient) zeroTile(i int) {
	at, n := p.tile(i)
	clear(p.b[at : at+n])
}
