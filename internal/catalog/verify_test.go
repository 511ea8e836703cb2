package catalog_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// ids returns the ids of entries.
func ids(list []catalog.Entry) []string {
	all := []string{}
	for _, e := range list {
		all = append(all, e.ID)
	}
	return all
}

func TestWhatIsToBeVerified(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		store, other := putStore(t, c, "/a"), putStore(t, c, "/b")
		at := time.Now().UTC().Truncate(time.Microsecond)
		ago := func(d time.Duration) *time.Time { return known(at.Add(-d)) }
		image := func(id, store string, digest *string, verified *time.Time) *catalog.Image {
			im := slide(store, len(id)*100+int(id[0]), random())
			im.ID, im.State, im.Reason, im.Digest, im.VerifiedAt, im.Path = id, catalog.Available, "", digest, verified, id
			return im
		}
		broken, missing, deleted := image("broken", store, nil, nil), image("missing", store, known("d"), ago(hour)), image("deleted", store, nil, nil)
		broken.State, missing.State = catalog.Broken, catalog.Missing
		put(t, c, image("new1", store, nil, nil), image("b", store, known("d"), ago(hour)), image("other", other, nil, nil), image("never", store, known("d"), nil),
			image("a", store, known("d"), ago(2*hour)), image("now", store, known("d"), ago(0)), image("new2", store, nil, nil), broken, missing, deleted,
			image("other2", other, known("d"), ago(hour)))
		if err := c.Images.Delete(ctx, deleted.ID); err != nil {
			t.Fatal(err)
		}

		for _, limit := range []int{1, 2, 100} {
			unhashed, err := c.Verification.Unhashed(ctx, store, limit)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"new1", "new2"}
			if diff := cmp.Diff(want[:min(limit, 2)], ids(unhashed)); diff != "" {
				t.Errorf("Unhashed, limit %d: want - got +:\n%s", limit, diff)
			}
			oldest, err := c.Verification.OldestVerified(ctx, store, limit)
			if err != nil {
				t.Fatal(err)
			}
			want = []string{"never", "a", "b", "now"}
			if diff := cmp.Diff(want[:min(limit, 4)], ids(oldest)); diff != "" {
				t.Errorf("OldestVerified, limit %d: want - got +:\n%s", limit, diff)
			}
		}
		var got []string
		stop := errors.New("stop")
		err := c.Verification.EachDue(ctx, store, at, func(e *catalog.Entry) error {
			if got = append(got, e.ID); len(got) == 5 {
				return stop
			}
			return nil
		})
		if diff := cmp.Diff([]string{"new1", "new2", "never", "a", "b"}, got); diff != "" || !errors.Is(err, stop) {
			t.Errorf("EachDue: %v, want - got +:\n%s", err, diff)
		}
	})
}

// Each image is passed once, in chunks, whether or not it was verified meanwhile.
func TestEachUnverifiedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		store := putStore(t, c, "/a")
		const n = 6000
		r := random()
		var list []*catalog.Image
		for i := range n {
			im := slide(store, i, r)
			im.State, im.Reason = catalog.Available, ""
			switch i % 3 {
			case 1:
				im.Digest = known("d")
			case 2:
				im.Digest, im.VerifiedAt = known("d"), known(time.Unix(int64(r.IntN(100)), 0))
			}
			list = append(list, im)
		}
		put(t, c, list...)
		seen := map[string]int{}
		began := time.Now()
		err := c.Verification.EachDue(t.Context(), store, began, func(e *catalog.Entry) error {
			seen[e.ID]++
			switch {
			case len(seen)%100 != 0:
				return nil
			case e.Digest == "":
				return c.Verification.SetDigest(t.Context(), e.ID, e.Revision, "d")
			}
			return c.Verification.Passed(t.Context(), e.ID, e.Revision, time.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, im := range list {
			if seen[im.ID] != 1 {
				t.Fatalf("image %s was met %d times, want once", im.ID, seen[im.ID])
			}
		}
		if len(seen) != n {
			t.Errorf("%d images, want %d", len(seen), n)
		}
	})
}

