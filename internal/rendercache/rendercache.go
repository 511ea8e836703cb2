// Package rendercache renders images that no file stores, and caches them on disk:
// derived zoom levels, tiles cropped to the image, tiles of codecs that browsers do not
// display, thumbnails and previews. It limits how many are rendered at once, and renders
// an image once for concurrent requests.
package rendercache

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/icc"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// generation is part of every key. It must be incremented when the same request gives a
// different image than before.
const generation = "3"

// errRender reports a panic in a decoder.
var errRender = errors.New("rendering failed unexpectedly")

// Options configure a [Renderer].
type Options struct {
	Cache   *Cache
	Workers int           // images rendered at once; the number of processors if 0
	Waiting int           // requests that may wait for a worker; 64 for each worker if 0
	MaxWait time.Duration // limit of that wait; 5 s if 0
	Timeout time.Duration // for rendering an image, including the wait; 30 s if 0
	Quality int           // of JPEGs, 1 to 100; 85 if 0
	// Memory limits the memory of all images being rendered; nil for no limit.
	Memory *render.Budget
	// Kept limits the memory in bytes for what of slides is kept to render further images
	// of them, apart from Memory: small levels, decoded, and where blocks begin in tiles; 88
	// MiB if 0.
	Kept int64
}

// A Renderer renders images or returns them from its cache. It is safe for concurrent
// use. Its methods return complete JPEGs (regions may be PNGs) that must not be modified.
// Their errors are [tile.ErrBusy], [tile.ErrTooLarge], [tile.ErrChanged] and
// [tile.ErrUnreachable], that of the context, and those of packages slide and render.
type Renderer struct {
	o       Options
	workers chan struct{}
	large   chan struct{} // workers that render large images
	waiting atomic.Int64
	// marks and overviews are what of slides is kept in memory.
	marks     *render.MarksCache
	overviews *render.Overviews
	mu        sync.Mutex
	flights   map[string]*flight
	// stores has, by id, a [tile.Overdue] of the images of each store that have lost
	// their worker and are still being rendered.
	stores sync.Map
}

// A flight is an image that is being rendered or waits for a worker.
type flight struct {
	done    chan struct{}   // closed with body and err set
	late    <-chan struct{} // closed when it took too long, is done, or has no callers left
	body    []byte
	err     error
	callers int                // that wait for it; under the mu of the renderer
	stop    context.CancelFunc // when no caller is left
}

// keptBytes is the default of [Options.Kept].
const keptBytes = 88 << 20

// New returns a renderer.
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
	if o.Kept == 0 {
		o.Kept = keptBytes
	}
	marks := o.Kept / 4
	return &Renderer{
		marks: render.NewMarksCache(marks), overviews: render.NewOverviews(o.Kept - marks),
		o: o, workers: make(chan struct{}, o.Workers), large: make(chan struct{}, max(o.Workers/2, 1)), flights: map[string]*flight{},
	}
}

// Tile renders the tile that m describes. It is the Render function of [tile.Options].
func (k *Renderer) Tile(ctx context.Context, m tile.RenderRequest) ([]byte, error) {
	if b, err := k.storedTile(ctx, &m); b != nil || err != nil {
		return b, err
	}
	s := small
	if m.Shrink {
		s = large
	}
	return k.cached(ctx, m.Revision+"-"+tileKey(&m), m.Lease, s, func(ctx context.Context) ([]byte, error) {
		return k.tile(ctx, &m)
	})
}

// Thumbnail renders the entire slide to fit into width × height pixels.
func (k *Renderer) Thumbnail(ctx context.Context, revision string, s *slide.Slide, width, height int, back color.RGBA, lease tile.Lease) ([]byte, error) {
	key := fmt.Sprintf("%s-thumbnail-%dx%d", revision, width, height)
	return k.cached(ctx, key, lease, large, func(ctx context.Context) ([]byte, error) {
		return render.Thumbnail(ctx, s, width, height, render.Options{
			Background: back, Revision: revision, Marks: k.marks, Overviews: k.overviews, Current: lease.Current,
		})
	})
}

