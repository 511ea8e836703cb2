// Package pack writes slides whose tiles are not in a file, such as those of SlideAtlas in
// MongoDB, as BigTIFFs with the same levels and tiles. A tile's bytes are written as they
// are: nothing is decoded, except tiles that were cut at an edge, because all tiles of a TIFF
// have one size.
//
// The levels of the file are those of the slide: the complete square of its quadtree, so that
// tiles keep their addresses. Where the image lies in it is stated in the ImageDescription,
// which package slide reads. All tiles outside of the image and all tiles that are background
// are one: a white JPEG that the file contains once for each kind of JPEG.
package pack

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/bigtiff"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

var (
	// ErrUnsupported: the slide cannot be packed, and trying again does not help.
	ErrUnsupported = errors.New("the slide cannot be packed")
	// ErrDamaged: a tile is not a JPEG of a tile. It is an ErrUnsupported.
	ErrDamaged = fmt.Errorf("%w: a tile is damaged", ErrUnsupported)
	// ErrCheck: the file does not contain what was written to it.
	ErrCheck = errors.New("the packed file differs from its tiles; the disk may be damaged")
)

// maxTiles limits the tiles of a level, also those outside of the image: 524,288 pixels a
// side with tiles of 256 pixels. Each takes 12 bytes of the file.
const maxTiles = 1 << 22

// Options of packing.
type Options struct {
	ID   string // of the image, for the description; two images never have equal files
	Name string // of the document, for tag 269; may be empty
	// DamagedAsBackground writes background in place of tiles that are empty or not a JPEG.
	// Otherwise such a tile is an error.
	DamagedAsBackground bool
	Readers             int                     // tiles that are read at once; 4 if 0
	Progress            func(done, total int64) // tiles; may be nil
	// CheckSpace, if not nil, is called to check that more bytes can be written after those
	// already written. Its error ends packing.
	CheckSpace func(written, more int64) error
}

// A Result describes the file.
type Result struct {
	Levels     int    `json:"levels"`     // that the file contains
	Tiles      int64  `json:"tiles"`      // with their stored bytes, or padded
	Padded     int64  `json:"padded"`     // of these, tiles cut at an edge, which were padded to the size of the others
	Background int64  `json:"background"` // tiles within the image that are not stored
	Damaged    int64  `json:"damaged"`    // damaged tiles, which are background in the file
	TileBytes  int64  `json:"tile_bytes"` // of the tiles
	Bytes      int64  `json:"bytes"`      // of the file
	Digest     string `json:"digest"`     // SHA-256 of the file, hexadecimal
}

// Write writes a slide of a [slide.Pyramid] to f, which must be empty. The file is on disk
// when Write returns, and each tile has been read from it again and compared. Its directory
// is not synced. The same slide and options give the same bytes.
//
// The error wraps [ErrUnsupported], [ErrCheck], or is that of the tiles, of the file, of
// CheckSpace, or of ctx.
func Write(ctx context.Context, s *slide.Slide, f *os.File, o Options) (Result, error) {
	p, err := newPacker(s, f, o)
	if err != nil {
		return Result{}, err
	}
	if err := p.writeTiles(ctx); err != nil {
		return Result{}, err
	}
	if err := p.finish(); err != nil {
		return Result{}, fmt.Errorf("writing the file: %w", fsx.WithoutPath(err))
	}
	if err := p.check(ctx); err != nil {
		return Result{}, err
	}
	return p.result, nil
}

