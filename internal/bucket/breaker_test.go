package bucket

import (
	"testing"
	"testing/synctest"
	"time"
)

// A breaker opens after five failures in a row, lets one request through each second, and
// closes with the first success.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		allowed := func() bool {
			_, ok := b.allow()
			return ok
		}
		for range breakAfter - 1 {
			b.report(true)
		}
		b.report(false)
		for range breakAfter - 1 {
			if opened, _ := b.report(true); opened || !allowed() {
				t.Fatal("it opens too early")
			}
		}
		if opened, _ := b.report(true); !opened || allowed() || b.since().IsZero() {
			t.Fatal("it does not open")
		}
		for range 3 {
			time.Sleep(probeEvery - time.Millisecond)
			if wait, ok := b.allow(); ok || wait != time.Millisecond {
				t.Errorf("a request before the second is over: %t, %v", ok, wait)
			}
			time.Sleep(time.Millisecond)
			if !allowed() || allowed() {
				t.Error("not one request a second")
			}
			if opened, closed := b.report(true); opened || closed {
				t.Error("a failed probe changes it")
			}
		}
		if _, closed := b.report(false); !closed || !allowed() || !b.since().IsZero() {
			t.Error("it does not close")
		}
	})
}

// Requests beyond the limit wait, those beyond the queue are refused at once, and one whose
// client is gone leaves the queue.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(2, 1)
		for range 2 {
			if err := l.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- l.acquire(t.Context()) }()
		}
		synctest.Wait()
		if err := l.acquire(t.Context()); err == nil {
			t.Error("the queue has no bound")
		}
		l.release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		l.release()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Credentials are not fetched for each request that is refused.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r renewal
		if !r.due() || r.due() {
			t.Error("not once")
		}
		time.Sleep(renewEvery)
		if !r.due() || r.due() {
			t.Error("not once more")
		}
	})
}

func TestBackoff(t *testing.T) {
	for n := 1; n < 64; n++ {
		for _, e := range []effort{tileEffort, backgroundEffort} {
			want := maxWait
			if n < 8 {
				want = min(e.wait<<(n-1), maxWait)
			}
			if d := e.backoff(n); d < want/2 || d > want*3/2 {
				t.Errorf("after attempt %d: %v, want about %v", n, d, want)
			}
		}
	}
}