// Preview renders the label beside the macro, height pixels high.
func (k *Renderer) Preview(ctx context.Context, revision string, s *slide.Slide, height int, lease tile.Lease) ([]byte, error) {
	key := fmt.Sprintf("%s-upright-preview-%d", revision, height)
	return k.cached(ctx, key, lease, small, func(ctx context.Context) ([]byte, error) {
		return render.Preview(ctx, s, height)
	})
}

// Associated returns an associated image as one JPEG: unchanged if it is stored as one,
// otherwise joined from its strips. A label is upright; a missing one is rendered from the barcode.
func (k *Renderer) Associated(ctx context.Context, revision string, s *slide.Slide, kind string, lease tile.Lease) ([]byte, error) {
	if kind != "label" {
		if b, err := k.storedJPEG(ctx, s, kind, lease); b != nil || err != nil {
			return b, err
		}
	}
	key := revision + "-" + kind
	if kind == "label" {
		key = revision + "-upright-label" // labels were cached as they are stored
	}
	return k.cached(ctx, key, lease, small, func(ctx context.Context) ([]byte, error) {
		if kind == "label" {
			b, _, err := render.Label(ctx, s)
			return b, err
		}
		p, err := render.ReadAssociated(ctx, s, kind)
		if err != nil {
			return nil, err
		}
		img, err := render.DecodeAssociated(ctx, p)
		if err != nil {
			return nil, err
		}
		return render.EncodeJPEG(img, 90)
	})
}

// Convert returns a JPEG with its colours converted to sRGB by a table. It is the Convert function
// of [tile.Options]; key names the result in the cache.
func (k *Renderer) Convert(ctx context.Context, key string, body []byte, t *icc.Table, lease tile.Lease) ([]byte, error) {
	return k.cached(ctx, key, lease, small, func(ctx context.Context) ([]byte, error) {
		img, err := render.DecodeJPEG(ctx, body)
		if err != nil {
			return nil, err
		}
		t.Convert(img.Pix, img.Pix)
		return render.EncodeJPEG(img, convertedQuality)
	})
}

// convertedQuality is that of JPEGs that are decoded and encoded once more.
const convertedQuality = 92

// storedJPEG returns an associated image that is stored as one JPEG, or nil if it is
// stored differently. It needs no worker.
func (k *Renderer) storedJPEG(ctx context.Context, s *slide.Slide, kind string, lease tile.Lease) ([]byte, error) {
	f := k.start(ctx, lease, func(ctx context.Context) ([]byte, error) {
		return k.limited(ctx, lease.Store, func() {}, func(ctx context.Context) ([]byte, error) {
			p, err := render.ReadAssociated(ctx, s, kind)
			if err != nil {
				return nil, err
			}
			return p.JPEG(), nil
		})
	})
	defer f.stop()
	return f.wait(ctx)
}

// refused converts the errors of the memory limit to those of package tile.
func refused(err error) error {
	switch {
	case errors.Is(err, render.ErrBusy):
		return tile.ErrBusy
	case errors.Is(err, render.ErrTooLarge):
		return fmt.Errorf("%w: %w", tile.ErrTooLarge, err)
	}
	return err
}

// ErrTooMuch reports a region for which too many tiles would have to be read.
var ErrTooMuch = render.ErrTooMuch

// A Region describes a part of a slide to render.
type Region struct {
	render.View
	Mirror        bool
	Turn          int  // clockwise, after mirroring: 0, 90, 180 or 270°
	Gray, Bitonal bool // grayscale, or black and white
	PNG           bool // otherwise a JPEG
	// Table, if not nil, converts the pixels to sRGB, before Gray and Bitonal.
	Table *icc.Table
}

