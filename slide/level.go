package slide

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// maxSide limits width and height in pixels: the number of pixels must fit into 64
	// bits. Larger glass does not exist.
	maxSide = math.MaxInt32
	// maxTileSide is the largest side a JPEG can have (ITU-T T.81 B.2.2).
	maxTileSide = math.MaxUint16
	// maxTilePixels limits the cost of decoding one tile.
	maxTilePixels = 64 << 20
	// maxTileBytes limits the compressed size of one tile. A damaged byte count can claim
	// 16 EiB.
	maxTileBytes = 64 << 20
)

// A source is the location of the tiles of a level. Its grid is that of the directory
// as written, which may be larger or smaller than the grid of the [Level].
type source struct {
	dir             *tiff.Directory
	columns, rows   int
	offsets, counts tiff.Tag

	// record returns the table of a structure record, or nil if it is to be read from the
	// file. It is nil without a structure record.
	record func() (*compactTable, error)

	mu    sync.Mutex // held while the table is read
	table atomic.Pointer[table]
}

// A table is the part of a source that is read with its first tile.
type table struct {
	offsets, counts tiff.Array
	compact         *compactTable // instead of both, with a structure record
	missing         *tileSet      // tiles to be derived from a larger level; nil for none
	*splicer                      // nil unless the level is JPEG
}

// extent locates tile col,row of a plane. The error is [ErrEmptyTile] for a tile that the scanner
// skipped: the count is 0, or the grid, or a table shorter than the grid, does not contain
// it.
func (t *table) extent(src *source, plane, col, row int) (off, n uint64, err error) {
	if col >= src.columns || row >= src.rows {
		return 0, 0, ErrEmptyTile
	}
	i := (plane*src.rows+row)*src.columns + col
	if i >= t.len() {
		return 0, 0, ErrEmptyTile
	}
	if off, n = t.at(i); n == 0 {
		return 0, 0, ErrEmptyTile
	}
	return off, n, nil
}

// isTiled reports whether d holds tiles rather than strips.
func isTiled(d *tiff.Directory) bool {
	_, w := d.Entry(tiff.TagTileWidth)
	_, h := d.Entry(tiff.TagTileLength)
	return w && h
}

// readLevel describes the tiled directory d, with the sizes in its tags.
func readLevel(f *tiff.File, d *tiff.Directory) (Level, *source, error) {
	var l Level
	var err error
	for _, v := range []struct {
		tag tiff.Tag
		to  *int
		max uint64
	}{
		{tiff.TagImageWidth, &l.Width, maxSide},
		{tiff.TagImageLength, &l.Height, maxSide},
		{tiff.TagTileWidth, &l.TileWidth, maxTileSide},
		{tiff.TagTileLength, &l.TileHeight, maxTileSide},
	} {
		if *v.to, err = side(d, v.tag, v.max); err != nil {
			return l, nil, err
		}
	}
	if l.TileWidth*l.TileHeight > maxTilePixels {
		return l, nil, broken(d, tiff.TagTileWidth, "tiles of %d×%d pixels are too large", l.TileWidth, l.TileHeight)
	}
	if l.Layout, err = readLayout(f, d); err != nil {
		return l, nil, err
	}
	if err := turned(d); err != nil {
		return l, nil, err
	}
	l.Columns = ceilDiv(l.Width, l.TileWidth)
	l.Rows = ceilDiv(l.Height, l.TileHeight)
	l.Downsample = 1
	src, err := newSource(d, &l)
	return l, src, err
}

// side returns a width or height in pixels.
func side(d *tiff.Directory, tag tiff.Tag, limit uint64) (int, error) {
	n, err := d.Uint(tag, 0)
	if err != nil {
		return 0, err
	}
	if n == 0 || n > limit {
		return 0, broken(d, tag, "a size of %d pixels, expected 1 to %d", n, limit)
	}
	return int(n), nil
}

// turned rejects a level that is stored rotated or mirrored.
func turned(d *tiff.Directory) error {
	o, err := d.Uint(tiff.TagOrientation, 1)
	if err != nil {
		if isFieldError(err) {
			return nil // the field is damaged; nearly all images are upright
		}
		return err
	}
	if o > 1 { // some writers store 0 for unspecified
		return unsupported(d, tiff.TagOrientation,
			"orientation %d (rotated or mirrored tiles) is not supported; write the slide with orientation 1", o)
	}
	return nil
}

