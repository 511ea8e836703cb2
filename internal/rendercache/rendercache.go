// Package rendercache makes the pictures that no file stores, and keeps them: zooms
// between and beyond the stored levels, tiles cut to the edge of the picture,
// tiles of codecs that browsers do not show, thumbnails and previews. How many
// are made at once is bounded, and each is made once however many ask.
package rendercache

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// generation is part of every key. It is counted up whenever the same request
// would give another picture than before.
const generation = "1"

// errMaking: a decoder has failed in a way that it should not.
var errMaking = errors.New("rendercache: the picture could not be made")

// Options bound a [Renderer].
type Options struct {
	Cache   *Cache
	Workers int           // pictures made at once; the number of processors if 0
	Waiting int           // pictures that may wait for a worker; 64 for each worker if 0
	MaxWait time.Duration // how long they may; 5 s if 0
	Timeout time.Duration // for making one, waiting included; 30 s if 0
	Quality int           // of JPEGs that are encoded anew; 85 if 0
	// Memory is what all that is made takes its memory from; nil for no bound.
	Memory *render.Budget
}

// A Renderer makes pictures. It is safe for concurrent use.
type Renderer struct {
	o       Options
	workers chan struct{}
	waiting atomic.Int64
	mu      sync.Mutex
	flights map[string]*flight
	// abandoned are the pictures that have lost their worker and are still at work, by
	// store; under mu.
	abandoned map[string]int
}

// A flight is a picture that is being made, or waits for that.
type flight struct {
	done   chan struct{}   // closed with body and err set
	late   <-chan struct{} // closed when it took too long, or done, or nobody wants it
	body   []byte
	err    error
	wanted int                // by so many; under the maker's mu
	stop   context.CancelFunc // once nobody wants it
}

