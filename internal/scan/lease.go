package scan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// leaseTime is how long a lease lasts unless it is renewed. If a host dies, its stores
// wait for that long; the death of a process is detected at once by the next process on
// its host.
const leaseTime = 30 * time.Second

// lease takes a lease among the processes that share the catalog, and renews it until
// release is called. The returned view of the catalog writes only while the lease
// lasts; the context ends with the lease. The error is [ErrBusy] if another process has
// the lease.
func (s *Syncer) lease(ctx context.Context, name string) (held context.Context, c *catalog.Catalog, release func(), err error) {
	if !s.take(name) {
		return nil, nil, nil, ErrBusy
	}
	if s.Holder == "" {
		return ctx, s.Catalog, func() { s.unlock(name) }, nil
	}
	l, err := s.Catalog.Acquire(ctx, name, s.Holder, leaseTime)
	if held, ok := errors.AsType[*catalog.HeldError](err); ok && isDead(held.Holder) {
		l, err = s.Catalog.Acquire(ctx, name, held.Holder, leaseTime) // with the dead holder's name, so that no other lease is taken over
	}
	if err != nil {
		s.unlock(name)
		if errors.Is(err, catalog.ErrHeld) {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return nil, nil, nil, err
	}
	held, stop := l.Keep(ctx)
	return held, s.Catalog.Under(l), func() {
		stop()
		// A lease that can't be released expires.
		_ = l.Release(context.WithoutCancel(ctx))
		s.unlock(name)
	}, nil
}

// take and unlock exclude the goroutines of this process, which share a holder, from
// each other.
func (s *Syncer) take(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[name] {
		return false
	}
	if s.taken == nil {
		s.taken = map[string]bool{}
	}
	s.taken[name] = true
	return true
}

func (s *Syncer) unlock(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, name)
}

// serves reports whether this host keeps the store in sync.
func (s *Syncer) serves(st *catalog.Store) bool {
	return st.Host == "" || s.Host == "" || st.Host == s.Host
}
