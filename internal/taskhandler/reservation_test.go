package taskhandler

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// TestConversionsShareQuota simulates two concurrent conversions of a store that write and
// check the space in turns: together they stay within the quota.
func TestConversionsShareQuota(t *testing.T) {
	t.Parallel()
	const step = 4 << 20
	c := catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))
	st := &catalog.Store{Label: "managed", Mode: catalog.Managed, Root: t.TempDir(), Quota: 100 << 20}
	var err error
	if st, err = c.Stores.Put(t.Context(), *st); err != nil {
		t.Fatal(err)
	}
	out := st.File("incoming/a.tiff")
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	w := &Handlers{Catalog: c, Reserve: 1}
	first, second := w.claims.begin(st.ID), w.claims.begin(st.ID)
	checks := []func(written, more int64) error{w.checkSpace(t.Context(), st, managed.Incoming, first), w.checkSpace(t.Context(), st, managed.Incoming, second)}
	var written [2]int64
	for i := range checks {
		if err := checks[i](0, 90<<20); err != nil {
			t.Fatalf("conversion %d, of what fits for itself: %v", i, err)
		}
	}
	var refused error
	for n := 0; refused == nil; n++ {
		written[n%2] += step
		refused = checks[n%2](written[n%2], step)
	}
	if total := written[0] + written[1]; !errors.Is(refused, errNoSpace) || total > st.Quota || total < st.Quota*3/4 {
		t.Errorf("%d of %d bytes were written, then %v", total, st.Quota, refused)
	}

	// The second ends, and the first can use its space.
	w.claims.end(second)
	if err := checks[0](80<<20, step); err != nil {
		t.Errorf("after the other has ended: %v", err)
	}
	// A complete pyramid counts until it has been imported.
	if err := os.WriteFile(out, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.claims.finish(first, out, 84<<20)
	w.claims.end(first)
	third := w.claims.begin(st.ID)
	fits := w.checkSpace(t.Context(), st, managed.Incoming, third)
	if err := fits(0, 20<<20); !errors.Is(err, errNoSpace) {
		t.Errorf("beside a pyramid that was not imported: %v, want %v", err, errNoSpace)
	}
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	if err := fits(0, 20<<20); err != nil || len(w.claims.list) != 1 {
		t.Errorf("once it was: %v, %d claims", err, len(w.claims.list))
	}
}
