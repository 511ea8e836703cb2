package scan

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/slidetest"
	"github.com/slideatlas/ptiffstore/test/unprivileged"
)

// TestPermissionDenied runs as a user who may not read everything: root starts this
// test again as the user nobody.
func TestPermissionDenied(t *testing.T) {
	t.Parallel()
	if unprivileged.Rerun(t) {
		return
	}
	st := newSite(t)
	st.write("closed.tiff", slidetest.Pyramid{}.Bytes())
	st.write("closed/a.tiff", slidetest.Pyramid{Seed: 1}.Bytes())
	st.write("open.tiff", slidetest.Pyramid{Seed: 2}.Bytes())
	st.later(time.Minute)
	chmod := func(mode os.FileMode, name string) {
		t.Helper()
		if err := os.Chmod(st.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(st.path("closed"), 0o755) })

	chmod(0, "closed.tiff")
	r := st.scan(Options{})
	if im := st.image("closed.tiff"); im.State != catalog.Broken || !strings.Contains(im.Reason, "permission denied") || !strings.Contains(im.Reason, "user ") {
		t.Errorf("a file that may not be read: %s %q, want %s, and whom to give permission", im.State, im.Reason, catalog.Broken)
	}
	if len(r.Failed) != 1 || r.Added != 3 {
		t.Errorf("%+v, want 3 added, 1 of them failed", r)
	}
	chmod(0, "closed")
	for range 2 {
		if r = st.scan(Options{}); r.Missing != 0 || r.Updated != 0 || len(r.Failed) != 2 {
			t.Errorf("a folder that may not be read: %+v, want 2 failed, none missing", r)
		}
	}
	if got := st.image("closed/a.tiff").State; got != catalog.Available {
		t.Errorf("in a folder that may not be read: %s, want %s as before", got, catalog.Available)
	}
	chmod(0o755, "closed")
	chmod(0o644, "closed.tiff")
	if r = st.scan(Options{}); len(r.Failed) != 0 || r.Updated != 1 {
		t.Errorf("all may be read again: %+v, want 1 updated", r)
	}
	if got := st.image("closed.tiff").State; got != catalog.Available {
		t.Errorf("a file that may be read again: %s, want %s", got, catalog.Available)
	}
	chmod(0, "")
	_, err := st.Sync(t.Context(), st.store, Options{})
	chmod(0o755, "")
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a store that may not be read: %v, want permission denied", err)
	}
}
