package upload_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

// A client lists its own uploads, and not those of others.
func TestList(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	list := func(header ...string) []upload.View {
		t.Helper()
		a := s.ask("GET", upload.Route, nil, header...)
		var page struct{ Items []upload.View }
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != 200 {
			t.Fatalf("list: %d %s", a.status, a.body)
		}
		return page.Items
	}
	if got := list(); len(got) != 0 {
		t.Errorf("before anything was begun: %+v", got)
	}
	file := noise(1000)
	s.begin("first.tiff", 10, "modified", "1718000000000")
	s.patch(s.begin("second.tiff", len(file)), 0, file)
	got := list()
	if len(got) != 2 || *got[0].SentAs != "second.tiff" || got[0].State != "received" || *got[1].SentAs != "first.tiff" ||
		got[1].State != "uploading" || got[1].Length != 10 || *got[1].Modified != "1718000000000" {
		t.Errorf("list: %+v", got)
	}
	if got := list("Authorization", "another"); len(got) != 0 {
		t.Errorf("another user sees them: %+v", got)
	}
	if got := list("Authorization", "nobody"); len(got) != 0 {
		t.Errorf("a user who may not upload sees them: %+v", got)
	}
}

// A store accepts no more than its quota: its files, the received bytes of uploads and
// the rest of the others all count.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	ctx := context.Background()
	quota := func(n int64) {
		t.Helper()
		if _, err := s.c.Stores.Update(ctx, s.store.ID, func(st *catalog.Store) error { st.Quota = n; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.c.Images.Put(ctx, []*catalog.Image{{StoreID: s.store.ID, Path: "slides/a.tiff", State: catalog.Available, Identity: fsx.Identity{Size: 1000}}}); err != nil {
		t.Fatal(err)
	}
	try := func(length int) answer {
		t.Helper()
		return s.ask("POST", upload.Route, nil, "Upload-Length", strconv.Itoa(length), "Upload-Metadata", metadata("filename", "x.tiff", "store", s.store.ID))
	}
	quota(3000)
	file := noise(1500)
	first := s.begin("first.tiff", len(file))
	if a := try(600); a.status != 507 || !strings.Contains(a.body, "quota is 3000 bytes, of which 500 are left: 600 are needed") || a.header.Get("Retry-After") == "" {
		t.Errorf("beyond what is promised: %d %s", a.status, a.body)
	}
	second := try(500)
	if second.status != 201 {
		t.Errorf("what there is room for: %d %s", second.status, second.body)
	}
	if a := s.patch(first, 0, file[:700]); a.status != 204 {
		t.Fatalf("first part: %d %s", a.status, a.body)
	}
	quota(2000)
	if a := s.patch(first, 700, file[700:]); a.status != 507 || !strings.Contains(a.body, "300 are left: 800 are needed") {
		t.Errorf("after the quota was lowered: %d %s", a.status, a.body)
	}
	if a := s.ask("HEAD", first, nil); a.offset() != "700" {
		t.Errorf("the offset is %q, want 700", a.offset())
	}
	quota(3000)
	if a := s.patch(first, 700, file[700:]); a.status != 204 {
		t.Errorf("when there is enough space: %d %s", a.status, a.body)
	}
	s.arrived("first.tiff", file)
}
