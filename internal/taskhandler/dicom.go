package taskhandler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// An Exported is the result of exporting an image as a DICOM series.
type Exported struct {
	Study     string `json:"study"`     // UID
	Series    string `json:"series"`    // UID, and the name of the folder
	Instances int    `json:"instances"` // files
}

var errNoExports = errors.New("this worker may not export: set its folder for exports (export_folder in the configuration, --export-folder on the command line)")

// exportDICOM writes an image as a DICOM series into a folder of its own, in the folder that an
// administrator has permitted. Files that an interrupted attempt completed are kept. Each frame
// is read again after it was written.
func (h *Handlers) exportDICOM(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	if h.Exports == "" {
		return nil, task.Permanent(errNoExports)
	}
	if a.Image == "" {
		return nil, task.Permanent(fmt.Errorf("%w: an export needs an image", task.ErrBadArgs))
	}
	o, err := h.dicomOptions(ctx, a)
	if err != nil {
		return nil, err
	}
	im, err := h.Tiles.Image(a.Image)
	if errors.Is(err, tile.ErrNoImage) {
		return nil, task.Later(previewPause) // the process has yet to follow the catalog
	} else if err != nil {
		return nil, err
	}
	var d *dicom.Series
	err = im.View(ctx, func(s *slide.Slide, _ tile.Lease) (err error) {
		d, err = dicom.NewSeries(s, o)
		return err
	})
	switch {
	case errors.Is(err, dicom.ErrNoSpacing):
		return nil, task.Permanent(err)
	case errors.Is(err, tile.ErrBusy):
		return nil, task.Later(previewPause)
	case err != nil:
		return nil, err
	}
	if _, err := os.Stat(h.Exports); err != nil {
		return nil, fsx.WithoutPath(fmt.Errorf("the folder for exports: %w", err))
	}
	err = d.ExportFrom(ctx, filepath.Join(h.Exports, d.UID), h.framesOf(ctx, im), func(done, total int) { t.Progress(int64(done), int64(total), "tiles") })
	if errors.Is(err, dicom.ErrOther) {
		return nil, task.Permanent(errors.New("the folder for exports has another file of the same name: remove the folder of this series there"))
	}
	return Exported{d.StudyUID, d.UID, len(d.Instances)}, fsx.WithoutPath(err)
}

// dicomOptions returns what is in the objects. Permissions were checked when the task was
// submitted.
func (h *Handlers) dicomOptions(ctx context.Context, a task.Args) (dicom.Options, error) {
	im, err := h.Catalog.Images.Get(ctx, a.Image)
	if err != nil {
		return dicom.Options{}, err
	}
	c := dicom.Choice{Labels: a.Labels, Deidentify: a.Deidentify, Sparse: a.Sparse}
	o, err := c.Options(a.Image, im.Barcode, func() ([]byte, error) { return h.Catalog.SiteKey(ctx, dicom.SiteKey) })
	if errors.Is(err, dicom.ErrChoice) {
		err = task.Permanent(fmt.Errorf("%w: %w", task.ErrBadArgs, err))
	}
	return o, err
}

// framesOf returns a function that reads frames of an image as long as it does not change, and
// waits while the process is busy with requests.
func (h *Handlers) framesOf(ctx context.Context, im *tile.Image) func(*dicom.Instance, []byte, int) ([]byte, error) {
	return func(in *dicom.Instance, dst []byte, n int) ([]byte, error) {
		for {
			var frame []byte
			work, end := h.Decode.Begin(ctx, 0)
			err := im.View(ctx, func(s *slide.Slide, _ tile.Lease) (err error) {
				frame, err = in.AppendPieceOf(work, s, dst, n)
				return err
			})
			end()
			if !errors.Is(err, tile.ErrBusy) {
				return frame, err
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(previewPause):
			}
		}
	}
}
