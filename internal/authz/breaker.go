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

// An outcome is what a request tells about the server it was sent to.
type outcome int

const (
	// good: the server answered the request.
	good outcome = iota
	// unusable: the server answered something else, which the caller's credential may
	// have provoked. It says nothing about other callers.
	unusable
	// failed: the server answered 5xx, broke off or timed out. It counts once for each
	// caller, and callers can be invented, so it is a suspicion only.
	failed
	// unreached: there was no connection to send the credential over, so no credential
	// has provoked it.
	unreached
)

// A breakerEvent is what a request has changed.
type breakerEvent int

const (
	unchanged breakerEvent = iota
	// suspected: the server must be asked without a caller's credential, and the
	// breaker be told by settle.
	suspected
	wentDown
	cameBack
)

// A breaker spares a server that is down, and those who would wait for it. It opens for
// breakerPause, and then lets one request through, which decides how it goes on. A
// caller can't open it for others: see [outcome].
type breaker struct {
	mu     sync.Mutex
	recent []failure // the last ones, at most breakerCallers
	down   bool
	until  time.Time // while down nobody gets through before
	trying bool      // one has got through since, or the server is being asked without a credential
}

// A failure is one caller's.
type failure struct {
	caller uint64 // keyed hash of the credential
	shared bool   // whoever asks: counts each time
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

// leave says how a caller's request went.
func (b *breaker) leave(o outcome, caller uint64, trial bool, now time.Time) breakerEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o {
	case good:
		return b.close(trial)
	case unusable:
		b.trying = b.trying && !trial // the next one tries
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

// settle says how the server answered a request without a credential.
func (b *breaker) settle(o outcome, now time.Time) breakerEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o == failed || o == unreached {
		return b.open(now)
	}
	return b.close(true)
}

// close notes that the server answers. Decided says that nobody is trying it any more.
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

// add notes a failure, and forgets those that no longer count.
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
