package runcache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// turns limits the reads at once, in all and of one slide. Further ones wait in the order in
// which they came, except that those of other slides pass the ones of a slide at its limit.
type turns struct {
	most, mostOf, mostWaiting int

	mu      sync.Mutex
	taken   int
	of      map[string]int // reads of each slide
	waiting []*turn

	refused atomic.Int64
}

// A turn is a read that waits.
type turn struct {
	slide string
	come  chan struct{} // closed when it is its turn
}

// take waits for a turn; the caller leaves. The error is that of ctx, or [ErrBusy] if too many
// wait already.
func (t *turns) take(ctx context.Context, slide string) error {
	t.mu.Lock()
	if t.free(slide) {
		t.mu.Unlock()
		return nil
	}
	if len(t.waiting) >= t.mostWaiting {
		t.mu.Unlock()
		t.refused.Add(1)
		return ErrBusy
	}
	w := &turn{slide, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.come:
		return nil
	case <-ctx.Done():
		t.giveUp(w)
		return ctx.Err()
	}
}

// free takes a turn if one is free. The caller must hold mu.
func (t *turns) free(slide string) bool {
	if t.taken >= t.most || t.of[slide] >= t.mostOf {
		return false
	}
	if t.of == nil {
		t.of = map[string]int{}
	}
	t.taken++
	t.of[slide]++
	return true
}

// giveUp ends the wait of w, whose turn may have come in the meantime.
func (t *turns) giveUp(w *turn) {
	t.mu.Lock()
	i := slices.Index(t.waiting, w)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 {
		t.leave(w.slide)
	}
}

// leave ends a turn, and gives it to one that waits.
func (t *turns) leave(slide string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	if t.of[slide]--; t.of[slide] == 0 {
		delete(t.of, slide)
	}
	for i, w := range t.waiting {
		if t.free(w.slide) {
			t.waiting = slices.Delete(t.waiting, i, i+1)
			close(w.come)
			return
		}
	}
}
