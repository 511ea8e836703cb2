package scan

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

const (
	// pollEvery is how often a folder is scanned whose file system does not report
	// changes.
	pollEvery = 30 * time.Second
	// pollImages is how often a database or dump is scanned: that reads the documents of all
	// images.
	pollImages = 2 * time.Minute
	// pollObjects is how often a bucket of up to a thousand objects is listed, and pollObjectsMost
	// how often one of a million: each page of a thousand is a request that costs money.
	pollObjects, pollObjectsMost = 30 * time.Second, 15 * time.Minute
	// retryImages is the time between attempts to reach a database, dump or bucket.
	retryImages = 10 * time.Second
	// netEvery is how often a watched folder is scanned as a safety net: writes through a
	// memory map are not reported.
	netEvery = 5 * time.Minute
	// busyFor is how long after a change of a polled folder more changes are expected:
	// slide scanners deliver slide after slide.
	busyFor = time.Minute
	// burst is how long to collect events before handling them. The events of one rename
	// arrive within it.
	burst = 5 * time.Millisecond
	// restShare limits the share of time spent on polling to 1/restShare.
	restShare = 20
)

// A Watcher keeps one store in sync with its folder: by a first scan, and then by
// inspecting the files for which the kernel reports events, or by scanning the folder
// periodically if the file system does not report them.
type Watcher struct {
	Syncer *Syncer
	Store  string        // id
	Poll   time.Duration // how often a polled store is scanned; 30 s if 0, or 2 min of a database

	loop       *loop.Loop
	inbox      *source.Inbox // for nudges and the notifier's events
	retry      time.Duration // interval between attempts to get the lease
	pollReason string        // why it polls whatever the file system; "" if it does not

	mu     sync.Mutex
	status Status
}

// A Status is the state of a watcher.
type Status struct {
	Polling  bool      `json:"polling"`
	Why      string    `json:"why,omitempty"` // why the folder is polled
	Err      string    `json:"error,omitempty"`
	Code     string    `json:"error_code,omitempty"` // see [ErrorCode]
	LastScan time.Time `json:"last_pass"`            // end of the last completed scan; zero without one
	Arriving int       `json:"arriving"`             // files that wait for their next inspection
	// Elsewhere reports that another process watches the store.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Failing is why the store is not watched at present, and when the watcher tries
	// again. It is nil if the store is watched.
	Failing *loop.Failure `json:"-"`
}

// Status returns the state of the watcher.
func (w *Watcher) Status() Status {
	arriving := len(w.Syncer.folder(w.Store).waiting.Paths())
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.status
	s.Arriving, s.Failing = arriving, w.loop.Failing()
	return s
}

// A watch is one run of a Watcher.
type watch struct {
	*Watcher
	c        *catalog.Catalog // writes under the lease
	store    *catalog.Store
	notifier *source.Watch // nil while polling
	done     chan scanned
	running  bool
	again    bool      // scan again as soon as the running scan ends
	nextScan time.Time // of our clock
	soon     bool      // scan as soon as the minimum interval allows
	rested   time.Time // end of the minimum interval
	lastNews time.Time // when a scan last found changes
}

// A scanned is a completed scan.
type scanned struct {
	result Result
	err    error
}

// NewWatcher returns a watcher for a store.
func NewWatcher(s *Syncer, store string) *Watcher {
	return &Watcher{Syncer: s, Store: store, inbox: source.NewInbox(), loop: s.Loops.New(s.log(), "watch", store)}
}

// Run keeps the store in sync until ctx is done, and retries after errors. One of the
// processes that share the catalog does so; the others wait for its lease.
func (w *Watcher) Run(ctx context.Context) error {
	w.loop.Run(ctx, w.round)
	return ctx.Err()
}

// round keeps the store in sync while this process has the lease.
func (w *Watcher) round(ctx context.Context) error {
	held, c, release, err := w.Syncer.leases().Take(ctx, "watch "+w.Store)
	w.showElsewhere(err)
	if errors.Is(err, ErrBusy) {
		w.loop.Well()
		wait(ctx, cmp.Or(w.retry, lease.Time/6))
		return nil
	}
	if err != nil {
		return err
	}
	release = sync.OnceFunc(release)
	defer release()
	err = w.run(held, c)
	switch {
	case errors.Is(err, catalog.ErrNotFound): // the store was removed: Watchers ends this watcher
		release()
		wait(ctx, storesEvery)
		return nil
	case held.Err() != nil: // the lease is lost: try to get it again
		return nil
	}
	return err
}

// wait waits for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// showElsewhere sets the status to watched by another process.
func (w *Watcher) showElsewhere(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Elsewhere = errors.Is(why, ErrBusy)
}

