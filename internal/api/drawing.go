package api

import (
	"context"
	"errors"
	pixels "image"
	"net/http"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/region"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// A drawing is a picture that is rendered and sent band by band. No worker and no slot waits for
// the client, and only one band is in memory.
type drawing struct {
	renderer *rendercache.Renderer
	image    *tile.Image
	bands    *region.Bands
	format   region.Format
	quality  int // of a JPEG; 0 for the server's

	mirror        bool // as the bands
	turn          int
	gray, bitonal bool
	colours       coloring
	header        func(http.Header) // sets more headers; may be nil

	jpeg *region.JPEGWriter
	png  *region.PNGWriter
}

// contentTypes are the media types of pictures.
var contentTypes = map[region.Format]string{
	region.JPEG: "image/jpeg", region.PNG: "image/png", region.TIFF: "image/tiff", region.Raw: "application/octet-stream",
}

const (
	// busyTime is how long an answer that has begun waits for a worker, if the server has
	// too many requests.
	busyTime = time.Minute
	// busyPause is how long it waits between two attempts.
	busyPause = 500 * time.Millisecond
)

// send draws the picture and sends it. Its error is one of the first band, before anything
// has been sent. If a later one fails, the connection is broken, so that the client does not
// take what it has for the complete picture.
func (d *drawing) send(w http.ResponseWriter, r *http.Request, answer tile.Answer) error {
	if done, err := d.unchanged(w, r, answer); done || err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		d.head(w, answer)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	d.jpeg = region.NewJPEG(d.bands.Width, d.bands.Height, d.bands.Rows)
	d.png = region.NewPNG(d.bands.Width, d.bands.Height, d.colours.bytes())
	body, err := d.band(r.Context(), 0)
	if err != nil {
		return regionFailed(err)
	}
	d.head(w, answer)
	if d.bands.Count() == 1 {
		return httperr.Send(w, r, contentTypes[d.format], body)
	}
	if http.NewResponseController(w).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	for i := 1; ; i++ {
		if _, err := w.Write(body); err != nil {
			panic(http.ErrAbortHandler) // the client is gone, or too slow for the memory it takes
		}
		if i == d.bands.Count() {
			return nil
		}
		body = nil // while the next one is rendered
		if body, err = d.patient(r.Context(), i); err != nil {
			httperr.LogError(r, regionFailed(err))
			panic(http.ErrAbortHandler)
		}
	}
}

// unchanged answers 304 to a client that has the picture.
func (d *drawing) unchanged(w http.ResponseWriter, r *http.Request, answer tile.Answer) (bool, error) {
	match := httperr.IfNoneMatch(r)
	if match == "" || !etag.Matches(match, answer.ETag) {
		return false, nil
	}
	if err := d.image.View(r.Context(), func(*slide.Slide, tile.Lease) error { return nil }); err != nil {
		return false, explained(err)
	}
	h := w.Header()
	h.Set("Etag", answer.ETag)
	h.Set("Cache-Control", answer.CacheControl())
	w.WriteHeader(http.StatusNotModified)
	return true, nil
}

// head sets the headers of the picture.
func (d *drawing) head(w http.ResponseWriter, answer tile.Answer) {
	h := w.Header()
	h.Set("Etag", answer.ETag)
	h.Set("Cache-Control", answer.CacheControl())
	h.Set("Content-Type", contentTypes[d.format])
	h.Set("X-Content-Type-Options", "nosniff")
	if d.header != nil {
		d.header(h)
	}
	if d.format == region.Raw {
		h.Set("Content-Length", strconv.Itoa(3*d.bands.Width*d.bands.Height))
	}
}

// patient is band for a picture that is being sent: a busy server is no reason to end it.
func (d *drawing) patient(ctx context.Context, i int) ([]byte, error) {
	for end := time.Now().Add(busyTime); ; {
		b, err := d.band(ctx, i)
		if !errors.Is(err, tile.ErrBusy) || time.Now().After(end) {
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(busyPause):
		}
	}
}

// band returns the bytes of the picture from band i on, up to the next one. Bands must be
// rendered in their order.
func (d *drawing) band(ctx context.Context, i int) ([]byte, error) {
	var body []byte
	var compressed *region.PNGBand
	plan := d.bands.Plan(i)
	view := render.View{X: plan.X, Y: plan.Y, W: plan.W, H: plan.H, Width: plan.Width, Height: plan.Height, Level: plan.Level, FullChroma: d.format != region.JPEG}
	// If the file is moved meanwhile, the band is rendered again.
	err := d.image.View(ctx, func(s *slide.Slide, lease tile.Lease) (err error) {
		f := &d.image.File
		m := tile.RenderRequest{Slide: s, Image: f.ID, Revision: f.Revision, Background: f.Store.Background, Lease: lease}
		if d.format == region.JPEG && d.quality == 0 && d.bands.Count() == 1 && d.isUnchanged() {
			if body, err = d.renderer.Stored(ctx, m, view); body != nil || err != nil {
				return err
			}
		}
		rendered := make(chan *region.PNGBand, 1)
		body, err = d.renderer.Draw(ctx, m, view, func(ctx context.Context, p *planes.Picture) ([]byte, error) {
			if d.format != region.PNG {
				return d.encode(ctx, p)
			}
			b, err := d.compress(ctx, p)
			rendered <- b
			return nil, err
		})
		if err == nil && d.format == region.PNG {
			compressed = <-rendered
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case d.format == region.PNG:
		return d.png.Append(nil, compressed)
	case d.format == region.JPEG:
		return d.join(body, i)
	}
	return body, nil
}

// join appends a band to a JPEG.
func (d *drawing) join(band []byte, i int) ([]byte, error) {
	if d.bands.Count() > 1 {
		var err error
		if band, err = d.jpeg.Append(make([]byte, 0, len(band)+16), band); err != nil {
			return nil, err
		}
	}
	if i > 0 {
		return band, nil
	}
	return d.colours.embedded(band), nil
}

// encode encodes a band as JPEG or raw.
func (d *drawing) encode(ctx context.Context, p *planes.Picture) ([]byte, error) {
	quality := d.quality
	if quality == 0 {
		quality = d.renderer.Quality()
	}
	if d.format == region.JPEG && d.isPlain(p) {
		if err := render.Take(ctx, 4*int64(p.Width)*int64(p.Height)); err != nil {
			return nil, err
		}
		return codec.Encode(p, quality)
	}
	img, err := d.pixels(ctx, p)
	if err != nil {
		return nil, err
	}
	defer planes.RecycleRGBA(img)
	if d.format == region.Raw {
		return region.AppendRaw(make([]byte, 0, 3*img.Rect.Dx()*img.Rect.Dy()), img), nil
	}
	return codec.EncodeRGBA(img, quality)
}

// isUnchanged reports whether the pixels are those of the slide, upright.
func (d *drawing) isUnchanged() bool {
	return !d.mirror && d.turn == 0 && !d.gray && !d.bitonal && d.colours.table() == nil
}

// isPlain reports whether a band can be encoded as it was rendered. All bands of a JPEG must
// have the same components.
func (d *drawing) isPlain(p *planes.Picture) bool {
	if !d.isUnchanged() {
		return false
	}
	chroma := &p.Planes[len(p.Planes)-1]
	return d.bands.Count() == 1 || p.Model == planes.YCbCr && chroma.H == 2 && chroma.V == 2
}

// compress compresses a band of a PNG.
func (d *drawing) compress(ctx context.Context, p *planes.Picture) (*region.PNGBand, error) {
	img, err := d.pixels(ctx, p)
	if err != nil {
		return nil, err
	}
	defer planes.RecycleRGBA(img)
	if err := render.Take(ctx, region.PNGCost); err != nil {
		return nil, err
	}
	return d.png.Compress(img)
}

// pixels returns a band as RGBA: converted, mirrored and turned.
func (d *drawing) pixels(ctx context.Context, p *planes.Picture) (*pixels.RGBA, error) {
	// Twice, for the result, which is smaller than the pixels, and for a turned picture.
	if err := render.Take(ctx, 3*4*int64(p.Width)*int64(p.Height)); err != nil {
		return nil, err
	}
	img := p.RGBA()
	if t := d.colours.table(); t != nil {
		t.Convert(img.Pix, img.Pix)
	}
	if d.gray || d.bitonal {
		render.Gray(img, d.bitonal)
	}
	return render.Turn(img, d.mirror, d.turn), nil
}

// regionFailed returns the answer to an error of drawing.
func regionFailed(err error) error {
	if errors.Is(err, tile.ErrTooLarge) || errors.Is(err, rendercache.ErrTooMuch) {
		return &httperr.Error{Status: http.StatusRequestEntityTooLarge, Detail: "The region needs more memory than this server has for drawing: request a smaller part, or a larger result, in several requests. The numbers are in the log of the server.", Err: err}
	}
	return explained(err)
}
