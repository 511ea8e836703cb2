// Package taskhandler implements the tasks of stores and images. It has a handler for each
// kind of task, and submits the tasks that follow when slides become available.
package taskhandler

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/verify"
	"github.com/slideatlas/ptiffstore/slide"
)

// Handlers run the tasks of a process. The zero value only lists the kinds, for processes
// that submit tasks but run none.
type Handlers struct {
	Catalog  *catalog.Catalog
	Syncer   *scan.Syncer
	Verifier *verify.Verifier
	Labels   *scan.Labels
	Tiles    *tile.Server // for previews
	Renderer *rendercache.Renderer
	Decode   *render.Budget // memory of conversions
	Reserve  int64          // bytes of a store's disk that conversions leave free; 256 MiB if 0

	Exports string // folder for exports; "" for no exports

	// Wider returns why images would be visible to more people in another store, each as a
	// clause; nothing if they would not.
	Wider func(ctx context.Context, from, to *catalog.Store) ([]string, error)

	claims claims
}

// Kinds returns the kinds of tasks, each with its handler.
func (h *Handlers) Kinds() []task.Kind {
	return []task.Kind{
		h.kind(task.SyncStore, 3, h.sync(false)),
		h.kind(task.ResyncStore, 3, h.sync(true)),
		h.kind(task.VerifyStore, 3, h.verify),
		h.kind(task.ImportFile, 5, h.imports),
		h.kind(task.HashImage, 5, h.hash),
		h.kind(task.ReadBarcode, 2, h.barcodes),
		h.kind(task.MakePreviews, 2, h.previews),
		h.kind(task.ConvertImage, convertAttempts, h.convertImage),
		h.kind(task.PackImage, 10, h.packImages),
		h.kind(task.MoveImage, 10, h.moveImages),
		h.kind(task.ExportDICOM, 5, h.exportDICOM),
	}
}

// heldPause is how long a task waits when another process works on the same store.
const heldPause = 5 * time.Second

func (h *Handlers) kind(name string, attempts int, run func(context.Context, *task.Task, task.Args) (any, error)) task.Kind {
	k := task.Kind{Name: name, MaxAttempts: attempts, Unique: true}
	if h.Catalog == nil {
		return k
	}
	k.Run = func(ctx context.Context, t *task.Task) (any, error) {
		a, err := h.args(ctx, t)
		if err != nil {
			return nil, err
		}
		logStart(t, a)
		result, err := run(ctx, t, a)
		logEnd(t, result, err)
		switch {
		case errors.Is(err, catalog.ErrHeld):
			return nil, task.Later(heldPause)
		case errors.Is(err, catalog.ErrNotFound):
			return nil, task.Permanent(err)
		}
		return result, err
	}
	return k
}

// args returns the arguments of a task. The permissions of its submitter for the store were
// checked when it was submitted. args checks again that the image is in that store.
func (h *Handlers) args(ctx context.Context, t *task.Task) (task.Args, error) {
	a, err := task.DecodeArgs(t.Kind, t.Args)
	if err != nil {
		return a, task.Permanent(err)
	}
	if a.Image == "" {
		return a, nil
	}
	im, err := h.Catalog.Images.Get(ctx, a.Image)
	if errors.Is(err, catalog.ErrNotFound) {
		return a, nil // the handler decides how to report that
	} else if err != nil {
		return a, err
	}
	return a, task.Permanent(a.CheckImage(im))
}

// sync scans a store's folder.
func (h *Handlers) sync(resync bool) func(context.Context, *task.Task, task.Args) (any, error) {
	return func(ctx context.Context, t *task.Task, a task.Args) (any, error) {
		r, err := h.Syncer.Sync(ctx, a.Store, scan.Options{DryRun: a.DryRun, Resync: resync, Confirm: a.Confirm, Wait: true, Progress: func(done, total int64) {
			t.Progress(done, total, "files")
		}})
		if errors.Is(err, scan.ErrManyMissing) || errors.Is(err, scan.ErrOtherRoot) {
			err = task.Permanent(err) // a person must confirm first
		}
		return r, task.WithCode(err, scan.ErrorCode(err))
	}
}

// verify reads the files of a store again and compares them with their digests.
func (h *Handlers) verify(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	s, err := h.Catalog.Stores.Get(ctx, a.Store)
	if err != nil {
		return nil, err
	}
	return h.Verifier.Store(ctx, s.ID, verify.Options{Rate: s.VerifyRate, Progress: func(done, total int64) { t.Progress(done, total, "images") }})
}

