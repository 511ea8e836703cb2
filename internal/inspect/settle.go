package inspect

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ForeignSkew is how far the clock of a file server may differ from ours. Servers that
// keep local time in the wrong zone are at most a day and two hours off.
const ForeignSkew = 26 * time.Hour

// An Observation is the state of a file that is kept between two inspections.
type Observation struct {
	ID     fsx.Identity
	Since  time.Time // by our clock: first seen with this size and mtime
	Closed bool      // renamed in, or closed by its writer, in its present state
	Again  time.Time // when to inspect it again; zero to wait for a change
}

// Observe returns the observation of a file that now has identity id: it keeps its
// start if the file's size and mtime are unchanged, and starts over otherwise, or if
// the clock was set back to before it.
func (s Observation) Observe(id fsx.Identity, now time.Time) Observation {
	if s.Since.IsZero() || s.Since.After(now) || s.ID.Size != id.Size || s.ID.MTime != id.MTime {
		return Observation{ID: id, Since: now}
	}
	s.ID = id
	return s
}

// A Policy is how long to wait for a file.
type Policy struct {
	Pause  time.Duration // unchanged for so long: its writer is done
	Settle time.Duration // unchanged for so long: its writer has given up
	Skew   time.Duration // how far the clock of the file's times may differ; 0 for our own
}

// quiet returns for how long the file has been unchanged. Its own times count if they
// precede the first observation by more than the clock skew; times in the future never
// do.
func (p Policy) quiet(s Observation, now time.Time) time.Duration {
	since := s.Since
	if own := time.Unix(0, max(s.ID.MTime, s.ID.CTime)).Add(p.Skew); own.Before(since) {
		since = own
	}
	return now.Sub(since)
}

// written reports whether the file's writer is done, or else how long to wait for the
// next inspection.
func (p Policy) written(s Observation, now time.Time) (ok bool, wait time.Duration) {
	if q := p.quiet(s, now); !s.Closed && q < p.Pause {
		return false, p.Pause - q
	}
	return true, 0
}

// abandoned reports whether the file's writer has given up, or else how long to wait
// for the next inspection.
func (p Policy) abandoned(s Observation, now time.Time) (ok bool, wait time.Duration) {
	if q := p.quiet(s, now); q < p.Settle {
		return false, p.Settle - q
	}
	return true, 0
}

// A Verdict is the result of an inspection as the catalog records it.
type Verdict struct {
	State  catalog.State
	Reason string
	Observation
}

// Judge derives the verdict from the structure of a file and from how long the file has
// been unchanged.
func Judge(f *Inspection, s Observation, p Policy, now time.Time) Verdict {
	s.Again = time.Time{}
	switch f.Kind {
	case Complete, Unsupported:
		if ok, wait := p.written(s, now); !ok {
			s.Again = now.Add(wait)
			return Verdict{catalog.Arriving, "complete so far: waiting until it has not changed for a while", s}
		}
		if f.Kind == Unsupported {
			return Verdict{catalog.Unsupported, f.Reason, s}
		}
		return Verdict{catalog.Available, "", s}
	case Damaged:
		if ok, wait := p.abandoned(s, now); !ok && !f.Sent {
			s.Again = now.Add(wait)
			return Verdict{catalog.Arriving, "incomplete so far: " + f.Reason, s}
		}
		return Verdict{catalog.Broken, f.Reason, s}
	case Changing:
		s.Again = now.Add(p.Pause)
		return Verdict{catalog.Arriving, f.Reason, s}
	}
	return Verdict{catalog.Broken, f.Reason, s}
}

// Observations are those of the files of one store that wait for their next inspection.
// The lock is held while files are renamed and the catalog is changed accordingly, so
// that no other goroutine finds a file at a path that the catalog does not know yet.
type Observations struct {
	sync.Mutex
	Files map[string]Observation // by path
}

// NewObservations returns observations of no files.
func NewObservations() *Observations { return &Observations{Files: map[string]Observation{}} }

// Paths returns the paths of the files.
func (o *Observations) Paths() []string {
	o.Lock()
	defer o.Unlock()
	return slices.Collect(maps.Keys(o.Files))
}

// Next is when the first file is due; zero without any.
func (o *Observations) Next() time.Time {
	o.Lock()
	defer o.Unlock()
	var first time.Time
	for _, s := range o.Files {
		if !s.Again.IsZero() && (first.IsZero() || s.Again.Before(first)) {
			first = s.Again
		}
	}
	return first
}
