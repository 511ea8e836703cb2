package taskhandler

import (
	"os"
	"slices"
	"sync"
)

// claims are what the conversions of this process add to stores and the catalog does not
// count yet, so that several at once keep to one quota.
type claims struct {
	mu   sync.Mutex
	list []*claim
}

// A claim is what one conversion takes of its store's quota.
type claim struct {
	store string
	bytes int64
	// file is the pyramid once it is complete. It counts until it has been taken in,
	// which moves it away; "" while it is being written.
	file string
}

// begin returns the claim of a conversion that has written nothing yet.
func (c *claims) begin(store string) *claim {
	c.drop(store)
	cl := &claim{store: store}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, cl)
	return cl
}

// claim takes so many bytes for cl if they are at most what others leave of most. It
// returns what they leave.
func (c *claims) claim(cl *claim, need, bytes, most int64) (left int64, ok bool) {
	c.drop(cl.store)
	c.mu.Lock()
	defer c.mu.Unlock()
	left = most
	for _, other := range c.list {
		if other != cl && other.store == cl.store {
			left -= other.bytes
		}
	}
	if need > left {
		return left, false
	}
	cl.bytes = bytes
	return left, true
}

// finish says that the pyramid of cl is complete, where it waits to be taken in.
func (c *claims) finish(cl *claim, file string, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.file, cl.bytes = file, bytes
}

// end gives back the claim of a conversion that has failed. That of one that is finished
// stays.
func (c *claims) end(cl *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl.file == "" {
		c.list = slices.DeleteFunc(c.list, func(other *claim) bool { return other == cl })
	}
}

// drop forgets pyramids of a store that have been taken in. The lock is not held while the
// store's disk is asked: it may not answer.
func (c *claims) drop(store string) {
	c.mu.Lock()
	list := slices.Clone(c.list)
	files := make([]string, len(list))
	for i, cl := range list {
		if cl.store == store {
			files[i] = cl.file
		}
	}
	c.mu.Unlock()
	for i, cl := range list {
		if files[i] == "" {
			continue
		}
		if _, err := os.Lstat(files[i]); !os.IsNotExist(err) {
			continue
		}
		c.mu.Lock()
		c.list = slices.DeleteFunc(c.list, func(other *claim) bool { return other == cl })
		c.mu.Unlock()
	}
}
