package authz

import (
	"sync"
	"time"
)

const (
	// breakerCallers is how many different callers must fail within breakerWindow
	// before the server is suspected.
	breakerCallers = 5
	breakerWindow  = 30 * time.Second
	breakerPause   = 2 * time.Second
)

// An outcome is what a request reveals about the server it was sent to.
type outcome int

const (
	// good: the server responded properly.
	good outcome = iota
	// unusable: the server sent another response, which the caller's credential may have
	// provoked. It reveals nothing about other callers.
	unusable
	// failed: the server answered 5xx, closed the connection or timed out. It counts once
	// per caller; callers can be invented, so it only raises a suspicion.
	failed
	// unreached: no connection could be made, so no credential has been sent that could
	// have provoked it.
	unreached
)

// A breakerEvent is the change that a request caused.
type breakerEvent int

const (
	unchanged breakerEvent = iota
	// suspected: the caller must probe the server without a credential, and report the
	// result to settle.
	suspected
	wentDown
	cameBack
)

// A breaker is a circuit breaker for the central server. It opens for breakerPause, and
// then lets one trial request through, which closes it or opens it again. A single caller
// can't open it for others: see [outcome].
type breaker struct {
	mu     sync.Mutex
	recent []failure // the latest ones, at most breakerCallers
	down   bool
	until  time.Time // while down, no request before
	trying bool      // a trial or a probe without credential is running
}

// A failure is a failed request of one caller.
type failure struct {
	caller uint64 // keyed hash of the credential
	shared bool   // not tied to a caller: counts each time
	at     time.Time
}

// enter reports whether a request may be made, and whether it is the trial of a server
// that was down; if not, how long to wait.
func (b *breaker) enter(now time.Time) (ok, trial bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		return true, false, 0
	}
	if wait := b.until.Sub(now); wait > 0 {
		return false, false, wait
	}
	if b.trying {
		return false, false, breakerPause
	}
	b.trying = true
	return true, true, 0
}

// leave reports the outcome of a caller's request.
func (b *breaker) leave(o outcome, caller uint64, trial bool, now time.Time) breakerEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o {
	case good:
		return b.close(trial)
	case unusable:
		b.trying = b.trying && !trial // the next request is the trial
		return unchanged
	}
	b.add(failure{caller, o == unreached, now})
	switch {
	case !trial && (b.down || b.trying || len(b.recent) < breakerCallers):
		return unchanged
	case o == unreached:
		return b.open(now)
	}
	b.trying = true
	return suspected
}

// settle reports the outcome of the probe without a credential.
func (b *breaker) settle(o outcome, now time.Time) breakerEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o == failed || o == unreached {
		return b.open(now)
	}
	return b.close(true)
}

// close records that the server responds. Decided means that the trial or probe has
// ended.
func (b *breaker) close(decided bool) breakerEvent {
	b.recent = b.recent[:0]
	if decided {
		b.trying = false
	}
	if !b.down {
		return unchanged
	}
	b.down, b.trying = false, false
	return cameBack
}

func (b *breaker) open(now time.Time) breakerEvent {
	was := b.down
	b.down, b.trying, b.until = true, false, now.Add(breakerPause)
	if was {
		return unchanged
	}
	return wentDown
}

// add records a failure, and removes outdated ones.
func (b *breaker) add(f failure) {
	kept := b.recent[:0]
	for _, old := range b.recent {
		if f.at.Sub(old.at) < breakerWindow && (f.shared || old.shared || old.caller != f.caller) {
			kept = append(kept, old)
		}
	}
	if len(kept) == breakerCallers {
		copy(kept, kept[1:])
		kept = kept[:breakerCallers-1]
	}
	b.recent = append(kept, f)
}