// regionPixels limits the pixels to read for one region.
const regionPixels = 32 << 20

// Region renders a part of a slide. Only JPEGs of the entire slide are cached, as there are
// too many other regions. The error may also be [ErrTooMuch].
func (k *Renderer) Region(ctx context.Context, m tile.RenderRequest, r Region) ([]byte, error) {
	if r.plain() {
		if b, err := k.storedView(ctx, &m, r.View); b != nil || err != nil {
			return b, err
		}
	}
	if r.shows(m.Slide) && !r.PNG {
		return k.cached(ctx, m.Revision+"-"+r.key(&m), m.Lease, large, func(ctx context.Context) ([]byte, error) { return k.region(ctx, &m, r) })
	}
	f := k.start(ctx, m.Lease, func(ctx context.Context) ([]byte, error) {
		return k.work(ctx, m.Store, r.size(), func(ctx context.Context) ([]byte, error) { return k.region(ctx, &m, r) })
	})
	defer f.stop()
	return f.wait(ctx)
}

// plain reports whether a region is a JPEG in colour, and upright.
func (r *Region) plain() bool {
	return !r.Mirror && r.Turn == 0 && !r.Gray && !r.Bitonal && !r.PNG && r.Table == nil
}

// shows reports whether a region is the entire slide.
func (r *Region) shows(s *slide.Slide) bool {
	whole := render.Whole(s, r.Width, r.Height)
	return whole.X == r.X && whole.Y == r.Y && whole.W == r.W && whole.H == r.H && r.Level == whole.Level
}

// key identifies a region that shows the entire slide.
func (r *Region) key(m *tile.RenderRequest) string {
	return fmt.Sprintf("full-%dx%d-%t%d-%t%t%t-%02x%02x%02x", r.Width, r.Height, r.Mirror, r.Turn, r.Gray, r.Bitonal, r.Table != nil, m.Background.R, m.Background.G, m.Background.B)
}

// largePixels is the number of pixels from which on a region is large.
const largePixels = 2 << 20

func (r *Region) size() size {
	if r.Width*r.Height >= largePixels {
		return large
	}
	return small
}

// options returns the options for rendering a part of a slide.
func (k *Renderer) options(m *tile.RenderRequest) render.Options {
	return render.Options{
		Quality: k.o.Quality, Background: m.Background, MaxRead: regionPixels,
		Revision: m.Revision, Marks: k.marks, Overviews: k.overviews, Current: m.Current,
		Tile: func(ctx context.Context, z, x, y int) ([]byte, error) { return k.zoom(ctx, m, z, x, y) },
	}
}

// region renders a part of a slide.
func (k *Renderer) region(ctx context.Context, m *tile.RenderRequest, r Region) ([]byte, error) {
	r.FullChroma = !r.plain()
	p, err := render.Draw(ctx, m.Slide, r.View, k.options(m))
	if err != nil {
		return nil, err
	}
	if r.plain() {
		defer render.DiscardPicture(ctx, p)
		return render.EncodePicture(p, k.o.Quality)
	}
	img, err := render.AsRGBA(ctx, p)
	if err != nil {
		return nil, err
	}
	defer render.Discard(ctx, img)
	if r.Table != nil {
		r.Table.Convert(img.Pix, img.Pix)
	}
	if r.Gray || r.Bitonal {
		render.Gray(img, r.Bitonal)
	}
	// The turned image needs as much memory again, as may the PNG.
	cost := 2 * int64(len(img.Pix))
	if err := render.Take(ctx, cost); err != nil {
		return nil, err
	}
	defer render.Give(ctx, cost)
	turned := render.Turn(img, r.Mirror, r.Turn)
	if r.PNG {
		return render.EncodePNG(turned)
	}
	return render.EncodeJPEG(turned, k.o.Quality)
}