func TestDigestAndDamage(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		ctx := t.Context()
		store := putStore(t, c, "/a")
		im := slide(store, 1, random())
		put(t, c, im)
		at := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Minute)
		get := func() *catalog.Image {
			t.Helper()
			got, err := c.Images.Get(ctx, im.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		for name, f := range map[string]func(id, revision string) error{
			"SetDigest": func(id, revision string) error { return c.Verification.SetDigest(ctx, id, revision, "d1") },
			"Verified":  func(id, revision string) error { return c.Verification.Passed(ctx, id, revision, at) },
			"Damaged":   func(id, revision string) error { return c.Verification.Failed(ctx, id, revision, "why", at) },
		} {
			if err := f(im.ID, "another"); !errors.Is(err, catalog.ErrOldRevision) {
				t.Errorf("%s at another revision: %v, want %v", name, err, catalog.ErrOldRevision)
			}
			if err := f("nobody", im.Revision); !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("%s of an unknown image: %v, want %v", name, err, catalog.ErrNotFound)
			}
		}
		if got := get(); got.Seq != im.Seq || got.Digest != nil {
			t.Errorf("something was written: %+v", got)
		}

		if err := c.Verification.SetDigest(ctx, im.ID, im.Revision, "d1"); err != nil {
			t.Fatal(err)
		}
		hashed := get()
		if hashed.Digest == nil || *hashed.Digest != "d1" || hashed.VerifiedAt == nil || hashed.Seq <= im.Seq {
			t.Errorf("hashed: digest %v, verified at %v", hashed.Digest, hashed.VerifiedAt)
		}
		if err := c.Verification.SetDigest(ctx, im.ID, im.Revision, "d2"); !errors.Is(err, catalog.ErrConflict) {
			t.Errorf("another digest: %v, want %v", err, catalog.ErrConflict)
		}
		if err := c.Verification.Passed(ctx, im.ID, im.Revision, at); err != nil {
			t.Fatal(err)
		}
		if got := get(); !got.VerifiedAt.Equal(at) || got.Seq != hashed.Seq || !got.UpdatedAt.Equal(hashed.UpdatedAt) {
			t.Errorf("verified at %v, want %v; change %d, updated at %v, want %d and %v as before", got.VerifiedAt, at, got.Seq, got.UpdatedAt, hashed.Seq, hashed.UpdatedAt)
		}

		if err := c.Verification.Failed(ctx, im.ID, im.Revision, "why", at); err != nil {
			t.Fatal(err)
		}
		again := slide(store, 1, random()) // as an inspection of the file finds it
		again.Path = im.Path
		put(t, c, again)
		got := get()
		if got.State != catalog.Broken || got.Reason != "why" || got.DamagedAt == nil || !got.DamagedAt.Equal(at) || got.Seq <= hashed.Seq {
			t.Errorf("damaged, and looked at: %s %q, damaged at %v, want %s %q at %v", got.State, got.Reason, got.DamagedAt, catalog.Broken, "why", at)
		}
		if list, err := c.Verification.OldestVerified(ctx, store, 10); err != nil || len(list) != 0 {
			t.Errorf("damaged: OldestVerified returned %d, %v, want none", len(list), err)
		}
		broken := slide(store, 2, random()) // but not damaged, whatever its reason
		broken.State, broken.Reason = catalog.Broken, `"DamagedAt":`
		put(t, c, broken)
		if n, err := c.Verification.Damaged(ctx); err != nil || len(n) != 1 || n[store] != 1 {
			t.Errorf("damaged images: %v, %v, want one", n, err)
		}
		if err := c.Verification.Passed(ctx, im.ID, im.Revision, at); err != nil {
			t.Fatal(err)
		}
		if got := get(); got.State != catalog.Available || got.Reason != "" || got.DamagedAt != nil {
			t.Errorf("found right again: %s %q, damaged at %v, want %s", got.State, got.Reason, got.DamagedAt, catalog.Available)
		}
		if n, err := c.Verification.Damaged(ctx); err != nil || len(n) != 0 {
			t.Errorf("found right again: damaged images %v, %v, want none", n, err)
		}
	})
}
