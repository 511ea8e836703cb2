package render

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"

	"github.com/slideatlas/ptiffstore/slide"
)

// Options configure [Tile] and [Draw].
type Options struct {
	Quality    int        // of the JPEG, 1 to 100; 85 if 0
	Background color.RGBA // of areas that the scanner skipped or beyond the image; white if its alpha is 0
	// Tile, if not nil, returns a tile of a derived zoom level as a JPEG, which may come
	// from a cache. Without it such tiles are rendered each time.
	Tile func(ctx context.Context, z, x, y int) ([]byte, error)
	// MaxRead limits the pixels that [Draw] reads, beyond which its error is [ErrTooMuch]; 0
	// for no limit.
	MaxRead int
	// Revision identifies the contents of the slide in the caches, which may be nil.
	Revision  string
	Marks     *MarksCache
	Overviews *Overviews
	// Current reports whether the slide still has that revision; nil if it always has. What
	// was read after that must not be kept.
	Current func() bool
}

// Tile returns tile x,y of zoom level z as a JPEG of level 0's tile size.
//
// A stored tile is returned unchanged if it is a JPEG, and otherwise encoded as one. Other
// zoom levels are derived: from the level of the same size if its tiles have another size
// than those of level 0, otherwise by halving the next larger zoom level. Areas beyond the
// image or skipped by the scanner have the background colour.
//
// The error is [slide.ErrNoTile] for a tile outside the grid of the zoom level and
// [slide.ErrEmptyTile] if the scanner skipped all of the tile. If a tile cannot be read,
// tiles derived from it return its error.
func Tile(ctx context.Context, s *slide.Slide, z, x, y int, o Options) ([]byte, error) {
	if z < 0 || z >= len(s.Zooms) || x < 0 || y < 0 || x >= s.Zooms[z].Columns || y >= s.Zooms[z].Rows {
		return nil, slide.ErrNoTile
	}
	if l := s.Zooms[z].Level; l >= 0 && s.Levels[l].Layout.Codec == slide.JPEG {
		b, err := s.AppendTile(nil, l, x, y)
		if !errors.Is(err, slide.ErrMissingTile) {
			return b, err
		}
	}
	d := newTileRenderer(s, o)
	// The zoom level may still have the pixels that the level has lost.
	if l := s.Zooms[z].Level; l >= 0 && s.Levels[l].Layout.Codec == slide.JPEG2000 && s.Zooms[z].Width == s.Levels[l].Width && s.Zooms[z].Height == s.Levels[l].Height {
		b, err := d.asJPEG(ctx, l, x, y)
		if !errors.Is(err, slide.ErrMissingTile) {
			return b, err
		}
	}
	img, err := d.tile(ctx, z, x, y)
	return d.encode(ctx, img, err)
}

// LevelTile returns tile x,y of a stored level as a JPEG of the level's tile size. The errors
// are those of [Tile].
func LevelTile(ctx context.Context, s *slide.Slide, level, x, y int, o Options) ([]byte, error) {
	if level < 0 || level >= len(s.Levels) || x < 0 || y < 0 || x >= s.Levels[level].Columns || y >= s.Levels[level].Rows {
		return nil, slide.ErrNoTile
	}
	d := newTileRenderer(s, o)
	if s.Levels[level].Layout.Codec == slide.JPEG2000 {
		b, err := d.asJPEG(ctx, level, x, y)
		if !errors.Is(err, slide.ErrMissingTile) {
			return b, err
		}
	}
	img, err := d.stored(ctx, level, x, y)
	return d.encode(ctx, img, err)
}

// Pixels returns tile x,y of zoom level z, as [Tile] does, decoded and of full size. The
// caller must [Discard] it.
func Pixels(ctx context.Context, s *slide.Slide, z, x, y int, o Options) (*image.RGBA, error) {
	if z < 0 || z >= len(s.Zooms) || x < 0 || y < 0 || x >= s.Zooms[z].Columns || y >= s.Zooms[z].Rows {
		return nil, slide.ErrNoTile
	}
	return newTileRenderer(s, o).tile(ctx, z, x, y)
}