// run keeps the store in sync until ctx is done or the store is removed.
func (w *Watcher) run(ctx context.Context, c *catalog.Catalog) error {
	w.showElsewhere(nil)
	r := &watch{Watcher: w, c: c, done: make(chan scanned, 1), nextScan: time.Now()}
	defer func() {
		if r.running {
			<-r.done
		}
		r.stopWatching("")
	}()
	for {
		if err := r.start(ctx); err != nil {
			return err
		}
		if r.running {
			w.loop.Well() // the catalog answered
		}
		timer := time.NewTimer(time.Until(r.wakeAt()))
		var err error
		select {
		case <-ctx.Done():
		case p := <-r.done:
			r.scanned(p)
		case <-w.inbox.Wake:
			err = r.handleEvents(ctx)
		case <-timer.C:
			err = r.checkWaiting(ctx)
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.Syncer.log().Warn("cannot inspect files, scanning the store soon", "store", r.Store, "err", err)
			r.again, r.nextScan = true, time.Now().Add(r.pause())
		}
	}
}

// recheck schedules an inspection of the file at path. It never blocks.
func (w *Watcher) recheck(path string) { w.inbox.Put(path, source.Nudged, 0) }

// start begins a scan if one is due. The error is [catalog.ErrNotFound] if the
// store was removed.
func (r *watch) start(ctx context.Context) error {
	if r.running || time.Now().Before(r.nextScan) {
		return nil
	}
	st, err := r.Syncer.Catalog.Stores.Get(ctx, r.Store)
	if errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	if err != nil {
		r.report(err)
		r.nextScan = time.Now().Add(r.pause())
		return nil
	}
	old := r.store
	r.store = st
	if old == nil || old.Root != st.Root || old.Incoming != st.Incoming || !slices.Equal(old.Include, st.Include) || !slices.Equal(old.Exclude, st.Exclude) {
		r.listen()
	}
	r.running, r.again, r.soon = true, false, false
	enter := r.enter()
	go func() {
		var p scanned
		if err := loop.Try(func() error {
			p.result, p.err = r.Syncer.sync(ctx, st, Options{watching: true}, enter)
			return nil
		}); err != nil {
			p.err = err
		}
		r.done <- p
	}()
	return nil
}

// listen starts watching the folder, if its file system reports changes.
func (r *watch) listen() {
	r.stopWatching("")
	switch r.store.Kind {
	case catalog.MongoDB:
		r.stopWatching("a database does not report changes")
		return
	case catalog.Dump:
		r.stopWatching("dumps are not watched")
		return
	case catalog.S3:
		r.stopWatching("a bucket does not report changes")
		return
	}
	root, prefix := r.store.Root, ""
	if r.store.ManagedFolder() {
		root, prefix = managed.IncomingOf(r.store), managed.Incoming
	}
	m, err := source.FileSystemOf(root)
	switch {
	case r.pollReason != "":
		r.stopWatching(r.pollReason)
		return
	case err != nil:
		r.stopWatching("the folder is unreachable")
		return
	case !m.Local:
		r.stopWatching("the folder is on " + m.Kind + ", which does not report changes made by other machines")
		return
	}
	n, err := source.WatchDirectory(root, prefix, filterOf(r.store), r.inbox)
	if err != nil {
		r.stopWatching(err.Error())
		return
	}
	r.notifier = n
	r.mu.Lock()
	r.status.Polling, r.status.Why = false, ""
	r.mu.Unlock()
}

// stopWatching stops watching. Why is the reason, "" at the end.
func (r *watch) stopWatching(why string) {
	if r.notifier != nil {
		r.notifier.Close()
		r.notifier = nil
	}
	if why == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status.Why != why {
		r.Syncer.log().Info("polling store", "store", r.Store, "every", r.poll(), "why", why)
	}
	r.status.Polling, r.status.Why = true, why
}

// enter returns the function that a walker calls with each folder.
func (r *watch) enter() func(string, uint64) {
	if r.notifier == nil {
		return nil
	}
	return r.notifier.Add
}

// scanned records a completed scan, and schedules the next.
func (r *watch) scanned(p scanned) {
	r.running = false
	now := time.Now()
	if errors.Is(p.err, ErrBusy) { // another process scans the store
		r.nextScan = now.Add(r.pause())
		return
	}
	if p.result.changed() || p.result.Arriving > 0 {
		r.lastNews = now
	}
	if p.result.changed() {
		logResult(r.Syncer.log(), r.Store, &p.result)
	}
	if r.notifier != nil {
		if why := r.notifier.Trouble(); why != "" {
			r.stopWatching(why)
		}
	}
	took := time.Duration(p.result.Duration * float64(time.Second))
	if r.store.Kind == catalog.S3 {
		_, took = r.Syncer.folder(r.Store).listed() // the first inspection of a large bucket takes hours
	}
	r.nextScan, r.rested = now.Add(max(r.interval(p.err), restShare*took)), now.Add(restShare*took)
	if r.soon && p.err == nil {
		r.nextScan = r.rested
	}
	if r.again {
		r.nextScan = now.Add(2 * took)
	}
	r.report(p.err)
}

