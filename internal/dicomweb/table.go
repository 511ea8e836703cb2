package dicomweb

import (
	"hash/maphash"
	"sync/atomic"
)

// An entry is a value of a table with its key.
type entry interface{ key() string }

// A table finds entries by their key, without a lock. It has a fixed number of slots: an entry takes
// the place of another one with the same slot.
type table[T any] struct {
	seed  maphash.Seed
	slots []atomic.Pointer[T]
}

// init makes n slots, a power of two.
func (t *table[T]) init(n int) {
	t.seed, t.slots = maphash.MakeSeed(), make([]atomic.Pointer[T], n)
}

func (t *table[T]) slot(key string) *atomic.Pointer[T] {
	return &t.slots[maphash.String(t.seed, key)&uint64(len(t.slots)-1)]
}

// find returns the entry with a key, or nil.
func (t *table[T]) find(key string) *T {
	e := t.slot(key).Load()
	if e == nil || any(e).(entry).key() != key {
		return nil
	}
	return e
}

// put adds an entry.
func (t *table[T]) put(e *T) { t.slot(any(e).(entry).key()).Store(e) }