// New returns a maker.
func New(o Options) *Renderer {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Waiting == 0 {
		o.Waiting = 64 * o.Workers
	}
	if o.MaxWait == 0 {
		o.MaxWait = 5 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Quality == 0 {
		o.Quality = 85
	}
	return &Renderer{o: o, workers: make(chan struct{}, o.Workers), flights: map[string]*flight{}, abandoned: map[string]int{}}
}

// Tile makes what m describes. It is the Make of [tile.Options].
func (k *Renderer) Tile(ctx context.Context, m tile.RenderRequest) ([]byte, error) {
	return k.keep(ctx, m.Revision+"-"+tileKey(&m), m.Lease, func(ctx context.Context) ([]byte, error) {
		return k.tile(ctx, &m)
	})
}

// Thumbnail draws the whole slide to fit into width × height pixels.
func (k *Renderer) Thumbnail(ctx context.Context, revision string, s *slide.Slide, width, height int, back color.RGBA, lease tile.Lease) ([]byte, error) {
	key := fmt.Sprintf("%s-thumbnail-%dx%d", revision, width, height)
	return k.keep(ctx, key, lease, func(ctx context.Context) ([]byte, error) {
		return render.Thumbnail(ctx, s, width, height, back)
	})
}

// Preview draws the label beside the macro, height pixels high.
func (k *Renderer) Preview(ctx context.Context, revision string, s *slide.Slide, height int, lease tile.Lease) ([]byte, error) {
	key := fmt.Sprintf("%s-preview-%d", revision, height)
	return k.keep(ctx, key, lease, func(ctx context.Context) ([]byte, error) {
		return render.Preview(ctx, s, height)
	})
}

// Associated returns an associated image as one JPEG: as stored if it is one,
// else joined from its strips, or for a label that is missing made from the
// barcode.
func (k *Renderer) Associated(ctx context.Context, revision string, s *slide.Slide, kind string, lease tile.Lease) ([]byte, error) {
	if kind != "label" {
		if b, err := k.storedJPEG(ctx, s, kind, lease); b != nil || err != nil {
			return b, err
		}
	}
	return k.keep(ctx, revision+"-"+kind, lease, func(ctx context.Context) ([]byte, error) {
		if kind == "label" {
			b, _, err := render.Label(ctx, s)
			return b, err
		}
		p, err := render.ReadAssociated(ctx, s, kind)
		if err != nil {
			return nil, err
		}
		img, err := render.Picture(ctx, p)
		if err != nil {
			return nil, err
		}
		return render.EncodeJPEG(img, 90)
	})
}

// storedJPEG returns an associated image that is stored as one JPEG, nil if it is stored
// otherwise. It needs no worker.
func (k *Renderer) storedJPEG(ctx context.Context, s *slide.Slide, kind string, lease tile.Lease) ([]byte, error) {
	f := k.start(ctx, lease, func(ctx context.Context) ([]byte, error) {
		return k.limited(ctx, lease.Store, func() {}, func(ctx context.Context) ([]byte, error) {
			p, err := render.ReadAssociated(ctx, s, kind)
			if err == nil && len(p.Strips) == 1 && p.Layout.Codec == slide.JPEG {
				return p.Strips[0], nil
			}
			return nil, err
		})
	})
	defer f.stop()
	return f.wait(ctx)
}

// refused turns the errors of memory into those of package tile.
func refused(err error) error {
	switch {
	case errors.Is(err, render.ErrBusy):
		return tile.ErrBusy
	case errors.Is(err, render.ErrTooLarge):
		return fmt.Errorf("%w: %w", tile.ErrTooLarge, err)
	}
	return err
}

// ErrTooMuch: more would have to be read for a region than is good.
var ErrTooMuch = render.ErrTooMuch

// A Region is a part of a slide, drawn to order.
type Region struct {
	Part          image.Rectangle // of level 0
	Halved        int             // how often the picture is, before it is drawn from
	Width, Height int             // pixels, no more than are left of the part then
	Mirror        bool
	Turn          int  // clockwise after that, by 0, 90, 180 or 270°
	Gray, Bitonal bool // without colour, or black and white
	PNG           bool // else a JPEG
}

// Region draws a part of a slide. It is not kept: there are too many different ones.
func (k *Renderer) Region(ctx context.Context, m tile.RenderRequest, r Region) ([]byte, error) {
	f := k.start(ctx, m.Lease, func(ctx context.Context) ([]byte, error) {
		return k.work(ctx, m.Store, func(ctx context.Context) ([]byte, error) { return k.region(ctx, m, r) })
	})
	defer f.stop()
	return f.wait(ctx)
}

// region draws a part of a slide.
func (k *Renderer) region(ctx context.Context, m tile.RenderRequest, r Region) ([]byte, error) {
	img, err := render.Region(ctx, m.Slide, r.Part, r.Halved, r.Width, r.Height, render.Options{
		Quality: k.o.Quality, Background: m.Background,
		Tile: func(ctx context.Context, z, x, y int) ([]byte, error) { return k.zoom(ctx, &m, z, x, y) },
	})
	if err != nil {
		return nil, err
	}
	if r.Gray || r.Bitonal {
		render.Gray(img, r.Bitonal)
	}
	// Turned it is another picture, and a PNG may take more than there is for a JPEG.
	if err := render.Take(ctx, 2*int64(len(img.Pix))); err != nil {
		return nil, err
	}
	if img = render.Turn(img, r.Mirror, r.Turn); r.PNG {
		return render.EncodePNG(img)
	}
	return render.EncodeJPEG(img, k.o.Quality)
}

// keep returns the picture of that key, made if it is not kept. The picture of a
// file that changed meanwhile is thrown away.
func (k *Renderer) keep(ctx context.Context, key string, lease tile.Lease, build func(context.Context) ([]byte, error)) ([]byte, error) {
	key += "-" + generation
	if b := k.o.Cache.Get(key); b != nil {
		return b, nil
	}
	f := k.join(ctx, key, lease, func(ctx context.Context) ([]byte, error) {
		return k.work(ctx, lease.Store, func(ctx context.Context) ([]byte, error) {
			b, err := build(ctx)
			if err != nil {
				return nil, err
			}
			if !lease.Current() {
				return nil, tile.ErrChanged
			}
			k.o.Cache.Put(key, b)
			return b, nil
		})
	})
	defer k.leave(key, f)
	return f.wait(ctx)
}

// join has the picture of that key made, if nobody has yet.
func (k *Renderer) join(ctx context.Context, key string, lease tile.Lease, work func(context.Context) ([]byte, error)) *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.flights[key]; f != nil {
		f.wanted++
		return f
	}
	// Whoever asked first may go away; those who joined still want it.
	var f *flight
	f = k.start(context.WithoutCancel(ctx), lease, func(ctx context.Context) ([]byte, error) {
		defer func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.forget(key, f)
		}()
		return work(ctx)
	})
	k.flights[key] = f
	return f
}

// forget has whoever comes now begin anew. The caller has the maker's mu.
func (k *Renderer) forget(key string, f *flight) {
	if k.flights[key] == f {
		delete(k.flights, key)
	}
}

