package inspect

import (
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

func TestSettlePolicy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const never = 100 * 365 * 24 * time.Hour
	tests := []struct {
		name         string
		seen         time.Duration // ago
		mtime, ctime time.Duration // ago
		skew         time.Duration
		closed       bool
		written      bool
		abandoned    bool
	}{
		{"just seen, just written", 0, 0, 0, 0, false, false, false},
		{"just seen, renamed in", 0, 0, 0, 0, true, true, false},
		{"just seen, old", 0, never, time.Hour, 0, false, true, true},
		{"just seen, old times given to a new file", 0, never, 0, 0, false, false, false},
		{"just seen, written 3 s ago", 0, 3 * time.Second, 3 * time.Second, 0, false, true, false},
		{"seen for 1 s", time.Second, time.Second, time.Second, 0, false, false, false},
		{"seen for 2 s", 2 * time.Second, 2 * time.Second, 2 * time.Second, 0, false, true, false},
		{"seen for 9 min", 9 * time.Minute, 9 * time.Minute, 9 * time.Minute, 0, false, true, false},
		{"seen for 10 min", 10 * time.Minute, 10 * time.Minute, 10 * time.Minute, 0, false, true, true},
		{"from a clock that is ahead, just seen", 0, -time.Hour, -time.Hour, 0, false, false, false},
		{"from a clock that is ahead, seen for 2 s", 2 * time.Second, -time.Hour, -time.Hour, 0, false, true, false},
		{"from a clock that is ahead, seen for 10 min", 10 * time.Minute, -time.Hour, -time.Hour, 0, false, true, true},
		{"from a server's clock, an hour old", 0, time.Hour, time.Hour, ForeignSkew, false, false, false},
		{"from a server's clock, two days old", 0, 48 * time.Hour, 48 * time.Hour, ForeignSkew, false, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Policy{Pause: 2 * time.Second, Settle: 10 * time.Minute, Skew: tt.skew}
			s := Observation{Since: ago(tt.seen), Closed: tt.closed, ID: fsx.Identity{MTime: ago(tt.mtime).UnixNano(), CTime: ago(tt.ctime).UnixNano()}}
			written, wait := p.written(s, now)
			if written != tt.written || written == (wait > 0) || wait > p.Pause {
				t.Errorf("written: %v, in %v; want %v", written, wait, tt.written)
			}
			abandoned, wait := p.abandoned(s, now)
			if abandoned != tt.abandoned || abandoned == (wait > 0) || wait > p.Settle {
				t.Errorf("abandoned: %v, in %v; want %v", abandoned, wait, tt.abandoned)
			}
		})
	}
}

func TestSee(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id := fsx.Identity{Dev: 1, Ino: 2, Size: 3, MTime: 4, CTime: 5}
	with := func(f func(*fsx.Identity)) fsx.Identity { c := id; f(&c); return c }
	tests := []struct {
		name   string
		before Observation
		id     fsx.Identity
		goesOn bool
	}{
		{"first seen", Observation{}, id, false},
		{"unchanged", Observation{ID: id, Since: now.Add(-time.Hour), Closed: true}, id, true},
		{"renamed", Observation{ID: id, Since: now.Add(-time.Hour), Closed: true}, with(func(i *fsx.Identity) { i.CTime++ }), true},
		{"device number changed", Observation{ID: id, Since: now.Add(-time.Hour), Closed: true}, with(func(i *fsx.Identity) { i.Dev++ }), true},
		{"grown", Observation{ID: id, Since: now.Add(-time.Hour), Closed: true}, with(func(i *fsx.Identity) { i.Size++ }), false},
		{"written in place", Observation{ID: id, Since: now.Add(-time.Hour), Closed: true}, with(func(i *fsx.Identity) { i.MTime++ }), false},
		{"clock set back", Observation{ID: id, Since: now.Add(time.Second), Closed: true}, id, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := Observation{ID: tt.id, Since: now}
			if tt.goesOn {
				want.Since, want.Closed = tt.before.Since, tt.before.Closed
			}
			if got := tt.before.Observe(tt.id, now); got != want {
				t.Errorf("see: %+v, want %+v", got, want)
			}
		})
	}
}
