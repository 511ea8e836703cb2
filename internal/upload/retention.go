package upload

import "time"

// emptyBytes is how much of an upload must have been received for it to be kept for
// long.
const emptyBytes = 1 << 20

// A retention is how long an upload is kept after its last change.
type retention struct {
	keep      time.Duration
	keepEmpty time.Duration // with less than emptyBytes
}

// expires is when an upload is removed if it does not change. One with few bytes is
// easily begun again, so it expires soon.
func (t retention) expires(e *entry) time.Time {
	keep := t.keep
	if e.isOpen() && e.offset < min(e.length, emptyBytes) {
		keep = min(keep, t.keepEmpty)
	}
	return e.used.Add(keep)
}

// isDue reports whether an upload has expired, or is complete and unfinished.
func (t retention) isDue(e *entry) bool {
	return !e.pending && (t.expired(e) || e.isOpen() && e.offset == e.length)
}

func (t retention) expired(e *entry) bool { return time.Now().After(t.expires(e)) }

func (t retention) recordExpires(r *record) time.Time {
	e := entryOf(r, stamp{})
	return t.expires(&e)
}
