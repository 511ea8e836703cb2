// Package taskhandler does the tasks of stores and images: it has the kinds of tasks with
// what does them, and submits the tasks that follow when slides become available.
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

// Handlers do the tasks of a process. The zero value knows the kinds and can do none: it
// is for processes that only submit tasks.
type Handlers struct {
	Catalog  *catalog.Catalog
	Syncer   *scan.Syncer
	Verifier *verify.Verifier
	Labels   *scan.Labels
	Tiles    *tile.Server // for previews
	Renderer *rendercache.Renderer
	Decode   *render.Budget // memory of conversions
	Reserve  int64          // bytes of a store's disk that conversions leave free; 256 MiB if 0

	claims claims
}

// Kinds are the kinds of tasks, each with the function that does it.
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

// args are the arguments of a task. Whoever asked for it was looked at when it was
// submitted, and had rights for the store it names; that its image is in that store is
// looked at again, before anything is done with it.
func (h *Handlers) args(ctx context.Context, t *task.Task) (task.Args, error) {
	a, err := task.DecodeArgs(t.Kind, t.Args)
	if err != nil {
		return a, task.Permanent(err)
	}
	if a.Image == "" {
		return a, nil
	}
	im, err := h.Catalog.Image(ctx, a.Image)
	if errors.Is(err, catalog.ErrNotFound) {
		return a, nil // the task says what it makes of that
	} else if err != nil {
		return a, err
	}
	return a, task.Permanent(a.CheckImage(im))
}

// sync goes through a store's folder.
func (h *Handlers) sync(resync bool) func(context.Context, *task.Task, task.Args) (any, error) {
	return func(ctx context.Context, t *task.Task, a task.Args) (any, error) {
		r, err := h.Syncer.Sync(ctx, a.Store, scan.Options{DryRun: a.DryRun, Resync: resync, Confirm: a.Confirm, Wait: true, Progress: func(done, total int64) {
			t.Progress(done, total, "files")
		}})
		if errors.Is(err, scan.ErrManyMissing) || errors.Is(err, scan.ErrOtherRoot) {
			err = task.Permanent(err) // until a person has looked
		}
		return r, err
	}
}

// verify reads the files of a store again and compares them with their digests.
func (h *Handlers) verify(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	s, err := h.Catalog.Store(ctx, a.Store)
	if err != nil {
		return nil, err
	}
	return h.Verifier.Store(ctx, s.ID, verify.Options{Rate: s.VerifyRate, Progress: func(done, total int64) { t.Progress(done, total, "images") }})
}

// A tally is the result of a task that does the same with many images.
type tally struct {
	Count  int            `json:"count"`
	Failed []scan.Failure `json:"failed"`
}

// each does one thing with the image of a task, or with those of its store that
// need it. What is wrong with one stops nothing else.
func (h *Handlers) each(ctx context.Context, t *task.Task, a task.Args, needed func(*catalog.Store, *catalog.Image) bool, do func(*catalog.Image) error) (tally, error) {
	r := tally{Failed: []scan.Failure{}}
	st, err := h.Catalog.Store(ctx, a.Store)
	if err != nil {
		return r, err
	}
	var ids []string
	if a.Image != "" {
		ids = []string{a.Image}
	} else if err := h.Catalog.EachImage(ctx, a.Store, func(im *catalog.Image) error {
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
		im, err := h.Catalog.Image(ctx, id)
		if err == nil {
			err = do(im)
		}
		switch {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case errors.Is(err, catalog.ErrNotFound): // taken away meanwhile
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

// imports moves what has arrived in a managed store under its digest.
func (h *Handlers) imports(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	return h.each(ctx, t, a, managed.AwaitsImport, func(im *catalog.Image) error {
		_, err := h.Syncer.Import(ctx, im.ID, func(done, total int64) {
			if a.Image != "" {
				t.Progress(done, total, "bytes")
			}
		})
		if errors.Is(err, scan.ErrNotReady) {
			err = nil // it has been imported meanwhile, or is being written to
		}
		return err
	})
}

// hash reads files whose digests are not known.
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

// barcodes reads the labels of slides whose files do not say their barcode.
func (h *Handlers) barcodes(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	needed := func(_ *catalog.Store, im *catalog.Image) bool { return scan.NeedsLabelRead(im) }
	return h.each(ctx, t, a, needed, func(im *catalog.Image) error { return h.Labels.Read(ctx, im.ID) })
}

// previews makes the pictures that the gallery and the first look at a slide ask for.
func (h *Handlers) previews(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	all := func(*catalog.Store, *catalog.Image) bool { return true }
	return h.each(ctx, t, a, all, func(im *catalog.Image) error {
		f, err := h.Tiles.Image(im.ID)
		if err != nil {
			return err
		}
		return f.View(ctx, func(s *slide.Slide, lease tile.Lease) error {
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
	})
}

// The gallery's pictures, as the web application asks for them.
const previewWidth, previewHeight = 640, 240
