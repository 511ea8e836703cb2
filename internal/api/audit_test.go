package api_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// acts returns the actions of the audit log, oldest first, without logins.
func (g *guardedSite) acts(f account.EventFilter) []string {
	g.t.Helper()
	events, _, err := g.people.Audit.List(g.t.Context(), f, "")
	if err != nil {
		g.t.Fatal(err)
	}
	list := []string{}
	for _, e := range events {
		if e.Act != "login" {
			list = append([]string{e.Act}, list...)
		}
	}
	return list
}

// Viewing the gallery is one entry, with its pages, refreshes and previews, and is found
// by each of its images.
func TestOneViewingIsOneEntry(t *testing.T) {
	g := newGuardedSite(t)
	image := "/api/v1/images/" + g.slide
	page := g.json("reader", "/api/v1/images?limit=1")
	for page["next_cursor"] != nil {
		page = g.json("reader", "/api/v1/images?limit=1&cursor="+url.QueryEscape(page["next_cursor"].(string)))
	}
	g.json("reader", "/api/v1/images")
	g.json("reader", "/api/v1/images?fields=id,label,file_name")
	if a := g.as("reader", "GET", image+"/preview", ""); a.status != 200 {
		t.Fatalf("preview: %d", a.status)
	}
	if diff := cmp.Diff([]string{"label.list"}, g.acts(account.EventFilter{})); diff != "" {
		t.Errorf("gallery (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"label.list"}, g.acts(account.EventFilter{Object: g.slide})); diff != "" {
		t.Errorf("by image (-want +got):\n%s", diff)
	}
	g.as("reader", "GET", image, "")
	g.as("reader", "GET", image+"/associated/label", "")
	if diff := cmp.Diff([]string{"label.list", "label.show"}, g.acts(account.EventFilter{Object: g.slide})); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	// Another store, and another user, are viewings of their own.
	g.json("reader", "/api/v1/images?store="+g.store)
	g.json("admin", "/api/v1/images")
	if diff := cmp.Diff([]string{"label.list", "label.show", "label.list", "label.list"}, g.acts(account.EventFilter{Object: g.slide})); diff != "" {
		t.Errorf("viewings (-want +got):\n%s", diff)
	}
	g.json("admin", "/api/v1/audit")
	g.json("admin", "/api/v1/audit?act=login")
	if diff := cmp.Diff([]string{"audit.show"}, g.acts(account.EventFilter{Act: "audit.show"})); diff != "" {
		t.Errorf("the log itself (-want +got):\n%s", diff)
	}
}

// A list without labels is not a view of labels; one that is searched is.
func TestListWithoutLabelsIsNotRecorded(t *testing.T) {
	g := newGuardedSite(t)
	g.json("reader", "/api/v1/images?fields=id,state,width")
	if diff := cmp.Diff([]string{}, g.acts(account.EventFilter{})); diff != "" {
		t.Errorf("without labels (-want +got):\n%s", diff)
	}
	g.json("reader", "/api/v1/images?fields=id&q="+canary)
	if diff := cmp.Diff([]string{"label.list"}, g.acts(account.EventFilter{})); diff != "" {
		t.Errorf("searched (-want +got):\n%s", diff)
	}
}

func TestAuditNames(t *testing.T) {
	g := newGuardedSite(t)
	g.as("reader", "GET", "/api/v1/images/"+g.slide, "")
	g.as("contributor", "POST", "/api/v1/stores/"+g.store+"/sync", "")
	find := func(query string) map[string]any {
		t.Helper()
		return g.json("admin", "/api/v1/audit?"+query)["items"].([]any)[0].(map[string]any)
	}
	if names := find("act=label.show")["names"]; names != nil {
		t.Errorf("names without names=true: %v", names)
	}
	shown, ok := find("act=label.show&names=true")["names"].(map[string]any)
	if !ok || shown[g.ids["reader"]] != "reader" || !strings.Contains(shown[g.slide].(string), canary) {
		t.Errorf("names of label.show: %v", shown)
	}
	synced := find("act=store.sync&names=true")["names"].(map[string]any)
	if synced[g.store] == nil || synced[g.ids["contributor"]] != "contributor" {
		t.Errorf("names of store.sync: %v", synced)
	}
	if diff := cmp.Diff([]string{"label.show", "label.list"}, g.acts(account.EventFilter{Object: g.slide})); diff != "" {
		t.Errorf("the names shown are recorded (-want +got):\n%s", diff)
	}
}

func TestAuditExport(t *testing.T) {
	g := newGuardedSite(t)
	for range 3 {
		g.as("reader", "GET", "/api/v1/images/"+g.slide, "")
	}
	g.json("reader", "/api/v1/images")
	for _, detail := range []string{`=HYPERLINK("http://evil.example")`, "+1", "-1", "@SUM(A1)", "  =1", "plain, with \"quotes\""} {
		if err := g.people.Audit.Record(t.Context(), account.Event{Act: "test", Detail: detail, Allowed: true}); err != nil {
			t.Fatal(err)
		}
	}
	a := g.as("admin", "GET", "/api/v1/audit/export?names=true", "")
	if a.status != 200 || a.header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.Contains(a.header.Get("Content-Disposition"), "audit.csv") {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	body, ok := strings.CutPrefix(string(a.body), "\ufeff")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || !ok {
		t.Fatalf("%v, byte order mark %v: %s", err, ok, body)
	}
	var details []string
	for _, row := range rows[1:] {
		if row[4] == "test" {
			details = append([]string{row[9]}, details...)
		}
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@") {
				t.Errorf("a cell is a formula: %q", cell)
			}
		}
	}
	want := []string{`'=HYPERLINK("http://evil.example")`, "'+1", "'-1", "'@SUM(A1)", "'  =1", `plain, with "quotes"`}
	if diff := cmp.Diff(want, details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"n", "at", "user", "user_name", "act", "object", "object_name", "from", "outcome", "detail", "images"}, rows[0]); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}

	a = g.as("admin", "GET", "/api/v1/audit/export?format=jsonl&act=label.list&user="+g.ids["reader"], "")
	var lines []map[string]any
	for line := range strings.Lines(string(a.body)) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, v)
	}
	if len(lines) != 1 || lines[0]["user"] != g.ids["reader"] || !strings.Contains(string(a.body), g.slide) || float64(len(lines[0]["images"].([]any))) != lines[0]["image_count"] {
		t.Errorf("JSON lines: %s", a.body)
	}
	if diff := cmp.Diff([]string{"audit.export", "audit.export"}, g.acts(account.EventFilter{Act: "audit.export"})); diff != "" {
		t.Errorf("the export is recorded (-want +got):\n%s", diff)
	}
}

// The export has all pages of the log.
func TestAuditExportPages(t *testing.T) {
	g := newGuardedSite(t)
	const n = 1203
	for range n {
		if err := g.people.Audit.Record(t.Context(), account.Event{Act: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	a := g.as("admin", "GET", "/api/v1/audit/export?format=jsonl&act=test", "")
	if got := bytes.Count(a.body, []byte("\n")); got != n {
		t.Errorf("%d lines, want %d", got, n)
	}
}