// LevelPixels returns tile x,y of a stored level, decoded and of full size. The errors are those of
// [Tile]. The caller must [Discard] it.
func LevelPixels(ctx context.Context, s *slide.Slide, level, x, y int, o Options) (*image.RGBA, error) {
	if level < 0 || level >= len(s.Levels) || x < 0 || y < 0 || x >= s.Levels[level].Columns || y >= s.Levels[level].Rows {
		return nil, slide.ErrNoTile
	}
	d := newTileRenderer(s, o)
	defer d.done(ctx)
	return d.stored(ctx, level, x, y)
}

// encode returns a rendered tile as a JPEG, or the error of rendering it.
func (d *tileRenderer) encode(ctx context.Context, img *image.RGBA, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer Discard(ctx, img)
	return EncodeJPEG(img, d.o.Quality)
}

func newTileRenderer(s *slide.Slide, o Options) *tileRenderer {
	if o.Background.A == 0 {
		o.Background = white
	}
	return &tileRenderer{s: s, o: o, tileW: s.Levels[0].TileWidth, tileH: s.Levels[0].TileHeight}
}

// A tileRenderer renders tiles of a slide as pixels. While it descends from zoom level to
// zoom level, it holds one tile of each, and the one it reads.
type tileRenderer struct {
	s            *slide.Slide
	o            Options
	tileW, tileH int
	buf          []byte // of the tile read last
	taken        int64  // bytes of the memory budget for buf
}

// tile returns tile x,y of zoom level z. Beyond the image, a stored tile has arbitrary
// pixels and a derived one the background.
func (d *tileRenderer) tile(ctx context.Context, z, x, y int) (*image.RGBA, error) {
	zoom := &d.s.Zooms[z]
	if zoom.Level >= 0 {
		img, err := d.stored(ctx, zoom.Level, x, y)
		if err == nil {
			// The zoom level still has the pixels that the level has lost.
			l := &d.s.Levels[zoom.Level]
			w, h := d.valid(z, x, y)
			Stretch(img, min(w, l.Width-x*d.tileW), min(h, l.Height-y*d.tileH), w, h)
		}
		return img, err
	}
	if l := d.levelOf(z, x, y); l >= 0 {
		return d.cut(ctx, z, l, x, y)
	}
	if l := d.levelAbove(z); l >= 0 {
		return d.scaled(ctx, z, l, x, y)
	}
	if l := d.reducible(z); l >= 0 {
		return d.scaled(ctx, z, l, x, y)
	}
	return d.halved(ctx, z, x, y)
}

// stored decodes a tile of a level, or derives it from the next larger level if it is
// missing.
func (d *tileRenderer) stored(ctx context.Context, level, x, y int) (*image.RGBA, error) {
	img, err := d.decode(ctx, level, x, y)
	if level == 0 || !errors.Is(err, slide.ErrMissingTile) {
		return img, err
	}
	l := &d.s.Levels[level]
	img, err = takePixels(ctx, l.TileWidth, l.TileHeight)
	if err != nil {
		return nil, err
	}
	fill(img, img.Rect, d.o.Background)
	part := image.Rect(0, 0, l.TileWidth, l.TileHeight).Add(image.Pt(x*l.TileWidth, y*l.TileHeight)).Intersect(image.Rect(0, 0, l.Width, l.Height))
	ratioX, ratioY := ratios(d.s, level)
	if err := d.shrink(ctx, img, level-1, ratioX, ratioY, part); err != nil {
		Discard(ctx, img)
		return nil, err
	}
	return img, nil
}

// read returns a stored tile. It is valid until the next call.
func (d *tileRenderer) read(ctx context.Context, level, x, y int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.makeRoom(ctx, d.s.TileBytes(level, x, y)); err != nil {
		return nil, err
	}
	b, err := d.s.AppendTile(d.buf[:0], level, x, y)
	if err != nil {
		if errors.Is(err, slide.ErrNoTile) && d.s.IsPyramid() { // outside of the image
			err = slide.ErrEmptyTile
		}
		return nil, err
	}
	d.buf = b
	return b, nil
}

