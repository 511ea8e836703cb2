package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// white is the background where the scanner skipped a tile.
var white = color.RGBA{255, 255, 255, 255}

// openSlide opens the slide in the file at path, or the DICOM series in the folder at path or to
// which the file at path belongs. Its errors have the exit code [exitFile] if the file itself is
// at fault.
func openSlide(path string) (*slide.Slide, *slideFiles, error) {
	if series, err := isSeries(path); err != nil {
		return nil, nil, err
	} else if series {
		return openSeries(path)
	}
	f, err := fsx.Open(path)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		f.Close()
		return nil, nil, fileError(path, err)
	}
	return s, &slideFiles{[]*os.File{f}, fi.Size()}, nil
}

// fileError returns err, of reading the file at path or of rendering an image from it, with
// the exit code [exitFile] if the file is at fault.
func fileError(path string, err error) error {
	var broken *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	switch {
	case errors.As(err, &broken):
		return &exitError{exitFile, fmt.Errorf("%s is broken: %w", path, err)}
	case errors.As(err, &unsupported), errors.Is(err, render.ErrUnsupported):
		return &exitError{exitFile, fmt.Errorf("%s is not a supported slide: %w", path, err)}
	}
	return fmt.Errorf("%s: %w", path, err)
}

// pictureError is [fileError] for images. Decoders have their own errors for damaged
// pixels, so every error without another known cause is the file's fault.
func pictureError(path string, err error) error {
	var file *exitError
	var system *fs.PathError
	switch e := fileError(path, err); {
	case errors.As(e, &file), errors.As(err, &system), errors.Is(err, slide.ErrNoTile), errors.Is(err, slide.ErrNoAssociated),
		errors.Is(err, tile.ErrBusy), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return e
	}
	return &exitError{exitFile, fmt.Errorf("%s is broken: %w", path, err)}
}

// output is the flag for where to write an image.
type output struct {
	Output string `short:"o" default:"-" placeholder:"FILE" help:"Write to this file instead of standard output."`
}

func (o *output) write(std streams, b []byte) error {
	if o.Output == "-" {
		if f, ok := std.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return errors.New("a JPEG is not written to a terminal; use -o FILE, or redirect the output")
		}
		_, err := std.out.Write(b)
		return err
	}
	return os.WriteFile(o.Output, b, 0o644)
}

type tileCmd struct {
	File string `arg:"" help:"Slide file, or a folder or file of a DICOM series."`
	Z    int    `arg:"" help:"Zoom level: 0 is the one tile that shows the whole slide."`
	X    int    `arg:"" help:"Column, from 0 at the left."`
	Y    int    `arg:"" help:"Row, from 0 at the top."`
	output
}

func (*tileCmd) Help() string { return "Example:\n\n  ptiffstore tile slide.tiff 3 2 1 -o tile.jpg" }

// Run writes the tile, with the bytes of the file if that stores it.
func (c *tileCmd) Run(ctx context.Context, std streams) error {
	s, f, err := openSlide(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.Z < 0 || c.Z >= len(s.Zooms) {
		return fmt.Errorf("the slide has zoom levels 0 to %d", len(s.Zooms)-1)
	}
	if z := s.Zooms[c.Z]; c.X < 0 || c.Y < 0 || c.X >= z.Columns || c.Y >= z.Rows {
		return fmt.Errorf("zoom %d has %d columns and %d rows", c.Z, z.Columns, z.Rows)
	}
	b, err := render.Tile(ctx, s, c.Z, c.X, c.Y, render.Options{Background: white})
	if errors.Is(err, slide.ErrEmptyTile) {
		b, err = render.Blank(s.Levels[0].TileWidth, s.Levels[0].TileHeight, white)
	}
	if err != nil {
		return pictureError(c.File, err)
	}
	return c.write(std, b)
}

type associatedCmd struct {
	File string `arg:"" help:"Slide file, or a folder or file of a DICOM series."`
	Kind string `arg:"" enum:"label,macro,thumbnail" help:"label, macro or thumbnail."`
	output
}

func (*associatedCmd) Help() string {
	return "A label that the file lacks is made from its barcode.\n\nExample:\n\n  ptiffstore associated slide.tiff label -o label.jpg"
}

// Run writes the associated image.
func (c *associatedCmd) Run(ctx context.Context, std streams) error {
	return withRenderer(c.File, func(k *rendercache.Renderer, s *slide.Slide) error {
		b, err := k.Associated(ctx, "file", s, c.Kind, tile.Lease{Current: unchanged})
		if err != nil {
			return pictureError(c.File, err)
		}
		return c.write(std, b)
	})
}

type previewCmd struct {
	File   string `arg:"" help:"Slide file, or a folder or file of a DICOM series."`
	Height int    `default:"100" help:"Height in pixels, 1 to 2048."`
	output
}

func (*previewCmd) Help() string {
	return "Example:\n\n  ptiffstore preview slide.tiff --height 300 -o preview.jpg"
}

// Validate refuses heights that are not rendered, before the command reads the file.
func (c *previewCmd) Validate() error {
	if c.Height < 1 || c.Height > 2048 {
		return fmt.Errorf("--height=%d: must be 1 to 2048 pixels", c.Height)
	}
	return nil
}

// Run writes the preview.
func (c *previewCmd) Run(ctx context.Context, std streams) error {
	return withRenderer(c.File, func(k *rendercache.Renderer, s *slide.Slide) error {
		b, err := k.Preview(ctx, "file", s, c.Height, tile.Lease{Current: unchanged})
		if err != nil {
			return pictureError(c.File, err)
		}
		return c.write(std, b)
	})
}

func unchanged() bool { return true }

// withRenderer calls f with a renderer whose cache is removed when f returns.
func withRenderer(path string, f func(*rendercache.Renderer, *slide.Slide) error) error {
	s, file, err := openSlide(path)
	if err != nil {
		return err
	}
	defer file.Close()
	dir, err := os.MkdirTemp("", "ptiffstore-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cache, err := rendercache.OpenCache(filepath.Join(dir, "cache"), 1<<30, quiet())
	if err != nil {
		return err
	}
	return f(rendercache.New(rendercache.Options{Cache: cache}), s)
}
