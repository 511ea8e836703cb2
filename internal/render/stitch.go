package render

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"sync"

	"github.com/maypok86/otter/v2"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// maxStitched limits the tiles of one stitched JPEG: 64 million pixels in tiles of 128
	// pixels.
	maxStitched = 4096
	maxPooled   = 8 << 20 // bytes
)

// A MarksCache keeps the marks of tiles, which make it cheap to stitch a part of them: see
// [jpeg.Marks]. It is safe for concurrent use. A nil MarksCache keeps nothing.
type MarksCache struct {
	frames *jpeg.Frames
	marks  *otter.Cache[marksKey, *jpeg.Marks]
}

type marksKey struct {
	revision        string
	level, col, row int
}

// NewMarksCache returns a cache of about that many bytes. The marks of a tile of 512×512
// pixels take 3 KB.
func NewMarksCache(bytes int64) *MarksCache {
	const overhead = 256 // of an entry, with its key
	return &MarksCache{
		frames: jpeg.NewFrames(),
		marks: otter.Must(&otter.Options[marksKey, *jpeg.Marks]{
			MaximumWeight: uint64(max(bytes, 1)),
			Weigher:       func(_ marksKey, m *jpeg.Marks) uint32 { return uint32(overhead + m.Bytes()) },
		}),
	}
}

// of returns the marks of the JPEG in data down to a height in pixels.
func (c *MarksCache) of(key marksKey, data []byte, height int) (*jpeg.Marks, error) {
	if c == nil || key.revision == "" {
		return jpeg.Index(data, height, nil, nil)
	}
	known, _ := c.marks.GetIfPresent(key)
	m, err := jpeg.Index(data, height, known, c.frames)
	if err == nil && m != known {
		c.marks.Set(key, m)
	}
	return m, err
}

// StitchOptions configure [Stitch].
type StitchOptions struct {
	// Revision identifies the contents of the slide in the cache. Marks are not cached if it
	// is empty.
	Revision   string
	Background color.RGBA // of tiles that the scanner skipped; white if its alpha is 0
	// Exact asks for nothing but the pixels themselves: [jpeg.ErrNotLossless] if they begin
	// within a block.
	Exact bool
}

// Stitch returns the pixels r of a stored level as one baseline JPEG without decoding
// anything: every sample is that of the level's tiles, to the last bit. R must lie within
// the level. Grown is what the JPEG shows: it begins with the whole block (MCU) of 8, 16 or
// 32 pixels a side that r begins in, so that its left and top may be less than those of r.
//
// The error wraps [jpeg.ErrNotLossless] if there is no such JPEG, and the pixels have to be
// decoded: the level is not stored as baseline JPEGs, a tile is missing, or its tiles differ
// too much. It wraps [ErrTooLarge] for more than 64 million pixels or 4096 tiles, and
// otherwise is that of the tiles, of the budget, or of ctx.
func Stitch(ctx context.Context, s *slide.Slide, level int, r image.Rectangle, m *MarksCache, o StitchOptions) (b []byte, grown image.Rectangle, err error) {
	if level < 0 || level >= len(s.Levels) {
		return nil, grown, slide.ErrNoTile
	}
	l := &s.Levels[level]
	if r.Empty() || !r.In(image.Rect(0, 0, l.Width, l.Height)) {
		return nil, grown, fmt.Errorf("%w: pixels %v of %d×%d", slide.ErrNoTile, r, l.Width, l.Height)
	}
	if l.Layout.Codec != slide.JPEG || l.Layout.Planes() > 1 {
		return nil, grown, fmt.Errorf("%w: the level is not stored as JPEGs", jpeg.ErrNotLossless)
	}
	if o.Background.A == 0 {
		o.Background = white
	}
	t := stitch{s: s, level: level, marks: m, o: o, pixels: r}
	t.tiles = image.Rect(r.Min.X/l.TileWidth, r.Min.Y/l.TileHeight, (r.Max.X-1)/l.TileWidth+1, (r.Max.Y-1)/l.TileHeight+1)
	if n := t.tiles.Dx() * t.tiles.Dy(); r.Dx()*r.Dy() > maxPixels || n > maxStitched {
		return nil, grown, fmt.Errorf("%w: %d×%d pixels in %d tiles: at most %d pixels and %d tiles make one JPEG", ErrTooLarge, r.Dx(), r.Dy(), n, maxPixels, maxStitched)
	}
	return t.run(ctx)
}

