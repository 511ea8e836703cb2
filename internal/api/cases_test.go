package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/metrics"
)

// namedCases gives a site a case pattern and images with hostile accession numbers.
func namedCases(t *testing.T, st *site) (ids map[string]string) {
	t.Helper()
	a := st.ask("PATCH", "/api/v1/stores/"+st.store, `{"case_pattern":"^(?P<accession>.+)_(?P<part>[A-Z])(?P<block>\\d+)_(?P<stain>\\w+)","case_source":"barcode"}`)
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	ids = map[string]string{}
	for _, barcode := range []string{"S26/77 Müller_A2_HE", "S26/77 Müller_A1_PAS", "S26/77 Müller_A1_HE", "S26-8_A1_HE", strings.Repeat("7", 201) + "_A1_HE", "none"} {
		ids[barcode] = st.record("file"+string(rune('a'+len(ids))), func(im *catalog.Image) { im.Barcode = &barcode })
	}
	return ids
}

// A case is found by its accession number, whatever characters that has, with its slides in order.
func TestCases(t *testing.T) {
	st := newStoresSite(t)
	ids := namedCases(t, st)
	var page struct {
		Items []struct {
			Accession, Store  string
			Images            int
			Blocks, Stains    []string
			Thumbnail         *string `json:"thumbnail_id"`
			StoreLabel        string  `json:"store_label"`
			Newest, NextThing any
		}
		NextCursor *string `json:"next_cursor"`
	}
	list := func(query string) (names []string) {
		t.Helper()
		a := st.get("/api/v1/cases" + query)
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", query, a.status, a.body)
		}
		page.Items = nil
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Items {
			names = append(names, c.Accession)
		}
		return names
	}
	name := "S26/77 Müller"
	for query, want := range map[string][]string{
		"": {"S26-8", name}, "?sort=accession": {"S26-8", name}, "?q=müll": {name}, "?q=nothing": nil, "?accession=" + url.QueryEscape(name): {name}, "?accession=S26": nil,
		"?store=" + st.store: {"S26-8", name}, "?store=unknown": nil, "?barcode=" + url.QueryEscape(name+"_A1_PAS"): {name}, "?limit=1": {"S26-8"},
		"?accession=" + strings.Repeat("7", 500): nil, "?accession=" + url.QueryEscape("S26/77 Mu\u0308ller"): {name},
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	list("?accession=" + url.QueryEscape(name))
	if c := page.Items[0]; c.Images != 3 || len(c.Blocks) != 2 || len(c.Stains) != 2 || c.StoreLabel != "Scanner 1" || c.Thumbnail == nil {
		t.Errorf("the case: %+v", c)
	}
	a := st.get("/api/v1/cases/" + url.PathEscape(name))
	var one struct {
		Accession string
		Items     []struct {
			Accession string
			Slides    []map[string]any
		}
	}
	if err := json.Unmarshal(a.body, &one); err != nil || a.status != http.StatusOK || len(one.Items) != 1 || one.Accession != name {
		t.Fatalf("%d %s, %v", a.status, a.body, err)
	}
	var order []any
	for _, s := range one.Items[0].Slides {
		order = append(order, s["id"])
	}
	if diff := cmp.Diff([]any{ids[name+"_A1_HE"], ids[name+"_A1_PAS"], ids[name+"_A2_HE"]}, order); diff != "" {
		t.Errorf("slides (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/api/v1/cases/S26", "/api/v1/cases/" + strings.Repeat("7", 500), "/api/v1/cases/" + strings.Repeat("%C3%BC", 500), "/api/v1/cases/%00"} {
		if a := st.get(path); a.status != http.StatusNotFound && a.status != http.StatusBadRequest {
			t.Errorf("%.40s: %d, want 404", path, a.status)
		}
	}
	if a := st.get("/api/v1/images?accession=" + url.QueryEscape(name)); strings.Count(string(a.body), `"id"`) != 3 {
		t.Errorf("images of the case: %s", a.body)
	}
}

// Names that users set survive, null returns to the pattern, and invalid ones are refused.
func TestCorrectCase(t *testing.T) {
	st := newStoresSite(t)
	ids := namedCases(t, st)
	path := "/api/v1/images/" + ids["S26-8_A1_HE"]
	for _, tt := range []struct {
		patch  string
		status int
		want   map[string]any
	}{
		{`{"accession":"S26-9","stain":"Ki-67"}`, 200, map[string]any{"accession": "S26-9", "part": "A", "block": "1", "stain": "Ki-67", "corrected": []any{"accession", "stain"}}},
		{`{"stain":null}`, 200, map[string]any{"accession": "S26-9", "part": "A", "block": "1", "stain": "HE", "corrected": []any{"accession"}}},
		{`{"accession":""}`, 422, nil},
		{`{"accession":"` + strings.Repeat("7", 201) + `"}`, 422, nil},
		{`{"accession":"a\u0000"}`, 422, nil},
		{`{"accession":"a","accession":"b"}`, 422, nil},
		{`{"accession":null}`, 200, map[string]any{"accession": "S26-8", "part": "A", "block": "1", "stain": "HE", "corrected": []any{}}},
	} {
		a := st.ask("PATCH", path, tt.patch)
		if a.status != tt.status {
			t.Errorf("%.60s: %d %s, want %d", tt.patch, a.status, a.body, tt.status)
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(a.body, &got); err != nil {
			t.Fatal(err)
		}
		for field, want := range tt.want {
			if diff := cmp.Diff(want, got[field]); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", tt.patch, field, diff)
			}
		}
	}
}

// A pattern is tried on the newest slides, and nothing is changed.
func TestTryCasePattern(t *testing.T) {
	st := newStoresSite(t)
	namedCases(t, st)
	a := st.ask("POST", "/api/v1/stores/"+st.store+"/case-pattern", `{"case_pattern":"(?P<accession>S26.\\d+)"}`)
	if a.status != http.StatusOK || strings.Count(string(a.body), `"accession":"S26/77"`) != 3 || strings.Count(string(a.body), `"source":null`) != 2 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, body := range []string{`{"case_pattern":"(?P<stain>x)"}`, `{"case_pattern":"(?P<accession>x)","case_source":"path"}`, `{"case_pattern":"(?P<accession>x)(?!y)"}`, `{}`} {
		if a := st.ask("POST", "/api/v1/stores/"+st.store+"/case-pattern", body); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d, want 422", body, a.status)
		}
	}
	if a := st.get("/api/v1/cases?q=" + url.QueryEscape("S26/77 m")); !strings.Contains(string(a.body), "Müller") {
		t.Errorf("the cases have changed: %s", a.body)
	}
}

