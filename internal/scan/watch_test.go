package scan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// watched starts watching a site by the real clock, and returns after the first scan.
func (st *site) watched(w *Watcher) {
	st.t.Helper()
	st.Now = nil
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	st.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			st.t.Errorf("Run: %v", err)
		}
	})
	st.eventually(soon, "the first scan", func() bool { return !w.Status().LastScan.IsZero() })
}

// eventually polls until a condition holds, and returns how long that took.
func (st *site) eventually(within time.Duration, what string, is func() bool) time.Duration {
	st.t.Helper()
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		if is() {
			return time.Since(began)
		}
		if time.Since(began) > within {
			st.t.Fatalf("waited %v for %s; states: %v", within, what, st.states())
		}
	}
}

func (st *site) becomes(within time.Duration, name string, want catalog.State) time.Duration {
	st.t.Helper()
	return st.eventually(within, fmt.Sprintf("%q to be %s", name, want), func() bool {
		im, err := st.Catalog.Images.ByPath(context.Background(), st.store, name)
		return err == nil && im.State == want
	})
}

// outside writes a file next to the store's folder, on the same disk.
func (st *site) outside(name string, data []byte) string {
	st.t.Helper()
	path := filepath.Join(filepath.Dir(st.root), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		st.t.Fatal(err)
	}
	return path
}

func (st *site) rename(from, to string) {
	st.t.Helper()
	if err := os.Rename(from, to); err != nil {
		st.t.Fatal(err)
	}
}

// soon is the timeout for reactions to events. They take milliseconds, but the machines
// that run tests may be busy.
const soon = time.Minute

// TestWatchRename measures the time from a rename into the folder to the image.
func TestWatchRename(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	st.Pause = time.Hour // only the event tells that the file is complete
	st.watched(NewWatcher(st.Syncer, st.store))
	var best time.Duration = time.Hour
	for i := range 5 {
		from := st.outside("x", slidetest.Pyramid{Seed: uint8(i)}.Bytes())
		name := fmt.Sprintf("new%d.tiff", i)
		st.rename(from, st.path(name))
		best = min(best, st.becomes(soon, name, catalog.Available))
	}
	t.Logf("from rename to available: %v", best)
	if best > pollEvery/2 {
		t.Errorf("from rename to available: %v, want less than polling takes", best)
	}
}

