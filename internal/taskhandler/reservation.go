package taskhandler

import (
	"os"
	"slices"
	"sync"
)

// claims count the bytes that conversions of this process add to stores and that the catalog
// does not count yet, so that concurrent conversions stay within a quota together.
type claims struct {
	mu   sync.Mutex
	list []*claim
}

// A claim is the part of its store's quota that one conversion uses.
type claim struct {
	store string
	bytes int64
	// file is the complete pyramid, or "" while it is being written. The claim lasts until
	// the import moves that file away.
	file string
}

// begin returns a claim of 0 bytes.
func (c *claims) begin(store string) *claim {
	c.drop(store)
	cl := &claim{store: store}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, cl)
	return cl
}

// claim sets the size of cl to bytes if need is at most the part of most that other claims
// leave. It returns that part.
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

// finish records that the pyramid of cl is complete in file, which waits for its import.
func (c *claims) finish(cl *claim, file string, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.file, cl.bytes = file, bytes
}

// end removes the claim of a failed conversion. A finished one keeps its claim.
func (c *claims) end(cl *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl.file == "" {
		c.list = slices.DeleteFunc(c.list, func(other *claim) bool { return other == cl })
	}
}

// drop removes claims of a store whose pyramids have been imported. It does not hold the
// lock while it accesses the store's disk, which may hang.
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
