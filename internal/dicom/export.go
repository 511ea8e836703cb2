package dicom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// SiteKey names the site's key of de-identified exports among those of a catalog.
const SiteKey = "dicom"

// Export writes each instance to a file of its own in dir: its UID with the suffix ".dcm". A
// file is there completely or not at all, and its frames were read again and compared. A file
// that exists already with the same attributes is kept, so an interrupted export continues.
// Progress is called after each frame with the numbers of frames; it may be nil.
//
// The error is that of [Instance.AppendPiece] or of the files. Files written before stay.
func (d *Series) Export(ctx context.Context, dir string, progress func(done, total int)) error {
	read := func(in *Instance, dst []byte, n int) ([]byte, error) { return in.AppendPiece(ctx, dst, n) }
	return d.ExportFrom(ctx, dir, read, progress)
}

// ExportFrom is [Series.Export] with a function that appends a piece of an instance to dst, such
// as [Instance.AppendPieceOf] with a slide that is open now.
func (d *Series) ExportFrom(ctx context.Context, dir string, read func(in *Instance, dst []byte, n int) ([]byte, error), progress func(done, total int)) error {
	total, done := 0, 0
	for _, in := range d.Instances {
		total += in.Pieces()
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, in := range d.Instances {
		before := done
		tick := func() error {
			done++
			if progress != nil {
				progress(done, total)
			}
			return ctx.Err()
		}
		if err := in.export(ctx, filepath.Join(dir, in.UID+".dcm"), func(dst []byte, n int) ([]byte, error) { return read(in, dst, n) }, tick); err != nil {
			return err
		}
		done = before + in.Pieces()
	}
	return nil
}

// export writes the file of an instance, unless it is there.
func (in *Instance) export(ctx context.Context, path string, read FrameReader, tick func() error) error {
	f, err := in.NewLayout(ctx, read)
	if err != nil {
		return err
	}
	same, err := f.isAt(path, read)
	if err != nil || same {
		return err
	}
	err = fsx.CreateNew(path, 0o666, func(file *os.File) error {
		if err := f.WriteTo(file, read, tick); err != nil {
			return err
		}
		return f.verify(file, read)
	})
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// ErrOther reports a file in place of an instance that does not contain it.
var ErrOther = errors.New("there is another file of this name")

// isAt reports whether the file has the instance. Its name has a hash of what the instance is
// made of, so it is that or was not written by this program. The name of an instance that is a
// file of the slide has not: then the contents are compared.
func (f *Layout) isAt(path string, read FrameReader) (bool, error) {
	file, err := fsx.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // only read
	fi, err := file.Stat()
	if err != nil {
		return false, err
	}
	there := make([]byte, len(f.head))
	if _, err := io.ReadFull(file, there); err != nil || !bytes.Equal(f.head, there) || fi.Size() != f.Size {
		return false, fmt.Errorf("%s: %w; export into an empty folder", path, ErrOther)
	}
	if f.in.stored != nil && f.verify(file, read) != nil {
		return false, fmt.Errorf("%s: %w; export into an empty folder", path, ErrOther)
	}
	return true, nil
}

// head returns the file up to the table of its frames.
func (in *Instance) head() []byte {
	return in.appendPerFrame(AppendDataset(appendPreamble(nil, in.UID, in.TransferSyntax), in.Attributes))
}