// TestWatch expects all changes in a folder to be noticed.
func TestWatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(*site)
		want map[string]catalog.State
	}{
		{"closed by its writer", func(st *site) { st.write("b.tiff", slidetest.Pyramid{}.Bytes()) }, map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Available}},
		{"closed too early", func(st *site) { st.write("b.tiff", slidetest.Pyramid{}.Bytes()[:5000]) }, map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Arriving}},
		{"removed", func(st *site) { st.remove("a.tiff") }, map[string]catalog.State{"a.tiff": catalog.Missing}},
		{"renamed away", func(st *site) { st.rename(st.path("a.tiff"), st.root+".tiff") }, map[string]catalog.State{"a.tiff": catalog.Missing}},
		{"renamed", func(st *site) { st.rename(st.path("a.tiff"), st.path("b.tiff")) }, map[string]catalog.State{"b.tiff": catalog.Available}},
		{"renamed to what is no slide", func(st *site) { st.rename(st.path("a.tiff"), st.path("a.bak")) }, map[string]catalog.State{"a.tiff": catalog.Missing}},
		{"overwritten", func(st *site) { st.write("a.tiff", []byte("no slide any more")) }, map[string]catalog.State{"a.tiff": catalog.Arriving}},
		{"replaced", func(st *site) {
			st.rename(st.outside("x", slidetest.Pyramid{Striped: true}.Bytes()), st.path("a.tiff"))
		}, map[string]catalog.State{"a.tiff": catalog.Unsupported}},
		{"temporary name, then renamed", func(st *site) {
			st.write(".b.tiff.Xy12", slidetest.Pyramid{}.Bytes())
			st.rename(st.path(".b.tiff.Xy12"), st.path("b.tiff"))
		}, map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Available}},
		{"in a new folder", func(st *site) { st.write("x/y/z/b.tiff", slidetest.Pyramid{}.Bytes()) }, map[string]catalog.State{"a.tiff": catalog.Available, "x/y/z/b.tiff": catalog.Available}},
		{"a folder renamed in", func(st *site) {
			dir := st.root + ".dir"
			os.MkdirAll(filepath.Join(dir, "y"), 0o755)
			st.rename(st.outside("x", slidetest.Pyramid{}.Bytes()), filepath.Join(dir, "y", "b.tiff"))
			st.rename(dir, st.path("x"))
		}, map[string]catalog.State{"a.tiff": catalog.Available, "x/y/b.tiff": catalog.Available}},
		{"a folder renamed", func(st *site) {
			st.write("x/b.tiff", slidetest.Pyramid{}.Bytes())
			st.becomes(soon, "x/b.tiff", catalog.Available)
			st.rename(st.path("x"), st.path("y"))
			st.becomes(soon, "y/b.tiff", catalog.Available)
			st.write("y/c.tiff", slidetest.Pyramid{}.Bytes())
		}, map[string]catalog.State{"a.tiff": catalog.Available, "y/b.tiff": catalog.Available, "y/c.tiff": catalog.Available}},
		{"a folder removed", func(st *site) {
			st.write("x/b.tiff", slidetest.Pyramid{}.Bytes())
			st.becomes(soon, "x/b.tiff", catalog.Available)
			os.RemoveAll(st.path("x"))
		}, map[string]catalog.State{"a.tiff": catalog.Available, "x/b.tiff": catalog.Missing}},
		{"a folder renamed away", func(st *site) {
			st.write("x/b.tiff", slidetest.Pyramid{}.Bytes())
			st.becomes(soon, "x/b.tiff", catalog.Available)
			st.rename(st.path("x"), st.root+".x")
		}, map[string]catalog.State{"a.tiff": catalog.Available, "x/b.tiff": catalog.Missing}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := settled(t, "a.tiff")
			st.watched(NewWatcher(st.Syncer, st.store))
			tt.do(st)
			st.eventually(soon, fmt.Sprint(tt.want), func() bool {
				got := st.states()
				for name, state := range tt.want {
					if got[name] != state {
						return false
					}
				}
				return len(got) == len(tt.want)
			})
		})
	}
}

// TestWatchLinked adds a second name to a file, without a close event: the file is
// inspected twice.
func TestWatchLinked(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	st.Pause = 100 * time.Millisecond
	st.watched(NewWatcher(st.Syncer, st.store))
	if err := os.Link(st.outside("x", slidetest.Pyramid{}.Bytes()), st.path("b.tiff")); err != nil {
		t.Fatal(err)
	}
	st.becomes(soon, "b.tiff", catalog.Available)
}

