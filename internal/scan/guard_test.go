package scan

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// many returns n names of slides.
func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("scans/%03d.tiff", i)
	}
	return names
}

// count returns how many files are in a state.
func (st *site) count(state catalog.State) (n int) {
	st.t.Helper()
	for _, s := range st.states() {
		if s == state {
			n++
		}
	}
	return n
}

// handleEvents inspects one path as a watcher does after an event.
func (st *site) handleEvents(path string, s source.Sign) (Result, urgency) {
	st.t.Helper()
	store, err := st.Catalog.Stores.Get(st.t.Context(), st.store)
	if err != nil {
		st.t.Fatal(err)
	}
	r, whole, err := st.touch(st.t.Context(), st.Catalog, store, map[string]source.Sign{path: source.Touched | s}, nil)
	if err != nil {
		st.t.Fatal(err)
	}
	return r, whole
}

// TestReadsUnderGuard removes most of a store's slides. While a scan refuses to mark
// them missing, no read and no event does, and nothing is hidden or dropped, until the
// slides are back or a person confirms.
func TestReadsUnderGuard(t *testing.T) {
	t.Parallel()
	names := many(40)
	const stays = "stays.tiff"
	st := settled(t, append(many(40), stays)...)
	if _, err := st.Catalog.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error {
		s.HideAfter, s.DropAfter = time.Hour, 2*time.Hour
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{stays: st.image(stays).ID}
	for _, n := range names {
		ids[n] = st.image(n).ID
	}
	read := make(map[string]bool)
	server := tileServer(t, st.Catalog, func(id string) { read[id] = true })
	get := func(name string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/v1/images/"+ids[name]+"/tiles/2/0/0", nil))
		return rec
	}
	last := names[len(names)-1]
	st.eventually(soon, "the tile server", func() bool { return get(stays).Code == http.StatusOK })

	away := st.root + ".away"
	st.rename(st.path("scans"), away)
	refused := func(o Options) {
		t.Helper()
		if _, err := st.Sync(t.Context(), st.store, o); !errors.Is(err, ErrManyMissing) {
			t.Fatalf("scan: %v, want %v", err, ErrManyMissing)
		}
	}
	refused(Options{})
	for _, n := range names {
		st.eventually(soon, "the tile server knows the slide", func() bool { return get(n).Code != http.StatusNotFound })
		if rec := get(n); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
			t.Fatalf("%s: %d with Retry-After %q, want 503 with one", n, rec.Code, rec.Header().Get("Retry-After"))
		}
		if !read[ids[n]] {
			t.Errorf("%s: the unreadable slide was not reported", n)
		}
		for _, s := range []source.Sign{source.Nudged, 0} {
			if r, whole := st.handleEvents(n, s); r.Missing != 0 || whole != noScan {
				t.Fatalf("%s: %d missing and hurry %d, want neither", n, r.Missing, whole)
			}
		}
		if n == names[20] {
			st.later(time.Hour)
		}
	}
	if err := st.Retry(t.Context(), ids[last]); !errors.Is(err, ErrManyMissing) {
		t.Errorf("Retry: %v, want %v", err, ErrManyMissing)
	}
	st.later(3 * time.Hour)
	refused(Options{})
	refused(Options{DryRun: true})
	if n := st.count(catalog.Available); n != len(names)+1 {
		t.Fatalf("%d slides available under guard, want %d", n, len(names)+1)
	}

	st.rename(away, st.path("scans"))
	if r := st.scan(Options{}); r.Missing+r.Returned+r.Added != 0 {
		t.Errorf("back: %+v, want nothing to do", r)
	}
	st.eventually(soon, "the slides to be served again", func() bool { return get(last).Code == http.StatusOK })

	st.rename(st.path("scans"), away)
	refused(Options{})
	if r := st.scan(Options{Confirm: true}); r.Missing != len(names) {
		t.Errorf("confirmed: %+v, want all missing", r)
	}
	st.eventually(soon, "the slides to be gone", func() bool { return get(last).Code == http.StatusNotFound })
	st.later(3 * time.Hour)
	st.scan(Options{})
	st.want(map[string]catalog.State{stays: catalog.Available})
}

