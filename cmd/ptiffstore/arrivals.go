package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/ingest"
	"github.com/slideatlas/ptiffstore/internal/jobs"
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
	jobs    *jobs.Jobs
	log     *slog.Logger

	mu    sync.Mutex
	fresh []string        // images that became available
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

// run hands in tasks until ctx is done; at first those of every store, for what
// became available when nobody was there to say so.
func (a *arrivals) run(ctx context.Context) {
	a.whole = map[string]bool{}
	if err := a.everything(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("catalog out of reach: what came before is looked at with what comes next", "err", err)
	}
	tick := time.NewTicker(arrivalPause)
	defer tick.Stop()
	for {
		if err := a.handIn(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("tasks not handed in, trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// handIn hands in what has gathered. What fails is tried again for the whole store.
func (a *arrivals) handIn(ctx context.Context) error {
	a.mu.Lock()
	fresh := a.fresh
	a.fresh = nil
	a.mu.Unlock()
	var failed error
	if len(fresh) > fewArrivals {
		failed, fresh = a.everything(ctx), nil
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

// one hands in the tasks of one image.
func (a *arrivals) one(ctx context.Context, id string) error {
	im, err := a.catalog.Image(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s, err := a.catalog.Store(ctx, im.StoreID)
	if err != nil {
		return err
	}
	kinds := []string{jobs.MakePreviews}
	if ingest.Unlabelled(im) {
		kinds = append(kinds, jobs.ReadBarcode)
	}
	if ingest.Incoming(s, im) {
		kinds = append(kinds, jobs.ImportFile) // which hashes, too
	} else if im.Digest == nil {
		kinds = append(kinds, jobs.HashImage)
	}
	for _, kind := range kinds {
		if _, err := a.jobs.Submit(ctx, jobs.Submission{Kind: kind, Queue: jobs.QueueOf(s), Store: s.ID, Args: taskArgs{Image: id}}); err != nil {
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
	began := time.Now()
	for _, kind := range []string{jobs.ImportFile, jobs.HashImage, jobs.ReadBarcode} {
		if kind == jobs.ImportFile && s.Mode != catalog.Managed {
			continue
		}
		v, err := a.jobs.Submit(ctx, jobs.Submission{Kind: kind, Queue: jobs.QueueOf(s), Store: store})
		if err != nil {
			return false, err
		}
		again = again || v.State == jobs.Running && v.SubmittedAt.Before(began)
	}
	return again, nil
}
