package loop

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("the database does not answer")

// TestRun has a loop fail for 45 seconds in every possible way, and then work.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  func() error
		words string
	}{
		{"error", func() error { return errAway }, errAway.Error()},
		{"panic", func() error { panic("out of range") }, "panic: out of range"},
		{"context of its own", func() error { return context.DeadlineExceeded }, "deadline exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				set := new(Set)
				l := set.New(slog.New(slog.NewTextHandler(&log, nil)), "watch", "s1")
				ctx, stop := context.WithCancel(t.Context())
				began, worked := time.Now(), time.Time{}
				var rounds atomic.Int64
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					l.Run(ctx, func(ctx context.Context) error {
						rounds.Add(1)
						if time.Since(began) < 45*time.Second {
							return c.fail()
						}
						worked = time.Now()
						l.Well()
						<-ctx.Done()
						return ctx.Err()
					})
				}()
				time.Sleep(44 * time.Second)
				synctest.Wait()
				f := l.Failing()
				if f == nil || !f.Since.Equal(began) || !f.Next.After(time.Now()) || int64(f.Times) != rounds.Load() || !strings.Contains(f.Err.Error(), c.words) {
					t.Fatalf("failing: %+v after %d rounds", f, rounds.Load())
				}
				if s := set.States(); len(s) != 1 || s[0].Name != "watch" || s[0].Store != "s1" || s[0].Failing != f || s[0].Failures != rounds.Load() {
					t.Errorf("states: %+v", s)
				}
				time.Sleep(longestPause + time.Second)
				synctest.Wait()
				if l.Failing() != nil || worked.IsZero() || worked.Sub(began) > 45*time.Second+longestPause {
					t.Errorf("works since %v, failing: %+v", worked.Sub(began), l.Failing())
				}
				if n := rounds.Load(); n < 6 || n > 14 {
					t.Errorf("%d rounds in 45 s: the pause does not grow, or grows too much", n)
				}
				if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, c.words) || !strings.Contains(text, "next_try_in=") || !strings.Contains(text, "works again") {
					t.Errorf("the log:\n%s", text)
				}
				stop()
				<-ended
				if s := set.States(); len(s) != 0 {
					t.Errorf("states of a loop that has ended: %+v", s)
				}
			})
		})
	}
}

// TestPause fails if a pause is longer than allowed, or not random.
func TestPause(t *testing.T) {
	l := new(Set).New(nil, "catalog follower", "")
	seen := map[time.Duration]bool{}
	for times := range 100 {
		d := l.pause(times + 1)
		if d < firstPause/2 || d > longestPause {
			t.Errorf("pause %d is %v", times+1, d)
		}
		seen[l.pause(20)] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d pauses of 100 differ", len(seen))
	}
	l.Longest = time.Second
	if d := l.pause(90); d > time.Second {
		t.Errorf("pause %v is longer than it may be", d)
	}
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 95*time.Second)
		defer stop()
		n := 0
		var none *Set
		none.Run(ctx, nil, "cleaning", Every(10*time.Second, func(context.Context) error { n++; return nil }))
		if n != 10 {
			t.Errorf("%d times in 95 s, want 10", n)
		}
	})
}

// TestStatesOfMany: loops of one name are combined, because metrics must be unique.
func TestStatesOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := new(Set)
		log := slog.New(slog.DiscardHandler)
		ctx, stop := context.WithCancel(t.Context())
		for _, fails := range []bool{false, true} {
			go set.Run(ctx, log, "edge", func(ctx context.Context) error {
				if fails {
					return errAway
				}
				<-ctx.Done()
				return nil
			})
		}
		synctest.Wait()
		if s := set.States(); len(s) != 1 || s[0].Failing == nil {
			t.Errorf("states: %+v", s)
		}
		stop()
		synctest.Wait()
	})
}
