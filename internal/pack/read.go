package pack

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"image"
	"slices"
	"sync"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A hasher computes what tells whether a tile was written as it was read.
type hasher struct{ seed maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed()} }

func (h hasher) sum(b []byte) uint64 { return maphash.Bytes(h.seed, b) }

// A tile is a tile of the slide.
type tile struct {
	level    *level
	col, row int
	ready    chan struct{} // receives one value when the rest is set

	data   []byte
	kind   kind
	padded bool
	hash   uint64
	err    error
}

// read calls each with the tiles of all levels in order. Several are read at once.
func (p *packer) read(ctx context.Context, each func(*tile) error) error {
	readers := p.o.Readers
	if readers == 0 {
		readers = 4
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	ahead := 4 * readers
	free, todo, order := make(chan *tile, ahead), make(chan *tile, ahead), make(chan *tile, ahead)
	for range ahead {
		free <- &tile{ready: make(chan struct{}, 1)}
	}
	wg.Go(func() {
		defer close(order)
		defer close(todo)
		for _, l := range p.levels {
			for row := l.tiles.Min.Y; row < l.tiles.Max.Y; row++ {
				for col := l.tiles.Min.X; col < l.tiles.Max.X; col++ {
					select {
					case t := <-free:
						t.level, t.col, t.row = l, col, row
						todo <- t // does not block: the buffer is large enough for all
						order <- t
					case <-ctx.Done():
						return
					}
				}
			}
		}
	})
	for range readers {
		wg.Go(func() {
			for t := range todo {
				if ctx.Err() == nil {
					p.readTile(ctx, t)
				}
				t.ready <- struct{}{}
			}
		})
	}
	for t := range order {
		<-t.ready
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(t); err != nil {
			return err
		}
		free <- t
	}
	return ctx.Err()
}

// readTile reads one tile.
func (p *packer) readTile(ctx context.Context, t *tile) {
	t.padded = false
	if t.data, t.err = p.slide.AppendTile(t.data[:0], t.level.number, t.col, t.row); t.err != nil {
		return
	}
	var w, h int
	if t.kind, w, h, t.err = kindOf(t.data); t.err != nil {
		return
	}
	if side := p.slide.Levels[0].TileWidth; w != side || h != side {
		t.padded = true
		at, _ := p.slide.Place(t.level.number, t.col, t.row, image.Pt(w, h))
		if t.err = t.pad(ctx, side, at); t.err != nil {
			return
		}
	}
	t.hash = p.hash.sum(t.data)
}

// pad makes a tile that was cut as large as the others, given where it begins in them. Its
// pixels stay the same, unless it has to be decoded.
func (t *tile) pad(ctx context.Context, side int, at image.Point) error {
	b, err := jpeg.Pad(t.data, side, side)
	if errors.Is(err, jpeg.ErrNotLossless) || at != (image.Point{}) {
		b, err = repaint(ctx, t.data, side, at)
		if err == nil {
			t.kind, _, _, err = kindOf(b)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &tiff.FormatError{Msg: fmt.Sprintf("level %d tile %d,%d: %v", t.level.number, t.col, t.row, err)}
	}
	t.data = b
	return nil
}

// isDamage reports whether an error of a tile is about the tile itself, so that trying again
// does not help.
func isDamage(err error) bool {
	_, damaged := errors.AsType[*tiff.FormatError](err)
	_, unsupported := errors.AsType[*tiff.UnsupportedError](err)
	return damaged || unsupported || errors.Is(err, slideatlas.ErrNotJPEG)
}

// check reads the file and compares it with what was written to it. It computes the digest
// at the same time.
func (p *packer) check(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	digest := make(chan error, 1)
	go func() {
		var err error
		p.result.Digest, err = fsx.SHA256(ctx, p.f, p.result.Bytes, nil)
		digest <- err
	}()
	err := p.checkFile(ctx)
	if err != nil {
		cancel()
	}
	return errors.Join(err, fsx.WithoutPath(<-digest))
}

// checkFile opens the file as any reader does, and compares its tiles.
func (p *packer) checkFile(ctx context.Context) error {
	s, err := slide.Open(p.f, p.result.Bytes)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, fsx.WithoutPath(err))
	}
	if s.Bounds != p.slide.Bounds || len(s.Levels) != p.result.Levels || len(s.Zooms) != len(p.slide.Zooms) {
		return fmt.Errorf("%w: bounds %v and %d levels, want %v and %d", ErrCheck, s.Bounds, len(s.Levels), p.slide.Bounds, p.result.Levels)
	}
	f, err := tiff.Open(p.f, p.result.Bytes)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, fsx.WithoutPath(err))
	}
	dirs := f.Directories()
	slices.Reverse(dirs) // as they were written
	for _, l := range p.levels {
		if l.missing {
			continue
		}
		if len(dirs) == 0 {
			return fmt.Errorf("%w: a level is missing", ErrCheck)
		}
		if err := p.checkLevel(ctx, l, dirs[0]); err != nil {
			return err
		}
		dirs = dirs[1:]
	}
	return nil
}

// checkLevel compares the tiles of a level with those in the file.
func (p *packer) checkLevel(ctx context.Context, l *level, d *tiff.Directory) error {
	offsets, err := d.Array(tiff.TagTileOffsets)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, fsx.WithoutPath(err))
	}
	counts, err := d.Array(tiff.TagTileByteCounts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCheck, fsx.WithoutPath(err))
	}
	n := p.slide.Levels[l.number].Columns
	if offsets.Len() != n*n || counts.Len() != n*n {
		return fmt.Errorf("%w: level %d has %d tiles, want %d", ErrCheck, l.number, offsets.Len(), n*n)
	}
	var buf []byte
	blank := p.blanks[l.kind]
	for row := l.tiles.Min.Y; row < l.tiles.Max.Y; row++ {
		for col := l.tiles.Min.X; col < l.tiles.Max.X; col++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			i := l.index(col, row)
			want, at := l.extents[i], row*n+col
			if want.length == 0 {
				want = blank
			}
			if offsets.At(at) != want.offset || counts.At(at) != uint64(want.length) {
				return fmt.Errorf("%w: level %d tile %d,%d is at another place", ErrCheck, l.number, col, row)
			}
			p.step(1)
			if l.extents[i].length == 0 {
				continue
			}
			buf = slices.Grow(buf[:0], int(want.length))[:want.length]
			if _, err := p.f.ReadAt(buf, int64(want.offset)); err != nil {
				return fmt.Errorf("%w: %w", ErrCheck, fsx.WithoutPath(err))
			}
			if p.hash.sum(buf) != l.hashes[i] {
				return fmt.Errorf("%w: level %d tile %d,%d", ErrCheck, l.number, col, row)
			}
		}
	}
	return nil
}
