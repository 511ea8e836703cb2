package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/region"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

// rendered writes a PNG or a JPEG.
func (c *cropCmd) rendered(ctx context.Context, std streams, s *slide.Slide, part image.Rectangle) (*cropped, error) {
	if part.Dx() > region.MaxSide || part.Dy() > region.MaxSide {
		return nil, fmt.Errorf("%d×%d pixels are too many for a picture, which has at most %d a side: write a .tif, or a smaller part", part.Dx(), part.Dy(), region.MaxSide)
	}
	box := region.Box{X: float64(part.Min.X), Y: float64(part.Min.Y), W: float64(part.Dx()), H: float64(part.Dy())}
	plan := &region.Plan{Box: box, Inside: box, Width: part.Dx(), Height: part.Dy(), Level: 0}
	p := &picture{
		slide: s, part: part, bands: region.NewBands(plan, false, 0), png: c.suffix() == ".png", quality: c.Quality,
		options: render.Options{Revision: "file", Marks: render.NewMarksCache(64 << 20), Background: white},
	}
	if !c.Quiet {
		p.progress = std.err
	}
	var failed error // of the slide, not of the file that is written
	var n int64
	err := fsx.CreateNew(c.Out, 0o644, func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if failed = p.write(ctx, w); failed != nil {
			return failed
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fi, err := f.Stat()
		if err == nil {
			n = fi.Size()
		}
		return err
	})
	var writing *writeError
	if failed != nil && !errors.As(failed, &writing) {
		return nil, pictureError(c.File, failed)
	}
	return &cropped{Box: boxOf(part), Bytes: n}, err
}

// A picture is a part of a slide that is written as a PNG or JPEG, band by band, so that only
// one band is in memory.
type picture struct {
	slide    *slide.Slide
	part     image.Rectangle
	bands    *region.Bands
	png      bool
	quality  int // of a JPEG; 0 for the stored pixels, or 85
	options  render.Options
	progress io.Writer // nil for none
}

// A writeError is an error of the file that is written.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// write writes the picture.
func (p *picture) write(ctx context.Context, w io.Writer) error {
	if !p.png && p.quality == 0 {
		b, err := p.stored(ctx)
		if err != nil {
			return err
		}
		if b != nil {
			return written(w.Write(b))
		}
		p.quality = 85
	}
	jpegs, pngs := region.NewJPEG(p.bands.Width, p.bands.Height, p.bands.Rows), region.NewPNG(p.bands.Width, p.bands.Height, nil)
	for i := range p.bands.Count() {
		b, err := p.band(ctx, i, jpegs, pngs)
		if err != nil {
			return err
		}
		if err := written(w.Write(b)); err != nil {
			return err
		}
		p.report(i)
	}
	return nil
}

func written(_ int, err error) error {
	if err != nil {
		return &writeError{err}
	}
	return nil
}

// stored returns the picture as one JPEG with the samples of the slide, or nil if it must be
// rendered.
func (p *picture) stored(ctx context.Context) ([]byte, error) {
	b, _, err := render.Stitch(ctx, p.slide, 0, p.part.Add(p.slide.Bounds.Min), p.options.Marks,
		render.StitchOptions{Revision: p.options.Revision, Background: p.options.Background, Exact: true})
	if errors.Is(err, jpeg.ErrNotLossless) || errors.Is(err, render.ErrTooLarge) {
		return nil, nil
	}
	return b, err
}

// band returns the bytes of the picture from band i on, up to the next one.
func (p *picture) band(ctx context.Context, i int, jpegs *region.JPEGWriter, pngs *region.PNGWriter) ([]byte, error) {
	plan := p.bands.Plan(i)
	v := render.View{X: plan.X, Y: plan.Y, W: plan.W, H: plan.H, Width: plan.Width, Height: plan.Height, Level: plan.Level, FullChroma: p.png}
	rendered, err := render.Draw(ctx, p.slide, v, p.options)
	if err != nil {
		return nil, err
	}
	// All bands of a JPEG must have the same components.
	if last := &rendered.Planes[len(rendered.Planes)-1]; !p.png && (p.bands.Count() == 1 || rendered.Model == planes.YCbCr && last.H == 2 && last.V == 2) {
		defer render.DiscardPicture(ctx, rendered)
		b, err := codec.Encode(rendered, p.quality)
		if err != nil {
			return nil, err
		}
		return p.join(jpegs, b)
	}
	img, err := render.AsRGBA(ctx, rendered)
	if err != nil {
		return nil, err
	}
	defer render.Discard(ctx, img)
	if p.png {
		b, err := pngs.Compress(img)
		if err != nil {
			return nil, err
		}
		return pngs.Append(nil, b)
	}
	b, err := codec.EncodeRGBA(img, p.quality)
	if err != nil {
		return nil, err
	}
	return p.join(jpegs, b)
}

// join returns a band, a complete JPEG, as the next part of the picture.
func (p *picture) join(jpegs *region.JPEGWriter, band []byte) ([]byte, error) {
	if p.bands.Count() == 1 {
		return band, nil
	}
	return jpegs.Append(make([]byte, 0, len(band)+16), band)
}

// report prints how much is done, if there is more than one band.
func (p *picture) report(i int) {
	n := p.bands.Count()
	if p.progress == nil || n == 1 {
		return
	}
	if tenth := 10 * (i + 1) / n; tenth > 10*i/n {
		fmt.Fprintf(p.progress, "%d %%\n", 10*tenth)
	}
}
