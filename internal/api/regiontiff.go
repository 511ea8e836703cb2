package api

import (
	"context"
	"errors"
	"fmt"
	pixels "image"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/slideatlas/ptiffstore/internal/cutout"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/region"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

var errNotLossless = &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "The image is not stored in a way that allows a lossless cut-out: use format=png, which has the same pixels."}

// cutout answers with a lossless cut-out of a part as TIFF, under a name for the download. It is written to a temporary file first, so
// that neither a worker nor an open slide waits for the client, and a file that changes
// meanwhile is an error.
func (a regionAPI) cutout(w http.ResponseWriter, r *http.Request, d *drawing, part pixels.Rectangle, name string, answer tile.Answer) error {
	if done, err := d.unchanged(w, r, answer); done || err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		d.head(w, answer)
		return nil
	}
	file, err := os.CreateTemp("", "ptiffstore-cutout-*")
	if err != nil {
		return fmt.Errorf("cannot create a temporary file: %w", err)
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	var c *cutout.Cutout
	err = d.image.View(r.Context(), func(s *slide.Slide, lease tile.Lease) (err error) {
		c, err = a.cutFrom(r.Context(), &d.image.File, s, lease, part, file)
		return err
	})
	if errors.Is(err, jpeg.ErrNotLossless) {
		return errNotLossless
	}
	if err != nil {
		return regionFailed(err)
	}
	d.head(w, answer)
	h := w.Header()
	h.Set("Content-Length", strconv.FormatInt(c.Size(), 10))
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("X-Region-Box", region.Box{X: float64(c.Box.Min.X), Y: float64(c.Box.Min.Y), W: float64(c.Box.Dx()), H: float64(c.Box.Dy())}.String())
	h.Set("X-Region-Width", strconv.Itoa(c.Box.Dx()))
	h.Set("X-Region-Height", strconv.Itoa(c.Box.Dy()))
	return sendFile(w, file)
}

// cutFrom writes the cut-out of a slide to a file, on a worker.
func (a regionAPI) cutFrom(ctx context.Context, f *tile.File, s *slide.Slide, lease tile.Lease, part pixels.Rectangle, file *os.File) (*cutout.Cutout, error) {
	made := make(chan *cutout.Cutout, 1)
	_, err := a.Renderer.Work(ctx, lease, func(ctx context.Context) ([]byte, error) {
		if err := file.Truncate(0); err != nil { // it is written again if the slide has moved
			return nil, err
		}
		c, err := cutout.New(ctx, s, part, cutout.Options{Revision: f.Revision, Background: f.Store.Background, Quality: a.Renderer.Quality()})
		if err != nil {
			return nil, err
		}
		made <- c
		return nil, c.WriteTo(ctx, io.NewOffsetWriter(file, 0))
	})
	if errors.Is(err, cutout.ErrChanged) {
		err = tile.ErrChanged
	}
	if err != nil {
		return nil, err
	}
	return <-made, nil
}

// sendFile sends a file in parts.
func sendFile(w http.ResponseWriter, file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if http.NewResponseController(w).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	part := make([]byte, 1<<20)
	for {
		n, err := file.Read(part)
		if n > 0 {
			if _, err := w.Write(part[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
