package authz

import (
	"sync"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/internal/account"
)

const (
	shards = 64
	// entryBytes is the memory of a decision without its strings: the entry and its
	// places in map and ring.
	entryBytes = 400
)

// who is the keyed hash of a credential.
type who [16]byte

// A cacheKey is the caller and the object of a decision. One without an image is for the
// whole store.
type cacheKey struct {
	who          who
	store, image string
	scope        account.Scope
}

// shard also spreads the images of one caller: a proxy may be the only caller.
func (k *cacheKey) shard() int {
	n := int(k.who[0])
	if l := len(k.image); l > 0 {
		n += int(k.image[l-1])
	}
	return n % shards
}

// A cacheEntry is a cached decision.
type cacheEntry struct {
	key      cacheKey
	decision Decision
	asked    uint64        // generation before the request
	checked  atomic.Uint64 // generation in which it was last confirmed
	expires  int64         // nanoseconds of the Unix epoch
	used     atomic.Bool   // since the clock hand last passed
	bytes    int
	index    int // in the ring
}

// decisionCache is a cache of decisions bounded in bytes, with CLOCK replacement, so that
// lookups need only a read lock.
type decisionCache struct {
	shards [shards]cacheShard
}

type cacheShard struct {
	mu      sync.RWMutex
	entries map[cacheKey]*cacheEntry
	ring    []*cacheEntry
	hand    int
	bytes   int
	most    int
	hits    atomic.Int64 // requests answered from the cache; next to a lock that is written anyway
	_       [64]byte     // keeps the locks on separate cache lines
}

func (m *decisionCache) init(most int64) {
	for i := range m.shards {
		m.shards[i].entries, m.shards[i].most = map[cacheKey]*cacheEntry{}, int(most/shards)
	}
}

// get returns the entry of k, or nil.
func (m *decisionCache) get(k *cacheKey) *cacheEntry {
	s := &m.shards[k.shard()]
	s.mu.RLock()
	e := s.entries[*k]
	s.mu.RUnlock()
	return e
}

// put caches e, and evicts others until there is room.
func (m *decisionCache) put(e *cacheEntry, now int64) {
	e.bytes = entryBytes + len(e.key.store) + len(e.key.image) + len(e.decision.User.ID) + len(e.decision.User.Name) + len(e.decision.Session) + len(e.decision.Token)
	s := &m.shards[e.key.shard()]
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[e.key]; old != nil {
		s.remove(old)
	}
	if e.bytes > s.most {
		return
	}
	for s.bytes+e.bytes > s.most {
		s.hand %= len(s.ring)
		old := s.ring[s.hand]
		if old.expires > now && old.used.Swap(false) {
			s.hand++
			continue
		}
		s.remove(old)
	}
	e.index = len(s.ring)
	s.ring = append(s.ring, e)
	s.entries[e.key] = e
	s.bytes += e.bytes
}

func (s *cacheShard) remove(e *cacheEntry) {
	last := len(s.ring) - 1
	s.ring[e.index] = s.ring[last]
	s.ring[e.index].index = e.index
	s.ring[last] = nil
	s.ring = s.ring[:last]
	delete(s.entries, e.key)
	s.bytes -= e.bytes
}

// size returns the number of cached decisions, their bytes, and the number of hits.
func (m *decisionCache) size() (entries int, bytes, hits int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		entries += len(s.ring)
		bytes += int64(s.bytes)
		s.mu.RUnlock()
		hits += s.hits.Load()
	}
	return entries, bytes, hits
}