// cached returns the image of that key from the cache, or renders and caches it. The image
// of a file that changed meanwhile is discarded.
func (k *Renderer) cached(ctx context.Context, key string, lease tile.Lease, s size, build func(context.Context) ([]byte, error)) ([]byte, error) {
	key += "-" + generation
	if b := k.o.Cache.Get(key); b != nil {
		return b, nil
	}
	f := k.join(ctx, key, lease, func(ctx context.Context) ([]byte, error) {
		return k.work(ctx, lease.Store, s, func(ctx context.Context) ([]byte, error) {
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

// join starts to render the image of that key, or joins the flight under way.
func (k *Renderer) join(ctx context.Context, key string, lease tile.Lease, work func(context.Context) ([]byte, error)) *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.flights[key]; f != nil {
		f.callers++
		return f
	}
	// The first caller may go away while others wait.
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

// forget removes a flight, so that the next caller starts a new one. The caller must hold
// mu.
func (k *Renderer) forget(key string, f *flight) {
	if k.flights[key] == f {
		delete(k.flights, key)
	}
}

// leave records that a caller no longer waits. An image without callers is not rendered:
// after a burst of requests the queue would be full of such images.
func (k *Renderer) leave(key string, f *flight) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.callers--; f.callers > 0 {
		return
	}
	f.stop()
	k.forget(key, f)
}

// A size is how much work an image is.
type size uint8

const (
	// small images are tiles and regions, of which a viewer requests many at once.
	small size = iota
	// large images show an entire slide, or are regions of many tiles. They get half of
	// the workers, so that small ones do not wait behind them.
	large
)

// begin waits for a worker, or returns [tile.ErrBusy] if too many requests wait or the
// wait takes too long. The worker is free again when free is called.
func (k *Renderer) begin(ctx context.Context, s size) (free func(), err error) {
	if k.waiting.Add(1) > int64(k.o.Waiting) {
		k.waiting.Add(-1)
		return nil, tile.ErrBusy
	}
	defer k.waiting.Add(-1)
	t := time.NewTimer(k.o.MaxWait)
	defer t.Stop()
	wait := func(slots chan struct{}) error {
		select {
		case slots <- struct{}{}:
			return nil
		case <-t.C:
			return tile.ErrBusy
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s == small {
		return func() { <-k.workers }, wait(k.workers)
	}
	if err := wait(k.large); err != nil {
		return nil, err
	}
	if err := wait(k.workers); err != nil {
		<-k.large
		return nil, err
	}
	return func() { <-k.workers; <-k.large }, nil
}

// Waiting returns the number of images that wait for a worker.
func (k *Renderer) Waiting() int { return int(k.waiting.Load()) }

// tile renders a tile. The tiles that it is derived from are cached too.
func (k *Renderer) tile(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	switch {
	case !m.Part.Empty():
		return k.part(ctx, m)
	case m.Shrink:
		o := k.options(m)
		o.MaxRead = 0
		return render.Scaled(ctx, m.Slide, m.Width, m.Height, o)
	case m.Width != 0:
		return k.edge(ctx, m)
	case m.Zoom < 0:
		return k.level(ctx, m)
	}
	return k.newZoom(ctx, m, m.Zoom, m.X, m.Y) // which is not in the cache, as it has the same key
}

// zoom returns a tile of a zoom level: as stored, cached or rendered.
func (k *Renderer) zoom(ctx context.Context, m *tile.RenderRequest, z, x, y int) ([]byte, error) {
	zoom := &m.Slide.Zooms[z]
	if zoom.Level >= 0 && m.Slide.Levels[zoom.Level].Layout.Codec == slide.JPEG {
		if err := render.Take(ctx, m.Slide.TileBytes(zoom.Level, x, y)); err != nil {
			return nil, err
		}
		b, err := m.Slide.AppendTile(nil, zoom.Level, x, y)
		if !errors.Is(err, slide.ErrMissingTile) {
			return b, err
		}
	}
	one := *m
	one.Zoom, one.X, one.Y, one.Width, one.Height = z, x, y, 0, 0
	key := m.Revision + "-" + tileKey(&one) + "-" + generation
	if b := k.o.Cache.Get(key); b != nil {
		return b, nil
	}
	b, err := k.newZoom(ctx, m, z, x, y)
	if err == nil && m.Current() {
		k.o.Cache.Put(key, b)
	}
	return b, err
}

// newZoom renders a tile of a zoom level. The tiles that it is derived from are cached.
func (k *Renderer) newZoom(ctx context.Context, m *tile.RenderRequest, z, x, y int) ([]byte, error) {
	return render.Tile(ctx, m.Slide, z, x, y, render.Options{
		Quality:    k.o.Quality,
		Background: m.Background,
		Tile: func(ctx context.Context, z, x, y int) ([]byte, error) {
			return k.zoom(ctx, m, z, x, y)
		},
	})
}

// part renders a tile that is not one of the slide's levels.
func (k *Renderer) part(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	p, err := render.Draw(ctx, m.Slide, render.ViewOf(m.Part, m.Width, m.Height), k.options(m))
	if err != nil {
		return nil, err
	}
	defer render.DiscardPicture(ctx, p)
	return render.EncodePicture(p, k.o.Quality)
}

// edge crops a tile to the image: losslessly if the JPEG allows it, otherwise by decoding
// and encoding it.
func (k *Renderer) edge(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	b, err := k.zoom(ctx, m, m.Zoom, m.X, m.Y)
	if err != nil {
		return nil, err
	}
	if m.Slide.IsPyramid() {
		return k.edgeOf(ctx, m, b)
	}
	// A level may have lost its last column or row of pixels when it was halved. Its padding
	// would be a dark or white line in a viewer that computes the size of the zoom level.
	w, h := m.Width, m.Height
	if l := m.Slide.Zooms[m.Zoom].Level; l >= 0 {
		level := &m.Slide.Levels[l]
		w, h = min(w, level.Width-m.X*level.TileWidth), min(h, level.Height-m.Y*level.TileHeight)
	}
	if w == m.Width && h == m.Height {
		cut, err := jpeg.Crop(b, w, h)
		if !errors.Is(err, jpeg.ErrNotLossless) {
			return cut, err
		}
	}
	img, err := render.DecodeJPEG(ctx, b)
	if err != nil {
		return nil, err
	}
	render.Stretch(img, w, h, m.Width, m.Height)
	return render.EncodeJPEG(render.Crop(img, m.Width, m.Height), k.o.Quality)
}

// edgeOf crops tile b of a pyramid, which may be cut already.
func (k *Renderer) edgeOf(ctx context.Context, m *tile.RenderRequest, b []byte) ([]byte, error) {
	if cut, err := jpeg.Crop(b, m.Width, m.Height); err == nil {
		return cut, nil
	}
	img, err := render.Pixels(ctx, m.Slide, m.Zoom, m.X, m.Y, render.Options{Background: m.Background})
	if err != nil {
		return nil, err
	}
	defer render.Discard(ctx, img)
	return render.EncodeJPEG(render.Crop(img, m.Width, m.Height), k.o.Quality)
}

// level decodes a tile of a stored level and encodes it as JPEG.
func (k *Renderer) level(ctx context.Context, m *tile.RenderRequest) ([]byte, error) {
	return render.LevelTile(ctx, m.Slide, m.Level, m.X, m.Y, render.Options{Quality: k.o.Quality, Background: m.Background})
}

func tileKey(m *tile.RenderRequest) string {
	key := fmt.Sprintf("z%d-%d-%d", m.Zoom, m.X, m.Y)
	switch {
	case !m.Part.Empty():
		key = fmt.Sprintf("p%d-%d-%d-%dx%d", m.Halved, m.Part.Min.X, m.Part.Min.Y, m.Part.Dx(), m.Part.Dy())
	case m.Zoom < 0:
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
