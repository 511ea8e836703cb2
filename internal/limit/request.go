package limit

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A RequestLimiter limits how many requests are served at once. Some more wait in a queue
// for a while; others get 503.
type RequestLimiter struct {
	running chan struct{}
	waiting atomic.Int64
	queue   int
	maxWait time.Duration
}

// NewRequestLimiter returns a limiter with that many slots and a queue for more requests,
// which wait for maxWait at most.
func NewRequestLimiter(running, queue int, maxWait time.Duration) *RequestLimiter {
	return &RequestLimiter{running: make(chan struct{}, running), queue: queue, maxWait: maxWait}
}

// Handler serves by next the requests that get a slot.
func (g *RequestLimiter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.enter(r) {
			refuse(w, r, errBusy)
			return
		}
		defer g.leave()
		next.ServeHTTP(w, r)
	})
}

// leave frees the slot.
func (g *RequestLimiter) leave() { <-g.running }

// enter waits for a slot.
func (g *RequestLimiter) enter(r *http.Request) bool {
	select {
	case g.running <- struct{}{}:
		return true
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > int64(g.queue) {
		return false
	}
	t := time.NewTimer(g.maxWait)
	defer t.Stop()
	select {
	case g.running <- struct{}{}:
		return true
	case <-t.C:
	case <-r.Context().Done():
	}
	return false
}

// Bodies limits how long clients may send nothing of a request's body, even if no handler
// reads it. Handlers may set deadlines of their own.
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

// A body extends its deadline while bytes arrive.
type body struct {
	io.ReadCloser
	c    *http.ResponseController
	idle time.Duration
	end  time.Time // of the whole body, zero for none
}

// Read implements [io.Reader]. It removes the deadline at the end, since the server reads
// on to notice that the client is gone.
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
