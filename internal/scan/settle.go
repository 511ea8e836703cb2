package scan

import (
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// foreignSkew is how far the clock of a file server may be from ours. Servers
// that keep local time in the wrong zone are a day and two hours off at most.
const foreignSkew = 26 * time.Hour

// A observation is what is remembered of a file between two inspections.
type observation struct {
	id     fsx.Identity
	since  time.Time // by our clock: first seen with this size and mtime
	closed bool      // it was renamed in, or closed by its writer, as it is now
	again  time.Time // when to check again; zero for no sooner than it changes
}

// observe returns what is known of a file that now has identity id: the observation goes
// on if the file is unchanged in size and mtime, else it starts over. So it does
// when the clock was set back to before it.
func (s observation) observe(id fsx.Identity, now time.Time) observation {
	if s.since.IsZero() || s.since.After(now) || s.id.Size != id.Size || s.id.MTime != id.MTime {
		return observation{id: id, since: now}
	}
	s.id = id
	return s
}

// A patience says how long to wait for a file.
type settlePolicy struct {
	pause  time.Duration // without a change: its writer is done
	settle time.Duration // without a change: its writer is not coming back
	skew   time.Duration // of the clock that the file's times are from; 0 for our own
}

// quiet returns for how long the file has not changed, as far as can be told. Its
// own times count if they are from before we first saw it, by more than their
// clock can be off; those in the future never do.
func (p settlePolicy) quiet(s observation, now time.Time) time.Duration {
	since := s.since
	if own := time.Unix(0, max(s.id.MTime, s.id.CTime)).Add(p.skew); own.Before(since) {
		since = own
	}
	return now.Sub(since)
}

// written reports whether the file's writer is done with it, or else how long to
// wait for the inspection that can tell.
func (p settlePolicy) written(s observation, now time.Time) (ok bool, wait time.Duration) {
	if q := p.quiet(s, now); !s.closed && q < p.pause {
		return false, p.pause - q
	}
	return true, 0
}

// abandoned reports whether nobody is going to complete the file, or else how long
// to wait for the inspection that can tell.
func (p settlePolicy) abandoned(s observation, now time.Time) (ok bool, wait time.Duration) {
	if q := p.quiet(s, now); q < p.settle {
		return false, p.settle - q
	}
	return true, 0
}
