package bucket

import (
	"sync"
	"time"
)

const (
	breakAfter = 5           // failures in a row
	probeEvery = time.Second // while it is open
)

// A breaker keeps requests from a server that fails: after [breakAfter] failures in a row it is
// open and lets one request through each second, the first success closes it. The zero value is
// closed.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	opened   time.Time // zero if closed
	probe    time.Time // when the next request may pass
}

// allow reports whether a request may be sent. If not, it returns the time until the next one
// may.
func (b *breaker) allow() (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened.IsZero() {
		return 0, true
	}
	now := time.Now()
	if wait = b.probe.Sub(now); wait > 0 {
		return wait, false
	}
	b.probe = now.Add(probeEvery)
	return 0, true
}

// report records the outcome of a request. It returns whether the breaker changed its state.
func (b *breaker) report(failed bool) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !failed {
		closed = !b.opened.IsZero()
		b.failures, b.opened = 0, time.Time{}
		return false, closed
	}
	if b.failures++; b.failures < breakAfter || !b.opened.IsZero() {
		return false, false
	}
	now := time.Now()
	b.opened, b.probe = now, now.Add(probeEvery)
	return true, false
}

// since returns when it opened, or zero.
func (b *breaker) since() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened
}
