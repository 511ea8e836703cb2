package runcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
)

// file is the file of a slide of 20 × 3 tiles.
var file = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "slide.tiff")
	if _, err := (synth.Generic{Seed: 3, Width: 20 * 64, Height: 3 * 64, TileW: 64, TileH: 64, PixelsPerCM: 10000}).Write(path); err != nil {
		panic(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return b
})

// A remote is a file that is far away.
type remote struct {
	t     testing.TB
	delay time.Duration
	err   atomic.Pointer[error]

	mu    sync.Mutex
	reads []string // offset and length of each
	now   int      // reads at present
	most  int
	ended int // by their context
}

func (r *remote) Read(ctx context.Context, p []byte, off int64) error {
	r.mu.Lock()
	r.reads = append(r.reads, fmt.Sprint(off, " ", len(p)))
	r.now++
	r.most = max(r.most, r.now)
	r.mu.Unlock()
	defer func() { r.mu.Lock(); r.now--; r.mu.Unlock() }()
	select {
	case <-time.After(r.delay):
	case <-ctx.Done():
		r.mu.Lock()
		r.ended++
		r.mu.Unlock()
		return ctx.Err()
	}
	if err := r.err.Load(); err != nil {
		return *err
	}
	copy(p, file()[off:])
	return nil
}

func (r *remote) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.reads)
}

// busy returns how many reads there are now, and were at most.
func (r *remote) busy() (now, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.most
}

// state returns how many have a turn, and how many wait.
func (t *turns) state() (taken, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken, len(t.waiting)
}

func newRemote(t testing.TB) (*remote, *Slide) {
	t.Helper()
	r := &remote{t: t, delay: 20 * time.Millisecond}
	s, err := slide.Open(bytes.NewReader(file()), int64(len(file())))
	if err != nil {
		t.Fatal(err)
	}
	return r, &Slide{ID: "a", Revision: "r1", Slide: s, Read: r.Read}
}

