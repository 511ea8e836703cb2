package taskhandler

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestConversionsShareQuota has two conversions of a store write at once, in the steps in
// which they ask for room: together they keep to the quota, whichever comes first.
func TestConversionsShareQuota(t *testing.T) {
	t.Parallel()
	const step = 4 << 20
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	st := &catalog.Store{Label: "managed", Mode: catalog.Managed, Root: t.TempDir(), Quota: 100 << 20}
	if st, err = c.PutStore(t.Context(), *st); err != nil {
		t.Fatal(err)
	}
	out := st.File("incoming/a.tiff")
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	w := &Handlers{Catalog: c, Reserve: 1}
	first, second := w.claims.begin(st.ID), w.claims.begin(st.ID)
	rooms := []func(written, more int64) error{w.room(t.Context(), st, first), w.room(t.Context(), st, second)}
	var written [2]int64
	for i := range rooms {
		if err := rooms[i](0, 90<<20); err != nil {
			t.Fatalf("conversion %d, of what fits for itself: %v", i, err)
		}
	}
	var refused error
	for n := 0; refused == nil; n++ {
		written[n%2] += step
		refused = rooms[n%2](written[n%2], step)
	}
	if total := written[0] + written[1]; !errors.Is(refused, errNoRoom) || total > st.Quota || total < st.Quota*3/4 {
		t.Errorf("%d of %d bytes were written, then %v", total, st.Quota, refused)
	}

	// The second gives up: the first has its room.
	w.claims.end(second)
	if err := rooms[0](80<<20, step); err != nil {
		t.Errorf("after the other has ended: %v", err)
	}
	// A complete pyramid counts until it has been taken in.
	if err := os.WriteFile(out, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.claims.finish(first, out, 84<<20)
	w.claims.end(first)
	third := w.claims.begin(st.ID)
	room := w.room(t.Context(), st, third)
	if err := room(0, 20<<20); !errors.Is(err, errNoRoom) {
		t.Errorf("beside a pyramid that was not taken in: %v, want %v", err, errNoRoom)
	}
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	if err := room(0, 20<<20); err != nil || len(w.claims.list) != 1 {
		t.Errorf("once it was: %v, %d claims", err, len(w.claims.list))
	}
}
