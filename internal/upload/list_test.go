package upload_test

import (
	"encoding/json"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/upload"
)

// A sender that has forgotten its uploads is told of them, and of nobody else's.
func TestList(t *testing.T) {
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
		t.Errorf("another is told of them: %+v", got)
	}
	if got := list("Authorization", "nobody"); len(got) != 0 {
		t.Errorf("one who may not upload is told of them: %+v", got)
	}
}