// Check returns an [ErrUnsupported] if a slide cannot be packed whatever its tiles are.
func Check(s *slide.Slide) error {
	l0 := &s.Levels[0]
	for i := range s.Levels {
		l := &s.Levels[i]
		if l.Layout.Codec != slide.JPEG || l.TileWidth != l.TileHeight || l.TileWidth != l0.TileWidth || l.Width != l.Height ||
			l.Width != l.TileWidth*l.Columns || l.Columns != l0.Columns>>i || l.Columns == 0 {
			return fmt.Errorf("%w: it is not a quadtree of JPEG tiles", ErrUnsupported)
		}
	}
	if l0.TileWidth%16 != 0 {
		return fmt.Errorf("%w: tiles of %d pixels cannot be stored in a TIFF, whose tiles have sides of a multiple of 16 pixels", ErrUnsupported, l0.TileWidth)
	}
	if l0.Columns*l0.Rows > maxTiles {
		return fmt.Errorf("%w: %d zoom levels of tiles of %d pixels are too many", ErrUnsupported, len(s.Levels), l0.TileWidth)
	}
	return nil
}

// A packer writes one file.
type packer struct {
	o      Options
	slide  *slide.Slide
	f      *os.File
	out    *bigtiff.Writer
	levels []*level
	blanks map[kind]extent // the background of each kind of JPEG
	result Result

	total, done int64 // tiles to write and to check
	hash        hasher
}

// A level is a level of the file. Its tables have only the tiles that show a part of the
// image.
type level struct {
	number  int             // of the slide's level
	tiles   image.Rectangle // columns and rows that show a part of the image
	extents []extent        // row by row; the zero value is background
	hashes  []uint64
	kind    kind // of its JPEGs; the zero value if it has none
	stored  int64
	missing bool // the level is not stored, and derived from the next one
}

// An extent is where a tile is in the file.
type extent struct {
	offset uint64
	length uint32
}

func newPacker(s *slide.Slide, f *os.File, o Options) (*packer, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	p := &packer{o: o, slide: s, f: f, out: bigtiff.NewWriter(f), blanks: map[kind]extent{}, hash: newHasher()}
	p.out.CheckSpace = o.CheckSpace
	for i := len(s.Levels) - 1; i >= 0; i-- {
		l := &level{number: i, tiles: p.visible(i)}
		n := l.tiles.Dx() * l.tiles.Dy()
		l.extents, l.hashes = make([]extent, n), make([]uint64, n)
		p.levels = append(p.levels, l)
		p.total += int64(n)
	}
	return p, nil
}

// visible returns the columns and rows of the tiles of a level that show a part of the image.
func (p *packer) visible(number int) image.Rectangle {
	b, n := p.slide.Bounds, p.slide.Levels[0].TileWidth<<number
	return image.Rect(b.Min.X/n, b.Min.Y/n, (b.Max.X+n-1)/n, (b.Max.Y+n-1)/n)
}

// index returns the place of a tile in the tables of a level.
func (l *level) index(col, row int) int {
	return (row-l.tiles.Min.Y)*l.tiles.Dx() + col - l.tiles.Min.X
}

// writeTiles writes the tiles of all levels, the smallest first.
func (p *packer) writeTiles(ctx context.Context) error {
	if err := p.read(ctx, p.writeTile); err != nil {
		return err
	}
	if largest := p.levels[len(p.levels)-1]; largest.stored == 0 {
		return fmt.Errorf("%w: its largest level has no tiles", ErrUnsupported)
	}
	return nil
}

// writeTile writes one tile.
func (p *packer) writeTile(t *tile) error {
	l := t.level
	p.step(1)
	switch {
	case t.err == nil:
	case errors.Is(t.err, slide.ErrEmptyTile):
		p.result.Background++
		return nil
	case errors.Is(t.err, slide.ErrMissingTile) && len(l.extents) == 1:
		l.missing = true
		return nil
	case isDamage(t.err):
		if p.o.DamagedAsBackground {
			p.result.Damaged++
			return nil
		}
		return fmt.Errorf("%w: %w", ErrDamaged, t.err)
	default:
		return t.err
	}
	switch l.kind {
	case kind{}:
		l.kind = t.kind
	case t.kind:
	default:
		return fmt.Errorf("%w: level %d has JPEGs of different kinds (%v, and tile %d,%d is %v), which a TIFF cannot contain", ErrUnsupported, l.number, l.kind, t.col, t.row, t.kind)
	}
	if t.padded {
		p.result.Padded++
	}
	i := l.index(t.col, t.row)
	l.hashes[i] = t.hash
	l.stored++
	p.result.Tiles++
	p.result.TileBytes += int64(len(t.data))
	var err error
	l.extents[i], err = p.write(t.data)
	return err
}