// A stitch is one call of [Stitch].
type stitch struct {
	s      *slide.Slide
	level  int
	marks  *MarksCache
	o      StitchOptions
	pixels image.Rectangle // of the level
	tiles  image.Rectangle // columns and rows
	taken  int64           // bytes of the budget
}

// stored pools the bytes of the tiles of a JPEG, up to maxPooled.
var stored = sync.Pool{New: func() any { return new([]byte) }}

// take takes memory from the budget until [stitch.run] returns.
func (t *stitch) take(ctx context.Context, n int64) error {
	if err := Take(ctx, n); err != nil {
		return err
	}
	t.taken += n
	return nil
}

func (t *stitch) run(ctx context.Context) ([]byte, image.Rectangle, error) {
	l := &t.s.Levels[t.level]
	buf := stored.Get().(*[]byte)
	defer func() {
		Give(ctx, t.taken)
		if cap(*buf) <= maxPooled {
			stored.Put(buf)
		}
	}()
	origin := image.Pt(t.tiles.Min.X*l.TileWidth, t.tiles.Min.Y*l.TileHeight)
	g := jpeg.Grid{
		Columns: t.tiles.Dx(), Rows: t.tiles.Dy(), TileWidth: l.TileWidth, TileHeight: l.TileHeight, Background: t.o.Background,
		Tiles: make([]jpeg.Tile, t.tiles.Dx()*t.tiles.Dy()),
	}
	if err := t.read(ctx, &g, buf); err != nil {
		return nil, image.Rectangle{}, err
	}
	if err := t.index(ctx, &g); err != nil {
		return nil, image.Rectangle{}, err
	}
	// Empty blocks take less than a byte. Tiles whose Huffman tables differ may become larger.
	part := int64(t.pixels.Dx()) * int64(t.pixels.Dy())
	size := int64(float64(len(*buf))*float64(part)/float64(len(g.Tiles)*l.TileWidth*l.TileHeight)) + part/16 + 4<<10
	g.MaxBytes = 2*len(*buf) + int(part)/16 + 64<<10
	if err := t.take(ctx, 2*min(size, int64(g.MaxBytes))); err != nil {
		return nil, image.Rectangle{}, err
	}
	b, grown, err := g.Stitch(make([]byte, 0, size), t.pixels.Sub(origin))
	if err != nil {
		return nil, image.Rectangle{}, fmt.Errorf("level %d, pixels %v: %w", t.level, t.pixels, err)
	}
	return b, grown.Add(origin), nil
}

// read reads the tiles into buf, one after the other.
func (t *stitch) read(ctx context.Context, g *jpeg.Grid, buf *[]byte) error {
	*buf = (*buf)[:0]
	ends := make([]int, len(g.Tiles))
	for i := range g.Tiles {
		if err := ctx.Err(); err != nil {
			return err
		}
		col, row := t.tiles.Min.X+i%g.Columns, t.tiles.Min.Y+i/g.Columns
		most := t.s.TileBytes(t.level, col, row)
		// While the buffer grows, there are two.
		if grown := int64(len(*buf)) + most; grown > int64(cap(*buf)) || t.taken == 0 {
			if err := t.take(ctx, max(2*grown-t.taken, 0)); err != nil {
				return err
			}
		}
		b, err := t.s.AppendTile(*buf, t.level, col, row)
		switch {
		case errors.Is(err, slide.ErrEmptyTile), errors.Is(err, slide.ErrNoTile) && t.s.IsPyramid():
		case errors.Is(err, slide.ErrMissingTile):
			return fmt.Errorf("%w: level %d tile %d,%d is missing", jpeg.ErrNotLossless, t.level, col, row)
		case err != nil:
			return err
		}
		*buf = b
		ends[i] = len(b)
	}
	start := 0
	for i, end := range ends {
		if end > start {
			g.Tiles[i].Data = (*buf)[start:end:end]
		}
		start = end
	}
	return nil
}