// Correcting and trying reveal no names to callers without the right to labels, nor to the log, the
// audit log and the metrics; the audit log has the names of the corrected fields.
func TestCorrectionsRevealNothing(t *testing.T) {
	const secret = "CANARY/26 Müller"
	g := newGuardedSite(t)
	recorder, mux := metrics.New("test"), http.NewServeMux()
	g.api.Register(mux)
	srv := httptest.NewServer(recorder.Routes(mux))
	t.Cleanup(srv.Close)
	g.url = srv.URL
	image := "/api/v1/images/" + g.slide
	body := `{"accession":"` + secret + `","part":"CANARY part","block":"CANARY block","stain":"HE"}`
	for role, want := range map[string]int{"viewer": 403, "outsider": 403, "reader": 403, "contributor": 200} {
		if a := g.as(role, "PATCH", image, body); a.status != want {
			t.Errorf("%s: %d %s, want %d", role, a.status, a.body, want)
		}
	}
	token, _, err := g.people.Tokens.Add(t.Context(), account.Token{User: g.ids["contributor"], Label: "robot", Scopes: []account.Scope{account.ScopeWrite, account.ScopeTiles}})
	if err != nil {
		t.Fatal(err)
	}
	if a := g.ask("PATCH", image, body, "Authorization", "Bearer "+token); a.status != 200 || strings.Contains(string(a.body), "CANARY") {
		t.Errorf("correction with a token without labels: %d %s", a.status, a.body)
	}
	try := "/api/v1/stores/" + g.store + "/case-pattern"
	for _, role := range []string{"viewer", "outsider", "admin"} {
		a := g.as(role, "POST", try, `{"case_pattern":"(?P<accession>`+canary+`.+)"}`)
		if sees := strings.Contains(string(a.body), canary+"-name"); sees != (role == "admin") {
			t.Errorf("%s tries a pattern: %d %s", role, a.status, a.body)
		}
	}
	paths := []string{"/api/v1/cases", "/api/v1/cases?q=CANARY", "/api/v1/cases/" + url.PathEscape(secret), "/api/v1/cases?accession=" + url.QueryEscape(secret), "/api/v1/cases/" + url.PathEscape(secret) + "?store=" + g.store, "/api/v1/images?accession=" + url.QueryEscape(secret), image}
	shown := 0
	for _, path := range paths {
		for _, role := range []string{"stranger", "viewer", "outsider"} {
			a := g.as(role, "GET", path, "")
			if strings.Contains(string(a.body), "CANARY") {
				t.Errorf("%s: GET %s: %s", role, path, a.body)
			}
		}
		if strings.Contains(string(g.as("reader", "GET", path, "").body), secret) {
			shown++
		}
	}
	if shown != len(paths) {
		t.Errorf("the reader sees the accession number in %d answers of %d", shown, len(paths))
	}
	if log := g.log.String(); strings.Contains(log, "CANARY/26") || strings.Contains(log, "CANARY part") {
		t.Errorf("the log has names:\n%s", log)
	}
	w := httptest.NewRecorder()
	recorder.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if all := w.Body.String(); strings.Contains(all, "CANARY") || !strings.Contains(all, `route="GET /api/v1/cases/{accession}"`) {
		t.Errorf("metrics:\n%s", all)
	}
	events, _, err := g.people.Audit.List(t.Context(), account.EventFilter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	var details []string
	for _, e := range events {
		if strings.Contains(fmt.Sprint(e), "CANARY") {
			t.Errorf("the audit log has a name: %+v", e)
		}
		if e.Act == "image.set" && e.Allowed {
			details = append(details, e.Detail)
		}
	}
	if diff := cmp.Diff([]string{"accession, part, block, stain", "accession, part, block, stain"}, details); diff != "" {
		t.Errorf("corrections in the audit log (-want +got):\n%s", diff)
	}
}

// Accession numbers, parts and blocks are shown to callers with the right to labels only; stains to all.
func TestCasesWithoutLabels(t *testing.T) {
	g := newGuardedSite(t)
	if _, err := g.api.Catalog.Stores.Update(t.Context(), g.store, func(s *catalog.Store) error {
		s.CasePattern, s.CaseSource = `^(?P<accession>(?P<part>.*)(?P<block>-name).(?P<stain>tiff))`, catalog.CaseFromFileName
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := g.api.Catalog.Images.NameCases(t.Context(), g.store); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	for role, sees := range map[string]bool{"viewer": false, "outsider": false, "reader": true, "admin": true} {
		for _, path := range []string{"/api/v1/cases", "/api/v1/cases?store={store}", "/api/v1/cases?q=" + canary, "/api/v1/cases?accession=" + canary + "-name.tiff", "/api/v1/cases/" + canary + "-name.tiff", "/api/v1/images?accession=" + canary + "-name.tiff", "/api/v1/images", "/api/v1/images/{image}"} {
			a := g.as(role, "GET", g.fillIn(path), "")
			if got := strings.Contains(string(a.body), canary+"-name.tiff"); got != sees {
				t.Errorf("%s: %s: shows the accession number: %v, want %v", role, path, got, sees)
			}
		}
	}
	if a := g.as("viewer", "GET", "/api/v1/images/"+g.slide, ""); !strings.Contains(string(a.body), `"stain":"tiff"`) {
		t.Errorf("the viewer sees no stain: %s", a.body)
	}
	if log := g.log.String(); strings.Contains(log, canary+"-name") {
		t.Errorf("the log has the accession number:\n%s", log)
	}
}
