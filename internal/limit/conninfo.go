package limit

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// minIdleTime is how long a new connection may be without a request before it may be
	// closed for another one.
	minIdleTime = int64(time.Second)
	// scanPause is the minimum time between two searches for idle connections.
	scanPause = int64(20 * time.Millisecond)
	// memoryInterval is how often memory is checked.
	memoryInterval = 100 * time.Millisecond
	// stallTime is how long a client may take nothing before its connection counts as
	// stalled.
	stallTime = 2 * time.Second
)

// A connInfo is the state of a connection.
type connInfo struct {
	client stream
	conn   *conn // as its server knows it
	// since is when the connection became idle by the monotonic clock, in nanoseconds;
	// 0 while a request is served, and negative before the first one.
	since atomic.Int64
	// waiting is since when a request waits for its client, by the same clock; 0 if it
	// does not. It is not set for tiles.
	waiting atomic.Int64
	addr    netip.Addr // counted for PerAddress
}

// began is where the monotonic clock of this process starts; a second before, so that
// no time is 0.
var began = time.Now().Add(-time.Second)

func monotonic() int64 { return int64(time.Since(began)) }

// A candidate is a connection that was idle at a time.
type candidate struct {
	*connInfo
	at int64
}

// evict closes the connection that has been idle longest, if there is one.
func (p *ConnLimiter) evict() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for len(p.oldest) > 0 {
			c := p.oldest[0]
			p.oldest = p.oldest[1:]
			if c.since.CompareAndSwap(c.at, 0) {
				p.evicted.Add(1)
				c.client.Close() // its server notices
				return true
			}
		}
		now := monotonic()
		if now-p.scanned < scanPause {
			return false
		}
		p.scanned = now
		p.scan(now)
		if len(p.oldest) == 0 {
			return false
		}
	}
}

// scan collects the idle connections.
func (p *ConnLimiter) scan(now int64) {
	p.oldest = p.oldest[:0]
	p.conns.Range(func(_, v any) bool {
		pl := v.(*connInfo)
		if at := pl.since.Load(); at > 0 || at < 0 && now+at > minIdleTime {
			p.oldest = append(p.oldest, candidate{pl, at})
		}
		return true
	})
	slices.SortFunc(p.oldest, func(a, b candidate) int { return cmp.Compare(max(a.at, -a.at), max(b.at, -b.at)) })
	p.oldest = slices.Clip(p.oldest[:min(len(p.oldest), max(1, p.o.Max/16))])
}

// release closes the connections being served that have been blocked for that time, and
// returns their number.
func (p *ConnLimiter) release(after time.Duration) int {
	n := 0
	p.conns.Range(func(_, v any) bool {
		if pl := v.(*connInfo); pl.since.Load() == 0 && blocked(pl.client, after) {
			discard(pl.client)
			n++
		}
		return true
	})
	p.stalled.Add(int64(n))
	return n
}
