package scan

import (
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// foreignSkew is how far the clock of a file server may differ from ours. Servers that
// keep local time in the wrong zone are at most a day and two hours off.
const foreignSkew = 26 * time.Hour

// An observation is the state of a file that is kept between two inspections.
type observation struct {
	id     fsx.Identity
	since  time.Time // by our clock: first seen with this size and mtime
	closed bool      // renamed in, or closed by its writer, in its present state
	again  time.Time // when to inspect it again; zero to wait for a change
}

// observe returns the observation of a file that now has identity id: it keeps its
// start if the file's size and mtime are unchanged, and starts over otherwise, or if
// the clock was set back to before it.
func (s observation) observe(id fsx.Identity, now time.Time) observation {
	if s.since.IsZero() || s.since.After(now) || s.id.Size != id.Size || s.id.MTime != id.MTime {
		return observation{id: id, since: now}
	}
	s.id = id
	return s
}

// A settlePolicy is how long to wait for a file.
type settlePolicy struct {
	pause  time.Duration // unchanged for so long: its writer is done
	settle time.Duration // unchanged for so long: its writer has given up
	skew   time.Duration // how far the clock of the file's times may differ; 0 for our own
}

// quiet returns for how long the file has been unchanged. Its own times count if they
// precede the first observation by more than the clock skew; times in the future never
// do.
func (p settlePolicy) quiet(s observation, now time.Time) time.Duration {
	since := s.since
	if own := time.Unix(0, max(s.id.MTime, s.id.CTime)).Add(p.skew); own.Before(since) {
		since = own
	}
	return now.Sub(since)
}

// written reports whether the file's writer is done, or else how long to wait for the
// next inspection.
func (p settlePolicy) written(s observation, now time.Time) (ok bool, wait time.Duration) {
	if q := p.quiet(s, now); !s.closed && q < p.pause {
		return false, p.pause - q
	}
	return true, 0
}

// abandoned reports whether the file's writer has given up, or else how long to wait
// for the next inspection.
func (p settlePolicy) abandoned(s observation, now time.Time) (ok bool, wait time.Duration) {
	if q := p.quiet(s, now); q < p.settle {
		return false, p.settle - q
	}
	return true, 0
}
