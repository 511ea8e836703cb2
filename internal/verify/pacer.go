package verify

import (
	"context"
	"time"
)

// A pacer keeps reads to a rate: a bucket that fills with time, and holds no more
// than one block, so that a slow stretch is not made up for later.
type pacer struct {
	rate int64     // bytes a second; without bound if it is not above 0
	free time.Time // when all that was read so far has been waited for
}

func newPacer(rate int64) *pacer { return &pacer{rate: rate} }

// wait returns when n bytes may be read, or ctx is done.
func (p *pacer) wait(ctx context.Context, n int64) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if oldest := now.Add(-p.time(block)); p.free.Before(oldest) {
		p.free = oldest
	}
	p.free = p.free.Add(p.time(n))
	if d := p.free.Sub(now); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return ctx.Err()
}

// time is how long n bytes take.
func (p *pacer) time(n int64) time.Duration {
	return time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
}
