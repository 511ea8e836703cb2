package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
)

func TestEditImage(t *testing.T) {
	st := newSite(t)
	st.removal()
	path := "/api/v1/images/" + st.record("a.tiff", nil)
	set := func(body string, external, label any) {
		t.Helper()
		im := st.object("PATCH", path, body, 200)
		if diff := cmp.Diff([]any{external, label}, []any{im["external_id"], im["label"]}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	set(`{}`, nil, nil)
	set(`{"external_id":"case \"7\"/π"}`, `case "7"/π`, nil)
	set(`{"label":"The tricky one"}`, `case "7"/π`, "The tricky one")
	set(`{"external_id":null}`, nil, "The tricky one")
	set(`{"label":null,"external_id":"`+strings.Repeat("ü", 200)+`"}`, strings.Repeat("ü", 200), nil)
	for body, words := range map[string]string{
		`{"external_id":""}`: "null to remove it",
		`{"external_id":"` + strings.Repeat("ü", 201) + `"}`: "at most 200",
		`{"external_id":"a\nb"}`:                             "one line",
		`{"external_id":"a\u0000"}`:                          "one line",
		`{"external_id":"a\u202eb"}`:                         "one line", // turns what follows around
		`{"external_id":"a\u00a0b"}`:                         "one line", // looks like another
		`{"external_id":" a"}`:                               "spaces at the beginning",
		`{"external_id":7}`:                                  "external_id",
		`{"external_id":"\ud800"}`:                           "UTF-8",
		`{"label":"a\tb","external_id":""}`:                  "label",
		`{"file_name":"x"}`:                                  "file_name",
		`{"digest":"x"}`:                                     "digest",
		`[]`:                                                 "",
		`{"Label":"x"}`:                                      "unexpected property",
		`{"label":"x","label":"y"}`:                          `\"label\" is given more than once`,
		`{"label":"x","labe\u006c":null}`:                    `\"label\" is given more than once`,
	} {
		st.refused("PATCH", path, body, 422, words)
	}
	set(`{}`, strings.Repeat("ü", 200), nil)
	st.refused("PATCH", "/api/v1/images/unknown", `{"label":"x"}`, 404, "no object with this id")
	st.object("DELETE", path, "", 204)
	st.refused("PATCH", path, `{"label":"x"}`, 404, "no object with this id")
	st.admin.Store(false)
	st.refused("PATCH", path, `{"label":"x"}`, 403, "Only an admin")
}

// A changed field is visible to callers who may see it, is in the audit log, and is used
// in requests to the authorizer at once.
func TestExternalIDIsAskedWith(t *testing.T) {
	g := newGuardedSite(t)
	path := "/api/v1/images/" + g.slide
	if a := g.as("contributor", "PATCH", path, `{"external_id":"case-7"}`); a.status != 200 || !strings.Contains(string(a.body), `"case-7"`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	// A token with the write scope only sees no labels, not even those it has set.
	secret, _, err := g.people.Tokens.Add(t.Context(), account.Token{User: g.ids["contributor"], Label: "robot", Scopes: []account.Scope{account.ScopeWrite, account.ScopeTiles}})
	if err != nil {
		t.Fatal(err)
	}
	if a := g.ask("PATCH", path, `{"external_id":"case-8"}`, "Authorization", "Bearer "+secret); a.status != 200 || strings.Contains(string(a.body), "case-8") {
		t.Errorf("by a token without label: %d %s", a.status, a.body)
	}
	if im := g.json("reader", path); im["external_id"] != "case-8" {
		t.Errorf("external id %v, want case-8", im["external_id"])
	}
	g.as("viewer", "PATCH", path, `{"external_id":"case-9"}`)
	events, _, err := g.people.Audit.List(t.Context(), account.EventFilter{Act: "image.set"}, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []bool
	for _, e := range events {
		got = append(got, e.Allowed)
		if e.Object != g.slide || e.User == "" || strings.Contains(e.Detail, "case") {
			t.Errorf("event %+v", e)
		}
	}
	if diff := cmp.Diff([]bool{false, true, true}, got); diff != "" {
		t.Errorf("in the audit log (-want +got):\n%s", diff)
	}
	if page := g.json("admin", "/api/v1/audit?act=image.set&outcome=refused&object="+g.slide)["items"].([]any); len(page) != 1 {
		t.Errorf("%d refused acts, want 1: %v", len(page), page)
	}
	if a := g.as("admin", "GET", "/api/v1/audit?outcome=perhaps", ""); a.status != 422 {
		t.Errorf("outcome=perhaps: %d, want 422", a.status)
	}
	g.load()
	im, err := g.api.Tiles.Image(g.slide)
	if err != nil || im.File.ExternalID != "case-8" {
		t.Errorf("tiles are asked for with %q, %v", im.File.ExternalID, err)
	}
}
