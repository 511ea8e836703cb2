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
	places map[*place]struct{}
	next   []choice // to be closed, the first first
	chosen int64    // when they were
}

// A choice is a connection as it was when it was chosen to be closed.
type choice struct {
	*place
	rank           rank
	at             int64 // since when it is so
	since, waiting int64
}

// A rank says how little a connection would be missed.
type rank int

const (
	stalled rank = iota // its client sends or takes too little
	idle
	working
	fresh
)

// address is what connections are counted by: of IPv6 the network, as each host has as
// many addresses as it likes.
func address(tcp *net.TCPConn) netip.Addr {
	at, ok := tcp.RemoteAddr().(*net.TCPAddr)
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
func (p *Port) admit(pl *place) {
	if p.o.PerAddress <= 0 || p.o.Exempt != nil && p.o.Exempt(pl.addr) {
		return
	}
	p.peersMu.Lock()
	defer p.peersMu.Unlock()
	of := p.peers[pl.addr]
	if of == nil {
		of = &peer{places: map[*place]struct{}{}}
		p.peers[pl.addr] = of
	}
	if len(of.places) >= p.o.PerAddress {
		of.close(fresh, max(1, p.o.PerAddress/16))
		p.crowded.Add(1)
	}
	of.places[pl] = struct{}{}
}

// dismiss forgets a connection.
func (p *Port) dismiss(pl *place) {
	if p.o.PerAddress <= 0 {
		return
	}
	p.peersMu.Lock()
	defer p.peersMu.Unlock()
	if of := p.peers[pl.addr]; of != nil {
		delete(of.places, pl)
		if len(of.places) == 0 {
			delete(p.peers, pl.addr)
		}
	}
}

// evictStalled closes a stalled connection of the address that has the most, if there
// is one.
func (p *Port) evictStalled() bool {
	p.peersMu.Lock()
	defer p.peersMu.Unlock()
	now := monotonic()
	if now-p.fruitless < scanPause {
		return false
	}
	if p.largest == nil || now-p.compared > int64(time.Second) {
		p.compared = now
		p.largest = nil
		for _, of := range p.peers {
			if p.largest == nil || len(of.places) > len(p.largest.places) {
				p.largest = of
			}
		}
	}
	if p.largest != nil && p.largest.close(stalled, max(1, len(p.largest.places)/16)) {
		p.crowded.Add(1)
		return true
	}
	p.fruitless = now
	return false
}

// close closes one connection of the address, of rank worst at most. If it has to look
// for them, it remembers some more.
func (of *peer) close(worst rank, some int) bool {
	if monotonic()-of.chosen > freshTime {
		of.next = of.next[:0]
	}
	for range 2 {
		for len(of.next) > 0 && of.next[0].rank <= worst {
			c := of.next[0]
			of.next = of.next[1:]
			if _, ok := of.places[c.place]; !ok || c.place.since.Load() != c.since || c.place.waiting.Load() != c.waiting {
				continue // it is closed, or has moved
			}
			delete(of.places, c.place)
			if c.rank == stalled {
				c.cut()
			} else {
				c.tcp.Close() // what has been sent still arrives
			}
			return true
		}
		of.choose(some)
	}
	return false
}

// choose looks for the connections that are to be closed first.
func (of *peer) choose(some int) {
	now := monotonic()
	of.next, of.chosen = of.next[:0], now
	for pl := range of.places {
		of.next = append(of.next, pl.judge(now))
	}
	slices.SortFunc(of.next, func(a, b choice) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.at, b.at)) })
	of.next = slices.Clip(of.next[:min(len(of.next), some)])
}

// judge says how little a connection would be missed.
func (pl *place) judge(now int64) choice {
	c := choice{place: pl, since: pl.since.Load(), waiting: pl.waiting.Load()}
	switch {
	case c.waiting != 0 && now-c.waiting > int64(stuckTime):
		c.rank, c.at = stalled, c.waiting
	case c.since > 0:
		c.rank, c.at = idle, c.since
	case c.since < 0 && now+c.since > freshTime:
		c.rank, c.at = stalled, -c.since // it has sent no complete head
	case c.since < 0:
		c.rank, c.at = fresh, -c.since
	default:
		quiet, unsent := silence(pl.tcp)
		c.rank, c.at = working, now-int64(quiet)
		if unsent && quiet > stuckTime {
			c.rank = stalled
		}
	}
	return c
}

// cut closes a connection. Nothing of what it was sent is kept for it.
func (pl *place) cut() {
	pl.tcp.SetLinger(0)
	pl.tcp.Close() // whoever serves it notices
}

// waits says that the connection's client has to send or to take something before its
// request goes on. A nil place is one that is not known.
func (pl *place) waits() {
	if pl != nil {
		pl.waiting.Store(monotonic())
	}
}

// moves ends waits.
func (pl *place) moves() {
	if pl != nil {
		pl.waiting.Store(0)
	}
}

type placeKey struct{}

// Context has handlers know the connection that a request came by. It is the
// ConnContext of [http.Server].
func (p *Port) Context(ctx context.Context, c net.Conn) context.Context {
	if pl := p.place(c); pl != nil {
		return context.WithValue(ctx, placeKey{}, pl)
	}
	return ctx
}

func placeOf(r *http.Request) *place {
	pl, _ := r.Context().Value(placeKey{}).(*place)
	return pl
}