// TestEventsStopAtGuard reports missing slides by events, one at a time: events stop
// marking them where a scan would, and do not resume after some time, a dry run or a
// restart.
func TestEventsStopAtGuard(t *testing.T) {
	t.Parallel()
	names := many(40)
	st := settled(t, names...)
	var urgencies []urgency
	for i, n := range names[:30] {
		st.remove(n)
		st.later(time.Second)
		_, whole := st.handleEvents(n, 0)
		if got, want := st.count(catalog.Missing), min(i+1, 20); got != want {
			t.Fatalf("%d removed: %d missing, want %d", i+1, got, want)
		}
		if urgencies = append(urgencies, whole); whole == scanNow {
			if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrManyMissing) {
				t.Fatalf("%d removed: scan: %v, want %v", i+1, err, ErrManyMissing)
			}
		}
	}
	want := slices.Concat(slices.Repeat([]urgency{noScan}, 20), []urgency{scanNow}, slices.Repeat([]urgency{noScan}, 9))
	if diff := cmp.Diff(want, urgencies); diff != "" {
		t.Errorf("hurries (-want +got):\n%s", diff)
	}
	st.later(2 * missingWindow)
	if _, err := st.Sync(t.Context(), st.store, Options{Confirm: true, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	for _, n := range names[20:30] {
		st.handleEvents(n, 0)
	}
	for range 2 {
		if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrManyMissing) {
			t.Errorf("later: scan: %v, want %v", err, ErrManyMissing)
		}
		if n := st.count(catalog.Missing); n != 20 {
			t.Errorf("later: %d missing, want still 20", n)
		}
		st.Syncer = &Syncer{Catalog: st.Catalog, Now: st.Now} // as after a restart
	}
	if r := st.scan(Options{Confirm: true}); r.Missing != 10 {
		t.Errorf("confirmed: %+v, want 10 missing", r)
	}
	st.later(missingWindow + time.Minute)
	st.remove(names[30])
	if _, whole := st.handleEvents(names[30], 0); whole != noScan || st.count(catalog.Missing) != 31 {
		t.Errorf("after the confirmation: hurry %d and %d missing, want none and 31", whole, st.count(catalog.Missing))
	}
}

// TestReadsLeaveItToScan reads a slide that is gone. The inspection that follows covers
// one file, and leaves it to a scan to count the missing ones.
func TestReadsLeaveItToScan(t *testing.T) {
	t.Parallel()
	st := settled(t, many(40)...)
	st.rename(st.path("scans"), st.root+".away") // without a scan since
	for _, n := range many(40) {
		if r, whole := st.handleEvents(n, source.Nudged); r.Missing != 0 || whole != scanSoon {
			t.Fatalf("%s: %d missing and hurry %d, want none and a scan soon", n, r.Missing, whole)
		}
	}
	if err := st.Retry(t.Context(), st.image("scans/000.tiff").ID); !errors.Is(err, ErrManyMissing) {
		t.Errorf("Retry: %v, want %v", err, ErrManyMissing)
	}
	// A process that has just started has no guard, and requests a scan.
	st.Syncer = &Syncer{Catalog: st.Catalog, Now: st.Now}
	if r, whole := st.handleEvents("scans/000.tiff", 0); r.Missing != 0 || whole != scanNow {
		t.Errorf("after a restart: %d missing and hurry %d, want none and a scan now", r.Missing, whole)
	}
	if n := st.count(catalog.Missing); n != 0 {
		t.Errorf("%d missing", n)
	}
}

// TestReadsOfManaged is [TestReadsLeaveItToScan] for slides in a managed store.
func TestReadsOfManaged(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.imported("a.tiff", "b.tiff")
	im := h.images()[0]
	h.rename(h.path(im.Path), h.root+".a")
	if r, whole := h.handleEvents(im.Path, source.Nudged); r.Missing != 0 || whole != scanSoon {
		t.Errorf("%d missing and hurry %d, want none and a scan soon", r.Missing, whole)
	}
	if r := h.scan(Options{}); r.Missing != 1 {
		t.Errorf("scan: %+v, want 1 missing", r)
	}
}

// TestNudgeStartsScan nudges a watcher, whose next scan is an hour away, about a slide
// that can't be read.
func TestNudgeStartsScan(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b.tiff")
	w := NewWatcher(st.Syncer, st.store)
	w.Poll, w.pollReason = time.Hour, "configured"
	st.watched(w)
	st.remove("a.tiff")
	w.recheck("a.tiff")
	st.becomes(soon, "a.tiff", catalog.Missing)
}
