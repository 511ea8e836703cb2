package limit

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
)

const (
	// firstHold is what each request may keep in memory. A request that does not get
	// it is refused before it has done anything.
	firstHold = 16 << 10
	// smallShare is the part of a budget, one in so many, that only firstHold is taken
	// from: large bodies and answers do not keep others from logging in.
	smallShare = 4
)

// A Budget limits the memory of bodies being received and answers being sent. When it runs
// short, slow clients that hold most of it are disconnected.
type Budget struct {
	bytes int64

	mu       sync.Mutex
	used     int64
	holds    map[*hold]struct{}
	relieved int64 // when slow clients were disconnected last
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{bytes: bytes, holds: map[*hold]struct{}{}}
}

// Used is how many bytes are taken now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Take takes n bytes until release is called, or reports that there are too few.
func (b *Budget) Take(n int64) (release func(), ok bool) {
	h := &hold{budget: b}
	if !h.grow(n) {
		return nil, false
	}
	return h.close, true
}

// A hold is the part of a budget that one request has taken.
type hold struct {
	budget   *Budget
	connInfo *connInfo // of its connection, nil if that is not known
	bytes    int64
}

// open takes firstHold for a request on a connection, or returns nil.
func (b *Budget) open(p *connInfo) *hold {
	h := &hold{budget: b, connInfo: p}
	if !h.take(firstHold, b.bytes) {
		return nil
	}
	return h
}

// grow takes n bytes more, or reports that there are too few.
func (h *hold) grow(n int64) bool {
	return h.take(n, h.budget.bytes-h.budget.bytes/smallShare)
}

// fit raises the hold to n bytes if it is smaller.
func (h *hold) fit(n int64) bool { return n <= h.bytes || h.grow(n-h.bytes) }

// shrink lowers the hold to n bytes, or to firstHold.
func (h *hold) shrink(n int64) {
	b := h.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if n = max(n, firstHold); n < h.bytes {
		b.used -= h.bytes - n
		h.bytes = n
	}
}

func (h *hold) take(n, most int64) bool {
	b := h.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > most {
		b.relieve()
		return false
	}
	b.used += n
	h.bytes += n
	b.holds[h] = struct{}{}
	return true
}

func (h *hold) close() {
	b := h.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= h.bytes
	h.bytes = 0
	delete(b.holds, h)
}

// relieve disconnects slow clients of the address that holds the most, the slowest
// first, until an eighth of the budget is about to come free.
func (b *Budget) relieve() {
	now := monotonic()
	if now-b.relieved < scanPause {
		return
	}
	b.relieved = now
	sums := map[netip.Addr]int64{}
	slow := map[netip.Addr][]*hold{}
	for h := range b.holds {
		if h.connInfo == nil {
			continue
		}
		sums[h.connInfo.addr] += h.bytes
		if at := h.connInfo.waiting.Load(); at != 0 && now-at > int64(stallTime) {
			slow[h.connInfo.addr] = append(slow[h.connInfo.addr], h)
		}
	}
	var most netip.Addr
	for addr := range slow {
		if sums[addr] > sums[most] {
			most = addr
		}
	}
	list := slow[most]
	slices.SortFunc(list, func(a, b *hold) int { return cmp.Compare(a.connInfo.waiting.Load(), b.connInfo.waiting.Load()) })
	for freed := int64(0); len(list) > 0 && freed < b.bytes/8; list = list[1:] {
		freed += list[0].bytes
		list[0].connInfo.reset()
	}
}