func newCache(t testing.TB, o Options) *Cache {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// get requests a tile of level 0, and compares it with the file.
func get(ctx context.Context, t testing.TB, c *Cache, s *Slide, col, row int) error {
	t.Helper()
	b, err := c.Tile(ctx, s, 0, col, row)
	if err != nil {
		return err
	}
	e, err := s.Extent(0, col, row)
	if err != nil {
		t.Error(err)
	}
	if !bytes.Equal(b, file()[e.Offset:e.End()]) {
		t.Errorf("tile %d,%d: other bytes", col, row)
	}
	return nil
}

// TestRuns requests tiles one after the other: each read has up to eight of them around the
// one that was requested, and none that is cached.
func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		name string
		cols []int
		want []string // columns of each read
	}{
		{"middle", []int{10, 6, 13}, []string{"6-13"}},
		{"start", []int{0}, []string{"0-3"}},
		{"end", []int{19}, []string{"15-19"}},
		{"beside a run", []int{10, 5, 14}, []string{"6-13", "1-5", "14-17"}},
		{"from left to right", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, []string{"0-3", "4-7", "8-11"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, s := newRemote(t)
				c := newCache(t, Options{})
				for _, col := range tt.cols {
					if err := get(t.Context(), t, c, s, col, 1); err != nil {
						t.Fatal(err)
					}
				}
				var want []string
				for _, w := range tt.want {
					var from, to int
					fmt.Sscanf(w, "%d-%d", &from, &to)
					want = append(want, rangeOf(t, s, from, to, 1))
				}
				if diff := cmp.Diff(want, r.reads); diff != "" {
					t.Errorf("reads (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func rangeOf(t testing.TB, s *Slide, from, to, row int) string {
	t.Helper()
	a, err := s.Extent(0, from, row)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Extent(0, to, row)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(a.Offset, " ", b.End()-a.Offset)
}

// TestFlight requests the tiles of a screen at the same time, many times: each run is read once,
// in one round trip.
func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRemote(t)
		c := newCache(t, Options{})
		began := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			for row := range 3 {
				for col := 8; col < 12; col++ {
					wg.Go(func() {
						if err := get(t.Context(), t, c, s, col, row); err != nil {
							t.Error(err)
						}
					})
				}
			}
		}
		wg.Wait()
		if took := time.Since(began); r.count() > 6 || took != r.delay {
			t.Errorf("%d reads in %v", r.count(), took)
		}
		if st := c.Stats(); st.Hits+st.Joined+st.Reads != 120 || st.Bytes == 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestCancel lets clients go while a run is read: the read continues as long as one waits for it.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRemote(t)
		c := newCache(t, Options{})
		first, leave := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		go func() { errs <- get(first, t, c, s, 10, 0) }()
		synctest.Wait()
		go func() { errs <- get(t.Context(), t, c, s, 11, 0) }()
		synctest.Wait()
		leave()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		if err := <-errs; err != nil {
			t.Errorf("the second: %v", err)
		}
		if r.count() != 1 || r.ended != 0 {
			t.Errorf("%d reads, %d cancelled", r.count(), r.ended)
		}

		all, leave := context.WithCancel(t.Context())
		for col := range 3 {
			go func() { errs <- get(all, t, c, s, col, 2) }()
		}
		synctest.Wait()
		leave()
		for range 3 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n := r.count(); r.ended != n-1 || c.flying != 0 || c.Stats().Cancelled != int64(r.ended) {
			t.Errorf("%d of %d reads were cancelled, %d bytes in flight, %+v", r.ended, n-1, c.flying, c.Stats())
		}
		if err := get(t.Context(), t, c, s, 1, 2); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// TestFailure reads while the server fails: all who wait get the error, and the next one reads again.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRemote(t)
		c := newCache(t, Options{})
		down := errors.New("down")
		r.err.Store(&down)
		var wg sync.WaitGroup
		for col := range 3 {
			wg.Go(func() {
				if err := get(t.Context(), t, c, s, col, 0); err != down {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		r.err.Store(nil)
		if err := get(t.Context(), t, c, s, 1, 0); err != nil {
			t.Error(err)
		}
		r.delay = time.Hour
		if err := get(t.Context(), t, c, s, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a server that does not answer: %v", err)
		}
		if c.flying != 0 {
			t.Errorf("%d bytes in flight", c.flying)
		}
		if _, err := c.Tile(t.Context(), s, 0, 20, 0); err != slide.ErrNoTile {
			t.Errorf("no tile: %v", err)
		}
	})
}

// TestMemory requests more than fits into memory: the limit holds, also while much is being read.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRemote(t)
		e, _ := s.Extent(0, 0, 0)
		limit := 10 * (int64(e.Size) + runOverhead)
		c := newCache(t, Options{MaxBytes: limit})
		for i := range 60 {
			if err := get(t.Context(), t, c, s, i%20, i/20); err != nil {
				t.Fatal(err)
			}
			if n := c.Stats().Bytes; n > limit {
				t.Fatalf("%d bytes, the limit is %d", n, limit)
			}
		}
		before := r.count()
		var wg sync.WaitGroup
		var busy, ok atomic.Int64
		for i := range 60 {
			wg.Go(func() {
				switch err := get(t.Context(), t, c, s, i%20, i/20); {
				case errors.Is(err, ErrBusy):
					busy.Add(1)
				case err == nil:
					ok.Add(1)
				default:
					t.Error(err)
				}
				if n := c.Stats().Bytes; n > limit {
					t.Errorf("%d bytes, the limit is %d", n, limit)
				}
			})
		}
		wg.Wait()
		if busy.Load() == 0 || ok.Load() == 0 || c.flying != 0 || r.count() == before {
			t.Errorf("%d busy, %d ok, %d in flight", busy.Load(), ok.Load(), c.flying)
		}
		c.Forget("b")
		if c.recent.Len() == 0 {
			t.Error("another image was forgotten")
		}
		c.Forget("a")
		if c.bytes != 0 || len(c.runs) != 0 || c.recent.Len() != 0 {
			t.Errorf("%d bytes, %d tiles are left", c.bytes, len(c.runs))
		}
	})
}

// TestTurns limits the reads at once: those of a slide at its limit do not hold back others, and
// the queue is bounded.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ra, a := newRemote(t)
		rb, b := newRemote(t)
		b.ID = "b"
		c := newCache(t, Options{MaxReads: 4, MaxReadsOfSlide: 2, MaxWaiting: 3})
		results := make(chan error, 20)
		ask := func(s *Slide, level, col, row int) {
			go func() { _, err := c.Tile(t.Context(), s, level, col, row); results <- err }()
			synctest.Wait()
		}
		for row := range 3 {
			ask(a, 0, 2, row)
			ask(a, 0, 16, row)
		}
		now, _ := ra.busy()
		if _, waiting := c.turns.state(); now != 2 || waiting != 3 || len(results) != 1 {
			t.Fatalf("%d reads, %d wait, %d answered; want 2, 3, 1", now, waiting, len(results))
		}
		if err := <-results; !errors.Is(err, ErrBusy) {
			t.Errorf("one more than may wait: %v", err)
		}
		ask(b, 0, 2, 0)
		if now, _ := rb.busy(); now != 1 {
			t.Error("another slide waits")
		}
		for range 6 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		_, most := ra.busy()
		if taken, waiting := c.turns.state(); most != 2 || taken != 0 || waiting != 0 || c.Stats().Refused != 1 {
			t.Errorf("at most %d reads, %d taken, %+v", most, taken, c.Stats())
		}

		// A client that goes while it waits gives up its turn.
		ctx, leave := context.WithCancel(t.Context())
		for row := range 3 {
			go func() { _, err := c.Tile(ctx, b, 0, 16, row); results <- err }()
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if taken, waiting := c.turns.state(); taken != 0 || waiting != 0 {
			t.Errorf("%d taken, %d wait", taken, waiting)
		}
	})
}

// TestBusy requests tiles from many goroutines that leave at any time (for the race detector).
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newRemote(t)
		c := newCache(t, Options{MaxBytes: 200 << 10, MaxReads: 3, MaxWaiting: 5})
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*10*time.Millisecond)
				defer cancel()
				err := get(ctx, t, c, s, i*7%20, i%3)
				if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if taken, waiting := c.turns.state(); c.flying != 0 || taken != 0 || waiting != 0 || c.bytes > c.o.MaxBytes {
			t.Errorf("%d in flight, %d taken, %d wait, %d bytes", c.flying, taken, waiting, c.bytes)
		}
	})
}

// BenchmarkHit requests a tile that is in memory.
func BenchmarkHit(b *testing.B) {
	r, s := newRemote(b)
	r.delay = 0
	c := newCache(b, Options{})
	if err := get(b.Context(), b, c, s, 10, 1); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Tile(b.Context(), s, 0, 10, 1); err != nil {
			b.Fatal(err)
		}
	}
}