// step reports progress: each tile is written and checked.
func (p *packer) step(n int64) {
	p.done += n
	if p.o.Progress != nil {
		p.o.Progress(p.done/2, p.total)
	}
}

// write writes the bytes of a tile.
func (p *packer) write(b []byte) (extent, error) {
	at, err := p.out.WriteTile(b)
	return extent{uint64(at), uint32(len(b))}, fsx.WithoutPath(err)
}

// finish writes what follows the tiles, and syncs the file.
func (p *packer) finish() error {
	for _, l := range p.levels {
		if l.kind == (kind{}) { // all of it is background
			l.kind = p.levels[len(p.levels)-1].kind
		}
		if _, ok := p.blanks[l.kind]; !ok {
			e, err := p.write(blank(l.kind, p.slide.Levels[0].TileWidth))
			if err != nil {
				return err
			}
			p.blanks[l.kind] = e
		}
	}
	for i := len(p.levels) - 1; i >= 0; i-- { // the largest first, as readers expect
		if l := p.levels[i]; !l.missing {
			if err := p.out.Directory(p.fields(l)); err != nil {
				return err
			}
			p.result.Levels++
		}
	}
	if err := p.out.Finish(); err != nil {
		return err
	}
	p.result.Bytes = p.out.Offset()
	return p.f.Sync()
}

// fields returns the fields of a level's directory.
func (p *packer) fields(l *level) []bigtiff.Field {
	const tagDocumentName = 269
	s := &p.slide.Levels[l.number]
	f := (&bigtiff.Level{
		Reduced: l.number > 0, Width: s.Width, Height: s.Height, TileWidth: s.TileWidth, TileHeight: s.TileHeight,
		Photometric: l.kind.photometric, Components: l.kind.components, ChromaX: l.kind.h, ChromaY: l.kind.v,
		MPPX: p.slide.MPPX * s.Downsample, MPPY: p.slide.MPPY * s.Downsample,
	}).Fields()
	if l.number == 0 {
		f = append(f, bigtiff.Text(tiff.TagImageDescription, p.description()))
		if name := strings.ReplaceAll(p.o.Name, "\x00", ""); name != "" {
			f = append(f, bigtiff.Text(tagDocumentName, name))
		}
	}
	offsets, counts := p.tables(l)
	return append(f, offsets, counts)
}

// tables returns the tables of a level's tiles.
func (p *packer) tables(l *level) (offsets, counts bigtiff.Field) {
	n := p.slide.Levels[l.number].Columns
	all, lengths := make([]uint64, 0, n*n), make([]uint32, 0, n*n)
	blank := p.blanks[l.kind]
	for row := range n {
		for col := range n {
			e := blank
			if image.Pt(col, row).In(l.tiles) {
				if e = l.extents[l.index(col, row)]; e.length == 0 {
					e = blank
				}
			}
			all, lengths = append(all, e.offset), append(lengths, e.length)
		}
	}
	return bigtiff.Longs8(tiff.TagTileOffsets, all), bigtiff.Longs(tiff.TagTileByteCounts, lengths)
}

// description returns the ImageDescription: see [slide.PackedDescription].
func (p *packer) description() string {
	d := slide.PackedDescription{Bounds: p.slide.Bounds, MPPX: p.slide.MPPX, MPPY: p.slide.MPPY, Image: p.o.ID, Properties: p.slide.Properties}
	for _, l := range p.levels {
		if e := p.blanks[l.kind]; !slices.Contains(d.Background, e.offset) {
			d.Background = append(d.Background, e.offset)
		}
	}
	return d.String()
}
