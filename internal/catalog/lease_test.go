package catalog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// hour is longer than any test.
const hour = time.Hour

func acquire(t *testing.T, c *catalog.Catalog, name, holder string, ttl time.Duration) *catalog.Lease {
	t.Helper()
	l, err := c.Leases.Acquire(t.Context(), name, holder, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLease(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		a := acquire(t, c, "sync s", "host a", hour)
		_, err := c.Leases.Acquire(ctx, "sync s", "host b", hour)
		if !errors.Is(err, catalog.ErrHeld) || !strings.Contains(err.Error(), "host a") {
			t.Errorf("of another's lease: %v, want %v, and by whom", err, catalog.ErrHeld)
		}
		if l := acquire(t, c, "sync t", "host b", hour); l.Token != 1 {
			t.Errorf("of another name: token %d, want 1", l.Token)
		}
		if err := a.Renew(ctx, hour); err != nil {
			t.Errorf("Renew: %v", err)
		}
		if err := a.Release(ctx); err != nil {
			t.Errorf("Release: %v", err)
		}
		for name, f := range map[string]func() error{
			"Release again": func() error { return a.Release(ctx) },
			"Renew":         func() error { return a.Renew(ctx, hour) },
			"a write":       func() error { _, err := c.Under(a).Stores.Put(ctx, inPlace("/a")); return err },
		} {
			if err := f(); !errors.Is(err, catalog.ErrLeaseLost) {
				t.Errorf("%s after it was released: %v, want %v", name, err, catalog.ErrLeaseLost)
			}
		}
		b := acquire(t, c, "sync s", "host b", time.Millisecond)
		if b.Token <= a.Token {
			t.Errorf("token %d after %d, want a higher one", b.Token, a.Token)
		}
		time.Sleep(20 * time.Millisecond)
		again := acquire(t, c, "sync s", "host c", hour)
		if again.Token <= b.Token {
			t.Errorf("token %d after %d, want a higher one", again.Token, b.Token)
		}
		if err := b.Renew(ctx, hour); !errors.Is(err, catalog.ErrLeaseLost) {
			t.Errorf("Renew of what another has taken: %v, want %v", err, catalog.ErrLeaseLost)
		}
		if own := acquire(t, c, "sync s", "host c", hour); own.Token <= again.Token {
			t.Errorf("own lease acquired again: token %d after %d, want a higher one", own.Token, again.Token)
		}
		for _, args := range [][2]string{{"", "h"}, {"n", ""}} {
			if _, err := c.Leases.Acquire(ctx, args[0], args[1], hour); !errors.Is(err, catalog.ErrInvalid) {
				t.Errorf("Acquire(%q, %q): %v, want %v", args[0], args[1], err, catalog.ErrInvalid)
			}
		}
		if _, err := c.Leases.Acquire(ctx, "n", "h", 0); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("Acquire for no time: %v, want %v", err, catalog.ErrInvalid)
		}
	})
}

func inPlace(root string) catalog.Store {
	return catalog.Store{Mode: catalog.InPlace, Root: root}
}

// A process that was suspended, and continues when another has the lease, writes nothing.
func TestFencing(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		store := putStore(t, c, "/a")
		im := slide(store, 1, random())
		put(t, c, im)
		a := acquire(t, c, "sync s", "a", hour)
		under := c.Under(a)
		if err := under.Images.Delete(ctx, im.ID); err != nil {
			t.Fatalf("under a lease that is held: %v", err)
		}
		if err := under.Images.Restore(ctx, im.ID); err != nil {
			t.Fatal(err)
		}
		if err := under.Close(); err != nil {
			t.Errorf("Close of a view: %v", err)
		}
		if err := a.Renew(ctx, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		refuse := func(when string) {
			t.Helper()
			before, err := c.Changes.Since(ctx, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			for name, f := range map[string]func() error{
				"Images.Put":    func() error { return under.Images.Put(ctx, []*catalog.Image{slide(store, 2, random())}) },
				"Images.Delete": func() error { return under.Images.Delete(ctx, im.ID) },
				"Images.Drop":   func() error { return under.Images.Drop(ctx, im.ID) },
				"HideMissing":   func() error { _, err := under.Images.HideMissing(ctx, store, time.Now()); return err },
				"SetDigest":     func() error { return under.Verification.SetDigest(ctx, im.ID, im.Revision, "d") },
				"Stores.Update": func() error {
					_, err := under.Stores.Update(ctx, store, func(*catalog.Store) error { return nil })
					return err
				},
				"Stores.Delete": func() error { return under.Stores.Delete(ctx, store) },
			} {
				if err := f(); !errors.Is(err, catalog.ErrLeaseLost) {
					t.Errorf("%s: %s: %v, want %v", when, name, err, catalog.ErrLeaseLost)
				}
			}
			after, err := c.Changes.Since(ctx, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s: something was written:\n%s", when, diff)
			}
			if _, err := under.Images.Get(ctx, im.ID); err != nil {
				t.Errorf("%s: reading: %v", when, err)
			}
		}
		refuse("expired")
		if err := a.Renew(ctx, hour); err != nil {
			t.Fatalf("no other holder has acquired it: %v", err)
		}
		put(t, under, slide(store, 3, random()))
		acquire(t, c, "sync s", "a", hour)
		refuse("acquired again")
	})
}

