package taskhandler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/convert"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
)

const (
	// followUpPause is how often tasks are submitted.
	followUpPause = 500 * time.Millisecond
	// Up to fewImages images get their own tasks. For more at once, as in a first sync,
	// there is one task for the store.
	fewImages = 16
)

// FollowUps submit the tasks that follow when slides become available: move a file of a
// managed store to its place, hash it, read its label, render the gallery's images.
type FollowUps struct {
	Catalog *catalog.Catalog
	Tasks   *task.Service
	Decode  *render.Budget
	Log     *slog.Logger
	Loops   *loop.Set

	mu    sync.Mutex
	fresh []string        // images that became available
	aside []string        // images that were quarantined because they are not slides
	whole map[string]bool // stores whose images must all be checked
}

// Available reports that an image has become available. It never blocks.
func (f *FollowUps) Available(image string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.fresh) <= fewImages {
		f.fresh = append(f.fresh, image)
	}
}

// Quarantined reports that an image was quarantined because it is not a slide, so that it
// may be converted. It never blocks.
func (f *FollowUps) Quarantined(image string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.aside) <= fewImages {
		f.aside = append(f.aside, image)
	}
}

// Run submits tasks until ctx is done. It starts with those of every store, for images that
// became available while no process submitted tasks.
func (f *FollowUps) Run(ctx context.Context) {
	f.whole = map[string]bool{}
	begun := false
	f.Loops.Run(ctx, f.Log, "follow-up tasks", loop.Every(followUpPause, func(ctx context.Context) error {
		if !begun {
			if err := f.everything(ctx); err != nil {
				return err
			}
			begun = true
		}
		err := f.handIn(ctx)
		begun = err == nil // after a failure, check every store again
		return err
	}))
}

// handIn submits the tasks of the images reported since the last call. After a failure it
// submits those of every store later.
func (f *FollowUps) handIn(ctx context.Context) error {
	f.mu.Lock()
	fresh, aside := f.fresh, f.aside
	f.fresh, f.aside = nil, nil
	f.mu.Unlock()
	var failed error
	if len(fresh) > fewImages || len(aside) > fewImages {
		failed, fresh, aside = f.everything(ctx), nil, nil
	}
	for _, id := range aside {
		if err := f.convert(ctx, id); err != nil {
			failed = errors.Join(err, f.everything(ctx))
			break
		}
	}
	for _, id := range fresh {
		if err := f.one(ctx, id); err != nil {
			failed = errors.Join(err, f.everything(ctx))
			break
		}
	}
	for store := range f.whole {
		again, err := f.all(ctx, store)
		if err != nil {
			failed = err
		} else if !again {
			delete(f.whole, store)
		}
	}
	return failed
}

// everything marks all stores, so that all of their images are checked.
func (f *FollowUps) everything(ctx context.Context) error {
	list, err := f.Catalog.Stores.List(ctx)
	for i := range list {
		f.whole[list[i].ID] = true
	}
	return err
}

// find returns an image and its store, or nil if the image was removed.
func (f *FollowUps) find(ctx context.Context, id string) (*catalog.Image, *catalog.Store, error) {
	im, err := f.Catalog.Images.Get(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	s, err := f.Catalog.Stores.Get(ctx, im.StoreID)
	return im, s, err
}

// one submits the tasks of one image.
func (f *FollowUps) one(ctx context.Context, id string) error {
	im, s, err := f.find(ctx, id)
	if err != nil || im == nil {
		return err
	}
	var kinds []string
	if im.State == catalog.Available { // others are files that may join a series
		kinds = append(kinds, task.MakePreviews)
	}
	if scan.NeedsLabelRead(im) {
		kinds = append(kinds, task.ReadBarcode)
	}
	if managed.AwaitsImport(s, im) {
		kinds = append(kinds, task.ImportFile) // which also computes the digest
	} else if im.Digest == nil && s.Kind == catalog.Directory {
		kinds = append(kinds, task.HashImage)
	}
	for _, kind := range kinds {
		if _, err := f.Tasks.Submit(ctx, task.Submission{Kind: kind, Queue: task.QueueOf(s), Store: s.ID, Args: task.Args{Image: id}}); err != nil {
			return err
		}
	}
	return nil
}

// all submits the tasks of a store. Again is true if one of them was already running: it may
// miss images that became available after it began, so the caller must call all again.
func (f *FollowUps) all(ctx context.Context, store string) (again bool, err error) {
	s, err := f.Catalog.Stores.Get(ctx, store)
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := f.convertAll(ctx, s); err != nil {
		return false, err
	}
	began := time.Now()
	for _, kind := range []string{task.ImportFile, task.HashImage, task.ReadBarcode} {
		if kind == task.ImportFile && !s.ManagedFolder() || !follows(s, kind) {
			continue
		}
		v, err := f.Tasks.Submit(ctx, task.Submission{Kind: kind, Queue: task.QueueOf(s), Store: store})
		if err != nil {
			return false, err
		}
		again = again || v.State == task.Running && v.SubmittedAt.Before(began)
	}
	return again, nil
}

// follows reports whether new images of a store need a task without being asked for. Images in
// databases and dumps are not files. Reading all bytes of a bucket costs money and time.
func follows(s *catalog.Store, kind string) bool {
	return s.Kind == catalog.Directory || s.Kind == catalog.S3 && kind == task.ReadBarcode
}

// convert submits the conversion of a quarantined image, if that is possible and was not
// tried before.
func (f *FollowUps) convert(ctx context.Context, id string) error {
	im, s, err := f.find(ctx, id)
	if err != nil || im == nil {
		return err
	}
	if !scan.Converts(s) || !convertible(s, im) || im.Unconverted {
		return nil
	}
	work, end := f.Decode.Begin(ctx, 0)
	ok, why := convert.Needed(work, s.File(im.Path))
	end()
	if !ok {
		return unconverted(ctx, f.Catalog, im.ID, errors.New(why))
	}
	_, err = f.Tasks.Submit(ctx, task.Submission{Kind: task.ConvertImage, Queue: task.QueueOf(s), Store: s.ID, Args: task.Args{Image: id}})
	return err
}

// convertAll calls convert for all quarantined images of a store.
func (f *FollowUps) convertAll(ctx context.Context, s *catalog.Store) error {
	if !scan.Converts(s) {
		return nil
	}
	q := catalog.Query{Store: s.ID, State: catalog.Quarantined, Limit: 1000}
	for {
		page, err := f.Catalog.Images.List(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Items {
			if page.Items[i].Unconverted {
				continue
			}
			if err := f.convert(ctx, page.Items[i].ID); err != nil {
				return err
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return nil
		}
	}
}
