package synth

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// A Codec is the compression of the tiles of a generic slide. The zero value is JPEG.
type Codec string

// The codecs of tiled pyramids in use.
const (
	JPEG    Codec = "jpeg"
	Deflate Codec = "deflate"
	LZW     Codec = "lzw"
	None    Codec = "none"
	Zstd    Codec = "zstd"
)

// Generic is a tiled pyramid as vips, GDAL and others write it. The zero value of each
// field but the size is the most common one.
type Generic struct {
	Seed          uint64
	Width, Height int // pixels

	TileW, TileH int // pixels, multiples of 16; 0 is 256
	Levels       int // with 0, down to a level of one tile
	Ratio        int // between levels, a power of two; 0 is 2
	Big          bool
	BigEndian    bool
	SubIFDs      bool // the smaller levels are sub-directories, as in OME-TIFF
	Masks        bool // a 1-bit mask of each level follows it, as in cloud optimised GeoTIFFs
	StripTags    bool // the tiles' offsets are in the tags meant for strips
	NoReducedBit bool // smaller levels are not marked as such, as Aperio does
	Sparse       bool

	Codec       Codec
	Predictor   bool // horizontal differences; not for JPEG
	Gray        bool // one sample a pixel; not for JPEG
	Bits16      bool // 16 bits a sample; not for JPEG
	Quality     int  // of JPEGs; 0 is 80
	Subsampling Subsampling
	RGB         bool // JPEG: photometric RGB, unmarked
	Tables      Tables
	Planar      int // 2 for separate colour planes; only the tag is written, not planar tiles
	Orientation int // without the tag if 0
	Compression int // value of the tag; that of the codec if 0

	PixelsPerCM float64 // no resolution if 0
	ICC         []byte  // colour profile, in tag 34675 of the largest level
}

// compressions are the codecs' values of tag 259: TIFF 6.0, Adobe's deflate, and
// libtiff's zstd.
var compressions = map[Codec]int{None: 1, LZW: 5, JPEG: 7, Deflate: 8, Zstd: 50000}

// Write writes the slide to a temporary file, and renames it when it is complete.
func (g Generic) Write(path string) (Info, error) {
	info := Info{Path: path}
	g.TileW, g.TileH = cmp.Or(g.TileW, 256), cmp.Or(g.TileH, g.TileW, 256)
	g.Ratio, g.Quality = cmp.Or(g.Ratio, 2), cmp.Or(g.Quality, 80)
	g.Codec, g.Tables, g.Subsampling = cmp.Or(g.Codec, JPEG), cmp.Or(g.Tables, Shared), cmp.Or(g.Subsampling, Sub420)
	if g.Width < 1 || g.Height < 1 || g.TileW%16 != 0 || g.TileH%16 != 0 || g.Ratio&(g.Ratio-1) != 0 {
		return info, fmt.Errorf("synth: a slide of %d×%d pixels in tiles of %d×%d, each level a %dth", g.Width, g.Height, g.TileW, g.TileH, g.Ratio)
	}
	err := create(path, func(f *os.File) error {
		w := &genericWriter{g: g, c: newContainer(f, g.Big, g.BigEndian)}
		defer w.discard()
		if err := w.write(filepath.Dir(path)); err != nil {
			return err
		}
		info.Levels, info.Size = w.info(), w.c.pos
		return w.c.close()
	})
	return info, err
}

// A genericWriter writes one file.
type genericWriter struct {
	g      Generic
	c      *container
	coder  *coder
	pyr    *pyramid
	outs   []*levelOut // of the levels that are stored
	steps  []int       // how often each is halved
	failed error
}

func (w *genericWriter) discard() {
	for _, o := range w.outs {
		o.discard()
	}
}