// newSource finds the tables of a level: TileOffsets and TileByteCounts, or the tags for
// strips, which some writers use for tiles (libtiff accepts both).
func newSource(d *tiff.Directory, l *Level) (*source, error) {
	src := &source{
		dir: d, columns: l.Columns, rows: l.Rows,
		offsets: tiff.TagTileOffsets, counts: tiff.TagTileByteCounts,
	}
	if _, ok := d.Entry(src.offsets); !ok {
		src.offsets = tiff.TagStripOffsets
	}
	if _, ok := d.Entry(src.counts); !ok {
		src.counts = tiff.TagStripByteCounts
	}
	offsets, ok := d.Entry(src.offsets)
	if !ok {
		return nil, broken(d, tiff.TagTileOffsets, "the file is damaged: the tile offsets are missing")
	}
	if _, ok := d.Entry(src.counts); !ok {
		return nil, broken(d, tiff.TagTileByteCounts, "the file is damaged: the tile byte counts are missing")
	}
	// Philips tables may lack the last rows of tiles, but not most of the slide: a small
	// file must not claim a grid that takes very long to process.
	grid := uint64(l.Columns) * uint64(l.Rows)
	if grid > 64 && offsets.Count < grid/4 {
		return nil, broken(d, src.offsets, "the file is damaged: it has offsets of %d tiles for a grid of %d×%d", offsets.Count, l.Columns, l.Rows)
	}
	return src, nil
}

// load reads the tables of src once, also for concurrent callers.
func (s *Slide) load(src *source, l *Layout) (*table, error) {
	src.mu.Lock()
	defer src.mu.Unlock()
	if t := src.table.Load(); t != nil {
		return t, nil
	}
	t, err := src.readTable()
	if err != nil {
		return nil, err
	}
	if l.Codec == JPEG {
		if t.splicer, err = readSplicer(src.dir, l); err != nil {
			return nil, err
		}
	}
	if s.gaps {
		if t.missing, err = s.missingTiles(src, t); err != nil {
			return nil, err
		}
	}
	src.table.Store(t)
	s.mem.Add(int64(t.bytes() + 1<<10))
	return t, nil
}

// readTable reads where the tiles are.
func (src *source) readTable() (*table, error) {
	t := new(table)
	var err error
	if src.record != nil {
		if t.compact, err = src.record(); t.compact != nil || err != nil {
			return t, err
		}
	}
	if t.offsets, err = src.dir.Array(src.offsets); err != nil {
		return nil, err
	}
	t.counts, err = src.dir.Array(src.counts)
	return t, err
}

// bytes returns the memory of where the tiles are.
func (t *table) bytes() int {
	if t.compact != nil {
		return t.compact.bytes()
	}
	return t.offsets.Bytes() + t.counts.Bytes()
}

// addLevels appends the levels of dirs, largest first, with the sizes of their tags.
// The first must be readable. A later one in an unsupported layout is skipped, as its
// zoom level can be derived from the one before.
func (s *Slide) addLevels(f *tiff.File, dirs []*tiff.Directory) error {
	type stored struct {
		Level
		src *source
	}
	var all []stored
	for i, d := range dirs {
		l, src, err := readLevel(f, d)
		if _, ok := err.(*tiff.UnsupportedError); ok && i > 0 {
			continue
		}
		if err != nil {
			return err
		}
		all = append(all, stored{l, src})
	}
	slices.SortStableFunc(all, func(a, b stored) int {
		return b.Width*b.Height - a.Width*a.Height // at most 2^62
	})
	for _, l := range all {
		s.Levels = append(s.Levels, l.Level)
		s.sources = append(s.sources, l.src)
	}
	for i := range s.Levels {
		s.Levels[i].Downsample = downsample(&s.Levels[0], &s.Levels[i])
	}
	return nil
}

// downsample returns the ratio of the sizes of l0 and l: exactly a power of two if that
// gives the size of l up to a pixel of rounding, otherwise the mean of both axes.
func downsample(l0, l *Level) float64 {
	mean := (float64(l0.Width)/float64(l.Width) + float64(l0.Height)/float64(l.Height)) / 2
	d := nearestPower(mean)
	if math.Abs(float64(l0.Width)/d-float64(l.Width)) <= 1 && math.Abs(float64(l0.Height)/d-float64(l.Height)) <= 1 {
		return d
	}
	return mean
}

func nearestPower(x float64) float64 {
	return math.Exp2(math.Round(math.Log2(max(x, 1))))
}

// broken returns the error for a damaged field of d.
func broken(d *tiff.Directory, tag tiff.Tag, format string, args ...any) error {
	return &tiff.FormatError{Offset: offsetOf(d, tag), Tag: tag, Msg: fmt.Sprintf(format, args...)}
}

// unsupported returns the error for a field of d that names an unsupported feature.
func unsupported(d *tiff.Directory, tag tiff.Tag, format string, args ...any) error {
	return &tiff.UnsupportedError{Offset: offsetOf(d, tag), Tag: tag, Msg: fmt.Sprintf(format, args...)}
}

func offsetOf(d *tiff.Directory, tag tiff.Tag) int64 {
	if e, ok := d.Entry(tag); ok {
		return e.Offset
	}
	return d.Offset
}
