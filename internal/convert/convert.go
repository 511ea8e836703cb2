// Package convert converts flat images to pyramids: it writes JPEG, PNG and plain TIFF
// files as BigTIFFs with levels and tiles, as slide scanners do.
//
// An image may be larger than memory. It is read once, row by row. Each row is halved
// for the next level, and that one for the level after it. Each level holds no more
// than one row of tiles.
//
// Files are untrusted. Sizes are checked against the file before anything is allocated,
// and an image that cannot be read in rows is read only if it is small.
package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

const (
	// maxSide bounds width and height in pixels. A row of tiles of all levels takes 1.5
	// KB per column: 400 MB at most.
	maxSide = 1 << 18
	// maxPixels bounds the cost of a file of some megabytes to about ten minutes.
	maxPixels = 1 << 34
	// maxWhole is the maximum number of pixels of an image that can only be decoded as a
	// whole: a progressive JPEG, an interlaced PNG. Each pixel takes up to 20 bytes.
	maxWhole = 16 << 20

	tileSide       = 512 // pixels
	defaultQuality = 85
)

var (
	// ErrUnsupported reports a file that looks complete, and of a kind that this package
	// cannot convert.
	ErrUnsupported = errors.New("unsupported")
	// ErrPyramid reports a file that already is a pyramid.
	ErrPyramid = errors.New("the image is a pyramid already")
	// ErrExists reports that the output file exists already.
	ErrExists = errors.New("a file with that name exists already")
	// ErrChanged reports an image that changed while it was read.
	ErrChanged = errors.New("the file changed while it was read")
)

// A FormatError reports that an image is damaged or incomplete. Structural errors of
// TIFFs are a [*tiff.FormatError].
type FormatError struct {
	Kind   string // of the picture: "PNG", "JPEG", "TIFF"
	Offset int64  // in the file, in bytes; -1 if unknown
	Err    error
}

func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %v", e.Kind, e.Err)
	}
	return fmt.Sprintf("%s: at byte %d: %v", e.Kind, e.Offset, e.Err)
}

func (e *FormatError) Unwrap() error { return e.Err }

// Options of a conversion.
type Options struct {
	Quality  int                     // of JPEG, 1 to 100; 0 means 85
	Force    bool                    // overwrite an existing file
	Progress func(done, total int64) // rows of the image; may be nil
	// Expansion bounds the size of the pyramid to 16 MB and so many bytes for each byte
	// of the image's file; 0 for no bound. Photographs become smaller than as PNG,
	// drawings larger, and compressed zeros a thousand times as large.
	Expansion int64
	// CheckSpace, if not nil, is called to check that more bytes can be written after those
	// already written: before the first, with an estimate of the total, and then every
	// few megabytes. Its error ends the conversion.
	CheckSpace func(written, more int64) error
}

// A Result describes the pyramid.
type Result struct {
	Kind   string `json:"kind"`   // of the picture: "PNG", "JPEG", "TIFF"
	Width  int    `json:"width"`  // pixels
	Height int    `json:"height"` // pixels
	Levels int    `json:"levels"`
	Bytes  int64  `json:"bytes"` // of the pyramid's file
}

// File converts the image in the file in to a pyramid in the file out. It writes a
// temporary file beside it, which it renames when it is complete and on disk. The same
// image and options give the same bytes.
//
// The error is a [*FormatError] or [*tiff.FormatError] for a damaged image, or wraps
// [ErrUnsupported], [*tiff.UnsupportedError], [ErrPyramid], [ErrExists], [ErrChanged],
// or the errors of memory of package render. The memory is taken from the budget of
// ctx.
func File(ctx context.Context, in, out string, o Options) (Result, error) {
	if o.Quality == 0 {
		o.Quality = defaultQuality
	}
	if o.Quality < 1 || o.Quality > 100 {
		return Result{}, fmt.Errorf("quality %d: must be between 1 and 100", o.Quality)
	}
	if _, err := os.Lstat(out); err == nil && !o.Force {
		return Result{}, ErrExists
	}
	f, before, err := openRegular(in)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	src, err := openPicture(ctx, f, before.Size())
	if err != nil {
		return Result{}, err
	}
	defer src.Close()
	bound, err := checkExpansion(src, before.Size(), o)
	if err != nil {
		return Result{}, err
	}
	var r Result
	err = replace(out, o.Force, func(to *os.File) error {
		if r, err = write(ctx, src, to, bound, o); err != nil {
			return err
		}
		after, err := f.Stat()
		if err != nil {
			return err
		}
		if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
			return ErrChanged
		}
		return nil
	})
	return r, err
}

// Needed reports whether the file at path is an image that is not a pyramid and can be
// converted. Otherwise why is the reason. It reads headers only.
func Needed(ctx context.Context, path string) (needed bool, why string) {
	f, fi, err := openRegular(path)
	if err != nil {
		return false, fsx.WithoutPath(err).Error()
	}
	defer f.Close()
	src, err := openPicture(ctx, f, fi.Size())
	if err != nil {
		return false, fsx.WithoutPath(err).Error()
	}
	defer src.Close()
	if src.Tiled && src.Width <= tileSide && src.Height <= tileSide {
		return false, ErrPyramid.Error()
	}
	return true, fmt.Sprintf("a %s of %d×%d pixels in one level", src.Kind, src.Width, src.Height)
}

// openRegular opens the file at path.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// replace writes a new file beside path, and renames it to path when it is complete and
// on disk. With force an existing file is replaced.
func replace(path string, force bool, write func(*os.File) error) error {
	create := fsx.CreateNew
	if force {
		create = fsx.Create
	}
	err := create(path, 0o600, func(f *os.File) error {
		if err := write(f); err != nil {
			return err
		}
		return f.Chmod(0o644)
	})
	if errors.Is(err, fs.ErrExist) {
		return ErrExists
	}
	return err
}
