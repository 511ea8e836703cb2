// Package scan synchronizes the catalog with the folders of its stores. It inspects
// files to tell complete slides from arriving, broken and unsupported ones, scans a
// store's folder for new, changed and removed files, and watches the folder between
// scans.
//
// The images of a database or dump of SlideAtlas and the objects of a bucket are treated like
// files, except that they need not settle and that nothing reports changes of them.
//
// The folder of an in-place store is only read. In a managed store files arrive in an
// incoming folder, are served from there at once, and are then moved to a path named by
// the digest of their bytes. Files are compared by identity (inode, size and times), so
// that unchanged files are not opened. File names and barcodes are patient data and
// appear in no log and no error: images, stores and folders are named by ids and inode
// numbers.
package scan

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/mirror"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/source"
)

const (
	// DefaultSettle is how long a damaged or incomplete file must be unchanged before it
	// is broken rather than arriving. Copies over a network may stall for minutes.
	DefaultSettle = 10 * time.Minute
	// DefaultPause is how long a file must be unchanged to count as complete, unless it
	// was renamed into the folder or closed by its writer.
	DefaultPause = 2 * time.Second
	// seriesPauses is how many times longer than one file a series of files must be
	// unchanged: programs send its files one after the other.
	seriesPauses = 5
	// DefaultMaxMissing is the share of a store's slides that may go missing at once
	// without a person's confirmation.
	DefaultMaxMissing = 0.5
)

var (
	// ErrNoRoot: the store's folder is not there or cannot be read.
	ErrNoRoot = source.ErrNoRoot
	// ErrOtherRoot: the folder is not the one that was scanned before.
	ErrOtherRoot = source.ErrOtherRoot
	// ErrBusy: another process works on the store or the file.
	ErrBusy = lease.ErrBusy
	// ErrFull: the disk of a managed store has no room for a file.
	ErrFull = managed.ErrFull
	// ErrManyMissing: more slides went missing at once than a person is likely to have
	// removed.
	ErrManyMissing = errors.New("too many slides are missing at once, so none was marked missing; if this is intended, confirm the next sync")
)

// ErrorCode returns the code by which programs tell the errors of a scan apart:
// "folder_unreachable", "other_folder" or "too_many_missing"; "" for other errors.
func ErrorCode(err error) string {
	switch {
	case errors.Is(err, ErrManyMissing):
		return "too_many_missing"
	case errors.Is(err, ErrOtherRoot):
		return "other_folder"
	case errors.Is(err, ErrNoRoot):
		return "folder_unreachable"
	}
	return ""
}

// A Syncer keeps the catalog in sync with the folders of stores. Set its fields before
// the first use; then it is safe for concurrent use.
type Syncer struct {
	Catalog *catalog.Catalog
	Log     *slog.Logger     // discarded if nil
	Now     func() time.Time // time.Now if nil

	Settle     time.Duration // [DefaultSettle] if 0; a store may have its own
	Pause      time.Duration // [DefaultPause] if 0
	MaxMissing float64       // [DefaultMaxMissing] if 0
	Workers    int           // files inspected at once; 4 if 0

	// Host is the name of this machine. Stores that are assigned to another host are
	// ignored; "" ignores none.
	Host string
	// Holder names this process among those that share the catalog, for leases; "" if it
	// is the only one. See [lease.Holder].
	Holder string

	// Arrived, if not nil, receives the id of each image of a managed store that waits to
	// be imported, at least once. It must not block. If it is nil, a scan resumes
	// interrupted imports and leaves the others to another process.
	Arrived func(image string)

	// Unsupported, if not nil, receives the id of each image of a managed store that was
	// moved to quarantine as complete but unsupported. It must not block.
	Unsupported func(image string)

	// Available, if not nil, receives the id of each image that has become available, or
	// has changed and is still available. It must not block.
	Available func(image string)

	// Sources opens the databases, dumps and buckets of stores; one of its own if nil, which
	// opens no dumps.
	Sources *source.Pool

	// Received, if not nil, holds the digests and inspections of files that this process received.
	Received *managed.Received

	// Loops, if not nil, shows the state of background loops.
	Loops *loop.Set
	// Memory is the budget for reading labels; nil for no limit.
	Memory *render.Budget

	mu      sync.Mutex
	folders map[string]*folder
	taken   *lease.Leases  // see leases
	records *mirror.Mirror // see mirror
}

// Options of a scan.
type Options struct {
	DryRun  bool // report changes without making them
	Resync  bool // read every file again as if it were new
	Confirm bool // a person has confirmed the missing slides
	// Wait makes the scan inspect again, [DefaultPause] later, the complete files that
	// must only be seen unchanged a second time.
	Wait bool
	// Import imports the arrived files of a managed store before the scan ends. It takes
	// as long as reading all of them.
	Import bool
	// Progress, if not nil, receives how many of the files to be inspected have been. It
	// must not block.
	Progress func(done, total int64)

	watching bool // the scan was started by a watcher, not by a person
}

// A Result is what a scan found and did. Numbers count files.
type Result struct {
	Count       int       `json:"count"`   // in the folder
	Added       int       `json:"added"`   // new in the catalog, in any state
	Updated     int       `json:"updated"` // known, and changed or inspected with another result
	Moved       int       `json:"moved"`   // known under another name
	Missing     int       `json:"missing"` // newly
	Returned    int       `json:"returned"`
	Arriving    int       `json:"arriving"`              // still arriving, or not known to be complete
	Failed      []Failure `json:"failed"`                // inspected in this scan, and not available
	Links       int       `json:"links"`                 // symbolic links, which are not followed
	Imported    int       `json:"imported,omitempty"`    // moved under their digest
	Quarantined int       `json:"quarantined,omitempty"` // newly
	Duration    float64   `json:"duration"`              // seconds
	Next        time.Time `json:"-"`                     // when to inspect arriving files again; zero without any
}

// A Failure is a file that is not a readable slide. It holds no file name.
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

// A folder is the state of a store's folder that is kept between scans.
type folder struct {
	store string
	scan  sync.Mutex // one scan at a time

	// The lock of waiting is held while the catalog is changed, and also guards what follows.
	waiting  *inspect.Observations
	seenRoot fsx.Identity  // of the folder that was last scanned
	scanned  bool          // a scan has completed
	refused  error         // why the last scan marked nothing missing; nil if it was not refused
	entries  int           // objects that the last complete listing of a bucket had
	listing  time.Duration // how long it took
}

func (s *Syncer) folder(store string) *folder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folders == nil {
		s.folders = map[string]*folder{}
	}
	if s.folders[store] == nil {
		s.folders[store] = &folder{store: store, waiting: inspect.NewObservations()}
	}
	return s.folders[store]
}

// leases are the leases of this process.
func (s *Syncer) leases() *lease.Leases {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = &lease.Leases{Catalog: s.Catalog, Holder: s.Holder}
	}
	return s.taken
}

// sources opens databases and dumps.
func (s *Syncer) sources() *source.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Sources == nil {
		s.Sources = new(source.Pool)
	}
	return s.Sources
}

// mirror holds the catalog's records of files.
func (s *Syncer) mirror() *mirror.Mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records = mirror.New(managed.Slides)
	}
	return s.records
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

// follow reads changes of the catalog, so that the next scan starts faster.
func (s *Syncer) follow(ctx context.Context) error { return s.mirror().Follow(ctx, s.Catalog) }
