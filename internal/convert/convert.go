// Package convert makes pyramids of pictures that are none: of JPEG, PNG and plain
// TIFF files it writes BigTIFFs in levels and tiles, as scanners do.
//
// A picture may be larger than memory. It goes from top to bottom through the
// program once: each row is read, halved for the next level, that one for the
// level after it, and of each level no more is kept than one row of tiles.
//
// Files are hostile. Sizes are weighed against the file before anything is
// allocated, and what cannot be read in rows is read only if it is small.
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
	// maxSide bounds width and height in pixels. A row of tiles of all levels takes
	// 1.5 KB a column: 400 MB at most.
	maxSide = 1 << 18
	// maxPixels bounds what a file of some megabytes can cost: some ten minutes.
	maxPixels = 1 << 34
	// maxWhole is how many pixels a picture may have that can only be decoded as a
	// whole: a progressive JPEG, an interlaced PNG. Each takes up to 20 bytes.
	maxWhole = 16 << 20

	tileSide       = 512 // pixels
	defaultQuality = 85
)

var (
	// ErrUnsupported reports a file that is whole, as far as it was looked at, and of
	// a kind that no pyramid is made of here.
	ErrUnsupported = errors.New("unsupported")
	// ErrPyramid reports a file that is a pyramid already.
	ErrPyramid = errors.New("it is a pyramid already")
	// ErrExists reports that there is a file where the pyramid should go.
	ErrExists = errors.New("there is a file of that name already")
	// ErrChanged reports a picture that was written to while it was read.
	ErrChanged = errors.New("the file was written to while it was read")
)

// A FormatError reports that a picture is damaged, or ends early. Those of TIFFs are
// a [*tiff.FormatError] where their structure is wrong.
type FormatError struct {
	Kind   string // of the picture: "PNG", "JPEG", "TIFF"
	Offset int64  // where in the file, in bytes; -1 if that is not known
	Err    error
}

func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %v", e.Kind, e.Err)
	}
	return fmt.Sprintf("%s: at byte %d: %v", e.Kind, e.Offset, e.Err)
}

func (e *FormatError) Unwrap() error { return e.Err }

// Options say how a pyramid is made.
type Options struct {
	Quality  int                     // of JPEG, 1 to 100; 0 means 85
	Force    bool                    // write over a file that is there
	Progress func(done, total int64) // rows of the picture; nil if nobody asks
	// Expansion bounds the pyramid to so many bytes for each byte of the picture's file,
	// and 16 MB on top; 0 for no bound. Photographs become smaller than they are as PNG,
	// drawings larger, and compressed zeros a thousand times as large.
	Expansion int64
	// Room, if not nil, is asked whether there is room for more bytes behind those that
	// have been written: before the first, with an estimate of all, and every few
	// megabytes. Its error ends the conversion.
	Room func(written, more int64) error
}

// A Result says what was made.
type Result struct {
	Kind          string `json:"kind"` // of the picture: "PNG", "JPEG", "TIFF"
	Width, Height int    // pixels
	Levels        int
	Bytes         int64 // of the pyramid's file
}

// File makes a pyramid of the picture in the file in, and writes it to out: to a
// file beside it that gets the name out when it is whole and on disk. The same
// picture and options give the same bytes.
//
// The error is a [*FormatError] or [*tiff.FormatError] for a picture that is
// damaged, and wraps [ErrUnsupported], [*tiff.UnsupportedError], [ErrPyramid],
// [ErrExists], [ErrChanged], or the errors of memory of package render. The memory is
// taken from the budget of ctx.
func File(ctx context.Context, in, out string, o Options) (Result, error) {
	if o.Quality == 0 {
		o.Quality = defaultQuality
	}
	if o.Quality < 1 || o.Quality > 100 {
		return Result{}, fmt.Errorf("quality %d: it must be between 1 and 100", o.Quality)
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

// Needed reports whether the file at path is a picture that is no pyramid, and that
// one can be made of. Otherwise why says in words why not. It reads headers only.
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

// replace has a new file written beside path, and when all of it is on disk gives
// it that name. Only if force is set a file that is there makes room for it.
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
