package scan

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/managed"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// storesEvery is how often the catalog is checked for added and removed stores.
const storesEvery = 2 * time.Second

// Watchers keep the stores of this host in sync, read barcodes from labels, and import
// files that have arrived.
type Watchers struct {
	syncer   *Syncer
	labels   *Labels
	rechecks *source.Inbox // image ids
	arrived  *source.Inbox // ids of images to be imported, unless Syncer.Arrived was set
	every    time.Duration

	mu      sync.Mutex
	running map[string]*running // by store
	known   map[string]bool     // stores of the catalog
}

// A running is a watcher at work.
type running struct {
	*Watcher
	stop  context.CancelFunc
	added time.Time // when the store was added
}

// NewWatchers returns watchers for the stores of s's catalog.
func NewWatchers(s *Syncer) *Watchers {
	w := &Watchers{syncer: s, labels: NewLabels(s), rechecks: source.NewInbox(), arrived: source.NewInbox(), every: storesEvery, running: map[string]*running{}}
	if s.Available == nil {
		s.Available = w.labels.Add
	}
	if s.Arrived == nil {
		s.Arrived = func(image string) { w.arrived.Put(image, 0, 0) }
	}
	return w
}

// Run watches all stores, also those added later, until ctx is done.
func (w *Watchers) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { w.labels.Run(ctx) })
	all.Go(func() { w.syncer.Loops.Run(ctx, w.syncer.log(), "imports", w.imports) })
	l := w.syncer.Loops.New(w.syncer.log(), "stores", "")
	l.Longest = 5 * w.every
	l.Run(ctx, func(ctx context.Context) error { return w.round(ctx, &all) })
	return ctx.Err()
}

// round updates the list of stores, and passes rechecks on until the next update is
// due. While the catalog is unreachable, the known stores are watched.
func (w *Watchers) round(ctx context.Context, all *sync.WaitGroup) error {
	if err := w.update(ctx, all); err != nil {
		return err
	}
	timer := time.NewTimer(w.every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return nil
		case <-w.rechecks.Wake:
			w.scan(ctx)
		}
	}
}

// update starts and stops watchers for added and removed stores.
func (w *Watchers) update(ctx context.Context, all *sync.WaitGroup) error {
	list, err := w.syncer.Catalog.Stores.List(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	there := map[string]bool{}
	for i := range list {
		id := list[i].ID
		if !w.syncer.serves(&list[i]) {
			continue
		}
		there[id] = true
		if r := w.running[id]; r != nil && r.added.Equal(list[i].CreatedAt) {
			continue
		} else if r != nil { // removed and added again
			r.stop()
		}
		ctx, stop := context.WithCancel(ctx)
		one := NewWatcher(w.syncer, id)
		w.running[id] = &running{one, stop, list[i].CreatedAt}
		all.Go(func() {
			defer stop()
			one.Run(ctx)
		})
		all.Go(func() { w.labels.addStore(ctx, id) })
	}
	for id, r := range w.running {
		if !there[id] {
			r.stop()
			delete(w.running, id)
		}
	}
	return w.forget(list)
}

// forget closes the databases of removed stores, and removes the indexes of their dumps.
func (w *Watchers) forget(list []catalog.Store) error {
	known := map[string]bool{}
	for i := range list {
		known[list[i].ID] = true
	}
	if maps.Equal(known, w.known) {
		return nil
	}
	w.known = known
	return w.syncer.sources().Keep(func(store string) bool { return known[store] })
}

// serves reports whether this host keeps the store in sync.
func (s *Syncer) serves(st *catalog.Store) bool {
	return st.Host == "" || s.Host == "" || st.Host == s.Host
}

// imports imports arrived files, one at a time. The next scan queues failed ones again.
func (w *Watchers) imports(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.arrived.Wake:
	}
	list, _ := w.arrived.Take()
	var failed error
	for image := range list {
		_, err := w.syncer.Import(ctx, image, nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil, errors.Is(err, ErrBusy), errors.Is(err, managed.ErrNotReady), errors.Is(err, catalog.ErrNotFound):
		case errors.Is(err, catalog.ErrAway), errors.Is(err, catalog.ErrFull), errors.Is(err, ErrFull):
			failed = err
		default:
			w.syncer.log().Warn("slide not imported", "image", image, "err", err)
		}
	}
	return failed
}

// Recheck schedules an inspection of the file of an image that a reader found to be
// wrong. It never blocks.
func (w *Watchers) Recheck(image string) { w.rechecks.Put(image, 0, 0) }

// scan passes rechecks on to the watchers of the images' stores.
func (w *Watchers) scan(ctx context.Context) {
	list, _ := w.rechecks.Take()
	for image := range list {
		im, err := w.syncer.Catalog.Images.Get(ctx, image)
		if err != nil {
			continue // removed, or the catalog is unreachable
		}
		w.mu.Lock()
		r := w.running[im.StoreID]
		w.mu.Unlock()
		if r != nil {
			r.recheck(im.Path)
		}
	}
}

// Status returns the status of each watcher, by store id.
func (w *Watchers) Status() map[string]Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := make(map[string]Status, len(w.running))
	for id, r := range w.running {
		m[id] = r.Status()
	}
	return m
}