// done returns the memory of the tile read last.
func (d *tileRenderer) done(ctx context.Context) {
	Give(ctx, d.taken)
	d.buf, d.taken = nil, 0
}

// decode decodes a stored tile.
func (d *tileRenderer) decode(ctx context.Context, level, x, y int) (*image.RGBA, error) {
	b, err := d.read(ctx, level, x, y)
	if err != nil {
		return nil, err
	}
	if d.s.IsPyramid() {
		return d.padded(ctx, b, level, x, y)
	}
	l := &d.s.Levels[level]
	img, err := decodeTile(ctx, b, l, x, y)
	if err != nil {
		return nil, fmt.Errorf("level %d tile %d,%d: %w", level, x, y, err)
	}
	return img, nil
}

// padded decodes a stored tile of a pyramid, which may be cut to the image, to full size.
// What lies beyond the image has the background colour. Only the next pixel is that of the
// image's edge, as it has a part in pixels that the image covers in part when the tile is
// halved.
func (d *tileRenderer) padded(ctx context.Context, b []byte, level, x, y int) (*image.RGBA, error) {
	img, err := DecodeJPEG(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("level %d tile %d,%d: %w", level, x, y, err)
	}
	complete, visible := image.Rect(0, 0, d.tileW, d.tileH), d.s.Visible(level, x, y)
	if img.Rect == complete && visible == complete {
		return img, nil
	}
	at, ok := d.s.Place(level, x, y, img.Rect.Size())
	if !ok {
		defer Discard(ctx, img)
		return nil, fmt.Errorf("level %d tile %d,%d: JPEG of %d×%d pixels", level, x, y, img.Rect.Dx(), img.Rect.Dy())
	}
	defer Discard(ctx, img)
	full, err := takePixels(ctx, d.tileW, d.tileH)
	if err != nil {
		return nil, err
	}
	fill(full, full.Rect, d.o.Background)
	covered := img.Rect.Add(at).Intersect(visible)
	copyPart(full, covered.Min, img, covered.Sub(at))
	extend(full, covered, visible.Inset(-1).Intersect(complete))
	return full, nil
}

// extend repeats the edges of a part of img up to those of a larger one.
func extend(img *image.RGBA, from, to image.Rectangle) {
	if from.Empty() {
		return
	}
	for y := from.Min.Y; y < from.Max.Y; y++ {
		row := img.Pix[y*img.Stride:]
		for x := to.Min.X; x < from.Min.X; x++ {
			copy(row[4*x:4*x+4], row[4*from.Min.X:])
		}
		for x := from.Max.X; x < to.Max.X; x++ {
			copy(row[4*x:4*x+4], row[4*from.Max.X-4:])
		}
	}
	for y := to.Min.Y; y < to.Max.Y; y++ {
		if near := min(max(y, from.Min.Y), from.Max.Y-1); near != y {
			copyPart(img, image.Pt(to.Min.X, y), img, image.Rect(to.Min.X, near, to.Max.X, near+1))
		}
	}
}

// makeRoom takes memory for a stored tile. The smaller previous buffer may exist at the
// same time.
func (d *tileRenderer) makeRoom(ctx context.Context, n int64) error {
	if n <= int64(cap(d.buf)) {
		return nil
	}
	if err := Take(ctx, 2*n-d.taken); err != nil {
		return err
	}
	d.taken = 2 * n
	return nil
}

// levelOf returns the stored level with the same contents as tile x,y of zoom level z,
// possibly in tiles of other sizes, or -1. A level may have lost the last column of pixels
// when it was halved; it does not contain a tile of only that column.
func (d *tileRenderer) levelOf(z, x, y int) int {
	downsample := math.Ldexp(1, d.s.MaxZoom()-z)
	for i := range d.s.Levels {
		l := &d.s.Levels[i]
		if l.Downsample == downsample && x*d.tileW < l.Width && y*d.tileH < l.Height {
			return i
		}
	}
	return -1
}

