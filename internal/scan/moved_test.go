package scan

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestMoves renames slides and expects images to keep their ids.
func TestMoves(t *testing.T) {
	t.Parallel()
	rename := func(st *site, from, to string) {
		st.t.Helper()
		if err := os.MkdirAll(filepath.Dir(st.path(to)), 0o755); err != nil {
			st.t.Fatal(err)
		}
		if err := os.Rename(st.path(from), st.path(to)); err != nil {
			st.t.Fatal(err)
		}
	}
	const out = "../away.tiff"
	tests := []struct {
		name  string
		do    func(*site)
		want  map[string]string // path by path before; "new" for a new image
		moved int
	}{
		{"nothing", func(*site) {}, map[string]string{"a.tiff": "a.tiff", "d/b.tiff": "d/b.tiff"}, 0},
		{"a file", func(st *site) { rename(st, "a.tiff", "x/y.tiff") }, map[string]string{"x/y.tiff": "a.tiff", "d/b.tiff": "d/b.tiff"}, 1},
		{"a folder", func(st *site) { rename(st, "d", "e") }, map[string]string{"a.tiff": "a.tiff", "e/b.tiff": "d/b.tiff"}, 1},
		{
			"two crosswise through new names", func(st *site) { rename(st, "a.tiff", "b.tiff"); rename(st, "d/b.tiff", "d/a.tiff") },
			map[string]string{"b.tiff": "a.tiff", "d/a.tiff": "d/b.tiff"},
			2,
		},
		{"away for a while", func(st *site) {
			rename(st, "a.tiff", out)
			if r := st.scan(Options{}); r.Missing != 1 {
				st.t.Errorf("away: %+v, want 1 missing", r)
			}
			rename(st, out, "back.tiff")
		}, map[string]string{"back.tiff": "a.tiff", "d/b.tiff": "d/b.tiff"}, 1},
		{
			"a second name", func(st *site) { os.Link(st.path("a.tiff"), st.path("z.tiff")) },
			map[string]string{"a.tiff": "a.tiff", "z.tiff": "new", "d/b.tiff": "d/b.tiff"},
			0,
		},
		{"two names for one that goes", func(st *site) {
			os.Link(st.path("a.tiff"), st.path("y.tiff"))
			rename(st, "a.tiff", "z.tiff")
		}, nil, 1},
		{"renamed and written to", func(st *site) {
			rename(st, "a.tiff", "z.tiff")
			st.write("z.tiff", slidetest.Pyramid{Seed: 30}.Bytes())
		}, map[string]string{"a.tiff": "a.tiff", "z.tiff": "new", "d/b.tiff": "d/b.tiff"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := settled(t, "a.tiff", "d/b.tiff")
			ids := map[string]string{st.image("a.tiff").ID: "a.tiff", st.image("d/b.tiff").ID: "d/b.tiff"}
			tt.do(st)
			st.later(time.Minute)
			if r := st.scan(Options{}); r.Moved != tt.moved || len(tt.want) == 2 && r.Missing != 0 {
				t.Errorf("%+v, want %d moved", r, tt.moved)
			}
			if r := st.scan(Options{}); r.changed() {
				t.Errorf("second scan: %+v, want nothing", r)
			}
			for path, state := range st.states() {
				before, ok := ids[st.image(path).ID]
				if !ok {
					before = "new"
				}
				if want, ok := tt.want[path]; tt.want != nil && (!ok || before != want) {
					t.Errorf("%s (%s) was %s, want %q", path, state, before, want)
				}
			}
			if got := len(st.states()); tt.want != nil && got != len(tt.want) {
				t.Errorf("%d images, want %d", got, len(tt.want))
			}
		})
	}
}

// TestMovesKeepState expects a slide to stay available while it is renamed.
func TestMovesKeepState(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	before := st.image("a.tiff")
	digest := "d"
	before.Digest = &digest
	if err := st.Catalog.Images.Put(t.Context(), []*catalog.Image{before}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(st.path("a.tiff"), st.path("b.tiff")); err != nil {
		t.Fatal(err)
	}
	st.scan(Options{}) // at once: the rename has just changed its ctime
	im := st.image("b.tiff")
	if im.State != catalog.Available || im.ID != before.ID || im.FileName != "b.tiff" || im.Digest == nil {
		t.Errorf("%s %q, id %s, digest %v; want b.tiff available under the id %s, digest kept", im.State, im.FileName, im.ID, im.Digest, before.ID)
	}
}

// TestDeletedStaysDeleted deletes an image, whose file is then moved, changed, removed
// and restored.
func TestDeletedStaysDeleted(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b.tiff")
	id := st.image("a.tiff").ID
	if err := st.Catalog.Images.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(st.path("a.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []struct {
		name string
		f    func() error
	}{
		{"nothing", func() error { return nil }},
		{"renamed", func() error { return os.Rename(st.path("a.tiff"), st.path("c.tiff")) }},
		{"overwritten", func() error { return os.WriteFile(st.path("c.tiff"), whole[:5000], 0o644) }},
		{"gone", func() error { return os.Remove(st.path("c.tiff")) }},
		{"back", func() error { return os.WriteFile(st.path("c.tiff"), whole, 0o644) }},
	} {
		if err := do.f(); err != nil {
			t.Fatal(err)
		}
		st.later(time.Minute)
		if r := st.scan(Options{}); r.changed() || r.Count != 1 || r.Arriving != 0 {
			t.Errorf("%s: %+v, want nothing but the other slide", do.name, r)
		}
		page, err := st.Catalog.Images.List(t.Context(), catalog.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) != 1 {
			t.Errorf("%s: %d images listed, want 1", do.name, len(page.Items))
		}
	}
	if err := st.Catalog.Images.Restore(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if im := st.image("c.tiff"); im.ID != id || im.State != catalog.Available {
		t.Errorf("restored: %s, id %s; want it available under the id %s", im.State, im.ID, id)
	}
}

// TestRetiring hides and drops slides that have been missing for a long time.
func TestRetiring(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b.tiff")
	if _, err := st.Catalog.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error {
		s.HideAfter, s.DropAfter = 24*time.Hour, 48*time.Hour
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	st.remove("a.tiff")
	for _, tt := range []struct {
		after        time.Duration
		listed, kept int
	}{{0, 2, 2}, {23 * time.Hour, 2, 2}, {2 * time.Hour, 1, 2}, {24 * time.Hour, 1, 1}} {
		st.later(tt.after)
		st.scan(Options{})
		page, err := st.Catalog.Images.List(t.Context(), catalog.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) != tt.listed || len(st.states()) != tt.kept {
			t.Errorf("after %v more: %d listed, %d kept; want %d and %d", tt.after, len(page.Items), len(st.states()), tt.listed, tt.kept)
		}
	}
}
