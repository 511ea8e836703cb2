// Package limit keeps a server calm whatever comes in at its port: connections are
// bounded, those that do not move make room for those that do, whoever takes nothing
// and sends nothing is let go, requests that cost something wait in queues of bounded
// length, and all of it keeps to a limit of memory. What there is no room for is told
// 503 and when to come again, which costs next to nothing.
//
// It stands before both adapters of tiles. Connections are watched from outside of
// them, by the states that a server tells of; on the way of a tile that is two stores
// to memory.
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

// Options bound a [Port].
type Options struct {
	Max int // connections; [DefaultMax] if 0
	// Stall is how long the other side may take nothing of what is written to it, 30 s
	// if 0. However long an answer takes as a whole, it is not cut off while it moves.
	Stall time.Duration
	// Raw hands out connections as they are, to a server that writes faster to them
	// than to any other kind. It has to bound the time of a write by itself.
	Raw bool
	// PerAddress is how many connections there may be from one address; no such bound
	// if 0. Over it, another connection of that address is closed for a new one:
	// stalled ones first, then the one that has been idle longest.
	PerAddress int
	// Exempt, if not nil, reports whether that bound does not hold for an address:
	// behind a proxy there are many clients.
	Exempt func(netip.Addr) bool
	Memory *Memory // if it is nil, memory is not looked at
	Log    *slog.Logger
}

// DefaultMax is how many connections there may be: ten thousand who look at slides,
// and some more.
const DefaultMax = 16384

// A Port is a listener of bounded connections. Its State must be told of the states of
// connections, and its Run must run.
type Port struct {
	net.Listener
	o        Options
	places   sync.Map // net.Conn as handed out → *place
	open     atomic.Int64
	refusing chan struct{}

	mu      sync.Mutex
	oldest  []candidate // to go, the one that has been idle longest first
	scanned int64       // when they were looked for
	told    time.Time   // when the log was told of refusals last

	peersMu   sync.Mutex
	peers     map[netip.Addr]*peer
	largest   *peer // had the most connections when they were compared
	compared  int64
	fruitless int64 // when no stalled connection was found last

	refused, evicted, stuck atomic.Int64
	crowded                 atomic.Int64
	alarm                   atomic.Bool // somebody holds what others need: see Relieve
}

// New bounds the connections of l, which is to be a TCP listener.
func New(l net.Listener, o Options) *Port {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Port{Listener: l, o: o, refusing: make(chan struct{}, maxRefusing), peers: map[netip.Addr]*peer{}}
}

// Accept returns the next connection that there is room for. Those for which there is
// none it answers itself. That file handles have run out is no error: some come back.
func (p *Port) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		switch {
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			p.tell("no more files or sockets can be opened: raise the limit of open files")
			p.evict()
			time.Sleep(20 * time.Millisecond)
			continue
		case errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil
		}
		if p.open.Load() >= int64(p.o.Max) && !p.evict() && !p.evictStalled() || p.o.Memory.tight() {
			p.refuse(tcp)
			continue
		}
		return p.enter(tcp), nil
	}
}

// enter takes a connection in.
func (p *Port) enter(tcp *net.TCPConn) net.Conn {
	bound(tcp)
	var handed net.Conn = tcp
	pl := &place{tcp: tcp}
	if !p.o.Raw {
		c := &conn{TCPConn: tcp, stall: p.o.Stall}
		handed, pl = c, &c.place
		pl.tcp = tcp
	}
	pl.since.Store(-monotonic())
	pl.addr = address(tcp)
	p.admit(pl)
	p.open.Add(1)
	p.places.Store(handed, pl)
	return handed
}

// State is told what state a connection is in. It is the ConnState of [http.Server].
func (p *Port) State(c net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		if v, ok := p.places.LoadAndDelete(c); ok {
			p.open.Add(-1)
			p.dismiss(v.(*place))
		}
		return
	}
	pl := p.place(c)
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

func (p *Port) place(c net.Conn) *place {
	if c, ok := c.(*conn); ok {
		return &c.place
	}
	if v, ok := p.places.Load(c); ok {
		return v.(*place)
	}
	return nil
}

// Run lets connections go while memory is tight, until ctx is done.
func (p *Port) Run(ctx context.Context) {
	t := time.NewTicker(lookPause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		tight := p.o.Memory.look()
		if !tight && !p.alarm.Swap(false) {
			continue
		}
		n := p.release(stuckTime)
		for range max(1, p.o.Max/64) {
			if !tight || !p.evict() {
				break
			}
			n++
		}
		if n > 0 {
			p.tell("memory is short: connections that do not move are closed")
		}
	}
}

// Relieve asks for connections to be closed whose other side takes nothing: they hold
// memory that others wait for. It returns at once.
func (p *Port) Relieve() { p.alarm.Store(true) }

// tell warns, once a minute: a flood is no reason to fill a disk.
func (p *Port) tell(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.told) < time.Minute {
		return
	}
	p.told = time.Now()
	s := p.Stats()
	p.o.Log.Warn(what, "connections", s.Open, "refused", s.Refused, "closed idle", s.Evicted, "closed stuck", s.Stuck)
}

// Stats are figures for an operator.
type Stats struct {
	Open    int   // connections now
	Refused int64 // connections answered with 503, since the start
	Evicted int64 // idle ones closed to make room
	Stuck   int64 // closed because their other side took nothing while memory was short
	Crowded int64 // closed because there were too many of their address, or stalled with no room left
}

// Stats returns figures as of now.
func (p *Port) Stats() Stats {
	return Stats{int(p.open.Load()), p.refused.Load(), p.evicted.Load(), p.stuck.Load(), p.crowded.Load()}
}