func (w *genericWriter) write(dir string) error {
	if err := w.plan(dir); err != nil {
		return err
	}
	if err := w.pyr.run(); err != nil {
		return err
	}
	if w.failed != nil {
		return w.failed
	}
	for _, o := range w.outs {
		if err := o.moveTo(w.c); err != nil {
			return err
		}
	}
	var subs []int64
	if w.g.SubIFDs {
		for i := 1; i < len(w.outs); i++ {
			at, err := w.c.unlinked(w.fields(i))
			if err != nil {
				return err
			}
			subs = append(subs, at)
		}
	}
	for i := range w.outs {
		fields := w.fields(i)
		if i == 0 && len(subs) > 0 {
			fields = append(fields, w.c.offset(tagSubIFDs, subs))
		}
		if err := w.c.directory(fields); err != nil {
			return err
		}
		if w.g.Masks {
			if err := w.mask(i); err != nil {
				return err
			}
		}
		if w.g.SubIFDs {
			break
		}
	}
	return nil
}

// plan lays out the levels: those stored, and those between them.
func (w *genericWriter) plan(dir string) error {
	g := &w.g
	if g.Codec == JPEG {
		w.coder = newCoder(g.Quality, g.Subsampling, g.RGB)
	}
	w.pyr = newPyramid(newScene(g.Seed, g.Width, g.Height, 0.25, g.Codec != JPEG), w.coder)
	w.pyr.sparse, w.pyr.encode = g.Sparse, w.raw
	if g.Codec == JPEG {
		head := w.coder.head(g.Tables, g.TileW, g.TileH)
		w.pyr.encode = func(t *tile) []byte { return t.jpeg(head) }
	}
	every := 0
	for r := g.Ratio; r > 1; r /= 2 {
		every++
	}
	for step := 0; ; step++ {
		width, height := ceilDiv(g.Width, 1<<step), ceilDiv(g.Height, 1<<step)
		var out *levelOut
		if every == 0 || step%every == 0 {
			var err error
			if out, err = newSpool(dir); err != nil {
				return err
			}
			w.outs, w.steps = append(w.outs, out), append(w.steps, step)
		}
		w.pyr.addStage(out, g.TileW, g.TileH, ceilDiv(width, g.TileW), ceilDiv(height, g.TileH))
		enough := width <= g.TileW && height <= g.TileH
		if g.Levels > 0 {
			enough = len(w.outs) == g.Levels
		}
		if out != nil && enough {
			return nil
		}
	}
}

func (w *genericWriter) size(i int) (width, height int) {
	return ceilDiv(w.g.Width, 1<<w.steps[i]), ceilDiv(w.g.Height, 1<<w.steps[i])
}

func (w *genericWriter) info() (levels []LevelInfo) {
	for i, out := range w.outs {
		l := LevelInfo{TileWidth: w.g.TileW, TileHeight: w.g.TileH, Tiles: len(out.offsets), Sparse: out.sparse, Downsample: 1 << w.steps[i]}
		l.Width, l.Height = w.size(i)
		l.TagWidth, l.TagHeight = l.Width, l.Height
		l.Columns, l.Rows = ceilDiv(l.Width, l.TileWidth), ceilDiv(l.Height, l.TileHeight)
		levels = append(levels, l)
	}
	return levels
}

// fields returns the fields of a stored level's directory.
func (w *genericWriter) fields(i int) []field {
	c, g, out := w.c, &w.g, w.outs[i]
	width, height := w.size(i)
	samples, bits := 3, 8
	if g.Gray {
		samples = 1
	}
	if g.Bits16 {
		bits = 16
	}
	offsets, counts := uint16(tagTileOffsets), uint16(tagTileByteCounts)
	if g.StripTags {
		offsets, counts = tagStripOffsets, tagStripByteCounts
	}
	fields := []field{
		c.long(tagImageWidth, width), c.long(tagImageLength, height), c.short(tagSamplesPerPixel, samples),
		c.short(tagBitsPerSample, []int{bits, bits, bits}[:samples]...),
		c.short(tagCompression, cmp.Or(g.Compression, compressions[g.Codec])), c.short(tagPlanarConfig, cmp.Or(g.Planar, 1)),
		c.long(tagTileWidth, g.TileW), c.long(tagTileLength, g.TileH), c.offset(offsets, out.offsets), c.offset(counts, out.counts),
	}
	if g.Codec == JPEG {
		fields = append(fields, w.jpegFields()...)
	} else {
		fields = append(fields, c.short(tagPhotometric, samples-samples/2)) // 1 gray, 2 RGB
	}
	if g.Predictor {
		fields = append(fields, c.short(tagPredictor, 2))
	}
	if g.Orientation > 0 {
		fields = append(fields, c.short(tagOrientation, g.Orientation))
	}
	if i == 0 && len(g.ICC) > 0 {
		fields = append(fields, field{tag: tagICCProfile, typ: typeUndefined, count: uint64(len(g.ICC)), data: g.ICC})
	}
	if i > 0 && !g.NoReducedBit {
		fields = append(fields, c.long(tagNewSubfileType, 1))
	}
	if g.PixelsPerCM > 0 && i == 0 {
		n := int(g.PixelsPerCM * 1000)
		fields = append(fields, c.rational(tagXResolution, n, 1000), c.rational(tagYResolution, n, 1000), c.short(tagResolutionUnit, 3))
	}
	return fields
}

