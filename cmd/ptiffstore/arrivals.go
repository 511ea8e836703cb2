package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/convert"
	"github.com/slideatlas/ptiffstore/internal/ingest"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/task"
)

const (
	// arrivalPause is how often tasks are handed in.
	arrivalPause = 500 * time.Millisecond
	// fewArrivals get tasks of their own; where more come at once, as in a first
	// sync, there is one for the store.
	fewArrivals = 16
)

// arrivals hand in the tasks that follow when slides arrive: move a file of a
// managed store to its place, hash, read the label, make the gallery's picture.
type arrivals struct {
	catalog *catalog.Catalog
	jobs    *task.Jobs
	decode  *render.Budget
	log     *slog.Logger
	loops   *loop.Set

	mu    sync.Mutex
	fresh []string        // images that became available
	aside []string        // images that were set aside as no slides
	whole map[string]bool // stores whose images are all to be looked at
}

// add says that an image has become available. It never blocks.
func (a *arrivals) add(image string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.fresh) <= fewArrivals {
		a.fresh = append(a.fresh, image)
	}
}

// addAside says that an image has been set aside as no slide: a pyramid may be made of
// it. It never blocks.
func (a *arrivals) addAside(image string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.aside) <= fewArrivals {
		a.aside = append(a.aside, image)
	}
}

// run hands in tasks until ctx is done; at first those of every store, for what
// became available when nobody was there to say so.
func (a *arrivals) run(ctx context.Context) {
	a.whole = map[string]bool{}
	begun := false
	a.loops.Run(ctx, a.log, "arrivals", loop.Every(arrivalPause, func(ctx context.Context) error {
		if !begun {
			if err := a.everything(ctx); err != nil {
				return err
			}
			begun = true
		}
		err := a.handIn(ctx)
		begun = err == nil // what was not handed in is looked for again
		return err
	}))
}

// handIn hands in what has gathered. What fails is tried again for the whole store.
func (a *arrivals) handIn(ctx context.Context) error {
	a.mu.Lock()
	fresh, aside := a.fresh, a.aside
	a.fresh, a.aside = nil, nil
	a.mu.Unlock()
	var failed error
	if len(fresh) > fewArrivals || len(aside) > fewArrivals {
		failed, fresh, aside = a.everything(ctx), nil, nil
	}
	for _, id := range aside {
		if err := a.convert(ctx, id); err != nil {
			failed = errors.Join(err, a.everything(ctx))
			break
		}
	}
	for _, id := range fresh {
		if err := a.one(ctx, id); err != nil {
			failed = errors.Join(err, a.everything(ctx))
			break
		}
	}
	for store := range a.whole {
		again, err := a.all(ctx, store)
		if err != nil {
			failed = err
		} else if !again {
			delete(a.whole, store)
		}
	}
	return failed
}

// everything has the images of all stores looked at.
func (a *arrivals) everything(ctx context.Context) error {
	list, err := a.catalog.Stores(ctx)
	for i := range list {
		a.whole[list[i].ID] = true
	}
	return err
}

// find returns an image and its store, nil if the image has gone.
func (a *arrivals) find(ctx context.Context, id string) (*catalog.Image, *catalog.Store, error) {
	im, err := a.catalog.Image(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	s, err := a.catalog.Store(ctx, im.StoreID)
	return im, s, err
}

// one hands in the tasks of one image.
func (a *arrivals) one(ctx context.Context, id string) error {
	im, s, err := a.find(ctx, id)
	if err != nil || im == nil {
		return err
	}
	kinds := []string{task.MakePreviews}
	if ingest.Unlabelled(im) {
		kinds = append(kinds, task.ReadBarcode)
	}
	if ingest.Incoming(s, im) {
		kinds = append(kinds, task.ImportFile) // which hashes, too
	} else if im.Digest == nil {
		kinds = append(kinds, task.HashImage)
	}
	for _, kind := range kinds {
		if _, err := a.jobs.Submit(ctx, task.Submission{Kind: kind, Queue: task.QueueOf(s), Store: s.ID, Args: task.Args{Image: id}}); err != nil {
			return err
		}
	}
	return nil
}

// all hands in the tasks of a store. It is to be called again if one of them ran
// already: that one may not see what has arrived since it began.
func (a *arrivals) all(ctx context.Context, store string) (again bool, err error) {
	s, err := a.catalog.Store(ctx, store)
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := a.convertAll(ctx, s); err != nil {
		return false, err
	}
	began := time.Now()
	for _, kind := range []string{task.ImportFile, task.HashImage, task.ReadBarcode} {
		if kind == task.ImportFile && s.Mode != catalog.Managed {
			continue
		}
		v, err := a.jobs.Submit(ctx, task.Submission{Kind: kind, Queue: task.QueueOf(s), Store: store})
		if err != nil {
			return false, err
		}
		again = again || v.State == task.Running && v.SubmittedAt.Before(began)
	}
	return again, nil
}

// convert has a pyramid made of an image that was set aside, if there can be one and
// that has not been tried.
func (a *arrivals) convert(ctx context.Context, id string) error {
	im, s, err := a.find(ctx, id)
	if err != nil || im == nil {
		return err
	}
	if !ingest.Converts(s) || !convertible(s, im) || im.Unconverted {
		return nil
	}
	work, end := a.decode.Begin(ctx, 0)
	ok, why := convert.Needed(work, s.File(im.Path))
	end()
	if !ok {
		return unconverted(ctx, a.catalog, im.ID, errors.New(why))
	}
	_, err = a.jobs.Submit(ctx, task.Submission{Kind: task.ConvertImage, Queue: task.QueueOf(s), Store: s.ID, Args: task.Args{Image: id}})
	return err
}

// convertAll is convert for all that a store has set aside.
func (a *arrivals) convertAll(ctx context.Context, s *catalog.Store) error {
	if !ingest.Converts(s) {
		return nil
	}
	q := catalog.Query{Store: s.ID, State: catalog.Quarantined, Limit: 1000}
	for {
		page, err := a.catalog.Images(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Items {
			if page.Items[i].Unconverted {
				continue
			}
			if err := a.convert(ctx, page.Items[i].ID); err != nil {
				return err
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return nil
		}
	}
}
