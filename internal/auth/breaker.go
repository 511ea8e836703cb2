package auth

import (
	"sync"
	"time"
)

const (
	breakerFailures = 5
	breakerPause    = 2 * time.Second
)

// A breaker spares a server that does not answer, and those who would wait for it. After
// breakerFailures failures in a row it lets nobody through for breakerPause, and then
// one, on whom it depends how it goes on.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time // open: nobody gets through before
	trying   bool      // one has got through since
}

// enter reports whether a request may be made; if not, how long to wait.
func (b *breaker) enter(now time.Time) (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakerFailures {
		return true, 0
	}
	if wait := b.until.Sub(now); wait > 0 {
		return false, wait
	}
	if b.trying {
		return false, breakerPause
	}
	b.trying = true
	return true, 0
}

// leave says how the request went. It reports whether the server has just gone, or
// come back.
func (b *breaker) leave(good bool, now time.Time) (gone, back bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	if good {
		back = b.failures > 0
		b.failures = 0
		return false, back
	}
	b.failures++
	if b.failures >= breakerFailures {
		b.until = now.Add(breakerPause)
	}
	return b.failures == 1, false
}
