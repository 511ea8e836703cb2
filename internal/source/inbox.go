package source

import "sync"

// A Sign is a set of events at a path.
type Sign uint8

const (
	Touched       Sign = 1 << iota // any event
	WriterLeft                     // the file was renamed in, or closed by its writer, and not created again since; or the folder was renamed in
	DirectoryCame                  // a folder was created or renamed in
	DirectoryGone                  // a folder was removed or renamed away
	Nudged                         // a reader found that it differs from the catalog
)

// maxPending bounds the paths between two calls of Take. With more, listing the whole
// directory is cheaper.
const maxPending = 1 << 16

// An Inbox collects events until they are taken, each path once.
type Inbox struct {
	Wake chan struct{} // holds one token while the inbox is not empty

	mu   sync.Mutex
	list map[string]Sign
	all  bool // too many events, or some were lost
}

// NewInbox returns an empty inbox.
func NewInbox() *Inbox {
	return &Inbox{Wake: make(chan struct{}, 1), list: map[string]Sign{}}
}

// Put adds signs to those of p, and removes the signs in without.
func (b *Inbox) Put(p string, s, without Sign) {
	b.mu.Lock()
	if len(b.list) < maxPending {
		b.list[p] = b.list[p]&^without | s | Touched
	} else {
		b.all = true
	}
	b.mu.Unlock()
	b.ring()
}

// Missed records that an event was lost.
func (b *Inbox) Missed() {
	b.mu.Lock()
	b.all = true
	b.mu.Unlock()
	b.ring()
}

func (b *Inbox) ring() {
	select {
	case b.Wake <- struct{}{}:
	default:
	}
}

// Take empties the inbox. All reports that the whole directory has to be listed.
func (b *Inbox) Take() (list map[string]Sign, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, all = b.list, b.all
	b.list, b.all = map[string]Sign{}, false
	return list, all
}
