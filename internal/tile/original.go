package tile

import (
	"context"
	"errors"
	"io"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrNoFile reports a slide that is not one file: an image in a database, or a series of files.
var ErrNoFile = errors.New("the slide is not one file")

// An Original is the open file of a slide. Its bytes are those of the revision that the image had when
// it was opened.
type Original struct {
	Size     int64
	Revision string
	h        *handle
}

// Original opens the file of the image, or the object of a bucket. The caller closes it. The errors
// are [ErrNoFile], and those of [Image.View].
func (im *Image) Original(ctx context.Context) (*Original, error) {
	h, err := im.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if h.f == nil && h.opened.ReadRange == nil {
		h.release()
		return nil, ErrNoFile
	}
	if !h.current(monotonic()) {
		im.drop(h)
		h.release()
		return nil, ErrChanged
	}
	return &Original{Size: h.identity.Size, Revision: im.File.Revision, h: h}, nil
}

// Close releases the file.
func (o *Original) Close() { o.h.release() }

// ReadAt fills p with the bytes at off, which must be in the file, and then checks that they are those of
// the revision. If not, the error is [ErrChanged] and p must be discarded.
func (o *Original) ReadAt(ctx context.Context, p []byte, off int64) error {
	h := o.h
	if h.f == nil {
		err := h.explain(h.opened.ReadRange(ctx, p, off))
		if errors.Is(err, ErrChanged) {
			h.image.drop(h)
		}
		return err
	}
	_, err := fileReader(h.fd).ReadAt(p, off)
	// The open file is compared, not its path: renaming a file changes its ctime, so that a client
	// continues with the same revision after the next scan.
	if id, serr := fsx.Identify(uintptr(h.fd)); serr != nil || id != h.identity {
		h.image.drop(h)
		return ErrChanged
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
