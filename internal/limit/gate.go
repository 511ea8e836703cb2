package limit

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A Gate bounds how many requests are served at once. Some more wait, for a while, and
// what is beyond that is told 503.
type Gate struct {
	running  chan struct{}
	waiting  atomic.Int64
	queue    int
	patience time.Duration
}

// NewGate returns a gate for so many requests at once, with room for queue more that
// wait no longer than patience.
func NewGate(running, queue int, patience time.Duration) *Gate {
	return &Gate{running: make(chan struct{}, running), queue: queue, patience: patience}
}

// Handler serves by next what gets through the gate.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter(r) {
			refuse(w, r, errBusy)
			return
		}
		defer g.leave()
		next.ServeHTTP(w, r)
	})
}

// leave ends what enter began.
func (g *Gate) leave() { <-g.running }

// enter waits for a turn.
func (g *Gate) enter(r *http.Request) bool {
	select {
	case g.running <- struct{}{}:
		return true
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > int64(g.queue) {
		return false
	}
	t := time.NewTimer(g.patience)
	defer t.Stop()
	select {
	case g.running <- struct{}{}:
		return true
	case <-t.C:
	case <-r.Context().Done():
	}
	return false
}

// Bodies bounds how long clients may send nothing of a request's body, also of one that
// nobody reads. Whoever reads one for long may set times of their own.
func Bodies(next http.Handler, idle time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		c := http.NewResponseController(w)
		if c.SetReadDeadline(time.Now().Add(idle)) == nil {
			r.Body = &body{ReadCloser: r.Body, c: c, idle: idle}
		}
		next.ServeHTTP(w, r)
	})
}

// A body is one whose bytes have to come.
type body struct {
	io.ReadCloser
	c    *http.ResponseController
	idle time.Duration
	end  time.Time // of the whole body, zero for none
}

// Read implements [io.Reader]. At the end there is no deadline any more: the server
// reads on to see whether the client is still there.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.c.SetReadDeadline(time.Time{})
	case err == nil:
		next := time.Now().Add(b.idle)
		if !b.end.IsZero() && b.end.Before(next) {
			next = b.end
		}
		b.c.SetReadDeadline(next)
	}
	return n, err
}
