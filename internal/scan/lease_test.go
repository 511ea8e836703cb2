package scan

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestOneAtATime expects scans and imports to be refused while another process does
// them.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"sqlite", "postgres"} {
		t.Run(url, func(t *testing.T) {
			if url == "postgres" {
				url = catalogtest.Postgres(t)
			} else {
				url = ""
			}
			h := newHouse(t, url, "")
			ctx := t.Context()
			h.Holder = "me"
			h.arrive("a.tiff", slidetest.Pyramid{}.Bytes())
			h.later(time.Minute)
			hold := func(name string) func() {
				t.Helper()
				l, err := h.Catalog.Leases.Acquire(ctx, name, "another", time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				return func() {
					t.Helper()
					if err := l.Release(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
			release := hold("sync " + h.store)
			if _, err := h.Sync(ctx, h.store, Options{}); !errors.Is(err, ErrBusy) {
				t.Errorf("a scan during another one: %v, want %v", err, ErrBusy)
			}
			release()
			h.scan(Options{})
			im := h.only()
			release = hold("import " + im.ID)
			if _, err := h.Import(ctx, im.ID, nil); !errors.Is(err, ErrBusy) {
				t.Errorf("an import during another one: %v, want %v", err, ErrBusy)
			}
			if r := h.scan(Options{Import: true}); r.Imported != 0 || len(r.Failed) > 0 {
				t.Errorf("%+v, want nothing imported and nothing said", r)
			}
			release()
			if r := h.scan(Options{Import: true}); r.Imported != 1 {
				t.Errorf("%+v, want 1 imported", r)
			}
			release = hold("sync " + h.store) // the leases were released
			release()
		})
	}
}

// TestFenced takes a scan's lease away while it runs.
func TestFenced(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.Holder = "me"
	h.arrive("a.tiff", slidetest.Pyramid{}.Bytes())
	h.later(time.Minute)
	h.Available = func(string) {
		if _, err := h.Catalog.Leases.Acquire(context.Background(), "sync "+h.store, "me", time.Hour); err != nil {
			t.Error(err)
		}
	}
	before, err := h.Catalog.Stores.Get(t.Context(), h.store)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Sync(t.Context(), h.store, Options{}); !errors.Is(err, catalog.ErrLeaseLost) {
		t.Errorf("%v, want %v", err, catalog.ErrLeaseLost)
	}
	after, err := h.Catalog.Stores.Get(t.Context(), h.store)
	if err != nil {
		t.Fatal(err)
	}
	if before.LastSync != nil || after.LastSync != nil {
		t.Error("the scan wrote that it had ended")
	}
}

// TestOneWatches has two processes watch a store, and ends the one with the lease.
func TestOneWatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	url := "sqlite:" + filepath.Join(filepath.Dir(h.root), "catalog.db")
	type process struct {
		*Watcher
		stop func()
	}
	start := func(holder string) process {
		c, err := catalog.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		w := NewWatcher(&Syncer{Catalog: c, Holder: holder, Pause: 10 * time.Millisecond}, h.store)
		w.retry = 10 * time.Millisecond
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		stopped := false
		stop := func() {
			if !stopped {
				stopped = true
				cancel()
				<-done
				c.Close()
			}
		}
		t.Cleanup(stop)
		return process{w, stop}
	}
	first := start("first")
	h.eventually(soon, "the first to watch", func() bool { return !first.Status().LastScan.IsZero() })
	second := start("second")
	h.eventually(soon, "the second to stand aside", func() bool { return second.Status().Elsewhere })
	h.arrive("a.tiff", slidetest.Pyramid{}.Bytes())
	h.becomes(soon, "incoming/a.tiff", catalog.Available)
	if !second.Status().LastScan.IsZero() {
		t.Error("the second went through the store")
	}
	first.stop()
	h.eventually(soon, "the second to watch", func() bool { s := second.Status(); return !s.Elsewhere && !s.LastScan.IsZero() })
	h.arrive("b.tiff", slidetest.Pyramid{Seed: 1}.Bytes())
	h.becomes(soon, "incoming/b.tiff", catalog.Available)
}

func TestHosts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		store, mine string
		want        bool
	}{{"", "", true}, {"", "a", true}, {"a", "", true}, {"a", "a", true}, {"b", "a", false}}
	for _, tt := range tests {
		s := &Syncer{Host: tt.mine}
		if got := s.serves(&catalog.Store{Host: tt.store}); got != tt.want {
			t.Errorf("store of %q, on %q: %v, want %v", tt.store, tt.mine, got, tt.want)
		}
	}
}

// TestWatchersOfHost ignores another host's store, and watches it once it is assigned
// to this host.
func TestWatchersOfHost(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	ctx, cancel := context.WithCancel(context.Background())
	setHost := func(host string) {
		t.Helper()
		if _, err := h.Catalog.Stores.Update(ctx, h.store, func(st *catalog.Store) error { st.Host = host; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	setHost("b")
	h.Now, h.Host = nil, "a"
	w := NewWatchers(h.Syncer)
	w.every = 10 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() { cancel(); <-done }()
	time.Sleep(50 * time.Millisecond)
	if got := len(w.Status()); got != 0 {
		t.Errorf("%d stores watched, want none", got)
	}
	setHost("a")
	h.eventually(2*soon, "the store to be watched", func() bool { return len(w.Status()) == 1 })
	setHost("b")
	h.eventually(2*soon, "the store to be left", func() bool { return len(w.Status()) == 0 })
}

// TestWatchManaged has files come into a store that is watched or polled.
func TestWatchManaged(t *testing.T) {
	t.Parallel()
	for _, pollReason := range []string{"", "configured"} {
		t.Run("deaf: "+pollReason, func(t *testing.T) {
			h := newHouse(t, "", "")
			h.Pause, h.Settle = 20*time.Millisecond, 50*time.Millisecond
			h.Arrived = func(string) {}
			w := NewWatcher(h.Syncer, h.store)
			w.Poll, w.pollReason = 50*time.Millisecond, pollReason
			h.watched(w)
			h.arrive("x/a.tiff", slidetest.Pyramid{}.Bytes())
			h.becomes(soon, "incoming/x/a.tiff", catalog.Available)
			h.arrive("x/b.tiff", slidetest.Pyramid{}.Bytes()[:7000])
			h.eventually(soon, "the broken one to be in quarantine", func() bool {
				s, err := h.Catalog.Stores.Get(t.Context(), h.store)
				return err == nil && s.Counts[catalog.Quarantined] == 1
			})
			h.remove("incoming/x/a.tiff")
			h.becomes(soon, "incoming/x/a.tiff", catalog.Missing)
		})
	}
}
