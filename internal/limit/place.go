package limit

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// freshTime is how long a connection may be without a request before another may
	// take its place.
	freshTime = int64(time.Second)
	// scanPause is how long those that could go are not looked for again.
	scanPause = int64(20 * time.Millisecond)
	// lookPause is how often memory is looked at.
	lookPause = 100 * time.Millisecond
	// stuckTime is how long the other side of a connection takes nothing before it is
	// closed where memory is short.
	stuckTime = 2 * time.Second
)

// A place is what is known of a connection.
type place struct {
	tcp *net.TCPConn
	// since is when the connection became idle by the monotonic clock, in nanoseconds;
	// 0 while a request is served, and negative before the first one.
	since atomic.Int64
	// waiting is since when a request waits for its client, by the same clock; 0 if it
	// does not. Requests for tiles never say so.
	waiting atomic.Int64
	addr    netip.Addr // what it is counted by
}

// began is where the monotonic clock of this process starts; a second before, so that
// no time is 0.
var began = time.Now().Add(-time.Second)

func monotonic() int64 { return int64(time.Since(began)) }

// A candidate is a connection that was idle when it was looked for.
type candidate struct {
	*place
	at int64
}

// evict closes the connection that has been idle longest, if there is one.
func (p *Port) evict() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for len(p.oldest) > 0 {
			c := p.oldest[0]
			p.oldest = p.oldest[1:]
			if c.since.CompareAndSwap(c.at, 0) {
				p.evicted.Add(1)
				c.tcp.Close() // whoever serves it notices
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

// scan looks for connections that could go.
func (p *Port) scan(now int64) {
	p.oldest = p.oldest[:0]
	p.places.Range(func(_, v any) bool {
		pl := v.(*place)
		if at := pl.since.Load(); at > 0 || at < 0 && now+at > freshTime {
			p.oldest = append(p.oldest, candidate{pl, at})
		}
		return true
	})
	slices.SortFunc(p.oldest, func(a, b candidate) int { return cmp.Compare(max(a.at, -a.at), max(b.at, -b.at)) })
	p.oldest = slices.Clip(p.oldest[:min(len(p.oldest), max(1, p.o.Max/16))])
}

// release closes the connections being served whose other side has taken nothing for
// that time although there is something to take. It returns how many those were.
func (p *Port) release(after time.Duration) int {
	n := 0
	p.places.Range(func(_, v any) bool {
		if pl := v.(*place); pl.since.Load() == 0 && stuck(pl.tcp, after) {
			pl.tcp.SetLinger(0) // what it was sent is not kept for it
			pl.tcp.Close()
			n++
		}
		return true
	})
	p.stuck.Add(int64(n))
	return n
}
