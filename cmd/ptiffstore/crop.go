package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/cutout"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

type cropCmd struct {
	File string `arg:"" help:"Slide file, or a folder or file of a DICOM series."`
	Box  string `arg:"" name:"x,y,w,h" help:"Left edge, top edge, width and height, in pixels of the largest level."`
	Out  string `arg:"" help:"File to write, which must not exist: .tif or .tiff for a lossless pyramid, .png or .jpg for a picture."`
	JSON bool   `help:"Print JSON."`

	Quality int  `placeholder:"N" help:"JPEG quality, 1 to 100. Without it, a part that begins with a block of the slide's JPEGs and has up to 64 million pixels is copied without loss, and others have 85."`
	Quiet   bool `short:"q" help:"Show no progress."`
}

func (*cropCmd) Help() string {
	return "A TIFF has the compressed pixels of the slide, its resolution and its colour profile, but no label, macro or description. The part is grown to whole blocks of the slide's JPEGs; the command prints the part that it wrote. What lies beyond the image is left out. A picture has up to 16,384 pixels a side. OUT appears when it is complete.\n\nExample:\n\n  ptiffstore crop slide.tiff 4096,2048,10000,8000 part.tif"
}

// A cropped describes a part that was written.
type cropped struct {
	Box    box            `json:"box"`
	Bytes  int64          `json:"bytes"`
	Levels []croppedLevel `json:"levels,omitempty"` // of a TIFF
}

// A box is a part of level 0, in pixels.
type box struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

type croppedLevel struct {
	Width    int  `json:"width"`
	Height   int  `json:"height"`
	Lossless bool `json:"lossless"`
}

// Validate refuses boxes and names that cannot be right before the command reads the slide.
func (c *cropCmd) Validate() error {
	if _, err := parseBox(c.Box); err != nil {
		return err
	}
	switch c.suffix() {
	case ".tif", ".tiff", ".png":
		if c.Quality != 0 {
			return fmt.Errorf("--quality=%d: only for .jpg, as the other formats are lossless", c.Quality)
		}
		return nil
	case ".jpg", ".jpeg":
		if c.Quality < 0 || c.Quality > 100 {
			return fmt.Errorf("--quality=%d: must be from 1 to 100", c.Quality)
		}
		return nil
	}
	return fmt.Errorf("%s: the name must end with .tif, .tiff, .png, .jpg or .jpeg", c.Out)
}

func (c *cropCmd) suffix() string { return strings.ToLower(filepath.Ext(c.Out)) }

// parseBox parses x,y,w,h.
func parseBox(text string) (image.Rectangle, error) {
	const most = 1 << 30 // larger than any slide
	list := strings.Split(text, ",")
	var n [4]int
	for i := range n {
		var err error
		if len(list) == len(n) {
			n[i], err = strconv.Atoi(strings.TrimSpace(list[i]))
		}
		if len(list) != len(n) || err != nil || n[i] < 0 || n[i] > most || i >= 2 && n[i] == 0 {
			return image.Rectangle{}, fmt.Errorf("%q is not a part of a slide: use x,y,w,h, four whole numbers of pixels such as 4096,2048,1000,800", text)
		}
	}
	return image.Rect(n[0], n[1], n[0]+n[2], n[1]+n[3]), nil
}

// Run writes the part.
func (c *cropCmd) Run(ctx context.Context, std streams) error {
	if _, err := os.Lstat(c.Out); err == nil {
		return c.exists()
	}
	asked, err := parseBox(c.Box)
	if err != nil {
		return err
	}
	r, err := c.crop(ctx, std, asked)
	if errors.Is(err, fs.ErrExist) {
		return c.exists()
	}
	if err != nil {
		return err
	}
	return r.print(std, c.JSON)
}

// crop writes the part that is asked for.
func (c *cropCmd) crop(ctx context.Context, std streams, asked image.Rectangle) (*cropped, error) {
	s, f, err := openSlide(c.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	part := asked.Intersect(image.Rectangle{Max: s.Bounds.Size()})
	switch {
	case part.Empty():
		return nil, fmt.Errorf("the part %s is outside of the image, which has %d×%d pixels", c.Box, s.Bounds.Dx(), s.Bounds.Dy())
	case strings.HasPrefix(c.suffix(), ".tif"):
		return c.lossless(ctx, s, part)
	}
	return c.rendered(ctx, std, s, part)
}

func (c *cropCmd) exists() error {
	return fmt.Errorf("%s exists already: choose another name, or remove it", c.Out)
}

// lossless writes a TIFF.
func (c *cropCmd) lossless(ctx context.Context, s *slide.Slide, part image.Rectangle) (*cropped, error) {
	cut, err := cutout.New(ctx, s, part, cutout.Options{Revision: "file", Marks: render.NewMarksCache(64 << 20)})
	if errors.Is(err, jpeg.ErrNotLossless) {
		return nil, &exitError{exitFile, fmt.Errorf("%s is not stored in a way that allows a lossless TIFF; write a .png, which has the same pixels: %w", c.File, err)}
	}
	if err != nil {
		return nil, pictureError(c.File, err)
	}
	var failed error // of reading the slide, not of writing the file
	err = fsx.CreateNew(c.Out, 0o644, func(f *os.File) error {
		failed = cut.WriteTo(ctx, f)
		return failed
	})
	if failed != nil {
		return nil, pictureError(c.File, failed)
	}
	r := &cropped{Box: boxOf(cut.Box), Bytes: cut.Size()}
	for _, l := range cut.Levels {
		r.Levels = append(r.Levels, croppedLevel{l.Width, l.Height, l.Lossless})
	}
	return r, err
}

func boxOf(r image.Rectangle) box { return box{r.Min.X, r.Min.Y, r.Dx(), r.Dy()} }

// print prints where the part lies.
func (r *cropped) print(std streams, asJSON bool) error {
	if asJSON {
		return printJSON(std, r)
	}
	b := r.Box
	fmt.Fprintf(std.out, "%d,%d,%d,%d", b.X, b.Y, b.Width, b.Height)
	if n := len(r.Levels); n > 0 {
		lossless := 0
		for _, l := range r.Levels {
			if l.Lossless {
				lossless++
			}
		}
		fmt.Fprintf(std.out, ": %d levels, %d of them lossless", n, lossless)
	}
	fmt.Fprintf(std.out, ", %d bytes\n", r.Bytes)
	return nil
}