// valid returns how many pixels of tile x,y of zoom level z are within the image.
func (d *tileRenderer) valid(z, x, y int) (w, h int) {
	zoom := &d.s.Zooms[z]
	return max(0, min(d.tileW, zoom.Width-x*d.tileW)), max(0, min(d.tileH, zoom.Height-y*d.tileH))
}

// cut composes tile x,y of zoom level z from the tiles of a level of the same size.
func (d *tileRenderer) cut(ctx context.Context, z, level, x, y int) (*image.RGBA, error) {
	l := &d.s.Levels[level]
	w, h := d.valid(z, x, y)
	want := image.Rect(0, 0, w, h).Add(image.Pt(x*d.tileW, y*d.tileH)).Intersect(image.Rect(0, 0, l.Width, l.Height))
	img, err := takePixels(ctx, d.tileW, d.tileH)
	if err != nil {
		return nil, err
	}
	fill(img, img.Rect, d.o.Background)
	empty := true
	for row := want.Min.Y / l.TileHeight; row*l.TileHeight < want.Max.Y; row++ {
		for col := want.Min.X / l.TileWidth; col*l.TileWidth < want.Max.X; col++ {
			src, err := d.stored(ctx, level, col, row)
			if errors.Is(err, slide.ErrEmptyTile) {
				continue
			}
			if err != nil {
				Discard(ctx, img)
				return nil, err
			}
			empty = false
			at := image.Pt(col*l.TileWidth, row*l.TileHeight)
			part := want.Intersect(src.Rect.Add(at))
			copyPart(img, part.Min.Sub(image.Pt(x*d.tileW, y*d.tileH)), src, part.Sub(at))
			Discard(ctx, src)
		}
	}
	if empty {
		Discard(ctx, img)
		return nil, slide.ErrEmptyTile
	}
	// The zoom level still has the pixels that the level has lost.
	Stretch(img, want.Dx(), want.Dy(), w, h)
	return img, nil
}

// levelAbove returns the stored level to scale tiles of zoom level z from, or -1 if they are
// to be halved from the next larger zoom level: a level that is less than twice as large,
// and is not itself a zoom level.
func (d *tileRenderer) levelAbove(z int) int {
	downsample := math.Ldexp(1, d.s.MaxZoom()-z)
	for i := len(d.s.Levels) - 1; i > 0; i-- {
		l := &d.s.Levels[i]
		if l.Downsample < downsample && 2*l.Downsample > downsample {
			return i
		}
	}
	return -1
}

// scaled derives tile x,y of zoom level z from a level that is a little larger.
func (d *tileRenderer) scaled(ctx context.Context, z, level, x, y int) (*image.RGBA, error) {
	zoom, l := &d.s.Zooms[z], &d.s.Levels[level]
	if zoom.Width > l.Width || zoom.Height > l.Height {
		return d.halved(ctx, z, x, y)
	}
	img, err := takePixels(ctx, d.tileW, d.tileH)
	if err != nil {
		return nil, err
	}
	fill(img, img.Rect, d.o.Background)
	w, h := d.valid(z, x, y)
	part := image.Rect(0, 0, w, h).Add(image.Pt(x*d.tileW, y*d.tileH))
	ratio := math.Ldexp(1, d.s.MaxZoom()-z)
	if err := d.shrink(ctx, img, level, ratio, ratio, part); err != nil {
		Discard(ctx, img)
		return nil, err
	}
	return img, nil
}

