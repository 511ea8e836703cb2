package managed

import (
	"sync"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
)

const (
	// maxDigests is how many received files are remembered. Further ones are read again.
	maxDigests = 4096
	// maxInspections is how many of their inspections are. They take up to a few megabytes
	// each, and scans need them a moment later.
	maxInspections = 16
)

// Received remembers the digests and inspections of complete slides that an upload has
// put into an incoming folder, so that a scan and an import of the same process need not
// read them again. A file is found by its identity, with its ctime: a file that was written to or
// renamed since is unknown, and so is every file after a restart. A nil Received
// remembers nothing.
type Received struct {
	mu    sync.Mutex
	files map[fsx.Identity]*receipt
	order []fsx.Identity // oldest first; may hold removed ones
}

// A receipt is the digest and the inspection of a file.
type receipt struct {
	digest string
	found  *inspect.Inspection // nil if it was taken or is too old
}

// NewReceived returns an empty Received.
func NewReceived() *Received { return &Received{files: map[fsx.Identity]*receipt{}} }

// Put adds a complete slide, by the identity that it has in the incoming folder.
func (r *Received) Put(id fsx.Identity, digest string, found inspect.Inspection) {
	if r == nil || found.Kind != inspect.Complete {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	found.Identity = id
	r.files[id] = &receipt{digest, &found}
	r.order = append(r.order, id)
	if n := len(r.order) - maxInspections; n > 0 {
		if old := r.files[r.order[n-1]]; old != nil {
			old.found = nil
		}
	}
	if len(r.order) > maxDigests {
		delete(r.files, r.order[0])
		r.order = r.order[1:]
	}
}

// TakeInspection returns the inspection of a file, once.
func (r *Received) TakeInspection(id fsx.Identity) (inspect.Inspection, bool) {
	if r == nil {
		return inspect.Inspection{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.files[id]
	if one == nil || one.found == nil {
		return inspect.Inspection{}, false
	}
	found := *one.found
	one.found = nil
	return found, true
}

// takeDigest returns the SHA-256 of a file, once; "" if it is unknown.
func (r *Received) takeDigest(id fsx.Identity) string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.files[id]
	if one == nil {
		return ""
	}
	delete(r.files, id)
	return one.digest
}
