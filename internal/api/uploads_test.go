package api_test

import (
	"encoding/base64"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
)

// Which callers may see which uploads, with their names, and remove them.
func TestUploadRights(t *testing.T) {
	g := newGuardedSite(t)
	ctx := t.Context()
	g.mkdir("archive")
	st, err := managed.AddStore(ctx, g.api.Catalog, catalog.Store{Label: "Archive", Mode: catalog.Managed, Root: g.path("archive")})
	if err != nil {
		t.Fatal(err)
	}
	g.person("sender", "correct horse sender", account.Grant{Role: account.Contributor, Store: st.ID})
	g.person("keeper", "correct horse keeper", account.Grant{Role: account.Admin, Store: st.ID})
	tus := []string{"Tus-Resumable", "1.0.0"}
	b64 := base64.StdEncoding.EncodeToString
	begin := func() string {
		t.Helper()
		a := g.as("sender", "POST", "/api/v1/uploads", "", append(tus, "Upload-Length", "10", "Upload-Metadata", "filename "+b64([]byte(canary+".tiff"))+",store "+b64([]byte(st.ID)))...)
		if a.status != http.StatusCreated {
			t.Fatalf("upload: %d %s", a.status, a.body)
		}
		return a.header.Get("Location")
	}
	at := begin()
	const all = "/api/v1/uploads?all=true"
	type seen struct{ Listed, Named bool }
	got := map[string]seen{}
	check := func(role string, a answer) {
		got[role] = seen{strings.Contains(string(a.body), filepath.Base(at)), strings.Contains(string(a.body), canary)}
	}
	for _, role := range []string{"sender", "keeper", "admin", "contributor", "viewer"} {
		check(role, g.as(role, "GET", all, ""))
	}
	if _, err := g.api.Catalog.Stores.Update(ctx, st.ID, func(s *catalog.Store) error { s.HideLabels = true; return nil }); err != nil {
		t.Fatal(err)
	}
	check("admin, labels hidden", g.as("admin", "GET", all, ""))
	want := map[string]seen{
		"sender": {true, true}, "keeper": {true, true}, "admin": {true, true}, "contributor": {}, "viewer": {},
		"admin, labels hidden": {true, true}, // the scope admin includes label here; see package upload for one that does not
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who sees an upload (-want +got):\n%s", diff)
	}
	if a := g.as("keeper", "GET", all, ""); !strings.Contains(string(a.body), `"owner":{"id":"`+g.ids["sender"]+`","name":"sender"}`) {
		t.Errorf("the owner is not named: %s", a.body)
	}
	for role, want := range map[string]int{"viewer": 403, "contributor": 403, "outsider": 403, "": 401} {
		if a := g.as(role, "DELETE", at, "", tus...); a.status != want && a.status != 404 {
			t.Errorf("DELETE by %q: %d %s, want %d or 404", role, a.status, a.body, want)
		}
	}
	if a := g.as("keeper", "DELETE", at, "", tus...); a.status != http.StatusNoContent {
		t.Errorf("DELETE by the admin of the store: %d %s", a.status, a.body)
	}
	log := g.json("admin", "/api/v1/audit?act=upload.remove")
	if items := log["items"].([]any); len(items) != 1 || items[0].(map[string]any)["user"] != g.ids["keeper"] || items[0].(map[string]any)["detail"] != "begun by "+g.ids["sender"] {
		t.Errorf("audit log: %v", items)
	}
	if a := g.as("keeper", "DELETE", begin()+"?confirmed=true", "", tus...); a.status != 422 {
		t.Errorf("DELETE with an unknown parameter: %d", a.status)
	}
}