// shrink renders a part of the slide from a level, and copies it to the top left of dst. The
// part is in pixels that are x × y pixels of level 0. The error is [slide.ErrEmptyTile] if the
// scanner skipped all of it.
func (d *tileRenderer) shrink(ctx context.Context, dst *image.RGBA, level int, x, y float64, part image.Rectangle) error {
	levelX, levelY := ratios(d.s, level)
	if levelX > x || levelY > y {
		l := &d.s.Levels[level]
		return fmt.Errorf("%w: level %d of %d×%d pixels is smaller than the next one", ErrUnsupported, level, l.Width, l.Height)
	}
	b := d.s.Bounds.Min
	v := View{
		X: float64(part.Min.X)*x - float64(b.X), Y: float64(part.Min.Y)*y - float64(b.Y), W: float64(part.Dx()) * x, H: float64(part.Dy()) * y,
		Width: part.Dx(), Height: part.Dy(), Level: level, alone: d.s.Levels[level].Layout.Codec == slide.JPEG2000 && x == 2*levelX,
	}
	p, err := drawView(ctx, d.s, v, Options{Background: d.o.Background})
	if err != nil {
		return err
	}
	small, err := AsRGBA(ctx, p)
	if err != nil {
		return err
	}
	defer Discard(ctx, small)
	copyPart(dst, image.Point{}, small, small.Rect)
	return nil
}

// halved derives tile x,y of zoom level z from the four tiles of the next larger one.
func (d *tileRenderer) halved(ctx context.Context, z, x, y int) (*image.RGBA, error) {
	if d.tileW%2 != 0 || d.tileH%2 != 0 {
		return nil, fmt.Errorf("%w: zoom %d is not stored, and tiles of %d×%d pixels cannot be halved", ErrUnsupported, z, d.tileW, d.tileH)
	}
	img, err := takePixels(ctx, d.tileW, d.tileH)
	if err != nil {
		return nil, err
	}
	fill(img, img.Rect, d.o.Background)
	empty := true
	for i := range 4 {
		col, row := 2*x+i%2, 2*y+i/2
		if col >= d.s.Zooms[z+1].Columns || row >= d.s.Zooms[z+1].Rows {
			continue
		}
		at := image.Pt(i%2*d.tileW/2, i/2*d.tileH/2)
		w, h := d.valid(z+1, col, row)
		src, err := d.larger(ctx, z+1, col, row)
		if errors.Is(err, slide.ErrEmptyTile) {
			continue
		}
		if err != nil {
			Discard(ctx, img)
			return nil, err
		}
		empty = false
		halve(img, at, src, w, h)
		Discard(ctx, src)
	}
	if empty {
		Discard(ctx, img)
		return nil, slide.ErrEmptyTile
	}
	return img, nil
}

// larger returns a tile that is to be halved: from [Options.Tile] if it is derived.
func (d *tileRenderer) larger(ctx context.Context, z, x, y int) (*image.RGBA, error) {
	if d.o.Tile == nil || d.s.Zooms[z].Level >= 0 {
		return d.tile(ctx, z, x, y)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := d.o.Tile(ctx, z, x, y)
	if err != nil {
		return nil, err
	}
	img, err := Decode(ctx, b, slide.Layout{Codec: slide.JPEG}, d.tileW, d.tileH)
	if err != nil {
		return nil, fmt.Errorf("zoom %d tile %d,%d: %w", z, x, y, err)
	}
	return img, nil
}

// copyPart copies the given part of src to dst, with its first pixel at p.
func copyPart(dst *image.RGBA, p image.Point, src *image.RGBA, part image.Rectangle) {
	for y := range part.Dy() {
		from := src.Pix[src.PixOffset(part.Min.X, part.Min.Y+y):][:4*part.Dx()]
		copy(dst.Pix[dst.PixOffset(p.X, p.Y+y):], from)
	}
}

// Stretch repeats the last column and row of the top left fromW × fromH pixels up to w × h.
func Stretch(img *image.RGBA, fromW, fromH, w, h int) {
	if fromW < 1 || fromH < 1 {
		return
	}
	for y := range fromH {
		row := img.Pix[y*img.Stride:][:4*w]
		for x := fromW; x < w; x++ {
			copy(row[4*x:], row[4*fromW-4:4*fromW])
		}
	}
	for y := fromH; y < h; y++ {
		copy(img.Pix[y*img.Stride:][:4*w], img.Pix[(fromH-1)*img.Stride:])
	}
}
