// Package limit protects a server from overload: it limits connections, the requests served
// at once and their memory, and closes connections whose clients neither send nor read
// data. At a limit, it closes the least useful connection for a new one, or else
// clients get 503 with Retry-After.
//
// It is used in front of net/http and fasthttp alike and learns from the servers' connection
// states, which costs a tile two stores to memory. LimitListener of golang.org/x/net is no
// replacement: it stops accepting at its limit, so that connections wait in the kernel
// without an answer, and it knows neither idle connections to close nor addresses.
package limit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the limits of a [ConnLimiter].
type Options struct {
	Max int // connections; [DefaultMax] if 0
	// Stall is how long a client may read nothing that is written to it, 30 s if
	// 0. An answer that progresses is not interrupted, however long it takes.
	Stall time.Duration
	// Ahead is for a server that reads the first byte of a request by itself: the rest is
	// read along with it.
	Ahead bool
	// PerAddress limits the connections from one address; 0 for no limit. At the limit
	// another connection of that address is closed for a new one:
	// stalled ones first, then the one that has been idle longest.
	PerAddress int
	// Exempt, if not nil, reports whether PerAddress does not apply to an address, such as
	// that of a proxy with many clients.
	Exempt func(netip.Addr) bool
	Memory *Memory // nil if memory is not limited
	Log    *slog.Logger
}

// DefaultMax is the default limit of connections.
const DefaultMax = 16384

// A ConnLimiter is a listener with a limited number of connections. Its State must be called
// with the states of connections, and its Run must run.
type ConnLimiter struct {
	net.Listener
	o        Options
	conns    sync.Map // net.Conn as returned by Accept → *connInfo
	open     atomic.Int64
	refusing chan struct{}

	mu      sync.Mutex
	oldest  []candidate // idle connections, the longest idle first
	scanned int64       // when oldest was filled
	warned  time.Time   // when the last warning was logged

	peersMu     sync.Mutex
	peers       map[netip.Addr]*peer
	largest     *peer // had the most connections at the time compared
	compared    int64
	noneStalled int64 // when a search last found no stalled connection

	refused, evicted, stalled atomic.Int64
	displaced                 atomic.Int64
	alarm                     atomic.Bool // see Relieve
}

// New limits the connections of l, a listener of TCP or of a Unix socket.
func New(l net.Listener, o Options) *ConnLimiter {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &ConnLimiter{Listener: l, o: o, refusing: make(chan struct{}, maxRefusing), peers: map[netip.Addr]*peer{}}
}

// Accept returns the next connection within the limits. It answers the others itself.
// Running out of file handles is not an error, since some are freed again.
func (p *ConnLimiter) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		switch {
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			p.warn("cannot open more files or sockets; raise the limit of open files")
			p.evict()
			time.Sleep(20 * time.Millisecond)
			continue
		case errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return nil, err
		}
		if u, ok := c.(*net.UnixConn); ok {
			c = local{u}
		}
		client, ok := c.(stream)
		if !ok {
			return c, nil
		}
		if p.open.Load() >= int64(p.o.Max) && !p.evict() && !p.evictStalled() || p.o.Memory.tight() {
			p.refuse(client)
			continue
		}
		return p.enter(client), nil
	}
}

// enter registers a connection.
func (p *ConnLimiter) enter(client stream) net.Conn {
	limitSendBuffer(client)
	c := &conn{stream: client, stall: p.o.Stall}
	if p.o.Ahead {
		c.ahead = newAhead(client)
	}
	pl := &c.connInfo
	pl.client, pl.conn = client, c
	pl.since.Store(-monotonic())
	pl.addr = address(client)
	p.admit(pl)
	p.open.Add(1)
	p.conns.Store(c, pl)
	return c
}

// State records the state of a connection. It is the ConnState of [http.Server].
func (p *ConnLimiter) State(c net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		if v, ok := p.conns.LoadAndDelete(c); ok {
			p.open.Add(-1)
			p.forget(v.(*connInfo))
		}
		return
	}
	pl := p.connInfo(c)
	if pl == nil {
		return
	}
	switch state {
	case http.StateActive:
		pl.since.Store(0)
	case http.StateIdle:
		pl.since.Store(monotonic())
	}
}

func (p *ConnLimiter) connInfo(c net.Conn) *connInfo {
	if c, ok := c.(*conn); ok {
		return &c.connInfo
	}
	return nil
}

// Run closes connections while memory is short, until ctx is done.
func (p *ConnLimiter) Run(ctx context.Context) {
	t := time.NewTicker(memoryInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		tight := p.o.Memory.check()
		if !tight && !p.alarm.Swap(false) {
			continue
		}
		n := p.release(stallTime)
		for range max(1, p.o.Max/64) {
			if !tight || !p.evict() {
				break
			}
			n++
		}
		if n > 0 {
			p.warn("memory is short; closed stalled and idle connections")
		}
	}
}

// Relieve requests that connections are closed whose clients take nothing, since others
// wait for the memory that they hold. It returns at once.
func (p *ConnLimiter) Relieve() { p.alarm.Store(true) }

// warn logs a warning, once a minute at most, so that a flood does not fill the disk.
func (p *ConnLimiter) warn(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.warned) < time.Minute {
		return
	}
	p.warned = time.Now()
	s := p.Stats()
	p.o.Log.Warn(what, "connections", s.Open, "refused", s.Refused, "closed_idle", s.Evicted, "closed_stalled", s.Stalled)
}

// Stats are counts of connections.
type Stats struct {
	Open      int   // connections now
	Refused   int64 // connections answered with 503, since the start
	Evicted   int64 // idle ones closed for new ones
	Stalled   int64 // closed because their clients read nothing while memory was short
	Displaced int64 // closed for a new one: too many of their address, or stalled with no slot free
}

// Stats returns the counts as of now.
func (p *ConnLimiter) Stats() Stats {
	return Stats{int(p.open.Load()), p.refused.Load(), p.evicted.Load(), p.stalled.Load(), p.displaced.Load()}
}
