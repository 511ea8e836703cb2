package scan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// leaseTime is how long a lease lasts unless it is renewed: so long a store waits
// when the host that kept it has died. That a process has, the next one on its host
// sees for itself.
const leaseTime = 30 * time.Second

// lease takes a lease among the processes that share the catalog, and keeps it until
// release is called. What is written through the view of the catalog that it
// returns is written only as long as the lease lasts, and the context ends with it.
// The error is [ErrBusy] if somebody holds it.
func (s *Syncer) lease(ctx context.Context, name string) (held context.Context, c *catalog.Catalog, release func(), err error) {
	if !s.take(name) {
		return nil, nil, nil, ErrBusy
	}
	if s.Holder == "" {
		return ctx, s.Catalog, func() { s.unlock(name) }, nil
	}
	l, err := s.Catalog.Acquire(ctx, name, s.Holder, leaseTime)
	if held, ok := errors.AsType[*catalog.HeldError](err); ok && isDead(held.Holder) {
		l, err = s.Catalog.Acquire(ctx, name, held.Holder, leaseTime) // in its name, so that nobody else's is taken
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
		// One that can't be given back ends by itself.
		_ = l.Release(context.WithoutCancel(ctx))
		s.unlock(name)
	}, nil
}

// take and unlock keep the goroutines of this process apart, which share a holder.
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

// serves reports whether a store is this host's to keep in sync.
func (s *Syncer) serves(st *catalog.Store) bool {
	return st.Host == "" || s.Host == "" || st.Host == s.Host
}
