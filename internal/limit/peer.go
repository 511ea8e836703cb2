package limit

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// A peer is an address from which connections come.
type peer struct {
	conns  map[*connInfo]struct{}
	next   []choice // to be closed, in this order
	chosen int64    // when next was filled
}

// A choice is a connection as it was when it was chosen to be closed.
type choice struct {
	*connInfo
	rank           rank
	at             int64 // since when it is so
	since, waiting int64
}

// A rank orders connections by how little closing them matters.
type rank int

const (
	stalled rank = iota // its client sends or takes too little
	idle
	working
	fresh
)

// address returns the address by which a connection is counted: for IPv6 the /64 network,
// because a host may use all addresses of it.
func address(client stream) netip.Addr {
	at, ok := client.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return counted(at.AddrPort().Addr())
}

func counted(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

// admit counts a new connection by its address, and closes another one of that address
// if those are too many.
func (p *ConnLimiter) admit(pl *connInfo) {
	if p.o.PerAddress <= 0 || p.o.Exempt != nil && p.o.Exempt(pl.addr) {
		return
	}
	p.peersMu.Lock()
	defer p.peersMu.Unlock()
	of := p.peers[pl.addr]
	if of == nil {
		of = &peer{conns: map[*connInfo]struct{}{}}
		p.peers[pl.addr] = of
	}
	if len(of.conns) >= p.o.PerAddress {
		of.close(fresh, max(1, p.o.PerAddress/16))
		p.displaced.Add(1)
	}
	of.conns[pl] = struct{}{}
}

// forget removes a closed connection.
func (p *ConnLimiter) forget(pl *connInfo) {
	if p.o.PerAddress <= 0 {
		return
	}
	p.peersMu.Lock()
	defer p.peersMu.Unlock()
	if of := p.peers[pl.addr]; of != nil {
		delete(of.conns, pl)
		if len(of.conns) == 0 {
			delete(p.peers, pl.addr)
		}
	}
}

// evictStalled closes a stalled connection of the address that has the most, if there
// is one.
func (p *ConnLimiter) evictStalled() bool {
	p.peersMu.Lock()
	defer p.peersMu.Unlock()
	now := monotonic()
	if now-p.noneStalled < scanPause {
		return false
	}
	if p.largest == nil || now-p.compared > int64(time.Second) {
		p.compared = now
		p.largest = nil
		for _, of := range p.peers {
			if p.largest == nil || len(of.conns) > len(p.largest.conns) {
				p.largest = of
			}
		}
	}
	if p.largest != nil && p.largest.close(stalled, max(1, len(p.largest.conns)/16)) {
		p.displaced.Add(1)
		return true
	}
	p.noneStalled = now
	return false
}

// close closes one connection of the address, of rank worst at most. It remembers some
// more if it has to search.
func (of *peer) close(worst rank, some int) bool {
	if monotonic()-of.chosen > minIdleTime {
		of.next = of.next[:0]
	}
	for range 2 {
		for len(of.next) > 0 && of.next[0].rank <= worst {
			c := of.next[0]
			of.next = of.next[1:]
			if _, ok := of.conns[c.connInfo]; !ok || c.connInfo.since.Load() != c.since || c.connInfo.waiting.Load() != c.waiting {
				continue // closed or changed meanwhile
			}
			delete(of.conns, c.connInfo)
			if c.rank == stalled {
				c.reset()
			} else {
				c.client.Close() // sent data still arrives
			}
			return true
		}
		of.choose(some)
	}
	return false
}

// choose collects the connections to close first.
func (of *peer) choose(some int) {
	now := monotonic()
	of.next, of.chosen = of.next[:0], now
	for pl := range of.conns {
		of.next = append(of.next, pl.ranked(now))
	}
	slices.SortFunc(of.next, func(a, b choice) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.at, b.at)) })
	of.next = slices.Clip(of.next[:min(len(of.next), some)])
}

// ranked returns the connection with its rank.
func (pl *connInfo) ranked(now int64) choice {
	c := choice{connInfo: pl, since: pl.since.Load(), waiting: pl.waiting.Load()}
	switch {
	case c.waiting != 0 && now-c.waiting > int64(stallTime):
		c.rank, c.at = stalled, c.waiting
	case c.since > 0:
		c.rank, c.at = idle, c.since
	case c.since < 0 && now+c.since > minIdleTime:
		c.rank, c.at = stalled, -c.since // no complete head was sent
	case c.since < 0:
		c.rank, c.at = fresh, -c.since
	default:
		quiet, unsent := silence(pl.client)
		c.rank, c.at = working, now-int64(quiet)
		if unsent && quiet > stallTime {
			c.rank = stalled
		}
	}
	return c
}

// reset closes a connection and discards unsent data.
func (pl *connInfo) reset() {
	discard(pl.client) // its server notices
}

// startWait records that the request waits for its client to send or take data. A nil
// connInfo is that of an unknown connection.
func (pl *connInfo) startWait() {
	if pl != nil {
		pl.waiting.Store(monotonic())
	}
}

// endWait ends startWait.
func (pl *connInfo) endWait() {
	if pl != nil {
		pl.waiting.Store(0)
	}
}

type connInfoKey struct{}

// Context gives handlers the connection of a request. It is the ConnContext of
// [http.Server].
func (p *ConnLimiter) Context(ctx context.Context, c net.Conn) context.Context {
	if pl := p.connInfo(c); pl != nil {
		return context.WithValue(ctx, connInfoKey{}, pl)
	}
	return ctx
}

func connInfoOf(r *http.Request) *connInfo {
	pl, _ := r.Context().Value(connInfoKey{}).(*connInfo)
	return pl
}
