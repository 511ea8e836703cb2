package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/slideatlas/ptiffstore/internal/convert"
	"github.com/slideatlas/ptiffstore/tiff"
)

type convertCmd struct {
	In      string `arg:"" help:"Image to convert: a JPEG, PNG or TIFF."`
	Out     string `arg:"" help:"File to write the pyramid to."`
	Quality int    `default:"85" help:"JPEG quality, 1 to 100."`
	Force   bool   `help:"Overwrite OUT if it exists."`
	Quiet   bool   `short:"q" help:"Show no progress."`
}

func (*convertCmd) Help() string {
	return "The pyramid is a BigTIFF with JPEG tiles. OUT appears when it is complete.\n\nExample:\n\n  ptiffstore convert scan.png slide.tiff"
}

// Validate refuses invalid qualities before the command reads the image.
func (c *convertCmd) Validate() error {
	if c.Quality < 1 || c.Quality > 100 {
		return fmt.Errorf("--quality=%d: must be from 1 to 100", c.Quality)
	}
	return nil
}

// Run makes the pyramid.
func (c *convertCmd) Run(ctx context.Context, std streams) error {
	// Most of the heap is buffers of a known size that stay alive: collect the rest early.
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(30))
	}
	o := convert.Options{Quality: c.Quality, Force: c.Force}
	if !c.Quiet {
		said := int64(-1)
		o.Progress = func(done, total int64) {
			if tenth := 10 * done / total; tenth > said {
				said = tenth
				fmt.Fprintf(std.err, "%d %%\n", 10*tenth)
			}
		}
	}
	r, err := convert.File(ctx, c.In, c.Out, o)
	if err != nil {
		return convertError(c.In, c.Out, err)
	}
	fmt.Fprintf(std.out, "%s of %d×%d pixels: %d levels, %d bytes\n", r.Kind, r.Width, r.Height, r.Levels, r.Bytes)
	return nil
}

// convertError returns err with the exit code: exitFile if the image is at fault.
func convertError(in, out string, err error) error {
	var damaged *convert.FormatError
	var unsupported *tiff.UnsupportedError
	switch {
	case errors.Is(err, convert.ErrExists):
		return fmt.Errorf("%s: %w: use --force to overwrite it", out, err)
	case errors.As(err, &damaged):
		return &exitError{exitFile, fmt.Errorf("%s is broken: %w", in, err)}
	case errors.Is(err, convert.ErrUnsupported), errors.Is(err, convert.ErrPyramid), errors.As(err, &unsupported):
		return &exitError{exitFile, fmt.Errorf("%s cannot be converted: %w", in, err)}
	}
	return fileError(in, err)
}
