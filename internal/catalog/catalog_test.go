package catalog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/internal/blob"
)

func open(t *testing.T) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func putStore(t *testing.T, c *Catalog, root string) string {
	t.Helper()
	s, err := c.PutStore(t.Context(), Store{Label: "l", Mode: InPlace, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func put(t *testing.T, c *Catalog, images ...*Image) {
	t.Helper()
	if err := c.PutImages(t.Context(), images); err != nil {
		t.Fatal(err)
	}
}

func known[T any](v T) *T { return &v }

func TestImageKeepsEverything(t *testing.T) {
	c := open(t)
	store := putStore(t, c, "/a")
	want := &Image{
		StoreID: store, Path: "sub/\xff\xfe.tiff", Revision: "r", State: Available,
		Identity: blob.Identity{Dev: 1 << 63, Ino: 1<<64 - 1, Size: 5, MTime: -7, CTime: 8},
		Description: Description{
			FileName: "\ufffd.tiff", Format: "philips", Vendor: "PHILIPS", Width: 10, Height: 20, MaxZoom: 3,
			Levels: []Level{{Width: 10, Height: 20, Downsample: 1}}, MPPX: known(0.25), Barcode: known("ß123"), Properties: map[string]string{"a": "b"}, Associated: []string{"label"},
		},
	}
	put(t, c, want)
	got, err := c.Image(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(1e6)); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	if got, err := c.ImageByPath(t.Context(), store, want.Path); err != nil || got.ID != want.ID {
		t.Errorf("ImageByPath = %v, %v", got, err)
	}
}

func TestImageKeepsItsIDAndAge(t *testing.T) {
	c := open(t)
	store := putStore(t, c, "/a")
	first := &Image{StoreID: store, Path: "x.tiff", Revision: "1"}
	put(t, c, first)
	second := &Image{StoreID: store, Path: "x.tiff", Revision: "2"}
	put(t, c, second)
	if second.ID != first.ID || !second.CreatedAt.Equal(first.CreatedAt.Truncate(1000)) || second.Seq <= first.Seq {
		t.Errorf("second put gives %+v, want id, age and a later number of %+v", second, first)
	}
}

func TestNotFound(t *testing.T) {
	c := open(t)
	if _, err := c.Image(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Image = %v, want ErrNotFound", err)
	}
	if _, err := c.Store(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Store = %v, want ErrNotFound", err)
	}
	if err := c.DeleteStore(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("DeleteStore = %v, want ErrNotFound", err)
	}
}

func TestOneStoreForAFolder(t *testing.T) {
	c := open(t)
	putStore(t, c, "/a")
	if _, err := c.PutStore(t.Context(), Store{Root: "/a"}); !errors.Is(err, ErrConflict) {
		t.Errorf("second store of a folder: %v, want ErrConflict", err)
	}
}

// Every image is on one page, in every order, though others come meanwhile.
func TestPages(t *testing.T) {
	c := open(t)
	store := putStore(t, c, "/a")
	want := map[string]bool{}
	for i := range 137 {
		im := &Image{StoreID: store, Path: fmt.Sprint(i), State: []State{Available, Broken}[i%2], Identity: blob.Identity{Size: int64(i % 5)}, Description: Description{FileName: fmt.Sprintf("F%d", i%7)}}
		put(t, c, im)
		want[im.ID] = true
	}
	for _, sort := range []Sort{SortCreated, SortName, SortSize, SortState} {
		t.Run(string(sort), func(t *testing.T) {
			seen := map[string]int{}
			q := Query{Sort: sort, Limit: 10, Labels: true}
			for n := 0; ; n++ {
				p, err := c.Images(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, im := range p.Items {
					seen[im.ID]++
				}
				if p.NextCursor == "" {
					break
				}
				q.Cursor = p.NextCursor
				put(t, c, &Image{StoreID: store, Path: fmt.Sprintf("%s later %d", sort, n), Description: Description{FileName: fmt.Sprintf("F%d", n)}})
			}
			for id := range want {
				if seen[id] != 1 {
					t.Errorf("image %s is on %d pages", id, seen[id])
				}
			}
		})
	}
}

func TestBadCursor(t *testing.T) {
	c := open(t)
	for _, cur := range []string{"x", "!!", "e30", cursor(SortName, "a", "b"), cursor(SortCreated, "text", "b")} {
		if _, err := c.Images(t.Context(), Query{Cursor: cur}); !errors.Is(err, ErrBadCursor) {
			t.Errorf("cursor %q: %v, want ErrBadCursor", cur, err)
		}
	}
}

func TestSearch(t *testing.T) {
	c := open(t)
	store := putStore(t, c, "/a")
	for _, im := range []*Image{
		{Path: "1", Description: Description{FileName: "Case-100%_A.tiff", Barcode: known("S25-0042")}},
		{Path: "2", Description: Description{FileName: "caseX100.tiff", Label: known("Ärger \"quoted\"")}},
		{Path: "3", Description: Description{FileName: "zebra.tiff"}},
	} {
		im.StoreID = store
		put(t, c, im)
	}
	tests := []struct {
		q      string
		labels bool
		want   []string
	}{
		{"", true, []string{"1", "2", "3"}},
		{"case", true, []string{"1", "2"}},
		{"CASE", true, []string{"1", "2"}},
		{"25-00", true, []string{"1"}},
		{"100%_", true, []string{"1"}},
		{"z", true, []string{"3"}},
		{"s2", true, []string{"1"}},
		{"%", true, nil},
		{"_", true, nil},
		{"ärger", true, []string{"2"}},
		{`"quoted"`, true, []string{"2"}},
		{"no such", true, nil},
		{`" OR words:`, true, nil},
		{"25-00", false, []string{"1", "2", "3"}}, // who may not see barcodes cannot probe for them
	}
	for _, tt := range tests {
		t.Run(tt.q, func(t *testing.T) {
			p, err := c.Images(t.Context(), Query{Q: tt.q, Labels: tt.labels})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, im := range p.Items {
				got = append(got, im.Path)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("search for %q (-want +got):\n%s", tt.q, diff)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	c := open(t)
	store := putStore(t, c, "/a")
	a, b := &Image{StoreID: store, Path: "a", State: Available}, &Image{StoreID: store, Path: "b", State: Available}
	put(t, c, a, b)
	since := func(n int64, want ...string) int64 {
		t.Helper()
		list, err := c.Changes(t.Context(), n, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ch := range list {
			s := ch.Path
			if ch.Gone {
				s = "gone " + ch.ID
			}
			got = append(got, s)
			n = ch.Seq
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		return n
	}
	n := since(0, "a", "b")
	n = since(n)
	put(t, c, a)
	n = since(n, "a")
	if err := c.DeleteStore(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	ids := []string{"gone " + a.ID, "gone " + b.ID}
	list, _ := c.Changes(t.Context(), n, 100)
	var got []string
	for _, ch := range list {
		got = append(got, "gone "+ch.ID)
	}
	slices.Sort(ids)
	slices.Sort(got)
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("changes after the store went (-want +got):\n%s", diff)
	}
}

func TestWatch(t *testing.T) {
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake := c.Watch(ctx)
	putStore(t, c, "/a")
	select {
	case <-wake:
	default:
		t.Error("nobody was woken")
	}
}

// A database that a newer program has changed must not be written by an older one.
func TestNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "sqlite:"+path); err == nil {
		t.Error("a database of a newer program was opened")
	} else {
		t.Log(err)
	}
}
