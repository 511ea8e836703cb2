// Package ingest brings the catalog to what the folders of its stores hold. It
// inspects files to tell complete slides from those that are still arriving, broken
// or of an unknown kind, walks a store's folder to find what came, changed and
// went, and watches the folder for what happens in between.
//
// The folder of an in-place store is read and never written. In a managed store
// files arrive in an incoming folder, are shown from there at once, and are then
// moved under the digest of their bytes. What is found is compared by identity
// (inode, size and times), so that a file that has not changed is not opened.
// File names and barcodes are patient data and appear in no log and no error:
// images, stores and folders are named by ids and inode numbers.
package scan

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/source"
)

const (
	// DefaultSettle is how long a file whose structure is wrong may go without a
	// change before it is broken rather than arriving. Copies over a network
	// stall for minutes.
	DefaultSettle = 10 * time.Minute
	// DefaultPause is how long a file must be seen unchanged to count as written,
	// unless it was renamed into the folder or closed by its writer.
	DefaultPause = 2 * time.Second
	// DefaultMaxMissing is the share of a store's slides that may be gone at once
	// before a person is asked.
	DefaultMaxMissing = 0.5
)

var (
	// ErrNoRoot: the store's folder is not there or cannot be read.
	ErrNoRoot = source.ErrNoRoot
	// ErrOtherRoot: a folder is there, and not the one that was.
	ErrOtherRoot = source.ErrOtherRoot
	// ErrFull: the disk of a managed store has no room for a file.
	ErrFull = managed.ErrFull
	// ErrManyMissing: more slides are gone at once than is likely to be meant.
	ErrManyMissing = errors.New("so many slides are gone at once that none was marked missing: if that is meant, confirm the next sync")
)

// A Syncer keeps the catalog in sync with the folders of stores. Its fields are
// set before the first use; it is safe for concurrent use after.
type Syncer struct {
	Catalog *catalog.Catalog
	Log     *slog.Logger     // discarded if nil
	Now     func() time.Time // time.Now if nil

	Settle     time.Duration // [DefaultSettle] if 0; a store may have its own
	Pause      time.Duration // [DefaultPause] if 0
	MaxMissing float64       // [DefaultMaxMissing] if 0
	Workers    int           // files inspected at once; 4 if 0

	// Host is the name of this machine: stores of others are left to theirs. "" for
	// any.
	Host string
	// Holder names this process among those that share the catalog. Leases keep them
	// out of each other's way; "" if there are no others.
	Holder string

	// Arrived, if not nil, is told the id of each image of a managed store that waits
	// to be imported, once or more often. It must not block. If it is nil, a scan
	// ends the imports that were broken off, and others are somebody else's matter.
	Arrived func(image string)

	// Aside, if not nil, is told the id of each image of a managed store that has been
	// set aside as complete and no slide that is read. It must not block.
	Unsupported func(image string)

	// Available, if not nil, is told the id of each image that has become
	// available, or has changed and still is. It must not block.
	Available func(image string)

	// Loops, if not nil, shows what goes on in the background.
	Loops *loop.Set
	// Memory is what the labels that are searched for codes take their memory from; nil
	// for no bound.
	Memory *render.Budget

	mirror  mirror
	mu      sync.Mutex
	folders map[string]*folder
	taken   map[string]bool // leases
}

// Options say how a scan is made.
type Options struct {
	DryRun  bool // say what would be done, and do nothing
	Resync  bool // read every file again as if it were new
	Confirm bool // a person has seen how many slides are gone
	// Wait stays for files that lack nothing but to be seen unchanged a second
	// time, [DefaultPause] later.
	Wait bool
	// Import moves what has arrived in a managed store to where it stays, and ends
	// with that: it takes as long as reading all of it.
	Import bool
	// Progress, if not nil, is told how many of the files that had to be inspected
	// have been. It must not block.
	Progress func(done, total int64)

	watching bool // nobody has asked for the scan
}

// A Result says what a scan found and did. Numbers are of files.
type Result struct {
	Count       int       `json:"count"`   // in the folder
	Added       int       `json:"added"`   // new in the catalog, in whatever state
	Updated     int       `json:"updated"` // known, and changed or better understood
	Moved       int       `json:"moved"`   // known under another name
	Missing     int       `json:"missing"` // newly
	Returned    int       `json:"returned"`
	Arriving    int       `json:"arriving"`              // still being written, or not yet known to be done
	Failed      []Failure `json:"failed"`                // inspected at in this scan, and not to be shown
	Links       int       `json:"links"`                 // symbolic links, which are not followed
	Imported    int       `json:"imported,omitempty"`    // moved under their digest
	Quarantined int       `json:"quarantined,omitempty"` // newly
	Duration    float64   `json:"duration"`              // seconds
	Next        time.Time `json:"-"`                     // when to check again at what is arriving; zero if nothing is
}

// A Failure is a file that is no slide, or not one that can be read. It holds no
// file name.
type Failure struct {
	Image  string `json:"image,omitempty"` // id; "" for folders
	Reason string `json:"reason"`
}

// maxFailures bounds the failures that are listed in a result.
const maxFailures = 1000

func (r *Result) fail(image, reason string) {
	if len(r.Failed) < maxFailures {
		r.Failed = append(r.Failed, Failure{image, reason})
	}
}

// changed reports whether the scan found anything to do.
func (r *Result) changed() bool {
	return r.Added+r.Updated+r.Moved+r.Missing+r.Returned+r.Imported+r.Quarantined+len(r.Failed) > 0
}

// A folder is what is remembered of a store's folder between scans.
type folder struct {
	store string
	scan  sync.Mutex // one scan at a time

	mu           sync.Mutex // held while the catalog is changed
	observations map[string]observation
	seenRoot     fsx.Identity // of the folder that was last scanned
	scanned      bool         // a scan has come to its end
	refused      error        // why the last scan marked nothing missing; nil if it did not refuse
}

func (s *Syncer) folder(store string) *folder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folders == nil {
		s.folders = map[string]*folder{}
	}
	if s.folders[store] == nil {
		s.folders[store] = &folder{store: store, observations: map[string]observation{}}
	}
	return s.folders[store]
}

// waiting returns the paths of the files that are being waited for.
func (f *folder) waiting() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.observations))
}

// next is when the first of the files that are being waited for is due.
func (f *folder) next() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first time.Time
	for _, s := range f.observations {
		if !s.again.IsZero() && (first.IsZero() || s.again.Before(first)) {
			first = s.again
		}
	}
	return first
}

func (s *Syncer) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Syncer) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}

// follow reads what others have changed in the catalog, so that the next scan need
// not.
func (s *Syncer) follow(ctx context.Context) error { return s.mirror.follow(ctx, s.Catalog) }
