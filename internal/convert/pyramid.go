package convert

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"runtime"
	"sync"

	"github.com/slideatlas/ptiffstore/internal/render"
)

// A pyramid is written row by row. Tiles are written when they are complete, those of
// all levels interleaved; the directories come at the end, so that a truncated file is
// not valid.
type pyramid struct {
	out     *container
	quality int
	tables  []byte // shared by all tiles
	levels  []*level
	buffers []tileBuffer
}

// A level is one resolution, of which one row of tiles is held.
type level struct {
	w, h            int
	columns         int // of tiles
	rows            int // of pixels, received so far
	pending         []byte
	hasPending      bool
	small           []byte // a row for the next level
	band            *image.YCbCr
	offsets, counts []uint64
}

// write writes a pyramid of src to the empty file f.
func write(ctx context.Context, src *picture, f *os.File, bound int64, o Options) (Result, error) {
	p, err := newPyramid(ctx, src.Width, src.Height, o.Quality, f)
	if err != nil {
		return Result{}, err
	}
	p.out.bound, p.out.CheckSpace = bound, o.CheckSpace
	row := make([]byte, 4*src.Width)
	for y := range src.Height {
		const often = 64 // rows
		if y%often == 0 {
			if err := ctx.Err(); err != nil {
				return Result{}, err
			}
			if o.Progress != nil {
				o.Progress(int64(y), int64(src.Height))
			}
		}
		if err := src.rows.Read(row); err != nil {
			return Result{}, err
		}
		if err := p.add(0, row); err != nil {
			return Result{}, err
		}
	}
	if err := p.finish(src); err != nil {
		return Result{}, err
	}
	if o.Progress != nil {
		o.Progress(int64(src.Height), int64(src.Height))
	}
	return Result{Kind: src.Kind, Width: src.Width, Height: src.Height, Levels: len(p.levels), Bytes: p.out.Offset()}, nil
}

func newPyramid(ctx context.Context, w, h, quality int, f *os.File) (*pyramid, error) {
	if err := render.Take(ctx, pyramidCost(w, h)); err != nil {
		return nil, err
	}
	p := &pyramid{out: newContainer(f), quality: quality, buffers: make([]tileBuffer, 4*runtime.GOMAXPROCS(0))}
	for {
		l := &level{w: w, h: h, columns: (w + tileSide - 1) / tileSide}
		l.pending = make([]byte, 4*w)
		l.small = make([]byte, 4*((w+1)/2))
		l.band = image.NewYCbCr(image.Rect(0, 0, l.columns*tileSide, tileSide), image.YCbCrSubsampleRatio420)
		p.levels = append(p.levels, l)
		if w <= tileSide && h <= tileSide {
			return p, nil
		}
		w, h = (w+1)/2, (h+1)/2
	}
}

// pyramidCost is the memory in bytes for writing a pyramid: a row of tiles of each
// level, the tiles that are being encoded, and the tables of tiles.
func pyramidCost(w, h int) int64 {
	columns, rows := int64(w+tileSide-1)/tileSide+1, int64(h+tileSide-1)/tileSide+1
	const level = tileSide*tileSide*3/2 + 16*tileSide
	buffers := 4 * int64(runtime.GOMAXPROCS(0)) * 4 * tileSide * tileSide
	return 2*columns*level + 2*columns*rows*64 + buffers + 4<<20
}

// add adds the next row of level i. Two of them become one of the next level; a last
// row without a second is paired with itself.
func (p *pyramid) add(i int, row []byte) error {
	l := p.levels[i]
	first := row
	switch {
	case l.hasPending:
		first, l.hasPending = l.pending, false
	case l.rows+1 < l.h:
		copy(l.pending, row)
		l.rows++
		l.hasPending = true
		return nil
	}
	y := (l.rows &^ 1) % tileSide
	l.rows++
	l.pair(y, first, row)
	if y+2 == tileSide || l.rows == l.h {
		l.padBelow(y + 2)
		if err := p.writeTiles(l); err != nil {
			return fmt.Errorf("writing the pyramid: %w", err)
		}
	}
	if i+1 < len(p.levels) {
		return p.add(i+1, l.small)
	}
	return nil
}

// pair puts two rows into the band at y, and their halves into small: each pixel is the
// mean of four. Chroma is computed from the same means, as libjpeg does. A last column
// without a second is paired with itself.
func (l *level) pair(y int, top, bottom []byte) {
	b := l.band
	y0, y1 := b.Y[y*b.YStride:][:b.YStride], b.Y[(y+1)*b.YStride:][:b.YStride]
	cb, cr := b.Cb[y/2*b.CStride:][:b.CStride], b.Cr[y/2*b.CStride:][:b.CStride]
	n := 0
	for x := 0; x < l.w; x += 2 {
		i, j := 4*x, 4*min(x+1, l.w-1)
		r0, g0, b0 := int32(top[i]), int32(top[i+1]), int32(top[i+2])
		r1, g1, b1 := int32(top[j]), int32(top[j+1]), int32(top[j+2])
		r2, g2, b2 := int32(bottom[i]), int32(bottom[i+1]), int32(bottom[i+2])
		r3, g3, b3 := int32(bottom[j]), int32(bottom[j+1]), int32(bottom[j+2])
		y0[x], y0[x+1] = luma(r0, g0, b0), luma(r1, g1, b1)
		y1[x], y1[x+1] = luma(r2, g2, b2), luma(r3, g3, b3)
		r, g, bl := r0+r1+r2+r3, g0+g1+g2+g3, b0+b1+b2+b3
		cb[n] = byte(min((-11056*r-21712*g+32768*bl+257<<17)>>18, 255))
		cr[n] = byte(min((32768*r-27440*g-5328*bl+257<<17)>>18, 255))
		s := l.small[4*n:][:4]
		s[0], s[1], s[2], s[3] = byte((r+2)>>2), byte((g+2)>>2), byte((bl+2)>>2), 255
		n++
	}
	repeat(y0, 2*n)
	repeat(y1, 2*n)
	repeat(cb, n)
	repeat(cr, n)
}