// leave says that one less wants the picture. What nobody waits for any more is not
// made: after a flood the queue would be full of that.
func (k *Renderer) leave(key string, f *flight) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.wanted--; f.wanted > 0 {
		return
	}
	f.stop()
	k.forget(key, f)
}

// begin waits for a worker, or returns [tile.ErrBusy] when too many wait, or when it
// takes too long.
func (k *Renderer) begin(ctx context.Context) error {
	if k.waiting.Add(1) > int64(k.o.Waiting) {
		k.waiting.Add(-1)
		return tile.ErrBusy
	}
	defer k.waiting.Add(-1)
	t := time.NewTimer(k.o.MaxWait)
	defer t.Stop()
	select {
	case k.workers <- struct{}{}:
		return nil
	case <-t.C:
		return tile.ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Waiting is the number of pictures that wait for a worker.
func (k *Renderer) Waiting() int { return int(k.waiting.Load()) }

// tile makes a tile. The tiles it is made from are kept too.
func (k *Renderer) tile(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	switch {
	case m.Shrink:
		return render.Scaled(ctx, m.Slide, m.Width, m.Height, m.Background)
	case m.Width != 0:
		return k.edge(ctx, m)
	case m.Zoom < 0:
		return k.level(ctx, m)
	}
	return k.zoom(ctx, m, m.Zoom, m.X, m.Y)
}

// zoom returns the tile of a zoom: as stored, kept, or made.
func (k *Renderer) zoom(ctx context.Context, m *tile.RenderRequest, z, x, y int) ([]byte, error) {
	zoom := &m.Slide.Zooms[z]
	if zoom.Level >= 0 && m.Slide.Levels[zoom.Level].Layout.Codec == slide.JPEG {
		if err := render.Take(ctx, m.Slide.TileBytes(zoom.Level, x, y)); err != nil {
			return nil, err
		}
		return m.Slide.AppendTile(nil, zoom.Level, x, y)
	}
	one := *m
	one.Zoom, one.X, one.Y, one.Width, one.Height = z, x, y, 0, 0
	key := m.Revision + "-" + tileKey(&one) + "-" + generation
	if b := k.o.Cache.Get(key); b != nil {
		return b, nil
	}
	b, err := render.MakeTile(ctx, m.Slide, z, x, y, render.Options{
		Quality:    k.o.Quality,
		Background: m.Background,
		Tile: func(ctx context.Context, z, x, y int) ([]byte, error) {
			return k.zoom(ctx, m, z, x, y)
		},
	})
	if err == nil && m.Current() {
		k.o.Cache.Put(key, b)
	}
	return b, err
}

// edge cuts a tile to the picture: the blocks of the JPEG as they are where the
// stream allows it, else decoded and encoded.
func (k *Renderer) edge(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	b, err := k.zoom(ctx, m, m.Zoom, m.X, m.Y)
	if err != nil {
		return nil, err
	}
	cut, err := render.CropJPEG(b, m.Width, m.Height)
	if !errors.Is(err, render.ErrNotLossless) {
		return cut, err
	}
	img, err := render.DecodeJPEG(ctx, b)
	if err != nil {
		return nil, err
	}
	return render.EncodeJPEG(render.Crop(img, m.Width, m.Height), k.o.Quality)
}

// level decodes a tile of a stored level and encodes it as a JPEG.
func (k *Renderer) level(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	if err := render.Take(ctx, m.Slide.TileBytes(m.Level, m.X, m.Y)); err != nil {
		return nil, err
	}
	b, err := m.Slide.AppendTile(nil, m.Level, m.X, m.Y)
	if err != nil {
		return nil, err
	}
	l := &m.Slide.Levels[m.Level]
	img, err := render.Decode(ctx, b, l.Layout, l.TileWidth, l.TileHeight)
	if err != nil {
		return nil, err
	}
	return render.EncodeJPEG(img, k.o.Quality)
}

func tileKey(m *tile.RenderRequest) string {
	key := fmt.Sprintf("z%d-%d-%d", m.Zoom, m.X, m.Y)
	if m.Zoom < 0 {
		key = fmt.Sprintf("l%d-%d-%d", m.Level, m.X, m.Y)
	}
	if m.Width != 0 {
		key += fmt.Sprintf("-%dx%d", m.Width, m.Height)
	}
	if m.Shrink {
		key += "-s"
	}
	return key + fmt.Sprintf("-%02x%02x%02x", m.Background.R, m.Background.G, m.Background.B)
}
