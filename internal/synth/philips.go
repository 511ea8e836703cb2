package synth

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Place is where label and macro are stored. The zero value is InDirectories.
type Place string

// The places that Philips uses.
const (
	InDirectories Place = "directories" // in directories of their own
	InXML         Place = "xml"         // as base64 in the description
	InBoth        Place = "both"
)

// maxLevels is the maximum number of levels that IntelliSite writes.
const maxLevels = 10

// Philips is a slide as IntelliSite exports it, or, with SDK, as the Pathology SDK
// does. The zero value of each field but the size is the most common one.
type Philips struct {
	Seed          uint64
	Width, Height int // of the scanned area, in pixels; the tags are rounded up to whole tiles

	// The pyramid.
	TileSize    int  // pixels; 0 is 512
	Levels      int  // with 0, down to a level of one tile, at most 10
	Big         bool // BigTIFF
	BigEndian   bool // not seen in practice, and not read by OpenSlide 3.4.1
	Sparse      bool // tiles of bare glass are omitted, with 0 as offset and byte count
	MissingRow  int  // a level whose last row of tiles is neither in the tag nor in the file; none if 0
	SpareColumn int  // a level with one column of tiles more than it needs; none if 0
	ShortArrays int  // how many items are missing at the end of each level's tile tables

	// The tiles.
	Quality     int // 1 to 100; 0 is 80
	Subsampling Subsampling
	RGB         bool // photometric RGB: neither subsampled nor marked as such in the JPEG
	ZeroIDs     bool // components are numbered from 0, not from 1
	Tables      Tables
	ImageDepth  int // tags ImageDepth and TileDepth; without them if 0, Philips DP v1.1 writes 9

	// Label and macro.
	Label, Macro bool
	AssociatedIn Place
	CorruptLabel bool // noise instead of the label's JPEG: in its directory, or in the XML if it is only there
	Strips       int  // of each of their directories; 0 is 1
	StripTables  bool // their tables are in tag 347

	// The XML.
	Barcode      string  // "" is an empty attribute
	BarcodePlain bool    // as text, not as base64
	NoBarcode    bool    // no attribute
	MPPX, MPPY   float64 // µm; 0 is 0.25, or the other one
	Objective    float64 // 10 / MPPX rounded if 0; not given if negative
	Maker        string  // of the scanner; "" is PHILIPS
	Model        string  // "" is UFS Scanner
	Serial       string  // "" is FMT0107
	Acquired     time.Time
	ICC          []byte
	Software     string // "" is Philips DP v1.0
	XML          XMLStyle

	// DescriptionPad makes the description at least this many bytes long: with a large
	// macro in it if Macro is set, otherwise with a comment.
	DescriptionPad int

	// SDK omits XML, Software and the pictures.
	SDK bool
}

// Write writes the slide to a temporary file, and renames it when it is complete.
func (p Philips) Write(path string) (Info, error) { return p.write(path, nil) }

// write is Write with a function that receives the share that is done, from 0 to 1; nil for
// none.
func (p Philips) write(path string, progress func(share float64)) (Info, error) {
	info := Info{Path: path}
	if err := p.complete(); err != nil {
		return info, fmt.Errorf("synth: %w", err)
	}
	err := create(path, func(f *os.File) error {
		w := &philipsWriter{p: p, progress: progress, c: newContainer(f, p.Big, p.BigEndian)}
		defer w.discard()
		if err := w.write(filepath.Dir(path)); err != nil {
			return err
		}
		info.Levels, info.Size = w.info(), w.c.pos
		return w.c.close()
	})
	return info, err
}

// complete sets the default values.
func (p *Philips) complete() error {
	if p.Width < 1 || p.Height < 1 {
		return fmt.Errorf("a slide of %d×%d pixels", p.Width, p.Height)
	}
	p.TileSize = cmp.Or(p.TileSize, 512)
	if p.TileSize%16 != 0 || p.TileSize < 16 {
		return fmt.Errorf("tiles of %d pixels: want a multiple of 16", p.TileSize)
	}
	p.Quality = cmp.Or(p.Quality, 80)
	if p.Quality < 1 || p.Quality > 100 {
		return errors.New("quality must be 1 to 100")
	}
	p.Subsampling = cmp.Or(p.Subsampling, Sub420)
	p.Tables = cmp.Or(p.Tables, Shared)
	p.AssociatedIn = cmp.Or(p.AssociatedIn, InDirectories)
	p.Strips = max(p.Strips, 1)
	p.MPPX = cmp.Or(p.MPPX, p.MPPY, 0.25)
	p.MPPY = cmp.Or(p.MPPY, p.MPPX)
	if p.Objective == 0 {
		p.Objective = float64(int(10/p.MPPX + 0.5))
	}
	p.Maker, p.Model = cmp.Or(p.Maker, "PHILIPS"), cmp.Or(p.Model, "UFS Scanner")
	p.Serial, p.Software = cmp.Or(p.Serial, "FMT0107"), cmp.Or(p.Software, "Philips DP v1.0")
	if p.Levels == 0 {
		p.Levels = 1
		for w, h := p.Width, p.Height; max(w, h) > p.TileSize && p.Levels < maxLevels; p.Levels++ {
			w, h = ceilDiv(w, 2), ceilDiv(h, 2)
		}
	}
	return nil
}

// A philipsWriter writes one file.
type philipsWriter struct {
	p        Philips
	progress func(share float64)
	c        *container
	pyr      *pyramid
	outs     []*levelOut
}

func (w *philipsWriter) discard() {
	for _, l := range w.outs {
		l.discard()
	}
}

