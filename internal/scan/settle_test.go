package scan

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
		{"from a server's clock, an hour old", 0, time.Hour, time.Hour, foreignSkew, false, false, false},
		{"from a server's clock, two days old", 0, 48 * time.Hour, 48 * time.Hour, foreignSkew, false, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := settlePolicy{pause: 2 * time.Second, settle: 10 * time.Minute, skew: tt.skew}
			s := observation{since: ago(tt.seen), closed: tt.closed, id: fsx.Identity{MTime: ago(tt.mtime).UnixNano(), CTime: ago(tt.ctime).UnixNano()}}
			written, wait := p.written(s, now)
			if written != tt.written || written == (wait > 0) || wait > p.pause {
				t.Errorf("written: %v, in %v; want %v", written, wait, tt.written)
			}
			abandoned, wait := p.abandoned(s, now)
			if abandoned != tt.abandoned || abandoned == (wait > 0) || wait > p.settle {
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
		before observation
		id     fsx.Identity
		goesOn bool
	}{
		{"first seen", observation{}, id, false},
		{"unchanged", observation{id: id, since: now.Add(-time.Hour), closed: true}, id, true},
		{"renamed", observation{id: id, since: now.Add(-time.Hour), closed: true}, with(func(i *fsx.Identity) { i.CTime++ }), true},
		{"device number changed", observation{id: id, since: now.Add(-time.Hour), closed: true}, with(func(i *fsx.Identity) { i.Dev++ }), true},
		{"grown", observation{id: id, since: now.Add(-time.Hour), closed: true}, with(func(i *fsx.Identity) { i.Size++ }), false},
		{"written in place", observation{id: id, since: now.Add(-time.Hour), closed: true}, with(func(i *fsx.Identity) { i.MTime++ }), false},
		{"clock set back", observation{id: id, since: now.Add(time.Second), closed: true}, id, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := observation{id: tt.id, since: now}
			if tt.goesOn {
				want.since, want.closed = tt.before.since, tt.before.closed
			}
			if got := tt.before.observe(tt.id, now); got != want {
				t.Errorf("see: %+v, want %+v", got, want)
			}
		})
	}
}
