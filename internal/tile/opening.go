package tile

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// openTime is how long requests wait for a slide to be opened. A local disk needs
	// milliseconds, a file server under load seconds; one that is away answers never, and
	// no program can call off what waits for it.
	openTime = 10 * time.Second
	// opensAtOnce is how many slides of one store are opened at once.
	opensAtOnce = 64
	// maxAbandoned is how many of them may have taken longer than openTime. Where there
	// are more, the store's file system is away: nothing else of it is opened until one
	// of them comes to an end. Fewer are files that are slow, such as those on tape.
	maxAbandoned = 4
	// readsAtOnce is how many requests read from the files of one store at once. Each
	// takes a thread for as long as its file system does not answer.
	readsAtOnce = 1024
	// viewsAtOnce is how many requests for labels, thumbnails and regions of one store
	// are answered at once. It is half of those for which a server has places.
	viewsAtOnce = 128
	// pathTime is how long the comparison of a path with the open file may take.
	pathTime = 5 * time.Second
)

// A shelf is what the requests for one store's files share, so that a file system that
// does not answer stops nothing but its own store.
type shelf struct {
	reading, viewing atomic.Int64 // requests

	mu        sync.Mutex
	openings  map[*Image]*opening
	abandoned int // of openings
}

// enter counts a request, unless there are that many.
func enter(n *atomic.Int64, most int64) bool {
	if n.Add(1) > most {
		n.Add(-1)
		return false
	}
	return true
}

// An opening is a slide that is being opened, once however many wait for it.
type opening struct {
	done chan struct{} // closed with err set
	late chan struct{} // closed when it has taken longer than openTime
	err  error
}

// shelf returns that of a store.
func (s *Server) shelf(store string) *shelf {
	if v, ok := s.shelves.Load(store); ok {
		return v.(*shelf)
	}
	v, _ := s.shelves.LoadOrStore(store, &shelf{openings: map[*Image]*opening{}})
	return v.(*shelf)
}

// opening begins to open the slide of im, or joins whoever does. The error is [ErrBusy]
// if too many of the store are being opened, and [ErrAway] if too many of them have
// taken too long.
func (sh *shelf) opening(im *Image) (*opening, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if o := sh.openings[im]; o != nil {
		return o, nil
	}
	switch {
	case sh.abandoned >= maxAbandoned:
		return nil, ErrAway
	case len(sh.openings) >= opensAtOnce:
		return nil, ErrBusy
	}
	o := &opening{done: make(chan struct{}), late: make(chan struct{})}
	sh.openings[im] = o
	go sh.run(im, o)
	return o, nil
}

// run opens the slide of im. What it waits for may never come: only then it stays.
func (sh *shelf) run(im *Image, o *opening) {
	isLate := false
	timer := time.AfterFunc(openTime, func() {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		if sh.openings[im] == o {
			isLate = true
			sh.abandoned++
			close(o.late)
		}
	})
	defer func() {
		timer.Stop()
		sh.mu.Lock()
		delete(sh.openings, im)
		if isLate {
			sh.abandoned--
		}
		sh.mu.Unlock()
		close(o.done)
	}()
	o.err = im.openSlide()
}
