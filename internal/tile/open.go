package tile

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// openTime is how long requests wait for a slide to be opened. A local disk needs
	// milliseconds, a file server under load seconds. One that is down never answers, and
	// the system call that waits for it cannot be cancelled.
	openTime = 10 * time.Second
	// opensAtOnce is how many slides of one store are opened at once.
	opensAtOnce = 64
	// maxAbandoned is how many openings of a store may have exceeded openTime. With as
	// many, its file system is taken to be down: no other file of it is opened until one
	// of them ends. Fewer may be slow files, such as those on tape.
	maxAbandoned = 4
	// readsAtOnce is how many requests read from the files of one store at once. Each
	// takes a thread for as long as its file system does not answer.
	readsAtOnce = 1024
	// viewsAtOnce is how many requests for labels, thumbnails and regions of one store
	// are answered at once: half of the request slots of a server.
	viewsAtOnce = 128
	// pathTime is how long the comparison of a path with the open file may take.
	pathTime = 5 * time.Second
)

// A storeState limits the requests for the files of one store, so that a file system
// that does not answer affects its own store only.
type storeState struct {
	reading, viewing atomic.Int64 // requests
	source           breaker      // of a store that is not a folder

	mu       sync.Mutex
	openings map[*Image]*opening
	overdue  Overdue // openings that have exceeded openTime

	logged, unlogged atomic.Int64 // when a failure was logged last, and failures since
}

// logEvery is how often a failure to read a store's files is logged: a disk that fails fails
// for each of thousands of tiles.
const logEvery = 10 * time.Second

// logs reports whether a failure at that time, in nanoseconds, is to be logged, and how many were not since
// the last one.
func (st *storeState) logs(now int64) (unlogged int64, ok bool) {
	last := st.logged.Load()
	if last != 0 && now-last < int64(logEvery) || !st.logged.CompareAndSwap(last, max(now, 1)) {
		st.unlogged.Add(1)
		return 0, false
	}
	return st.unlogged.Swap(0), true
}

// Logs reports whether a failure to serve the image is to be logged: the first one of a
// store, and then one every ten seconds. Unlogged is the number of those in between.
func (im *Image) Logs() (unlogged int64, ok bool) { return im.store.logs(monotonic()) }

// takeSlot takes one of most slots for a request, and reports whether one was free.
func takeSlot(n *atomic.Int64, most int64) bool {
	if n.Add(1) > most {
		n.Add(-1)
		return false
	}
	return true
}

// An opening is a slide that is being opened, once for all requests that wait for it.
type opening struct {
	done chan struct{} // closed with err set
	late chan struct{} // closed when it has taken longer than openTime
	err  error
}

// state returns the state of a store.
func (s *Server) state(store string) *storeState {
	if v, ok := s.stores.Load(store); ok {
		return v.(*storeState)
	}
	v, _ := s.stores.LoadOrStore(store, &storeState{openings: map[*Image]*opening{}})
	return v.(*storeState)
}

// opening starts to open the slide of im, or returns the opening under way. The error is
// [ErrBusy] if too many slides of the store are being opened, and [ErrUnreachable] if too
// many of them have taken too long.
func (sh *storeState) opening(im *Image) (*opening, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if o := sh.openings[im]; o != nil {
		return o, nil
	}
	switch {
	case sh.overdue.Count() >= maxAbandoned:
		return nil, ErrUnreachable
	case len(sh.openings) >= opensAtOnce:
		return nil, ErrBusy
	}
	o := &opening{done: make(chan struct{}), late: make(chan struct{})}
	sh.openings[im] = o
	go sh.run(im, o)
	return o, nil
}

// run opens the slide of im. It never returns if the file system never answers.
func (sh *storeState) run(im *Image, o *opening) {
	ended := sh.overdue.Watch(openTime, func() { close(o.late) })
	defer func() {
		sh.mu.Lock()
		delete(sh.openings, im)
		sh.mu.Unlock()
		ended()
		close(o.done)
	}()
	o.err = im.openSlide()
}
