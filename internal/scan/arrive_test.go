package scan

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// A step is something that happens to a.tiff, and the expected record after the next
// scan.
type step struct {
	do     func(*site)
	after  time.Duration // time before the scan
	want   catalog.State
	reason string // part of it
}

// TestArriving follows files that arrive in different ways.
func TestArriving(t *testing.T) {
	t.Parallel()
	front, tail := slidetest.Pyramid{}.Bytes(), slidetest.Pyramid{Tail: true}.Bytes()
	nothing := func(*site) {}
	times := func(d time.Duration) func(*site) { // set mtime
		return func(st *site) {
			if err := os.Chtimes(st.path("a.tiff"), st.now.Add(d), st.now.Add(d)); err != nil {
				st.t.Fatal(err)
			}
		}
	}
	write := func(b []byte) func(*site) {
		return func(st *site) { st.write("a.tiff", b); times(0)(st) }
	}
	zeros := func(b []byte, from, to int) []byte {
		c := append([]byte(nil), b...)
		clear(c[from:to])
		return c
	}
	at := func(b []byte, from, to int) func(*site) { // write part of b
		return func(st *site) {
			f, err := os.OpenFile(st.path("a.tiff"), os.O_WRONLY, 0)
			if err != nil {
				st.t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(b[from:to], int64(from)); err != nil {
				st.t.Fatal(err)
			}
			times(0)(st)
		}
	}
	const mib = 1 << 20
	tests := []struct {
		name  string
		steps []step
	}{
		{"whole at once, and left alone", []step{
			{write(front), 0, catalog.Arriving, "waiting"},
			{nothing, time.Second, catalog.Arriving, "waiting"},
			{nothing, time.Second, catalog.Available, ""},
			{nothing, time.Hour, catalog.Available, ""},
		}},
		{"growing", []step{
			{write(front[:100]), 0, catalog.Arriving, "incomplete so far"},
			{write(front[:5000]), time.Minute, catalog.Arriving, "early"},
			{write(front[:len(front)-1]), 9 * time.Minute, catalog.Arriving, "early"},
			{write(front), 9 * time.Minute, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
		}},
		{"growing, directories last", []step{
			{write(tail[:5000]), 0, catalog.Arriving, "incomplete so far"},
			{write(tail), time.Minute, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
		}},
		{"full size first, as Windows copies", []step{
			{write(make([]byte, mib)), 0, catalog.Arriving, "not a TIFF"},
			{write(zeros(front, 5000, len(front))), time.Minute, catalog.Arriving, "incomplete so far"},
			{at(front, 5000, 8000), time.Minute, catalog.Arriving, "incomplete so far"},
			{at(front, 8000, len(front)), time.Minute, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
		}},
		{"late blocks: the middle is written last", []step{
			{write(zeros(front, 5000, 6000)), 0, catalog.Arriving, ""},
			{at(front, 5000, 6000), time.Second, catalog.Arriving, ""},
			{nothing, time.Second, catalog.Arriving, "waiting"},
			{nothing, time.Second, catalog.Available, ""},
		}},
		{"abandoned, and taken up again", []step{
			{write(front[:5000]), 0, catalog.Arriving, "early"},
			{nothing, 9*time.Minute + 59*time.Second, catalog.Arriving, "early"},
			{nothing, time.Second, catalog.Broken, "early"},
			{nothing, time.Hour, catalog.Broken, "early"},
			{write(front[:9000]), time.Minute, catalog.Arriving, "early"},
			{write(front), time.Minute, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
		}},
		{"no slide", []step{
			{write(slidetest.Pyramid{Striped: true}.Bytes()), 0, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Unsupported, ""},
		}},
		{"overwritten in place by another", []step{
			{write(front), 0, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
			{write(slidetest.Pyramid{Seed: 9}.Bytes()), time.Minute, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
		}},
		{"its mode changes", []step{
			{write(front), 0, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
			{func(st *site) { os.Chmod(st.path("a.tiff"), 0o600) }, time.Minute, catalog.Available, ""},
		}},
		{"given a time in the future", []step{
			{func(st *site) { write(front)(st); times(time.Hour)(st) }, 0, catalog.Arriving, "waiting"},
			{nothing, 2 * time.Second, catalog.Available, ""},
		}},
		{"given a time in the future, and broken", []step{
			{func(st *site) { write(front[:5000])(st); times(time.Hour)(st) }, 0, catalog.Arriving, "early"},
			{nothing, 10 * time.Minute, catalog.Broken, "early"},
		}},
		{"given an old time", []step{
			{func(st *site) { write(front[:5000])(st); times(-1000 * time.Hour)(st) }, 0, catalog.Arriving, "early"},
		}},
		{"the clock is set back", []step{
			{write(front[:5000]), 0, catalog.Arriving, "early"},
			{nothing, -time.Hour, catalog.Arriving, "early"},
			{nothing, 5 * time.Minute, catalog.Arriving, "early"},
			{nothing, 5 * time.Minute, catalog.Broken, "early"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := newSite(t)
			st.now = st.now.Add(time.Millisecond) // the kernel's clock is coarse
			for i, s := range tt.steps {
				st.later(s.after)
				s.do(st)
				r := st.scan(Options{})
				im := st.image("a.tiff")
				if im.State != s.want || !strings.Contains(im.Reason, s.reason) {
					t.Fatalf("step %d: %s %q, want %s %q", i, im.State, im.Reason, s.want, s.reason)
				}
				if im.State == catalog.Available && im.Width != 150 {
					t.Errorf("step %d: %s with a width of %d", i, im.State, im.Width)
				}
				if (r.Arriving == 1) != (s.want == catalog.Arriving) || r.Next.IsZero() != (s.want != catalog.Arriving) {
					t.Errorf("step %d: %d arriving, next inspection at %v; the file is %s", i, r.Arriving, r.Next, s.want)
				}
			}
		})
	}
}

// TestArrivingSurvives restarts the program while a file arrives: the time without
// changes is not lost.
func TestArrivingSurvives(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.write("a.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	st.scan(Options{})
	st.Syncer = &Syncer{Catalog: st.Catalog, Now: func() time.Time { return st.now }}
	st.later(11 * time.Minute)
	st.scan(Options{})
	if got := st.image("a.tiff").State; got != catalog.Broken {
		t.Errorf("state %s, want %s", got, catalog.Broken)
	}
}

// TestSettleOfStore gives a store a shorter settle time than others.
func TestSettleOfStore(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	s, err := st.Catalog.Stores.Get(t.Context(), st.store)
	if err != nil {
		t.Fatal(err)
	}
	s.Settle = time.Minute
	if _, err := st.Catalog.Stores.Put(t.Context(), *s); err != nil {
		t.Fatal(err)
	}
	st.write("a.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	st.scan(Options{})
	st.later(time.Minute)
	st.scan(Options{})
	if got := st.image("a.tiff").State; got != catalog.Broken {
		t.Errorf("state %s, want %s", got, catalog.Broken)
	}
}

// TestWait has a scan wait until files are settled, by the real clock.
func TestWait(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.Now, st.Pause = nil, 50*time.Millisecond
	st.write("a.tiff", slidetest.Pyramid{}.Bytes())
	st.write("b.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	r := st.scan(Options{Wait: true})
	if got := st.image("a.tiff").State; got != catalog.Available {
		t.Errorf("state %s, want %s", got, catalog.Available)
	}
	if r.Added != 2 || r.Arriving != 1 {
		t.Errorf("added %d, arriving %d, want 2 and 1", r.Added, r.Arriving)
	}
}
