// Package lease lets one process at a time work on a store or an image: it takes
// leases in the catalog that the processes share, and takes over those of processes
// that have died.
package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// Time is how long a lease lasts unless it is renewed. If a host dies, its stores wait
// for that long; the death of a process is detected at once by the next process on its
// host.
const Time = 30 * time.Second

// ErrBusy: another process works on the file.
var ErrBusy = errors.New("another process works on this file: try again later")

// Leases takes the leases of one process.
type Leases struct {
	Catalog *catalog.Catalog
	// Holder names this process among those that share the catalog; see [Holder]. If it is
	// "", this is the only process, and leases are not recorded in the catalog.
	Holder string

	mu    sync.Mutex
	taken map[string]bool
}

// Take takes a lease among the processes that share the catalog, and renews it until
// release is called. The returned view of the catalog writes only while the lease
// lasts; the context ends with the lease. The error is [ErrBusy] if the lease is taken.
func (l *Leases) Take(ctx context.Context, name string) (held context.Context, c *catalog.Catalog, release func(), err error) {
	if !l.lock(name) {
		return nil, nil, nil, ErrBusy
	}
	if l.Holder == "" {
		return ctx, l.Catalog, func() { l.unlock(name) }, nil
	}
	one, err := l.Catalog.Leases.Acquire(ctx, name, l.Holder, Time)
	if held, ok := errors.AsType[*catalog.HeldError](err); ok && isDead(held.Holder) {
		one, err = l.Catalog.Leases.Acquire(ctx, name, held.Holder, Time) // with the dead holder's name, so that no other lease is taken over
	}
	if err != nil {
		l.unlock(name)
		if errors.Is(err, catalog.ErrHeld) {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return nil, nil, nil, err
	}
	held, stop := one.Keep(ctx)
	return held, l.Catalog.Under(one), func() {
		stop()
		// A lease that can't be released expires.
		_ = one.Release(context.WithoutCancel(ctx))
		l.unlock(name)
	}, nil
}

// lock and unlock exclude the goroutines of this process, which share a holder, from
// each other.
func (l *Leases) lock(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken[name] {
		return false
	}
	if l.taken == nil {
		l.taken = map[string]bool{}
	}
	l.taken[name] = true
	return true
}

func (l *Leases) unlock(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.taken, name)
}
