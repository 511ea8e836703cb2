package verify

import (
	"context"
	"time"
)

// A pacer limits the rate of reads. It is a token bucket of one block, so that time
// lost to slow reads is not made up for later.
type pacer struct {
	rate int64     // bytes per second; no limit if not above 0
	free time.Time // end of the wait for all reads so far
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

// time is how long n bytes take at the rate.
func (p *pacer) time(n int64) time.Duration {
	return time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
}