// index adds the marks of the tiles.
func (t *stitch) index(ctx context.Context, g *jpeg.Grid) error {
	bottom := t.pixels.Max.Y - t.tiles.Min.Y*g.TileHeight
	for i := range g.Tiles {
		tile := &g.Tiles[i]
		if tile.Data == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		col, row := t.tiles.Min.X+i%g.Columns, t.tiles.Min.Y+i/g.Columns
		m, err := t.marks.of(marksKey{t.o.Revision, t.level, col, row}, tile.Data, min(bottom-i/g.Columns*g.TileHeight, g.TileHeight))
		if err != nil {
			return fmt.Errorf("level %d tile %d,%d: %w", t.level, col, row, err)
		}
		if err := t.take(ctx, int64(m.Bytes())); err != nil {
			return err
		}
		tile.Marks = m
		if w, h := m.Frame.MCU(); t.o.Exact && (t.pixels.Min.X%g.TileWidth%w != 0 || t.pixels.Min.Y%g.TileHeight%h != 0) {
			return fmt.Errorf("%w: pixels %v begin within a block", jpeg.ErrNotLossless, t.pixels)
		}
		if t.s.IsPyramid() { // a tile that is cut may begin in the middle
			w, h := m.Frame.Size()
			if at, ok := t.s.Place(t.level, col, row, image.Pt(w, h)); !ok || at != (image.Point{}) {
				return fmt.Errorf("%w: level %d tile %d,%d is cut at its beginning", jpeg.ErrNotLossless, t.level, col, row)
			}
		}
	}
	return nil
}

// MCU returns the size in pixels of the blocks at which a part of a level can begin to be
// stitched: that of its first tile that is not empty. If all are empty, that is 16×16. The
// errors are those of [Stitch].
func MCU(ctx context.Context, s *slide.Slide, level int, r image.Rectangle) (image.Point, error) {
	l := &s.Levels[level]
	if l.Layout.Codec != slide.JPEG || l.Layout.Planes() > 1 {
		return image.Point{}, fmt.Errorf("%w: the level is not stored as JPEGs", jpeg.ErrNotLossless)
	}
	r = r.Intersect(image.Rect(0, 0, l.Width, l.Height))
	for y := r.Min.Y / l.TileHeight; y*l.TileHeight < r.Max.Y; y++ {
		for x := r.Min.X / l.TileWidth; x*l.TileWidth < r.Max.X; x++ {
			switch mcu, err := mcuOf(ctx, s, level, x, y); {
			case errors.Is(err, slide.ErrEmptyTile), errors.Is(err, slide.ErrNoTile), errors.Is(err, slide.ErrMissingTile):
			case err != nil:
				return mcu, fmt.Errorf("level %d tile %d,%d: %w", level, x, y, err)
			default:
				return mcu, nil
			}
		}
	}
	return image.Pt(16, 16), nil
}

// mcuOf is [MCU] of one tile.
func mcuOf(ctx context.Context, s *slide.Slide, level, x, y int) (mcu image.Point, err error) {
	if err := ctx.Err(); err != nil {
		return mcu, err
	}
	n := s.TileBytes(level, x, y)
	if err := Take(ctx, n); err != nil {
		return mcu, err
	}
	defer Give(ctx, n)
	b, err := s.AppendTile(nil, level, x, y)
	if err != nil {
		return mcu, err
	}
	m, err := jpeg.Index(b, 1, nil, nil)
	if err != nil {
		return mcu, err
	}
	mcu.X, mcu.Y = m.Frame.MCU()
	return mcu, nil
}