// TestWatchGrowing writes a file in parts, with pauses.
func TestWatchGrowing(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	st.Pause = 50 * time.Millisecond
	st.watched(NewWatcher(st.Syncer, st.store))
	whole := slidetest.Pyramid{}.Bytes()
	f, err := os.Create(st.path("b.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{100, 8000, len(whole) - 1} {
		if _, err := f.WriteAt(whole[:n], 0); err != nil {
			t.Fatal(err)
		}
		st.eventually(soon, fmt.Sprintf("%d bytes to be arriving", n), func() bool {
			im, err := st.Catalog.Images.ByPath(t.Context(), st.store, "b.tiff")
			return err == nil && im.State == catalog.Arriving && im.Identity.Size == int64(n)
		})
	}
	if _, err := f.WriteAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	st.becomes(soon, "b.tiff", catalog.Available)
}

func TestWatchBurst(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	st.watched(NewWatcher(st.Syncer, st.store))
	from, data := filepath.Join(filepath.Dir(st.root), "x"), slidetest.Pyramid{}.Bytes()
	const n = 500
	for i := range n {
		if err := os.WriteFile(from, data, 0o644); err != nil {
			t.Fatal(err)
		}
		st.rename(from, st.path(fmt.Sprintf("%03d.tiff", i)))
	}
	took := st.eventually(2*soon, "all to be available", func() bool {
		s, err := st.Catalog.Stores.Get(t.Context(), st.store)
		return err == nil && s.Counts[catalog.Available] == n+1
	})
	t.Logf("%d files: %v after the last was renamed in", n, took)
}

// TestWatchOverflow loses events, and expects a scan of the whole folder.
func TestWatchOverflow(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	w := NewWatcher(st.Syncer, st.store)
	st.watched(w)
	first := w.Status().LastScan
	w.inbox.Missed()
	st.eventually(soon, "a scan", func() bool { return w.Status().LastScan.After(first) })
}

// TestPolling keeps a store in sync whose file system does not report changes.
func TestPolling(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	st.Pause = 50 * time.Millisecond
	w := NewWatcher(st.Syncer, st.store)
	w.Poll, w.pollReason = 100*time.Millisecond, "configured"
	st.watched(w)
	if s := w.Status(); !s.Polling || s.Why != "configured" {
		t.Errorf("status %+v, want that it is polled, and why", s)
	}
	st.write("b.tiff", slidetest.Pyramid{}.Bytes())
	st.becomes(soon, "b.tiff", catalog.Available)
	st.remove("a.tiff")
	st.becomes(soon, "a.tiff", catalog.Missing)
}

// TestWatchRootVanishes removes the folder and restores it.
func TestWatchRootVanishes(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	st.Pause = 50 * time.Millisecond
	w := NewWatcher(st.Syncer, st.store)
	st.watched(w)
	st.rename(st.root, st.root+".away")
	st.eventually(soon, "the failure to be reported", func() bool {
		return strings.Contains(w.Status().Err, ErrNoRoot.Error()) && w.Status().Code == "folder_unreachable"
	})
	st.want(map[string]catalog.State{"a.tiff": catalog.Available})
	st.rename(st.root+".away", st.root)
	st.eventually(soon, "the trouble to end", func() bool { return w.Status().Err == "" && w.Status().Code == "" })
	st.rename(st.outside("x", slidetest.Pyramid{}.Bytes()), st.path("b.tiff"))
	st.becomes(soon, "b.tiff", catalog.Available)
}

// TestStoreAddedAgain removes a store and adds it again with its id, as a managed store
// may be: it is scanned again, however soon that was.
func TestStoreAddedAgain(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.Now = nil
	w := NewWatchers(st.Syncer)
	w.every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	st.rename(st.outside("x", slidetest.Pyramid{}.Bytes()), st.path("a.tiff"))
	there := func() bool {
		im, err := st.Catalog.Images.ByPath(t.Context(), st.store, "a.tiff")
		return err == nil && im.State == catalog.Available
	}
	st.eventually(soon, "the slide", there)
	s, err := st.Catalog.Stores.Get(t.Context(), st.store)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Catalog.Stores.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Catalog.Stores.Put(t.Context(), *s); err != nil {
		t.Fatal(err)
	}
	st.eventually(2*soon, "the slide again", there)
}

func TestWatchers(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.Now = nil
	w := NewWatchers(st.Syncer)
	w.every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	st.rename(st.outside("x", slidetest.Pyramid{Label: labelled(t, "S26-99")}.Bytes()), st.path("a.tiff"))
	st.eventually(soon, "the barcode on the label", func() bool {
		im, err := st.Catalog.Images.ByPath(t.Context(), st.store, "a.tiff")
		return err == nil && im.Barcode != nil && *im.Barcode == "S26-99"
	})

	second := t.TempDir()
	if err := os.WriteFile(filepath.Join(second, "b.tiff"), slidetest.Pyramid{}.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := st.Catalog.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: second})
	if err != nil {
		t.Fatal(err)
	}
	st.eventually(2*soon, "the second store", func() bool {
		im, err := st.Catalog.Images.ByPath(t.Context(), s.ID, "b.tiff")
		return err == nil && im.State == catalog.Available
	})
	if got := len(w.Status()); got != 2 {
		t.Errorf("%d stores watched, want 2", got)
	}

	// A write through a memory map causes no event: a nudge causes an inspection.
	im, err := st.Catalog.Images.ByPath(t.Context(), s.ID, "b.tiff")
	if err != nil {
		t.Fatal(err)
	}
	w.Recheck("unknown")
	w.Recheck(im.ID)
	if err := st.Catalog.Stores.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	st.eventually(2*soon, "the second store to be left", func() bool { return len(w.Status()) == 1 })
}