func (w *genericWriter) jpegFields() []field {
	p := philipsWriter{c: w.c}
	return p.jpegFields(w.coder, w.g.Tables)
}

// mask writes a directory of one bit per pixel, all set, whose tiles share the bytes of
// one.
func (w *genericWriter) mask(i int) error {
	c, l := w.c, w.info()[i]
	c.align()
	at, n := c.pos, l.TileWidth/8*l.TileHeight
	c.Write(bytes.Repeat([]byte{0xff}, n))
	offsets, counts := make([]int64, l.Columns*l.Rows), make([]int64, l.Columns*l.Rows)
	for t := range offsets {
		offsets[t], counts[t] = at, int64(n)
	}
	kind := 4 // a mask; 5: of a smaller level
	if i > 0 {
		kind = 5
	}
	return c.directory([]field{
		c.long(tagNewSubfileType, kind), c.long(tagImageWidth, l.Width), c.long(tagImageLength, l.Height),
		c.short(tagBitsPerSample, 1), c.short(tagCompression, 1), c.short(tagPhotometric, 4), c.short(tagSamplesPerPixel, 1),
		c.short(tagPlanarConfig, 1), c.long(tagTileWidth, l.TileWidth), c.long(tagTileLength, l.TileHeight),
		c.offset(tagTileOffsets, offsets), c.offset(tagTileByteCounts, counts),
	})
}

// raw compresses a tile without loss.
func (w *genericWriter) raw(t *tile) []byte {
	pix, samples := t.rgb(), 3
	if w.g.Gray {
		pix, samples = gray(pix), 1
	}
	if w.g.Bits16 {
		pix = w.wide(pix, t.st.tileW*samples, samples)
	} else if w.g.Predictor {
		for row := 0; row < len(pix); row += t.st.tileW * samples {
			for i := row + t.st.tileW*samples - 1; i >= row+samples; i-- {
				pix[i] -= pix[i-samples]
			}
		}
	}
	b, err := pack(w.g.Codec, pix)
	if err != nil {
		w.failed = err
	}
	return b
}

func gray(pix []byte) []byte {
	out := make([]byte, 0, len(pix)/3)
	for i := 0; i < len(pix); i += 3 {
		out = append(out, byte((299*int(pix[i])+587*int(pix[i+1])+114*int(pix[i+2]))/1000))
	}
	return out
}

// wide converts samples to 16 bits, multiplied by 257.
func (w *genericWriter) wide(pix []byte, row, samples int) []byte {
	out := make([]byte, 0, 2*len(pix))
	for i, v := range pix {
		n := uint16(v) * 257
		if w.g.Predictor && i%row >= samples {
			n -= uint16(pix[i-samples]) * 257
		}
		out = w.c.order.AppendUint16(out, n)
	}
	return out
}

func pack(codec Codec, pix []byte) ([]byte, error) {
	var b bytes.Buffer
	switch codec {
	case None:
		return pix, nil
	case Deflate:
		z := zlib.NewWriter(&b)
		z.Write(pix) // into memory
		if err := z.Close(); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	case LZW:
		return packLZW(pix), nil
	case Zstd:
		z, err := zstd.NewWriter(nil)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return z.EncodeAll(pix, nil), nil
	}
	return nil, fmt.Errorf("synth: codec %q", codec)
}