// Acquiring a lease waits for a transaction that has proved it: its writes happen under the
// lease.
func TestFencingHoldsToTheEnd(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		store := putStore(t, c, "/a")
		const ttl = 2 * time.Second
		a := acquire(t, c, "sync s", "a", ttl)
		var order []string
		taken := make(chan error, 1)
		_, err := c.Under(a).Stores.Update(ctx, store, func(s *catalog.Store) error {
			go func() {
				for {
					_, err := c.Leases.Acquire(ctx, "sync s", "b", hour)
					if !errors.Is(err, catalog.ErrHeld) {
						taken <- err
						return
					}
				}
			}()
			time.Sleep(ttl * 11 / 10) // it expires meanwhile
			select {
			case err := <-taken:
				order = append(order, "taken")
				taken <- err
			default:
			}
			s.Label = "written under the lease"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-taken; err != nil {
			t.Fatal(err)
		}
		if len(order) > 0 {
			t.Error("the lease was taken during a transaction under it")
		}
		if s, err := c.Stores.Get(ctx, store); err != nil || s.Label != "written under the lease" {
			t.Errorf("store %+v, %v", s, err)
		}
	})
}

func TestKeep(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		const ttl = 3 * time.Second
		a := acquire(t, c, "sync s", "a", ttl)
		kept, stop := a.Keep(t.Context())
		defer stop()
		time.Sleep(2 * ttl)
		if kept.Err() != nil {
			t.Fatalf("it ended: %v", context.Cause(kept))
		}
		if _, err := c.Leases.Acquire(t.Context(), "sync s", "b", ttl); !errors.Is(err, catalog.ErrHeld) {
			t.Errorf("kept for twice its time: %v, want %v", err, catalog.ErrHeld)
		}
		acquire(t, c, "sync s", "a", ttl) // as another process of the same name would
		select {
		case <-kept.Done():
		case <-time.After(time.Minute):
			t.Fatal("the context is not done although another has the lease")
		}
		if cause := context.Cause(kept); !errors.Is(cause, catalog.ErrLeaseLost) {
			t.Errorf("ended for %v, want %v", cause, catalog.ErrLeaseLost)
		}

		b := acquire(t, c, "sync t", "b", ttl)
		kept, stop = b.Keep(t.Context())
		stop()
		if cause := context.Cause(kept); errors.Is(cause, catalog.ErrLeaseLost) || cause == nil {
			t.Errorf("stopped: %v, want it to end, and not for being lost", cause)
		}
		if err := b.Release(t.Context()); err != nil {
			t.Errorf("Release after stop: %v", err)
		}
	})
}

// During an outage of the database the lease ends when it expires, and not later.
func TestKeepWithoutDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	c := open(t, server.URL)
	l := acquire(t, c, "sync s", "a", time.Second)
	kept, stop := l.Keep(t.Context())
	defer stop()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-kept.Done():
	case <-time.After(time.Minute):
		t.Fatal("the context is not done although the lease can't be renewed")
	}
	if cause := context.Cause(kept); !errors.Is(cause, catalog.ErrLeaseLost) {
		t.Errorf("ended for %v, want %v", cause, catalog.ErrLeaseLost)
	}
}

// Leases and heartbeats do not notify followers.
func TestLeasesWakeNobody(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		store := putStore(t, c, "/a")
		put(t, c, slide(store, 1, random()))
		seq := func() int64 {
			t.Helper()
			im := slide(store, 1, random())
			put(t, c, im)
			return im.Seq
		}
		alone := seq()
		step := seq() - alone // changes by one write
		before := seq()
		l := acquire(t, c, "sync s", "a", hour)
		for range 5 {
			if err := errors.Join(l.Renew(ctx, hour), c.Workers.Beat(ctx, catalog.Worker{ID: "w"})); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(c.Workers.End(ctx, "w"), l.Release(ctx)); err != nil {
			t.Fatal(err)
		}
		if got := seq() - before; got != step {
			t.Errorf("they took %d numbers of changes, want none", got-step)
		}
	})
}

func TestWorkers(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		began := time.Now().UTC().Truncate(time.Microsecond)
		a := catalog.Worker{ID: "a", Host: "h1", PID: 7, Version: "1.0", Queues: []string{"default", "host-h1"}, StartedAt: began.Add(time.Second)}
		b := catalog.Worker{ID: "b", Host: "h2", PID: 8, StartedAt: began, Queues: []string{}}
		for _, w := range []catalog.Worker{a, b, a} {
			if err := c.Workers.Beat(ctx, w); err != nil {
				t.Fatal(err)
			}
		}
		want := func(want ...catalog.Worker) {
			t.Helper()
			got, err := c.Workers.List(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(catalog.Worker{}, "SeenAt"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Workers, want - got +:\n%s", diff)
			}
			for _, w := range got {
				if ago := time.Since(w.SeenAt).Abs(); ago > time.Minute {
					t.Errorf("worker %s was seen %v ago", w.ID, ago)
				}
			}
		}
		want(b, a)
		a.Queues = []string{"other"}
		if err := c.Workers.Beat(ctx, a); err != nil {
			t.Fatal(err)
		}
		want(b, a)
		for range 2 {
			if err := c.Workers.End(ctx, "b"); err != nil {
				t.Fatal(err)
			}
		}
		want(a)
		if err := c.Workers.Beat(ctx, catalog.Worker{}); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("a worker without id: %v, want %v", err, catalog.ErrInvalid)
		}
	})
}