func (w *philipsWriter) write(dir string) error {
	if err := w.plan(dir); err != nil {
		return err
	}
	base := w.c.pos
	if err := w.pyr.run(); err != nil {
		return err
	}
	w.outs[0].rebase(base)
	pictures, err := w.pictures()
	if err != nil {
		return err
	}
	for i := range w.outs {
		if i > 0 {
			if err := w.outs[i].moveTo(w.c); err != nil {
				return err
			}
		}
		if err := w.c.directory(w.levelFields(i, pictures)); err != nil {
			return err
		}
	}
	if w.p.SDK || w.p.AssociatedIn == InXML {
		return nil
	}
	for i := range pictures {
		if err := w.associated(&pictures[i]); err != nil {
			return err
		}
	}
	return nil
}

// plan lays out the levels.
func (w *philipsWriter) plan(dir string) error {
	p := &w.p
	c := newCoder(p.Quality, p.Subsampling, p.RGB)
	if p.ZeroIDs {
		c.firstID = 0
	}
	head := c.head(p.Tables, p.TileSize, p.TileSize)
	w.pyr = newPyramid(newScene(p.Seed, p.Width, p.Height, p.MPPX, false), c)
	w.pyr.sparse, w.pyr.progress = p.Sparse, w.progress
	w.pyr.encode = func(t *tile) []byte { return t.jpeg(head) }
	for i := range p.Levels {
		out := &levelOut{w: w.c}
		if i > 0 {
			var err error
			if out, err = newSpool(dir); err != nil {
				return err
			}
		}
		w.outs = append(w.outs, out)
		width, height := w.tagSize(i)
		w.pyr.addStage(out, p.TileSize, p.TileSize, width/p.TileSize, height/p.TileSize)
	}
	w.pyr.keepView()
	return nil
}

// size is the size of a level's picture: that of the padded level 0, divided.
func (w *philipsWriter) size(level int) (width, height int) {
	t := w.p.TileSize
	return max(ceilDiv(w.p.Width, t)*t>>level, 1), max(ceilDiv(w.p.Height, t)*t>>level, 1)
}

// tagSize is the size in the tags of a level: whole tiles, and not always enough.
func (w *philipsWriter) tagSize(level int) (width, height int) {
	t := w.p.TileSize
	width, height = w.size(level)
	width, height = ceilDiv(width, t)*t, ceilDiv(height, t)*t
	if level > 0 && level == w.p.SpareColumn {
		width += t
	}
	if level > 0 && level == w.p.MissingRow && height > t {
		height -= t
	}
	return width, height
}

// kept is the number of items in the tables of a level.
func (w *philipsWriter) kept(level int) int {
	return max(len(w.outs[level].offsets)-w.p.ShortArrays, 1)
}

func (w *philipsWriter) info() (levels []LevelInfo) {
	for i, out := range w.outs {
		l := LevelInfo{TileWidth: w.p.TileSize, TileHeight: w.p.TileSize, Tiles: w.kept(i), Downsample: 1 << i}
		l.Width, l.Height = w.size(i)
		l.TagWidth, l.TagHeight = w.tagSize(i)
		l.Columns, l.Rows = l.TagWidth/l.TileWidth, l.TagHeight/l.TileHeight
		for _, n := range out.counts[:l.Tiles] {
			if n == 0 {
				l.Sparse++
			}
		}
		levels = append(levels, l)
	}
	return levels
}

// levelFields are those of the directory of a level.
func (w *philipsWriter) levelFields(level int, pictures []picture) []field {
	c, p, out := w.c, &w.p, w.outs[level]
	width, height := w.tagSize(level)
	n := w.kept(level)
	fields := []field{
		c.long(tagImageWidth, width), c.long(tagImageLength, height),
		c.short(tagBitsPerSample, 8, 8, 8), c.short(tagCompression, 7),
		c.short(tagSamplesPerPixel, 3), c.short(tagPlanarConfig, 1),
		c.long(tagTileWidth, p.TileSize), c.long(tagTileLength, p.TileSize),
		c.offset(tagTileOffsets, out.offsets[:n]), c.offset(tagTileByteCounts, out.counts[:n]),
	}
	fields = append(fields, w.jpegFields(w.pyr.coder, p.Tables)...)
	if p.ImageDepth > 0 {
		fields = append(fields, c.long(tagImageDepth, p.ImageDepth), c.long(tagTileDepth, p.ImageDepth))
	}
	if level > 0 {
		fields = append(fields, c.long(tagNewSubfileType, 1))
	}
	if p.SDK {
		return fields
	}
	fields = append(fields, ascii(tagSoftware, p.Software))
	if level == 0 {
		xml := field{tag: tagImageDescription, typ: typeASCII, data: w.xml(pictures), last: true}
		xml.count = uint64(len(xml.data))
		return append(fields, xml)
	}
	mag := max(p.Objective, 0) / float64(int(1)<<level)
	return append(fields, ascii(tagImageDescription, fmt.Sprintf("level=%d mag=%g quality=%d", level, mag, p.Quality)))
}

// jpegFields are the fields that describe how to read a directory's JPEGs.
func (w *philipsWriter) jpegFields(c *coder, t Tables) []field {
	var fields []field
	if c.rgb {
		fields = append(fields, w.c.short(tagPhotometric, 2))
	} else {
		fields = append(fields, w.c.short(tagPhotometric, 6), w.c.short(tagSubSampling, c.h, c.v))
	}
	if t != InTiles {
		fields = append(fields, undefined(tagJPEGTables, c.tables(t)))
	}
	return fields
}