// luma is Y of JFIF, with factors of 1/65536.
func luma(r, g, b int32) byte { return byte((19595*r + 38470*g + 7471*b + 1<<15) >> 16) }

// repeat fills row from n on with the preceding value.
func repeat(row []byte, n int) {
	for i := n; i < len(row); i++ {
		row[i] = row[n-1]
	}
}

// padBelow repeats the last row of the band from y on.
func (l *level) padBelow(y int) {
	b := l.band
	for i := y; i < tileSide; i++ {
		copy(b.Y[i*b.YStride:][:b.YStride], b.Y[(y-1)*b.YStride:])
	}
	for i := y / 2; i < tileSide/2; i++ {
		copy(b.Cb[i*b.CStride:][:b.CStride], b.Cb[(y/2-1)*b.CStride:])
		copy(b.Cr[i*b.CStride:][:b.CStride], b.Cr[(y/2-1)*b.CStride:])
	}
}

// A tileBuffer is the buffer for encoding one tile.
type tileBuffer struct {
	buf bytes.Buffer
	err error
}

// writeTiles encodes and writes the row of tiles in the band, in parallel batches.
func (p *pyramid) writeTiles(l *level) error {
	for from := 0; from < l.columns; from += len(p.buffers) {
		batch := p.buffers[:min(len(p.buffers), l.columns-from)]
		p.encode(l, from, batch)
		for i := range batch {
			if batch[i].err != nil {
				return batch[i].err
			}
			if err := p.writeTile(l, batch[i].buf.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode encodes a tile into each buffer of the batch, starting at column from. It
// always uses Go's encoder, so that every build of the program writes the same bytes.
func (p *pyramid) encode(l *level, from int, batch []tileBuffer) {
	var wg sync.WaitGroup
	turn := make(chan int)
	for range min(runtime.GOMAXPROCS(0), len(batch)) {
		wg.Go(func() {
			for i := range turn {
				x := (from + i) * tileSide
				tile := l.band.SubImage(image.Rect(x, 0, x+tileSide, tileSide))
				batch[i].buf.Reset()
				batch[i].err = jpeg.Encode(&batch[i].buf, tile, &jpeg.Options{Quality: p.quality})
			}
		})
	}
	for i := range batch {
		turn <- i
	}
	close(turn)
	wg.Wait()
}

// writeTile writes one tile without the shared tables.
func (p *pyramid) writeTile(l *level, data []byte) error {
	tables, tile, err := splitJPEG(data)
	if err != nil {
		return err
	}
	if p.tables == nil {
		p.tables = bytes.Clone(tables)
	}
	if !bytes.Equal(tables, p.tables) {
		return fmt.Errorf("the encoder has changed its tables between tiles")
	}
	l.offsets = append(l.offsets, uint64(p.out.Offset()))
	l.counts = append(l.counts, uint64(len(tile)))
	return p.out.write(tile)
}

// splitJPEG separates quantization and Huffman tables from a JPEG (TIFF Technical Note
// 2). The tile is written over data.
func splitJPEG(data []byte) (tables, tile []byte, err error) {
	const dqt, dht, sos = 0xdb, 0xc4, 0xda
	tables = append(make([]byte, 0, 640), 0xff, 0xd8)
	var rest []byte
	for i := 2; i+4 <= len(data) && data[i] == 0xff; {
		end := i + 2 + int(data[i+2])<<8 + int(data[i+3])
		if end > len(data) {
			break
		}
		switch data[i+1] {
		case dqt, dht:
			tables = append(tables, data[i:end]...)
		case sos:
			begin := i - len(rest) - 2
			copy(data[begin+2:], rest)
			data[begin], data[begin+1] = 0xff, 0xd8
			return append(tables, 0xff, 0xd9), data[begin:], nil
		default:
			rest = append(rest, data[i:end]...)
		}
		i = end
	}
	return nil, nil, fmt.Errorf("the encoder did not write a JPEG")
}

// finish writes the directories.
func (p *pyramid) finish(src *picture) error {
	for i, l := range p.levels {
		if err := p.out.Directory(p.fields(i, l, src)); err != nil {
			return fmt.Errorf("writing the pyramid: %w", err)
		}
	}
	if err := p.out.Finish(); err != nil {
		return fmt.Errorf("writing the pyramid: %w", err)
	}
	return nil
}
