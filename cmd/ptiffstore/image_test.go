package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestImageCommands sets external ids one by one and from a table, and checks the audit log.
func TestImageCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(o.data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: "/slides"})
	if err != nil {
		t.Fatal(err)
	}
	a := &catalog.Image{StoreID: s.ID, Path: "a.tiff", State: catalog.Available}
	b := &catalog.Image{StoreID: s.ID, Path: "b.tiff", State: catalog.Available}
	if err := c.Images.Put(t.Context(), []*catalog.Image{a, b}); err != nil {
		t.Fatal(err)
	}
	ids := func(want ...any) {
		t.Helper()
		var got []any
		for _, im := range []*catalog.Image{a, b} {
			var v map[string]any
			if err := json.Unmarshal([]byte(o.says("", "image", "show", im.ID)), &v); err != nil {
				t.Fatal(err)
			}
			got = append(got, v["external_id"], v["label"])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("external id and label of both (-want +got):\n%s", diff)
		}
	}
	o.says("", "image", "set", a.ID, "--external-id", "case 7", "--label", "Mine")
	ids("case 7", "Mine", nil, nil)
	o.says("", "image", "set", a.ID, "--label", "")
	ids("case 7", nil, nil, nil)
	o.refuses("use a flag, such as --label", "", "image", "set", a.ID)
	o.refuses("unknown image", "", "image", "set", "unknown", "--label", "x")
	o.refuses("spaces at the beginning", "", "image", "set", a.ID, "--external-id", " x")
	if got := o.says(a.ID+",\n"+b.ID+",\"c,9\"\n", "image", "map", "-"); got != "2 set, 0 failed" {
		t.Errorf("map: %q", got)
	}
	ids(nil, nil, "c,9", nil)
	r := o.run("unknown,1\n"+b.ID+"\n"+a.ID+",2\n", "image", "map", "-")
	if r.code != exitFailure || r.out != "1 set, 2 failed\n" || !strings.Contains(r.err, "line 1: unknown image") || !strings.Contains(r.err, "line 2: ") {
		t.Errorf("map with mistakes: %v", r)
	}
	ids("2", nil, "c,9", nil)
	events, _, err := o.accounts().Audit.List(t.Context(), account.EventFilter{Act: "image.set"}, "")
	if err != nil || len(events) != 5 {
		t.Errorf("%d events in the audit log, %v; want 5", len(events), err)
	}
	if got := o.says("", "audit", "--act", "image.set", "--object", b.ID); strings.Count(got, b.ID) != 1 || !strings.Contains(got, "allowed") {
		t.Errorf("audit:\n%s", got)
	}
	if got := o.says("", "audit", "--act", "image.set", "--limit", "1", "--json"); strings.Count(got, "\n") != 0 || !strings.Contains(got, `"object":"`+a.ID) {
		t.Errorf("audit as JSON: %s", got)
	}
	if _, err := o.accounts().Audit.RecordImages(t.Context(), account.Event{Act: "label.show", Allowed: true, Images: []string{a.ID, b.ID}}); err != nil {
		t.Fatal(err)
	}
	if got := o.says("", "audit", "--act", "label.show"); !strings.Contains(got, "(2 images)") {
		t.Errorf("audit of a list:\n%s", got)
	}
	if got := o.says("", "audit", "--act", "label.show", "--json"); !strings.Contains(got, `"images":["`) {
		t.Errorf("audit of a list as JSON: %s", got)
	}
	if got := o.says("", "audit", "--refused"); strings.Contains(got, "image.set") {
		t.Errorf("audit of what was refused:\n%s", got)
	}
}
