package scan

import (
	"os"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestDamageStays records that a file's bytes have changed without a write, and
// inspects it again in every possible way. Its structure is complete all the time.
func TestDamageStays(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	ctx := t.Context()
	st.write("a.tiff", slidetest.Pyramid{}.Bytes())
	st.later(time.Minute)
	st.scan(Options{})
	im := st.image("a.tiff")
	if err := st.Catalog.Verification.SetDigest(ctx, im.ID, im.Revision, "d1"); err != nil {
		t.Fatal(err)
	}
	const words = "the bytes of the file do not match its digest"
	if err := st.Catalog.Verification.Failed(ctx, im.ID, im.Revision, words, st.now); err != nil {
		t.Fatal(err)
	}
	var available []string
	st.Available = func(id string) { available = append(available, id) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mtime := time.Unix(0, im.Identity.MTime)
	now := "a.tiff"
	for _, step := range []struct {
		name    string
		do      func()
		options Options
	}{
		{"synced", func() {}, Options{}},
		{"resynced", func() {}, Options{Resync: true}},
		{"its mode changed", func() { must(os.Chmod(st.path("a.tiff"), 0o600)) }, Options{}},
		{"renamed", func() { must(os.Rename(st.path("a.tiff"), st.path("b.tiff"))); now = "b.tiff" }, Options{}},
		{"copied in again, with its times", func() {
			must(os.Remove(st.path(now)))
			st.write(now, slidetest.Pyramid{}.Bytes())
			must(os.Chtimes(st.path(now), mtime, mtime))
		}, Options{}},
		{"gone", func() { must(os.Rename(st.path(now), st.root+".away")) }, Options{}},
		{"back", func() { must(os.Rename(st.root+".away", st.path(now))) }, Options{}},
	} {
		step.do()
		st.later(time.Minute)
		st.scan(step.options)
		got := st.image(now)
		if step.name == "gone" {
			if got.State != catalog.Missing || got.DamagedAt == nil {
				t.Errorf("%s: %s, damaged at %v, want %s, and damaged", step.name, got.State, got.DamagedAt, catalog.Missing)
			}
			continue
		}
		if got.ID != im.ID || got.State != catalog.Broken || got.Reason != words || got.DamagedAt == nil || got.Digest == nil || *got.Digest != "d1" {
			t.Errorf("%s: %s %q, damaged at %v, digest %v; want %s %q", step.name, got.State, got.Reason, got.DamagedAt, got.Digest, catalog.Broken, words)
		}
	}
	if len(available) > 0 {
		t.Errorf("a damaged image was reported as available: %q", available)
	}

	st.write(now, slidetest.Pyramid{Seed: 3}.Bytes())
	st.later(time.Minute)
	st.scan(Options{})
	if got := st.image(now); got.State != catalog.Available || got.DamagedAt != nil || got.Damage != "" || got.Digest != nil || len(available) != 1 {
		t.Errorf("written again: %s %q, damaged at %v, digest %v, available %q; want %s", got.State, got.Reason, got.DamagedAt, got.Digest, available, catalog.Available)
	}
}