// A tally is the result of a task for many images.
type tally struct {
	Count  int            `json:"count"`
	Failed []scan.Failure `json:"failed"`
}

// each calls do for the image of a task, or for all images of its store that need it. The
// failure of one image does not stop the others.
func (h *Handlers) each(ctx context.Context, t *task.Task, a task.Args, needed func(*catalog.Store, *catalog.Image) bool, do func(*catalog.Image) error) (tally, error) {
	r := tally{Failed: []scan.Failure{}}
	st, err := h.Catalog.Stores.Get(ctx, a.Store)
	if err != nil {
		return r, err
	}
	var ids []string
	if a.Image != "" {
		ids = []string{a.Image}
	} else if err := h.Catalog.Images.Each(ctx, a.Store, func(im *catalog.Image) error {
		if im.DeletedAt == nil && im.State == catalog.Available && needed(st, im) {
			ids = append(ids, im.ID)
		}
		return nil
	}); err != nil {
		return r, err
	}
	if a.Image == "" {
		t.Logf("%s to do", plural(len(ids), "image"))
	}
	for i, id := range ids {
		t.Progress(int64(i), int64(len(ids)), "images")
		im, err := h.Catalog.Images.Get(ctx, id)
		if err == nil {
			err = do(im)
		}
		switch {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case errors.Is(err, catalog.ErrNotFound): // removed meanwhile
		case errors.Is(err, catalog.ErrAway), errors.Is(err, catalog.ErrFull), a.Image != "" && err != nil:
			return r, err
		case err != nil:
			r.Failed = append(r.Failed, scan.Failure{Image: id, Reason: err.Error()})
		default:
			r.Count++
		}
	}
	t.Progress(int64(len(ids)), int64(len(ids)), "images")
	return r, nil
}

// imports moves incoming files of a managed store to their places, named by digest.
func (h *Handlers) imports(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	return h.each(ctx, t, a, managed.AwaitsImport, func(im *catalog.Image) error {
		_, err := h.Syncer.Import(ctx, im.ID, func(done, total int64) {
			if a.Image != "" {
				t.Progress(done, total, "bytes")
			}
		})
		if errors.Is(err, managed.ErrNotReady) {
			err = nil // it has been imported meanwhile, or is being written to
		}
		return err
	})
}

// hash computes unknown digests of files.
func (h *Handlers) hash(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	needed := func(s *catalog.Store, im *catalog.Image) bool {
		return im.Digest == nil && !managed.AwaitsImport(s, im)
	}
	return h.each(ctx, t, a, needed, func(im *catalog.Image) error {
		r, err := h.Verifier.Image(ctx, im.ID, verify.Options{Rate: -1})
		if err == nil && len(r.Damaged)+len(r.Unreadable) > 0 {
			err = errors.New(slices.Concat(r.Damaged, r.Unreadable)[0].Reason)
		}
		return err
	})
}

// barcodes reads the barcode from the label of slides whose files do not contain it.
func (h *Handlers) barcodes(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	needed := func(_ *catalog.Store, im *catalog.Image) bool { return scan.NeedsLabelRead(im) }
	return h.each(ctx, t, a, needed, func(im *catalog.Image) error { return h.Labels.Read(ctx, im.ID) })
}

// previewPause is how long the task of one image waits while this process does not know the
// image yet, or is busy with requests.
const previewPause = time.Second

// previews renders the images that the gallery and the first view of a slide request.
func (h *Handlers) previews(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	all := func(*catalog.Store, *catalog.Image) bool { return true }
	return h.each(ctx, t, a, all, func(im *catalog.Image) error {
		f, err := h.Tiles.Image(im.ID)
		if errors.Is(err, tile.ErrNoImage) && a.Image != "" && im.State == catalog.Available && im.DeletedAt == nil {
			return task.Later(previewPause) // the process has yet to follow the catalog
		} else if err != nil {
			return err
		}
		err = f.View(ctx, func(s *slide.Slide, lease tile.Lease) error {
			back := f.File.Store.Background
			if _, err := h.Renderer.Thumbnail(ctx, f.File.Revision, s, previewWidth, previewHeight, back, lease); err != nil {
				return err
			}
			_, err := h.Renderer.Preview(ctx, f.File.Revision, s, 100, lease)
			if errors.Is(err, slide.ErrNoAssociated) {
				err = nil // neither label nor macro
			}
			return err
		})
		if errors.Is(err, tile.ErrBusy) && a.Image != "" {
			return task.Later(previewPause)
		}
		return err
	})
}

// The size of the gallery's images, as the web application requests them.
const previewWidth, previewHeight = 640, 240