// interval is how long to wait for the next scan.
func (r *watch) interval(err error) time.Duration {
	poll := r.poll()
	switch {
	case r.store.Kind != catalog.Directory && err != nil:
		return min(poll, retryImages)
	case r.store.Kind != catalog.Directory:
		return poll
	case err != nil:
		return min(poll, 2*r.pause())
	case r.notifier == nil && time.Since(r.lastNews) < busyFor:
		return min(poll, r.pause())
	case r.notifier == nil:
		return poll
	}
	return netEvery
}

// poll is how often the store is scanned if nothing reports changes of it.
func (r *watch) poll() time.Duration {
	switch r.store.Kind {
	case catalog.S3:
		objects, _ := r.Syncer.folder(r.Store).listed()
		return cmp.Or(r.Poll, pollOf(objects))
	case catalog.MongoDB, catalog.Dump:
		return cmp.Or(r.Poll, pollImages)
	}
	return cmp.Or(r.Poll, pollEvery)
}

// pollOf is how often a bucket of so many objects is listed. The interval grows with the square
// root of their number.
func pollOf(objects int) time.Duration {
	times := math.Sqrt(float64(objects) / 1000)
	return min(max(pollObjects, time.Duration(times*float64(pollObjects))), pollObjectsMost)
}

// listed is how many objects the last listing of a bucket had, and how long it took.
func (f *folder) listed() (objects int, took time.Duration) {
	f.waiting.Lock()
	defer f.waiting.Unlock()
	return f.entries, f.listing
}

func (f *folder) listedIn(objects int, took time.Duration) {
	f.waiting.Lock()
	defer f.waiting.Unlock()
	f.entries, f.listing = objects, took
}

func (r *watch) pause() time.Duration { return cmp.Or(r.Syncer.Pause, DefaultPause) }

// handleEvents inspects the paths of the collected events.
func (r *watch) handleEvents(ctx context.Context) error {
	select { // the rest of a burst
	case <-time.After(burst):
	case <-ctx.Done():
		return ctx.Err()
	}
	list, all := r.inbox.Take()
	if all {
		r.scanNext()
	}
	return r.touch(ctx, list)
}

// checkWaiting inspects the waiting files that are due.
func (r *watch) checkWaiting(ctx context.Context) error {
	if r.polled() {
		return nil
	}
	list := map[string]source.Sign{}
	for _, path := range r.Syncer.folder(r.Store).waiting.Paths() {
		list[path] = source.Touched
	}
	return r.touch(ctx, list)
}

// polled reports whether only scans inspect the waiting images, because asking for each costs a
// request.
func (r *watch) polled() bool { return r.store != nil && r.store.Kind != catalog.Directory }

func (r *watch) touch(ctx context.Context, list map[string]source.Sign) error {
	if len(list) == 0 || r.store == nil {
		return nil
	}
	result, whole, err := r.Syncer.touch(ctx, r.c, r.store, list, r.enter())
	switch whole {
	case scanNow:
		r.scanNext()
	case scanSoon:
		r.scanSoonest()
	}
	if result.changed() {
		r.lastNews = time.Now()
		logResult(r.Syncer.log(), r.Store, &result)
	}
	return err
}

// scanNext schedules a scan of the whole folder, now or as soon as the running one
// ends.
func (r *watch) scanNext() { r.again, r.nextScan = true, time.Now() }

// scanSoonest schedules a scan of the whole folder within polling's share of time:
// clients may request missing slides again and again.
func (r *watch) scanSoonest() {
	if r.soon = true; !r.running && r.rested.Before(r.nextScan) {
		r.nextScan = r.rested
	}
}

// wakeAt is when the loop has something to do if no event comes.
func (r *watch) wakeAt() time.Time {
	at := r.nextScan
	if r.running {
		at = time.Now().Add(time.Hour)
	}
	if r.store != nil && !r.polled() && len(r.Syncer.folder(r.Store).waiting.Paths()) > 0 {
		if soon := time.Now().Add(r.pause()); soon.Before(at) {
			at = soon
		}
	}
	return at
}

// report updates the status with the last scan's error, and logs it if it is new.
func (r *watch) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	words := ""
	if err != nil {
		words = err.Error()
	} else {
		r.status.LastScan = time.Now()
	}
	if words != r.status.Err && words != "" {
		r.Syncer.log().Warn("cannot sync store", "store", r.Store, "err", words)
	}
	r.status.Err, r.status.Code = words, ErrorCode(err)
}

// logResult logs the result of a scan, in numbers and ids.
func logResult(log *slog.Logger, store string, r *Result) {
	log.Info("store in sync", "store", store, "count", r.Count, "added", r.Added, "updated", r.Updated,
		"moved", r.Moved, "missing", r.Missing, "returned", r.Returned, "arriving", r.Arriving, "failed", len(r.Failed))
	for _, f := range r.Failed {
		log.Info("file is not available as a slide", "store", store, "image", f.Image, "reason", f.Reason)
	}
}
