package bucket

import (
	"context"
	"sync/atomic"
)

// A limit bounds how many requests are sent at once, and how many wait for it.
type limit struct {
	slots    chan struct{}
	waiting  atomic.Int64
	maxQueue int64
}

func newLimit(requests, queue int) *limit {
	return &limit{slots: make(chan struct{}, requests), maxQueue: int64(requests) * int64(queue)}
}

// acquire waits for a slot; the caller releases it. The error is that of ctx, or a failure if
// too many wait already.
func (l *limit) acquire(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	if l.waiting.Add(1) > l.maxQueue {
		l.waiting.Add(-1)
		return &failure{class: ErrUnavailable, text: "too many requests wait for the object storage"}
	}
	defer l.waiting.Add(-1)
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *limit) release() { <-l.slots }
