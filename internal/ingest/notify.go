package ingest

import "sync"

// A sign is what a notifier has heard of a path.
type sign uint8

const (
	touched      sign = 1 << iota // something happened there
	writerLeft                    // the file was renamed in, or closed by its writer, and not made anew since; or the folder was renamed in
	folderCame                    // a folder was made or renamed in
	folderParted                  // a folder was removed or renamed away
	nudged                        // somebody could not read it as cataloged
)

// maxPending bounds what is remembered between two calls of take. Beyond, going
// through the whole folder is cheaper.
const maxPending = 1 << 16

// An inbox gathers what is heard until somebody takes it, each path once.
type inbox struct {
	wake chan struct{} // holds one token while there is something to take

	mu   sync.Mutex
	list map[string]sign
	all  bool // too much was heard, or something was missed
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), list: map[string]sign{}}
}

// put adds a sign to those of p, and takes away those in without.
func (b *inbox) put(p string, s, without sign) {
	b.mu.Lock()
	if len(b.list) < maxPending {
		b.list[p] = b.list[p]&^without | s | touched
	} else {
		b.all = true
	}
	b.mu.Unlock()
	b.ring()
}

// missed says that something happened, and not what.
func (b *inbox) missed() {
	b.mu.Lock()
	b.all = true
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox. All reports that the whole folder has to be gone through.
func (b *inbox) take() (list map[string]sign, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, all = b.list, b.all
	b.list, b.all = map[string]sign{}, false
	return list, all
}
