package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
)

// A link is a share link of a test.
type link struct{ id, secret, cookie string }

// share creates a share link as a user with a role, and opens it.
func (g *guardedSite) share(role, body string) link {
	g.t.Helper()
	a := g.as(role, "POST", "/api/v1/shares", g.fillIn(body), "Content-Type", "application/json")
	var made struct {
		ID  string
		URL string
	}
	if err := json.Unmarshal(a.body, &made); err != nil || a.status != 201 {
		g.t.Fatalf("%s shares %s: %d %s", role, body, a.status, a.body)
	}
	_, secret, _ := strings.Cut(made.URL, "#")
	l := link{id: made.ID, secret: secret}
	l.cookie = g.openShare(l, "", 200)
	return l
}

// openShare opens a link in a new browser, and returns its cookie.
func (g *guardedSite) openShare(l link, password string, want int) string {
	g.t.Helper()
	a := g.ask("POST", "/api/v1/shares/"+l.id+"/open", fmt.Sprintf(`{"secret":%q,"password":%q}`, l.secret, password), "Content-Type", "application/json")
	if a.status != want {
		g.t.Fatalf("open a link: %d %s, want %d", a.status, a.body, want)
	}
	set := a.header.Get("Set-Cookie")
	pair, attributes, _ := strings.Cut(set, ";")
	if want == 200 && (!strings.Contains(attributes, "HttpOnly") || !strings.Contains(attributes, "SameSite=Lax") || a.header.Get("Cache-Control") != "no-store") {
		g.t.Errorf("cookie %q, Cache-Control %q", set, a.header.Get("Cache-Control"))
	}
	return pair
}

// with sends a GET request with a cookie.
func (g *guardedSite) with(cookie, path string) answer {
	g.t.Helper()
	return g.ask("GET", g.fillIn(path), "", "Cookie", cookie)
}

// A share link shows its images, and allows nothing else on any route.
func TestShareRoutes(t *testing.T) {
	g := newGuardedSite(t)
	l := g.share("viewer", `{"images":["{image}"],"title":"Tumour board"}`)
	if strings.Contains(l.cookie, l.secret) {
		t.Error("the cookie is the secret of the link")
	}
	shown := []string{
		"/api/v1/images/{image}", "/api/v1/images/{image}/thumbnail", "/api/v1/images/{image}/region?x=0&y=0&w=64&h=64", "/dzi/{image}.dzi", "/iiif/3/{image}/info.json",
		"/iiif/2/{image}/full/64,/0/default.jpg", "/zoomify/{image}/ImageProperties.xml", "/zoomify/{image}/TileGroup0/0-0-0.jpg", "/api/v1/images/{image}/tiles/0/0/0",
		"/tile/{store}/{image}/t.jpg",
	}
	for _, path := range shown {
		if a := g.with(l.cookie, path); a.status != 200 {
			t.Errorf("%s: %d %.200s, want 200", path, a.status, a.body)
		}
		if a := g.with(l.cookie, strings.ReplaceAll(path, "{image}", g.away)); a.status == 200 {
			t.Errorf("%s of another image: 200", path)
		}
	}
	also := []string{"/api/v1/images/{image}/tiles/0/0/0", "/iiif/3/{image}", "/iiif/3/{image}/0,0,128,128/max/0/default.jpg", "/iiif/2/{image}/info.json"}
	for _, row := range accessTable {
		method, _, _ := strings.Cut(row.route, " ")
		if row.route == "tiles" {
			method = "GET"
		}
		path := g.fillIn(g.fillIn(row.path))
		a := g.ask(method, path, g.fillIn(row.body), "Cookie", l.cookie)
		stranger := g.ask(method, path, g.fillIn(row.body))
		if a.status == stranger.status || slices.Contains(shown, row.path) || slices.Contains(also, row.path) {
			continue
		}
		// What is wrong with a request for the image of the link, it may learn.
		if strings.Contains(row.path, "{image}") && (a.status == 400 || a.status == 404) {
			continue
		}
		// The check of a permission tells what tiles do.
		if strings.HasPrefix(row.path, "/api/v1/auth/check") && strings.Contains(row.path+row.body, "tiles") && !strings.Contains(row.body, "away") {
			continue
		}
		t.Errorf("%s %s: %d %.200s with a share link, %d for a stranger", method, row.path, a.status, a.body, stranger.status)
	}
}

// Without labels, no response to a share link has a name, and neither has the log.
func TestShareWithoutNames(t *testing.T) {
	g := newGuardedSite(t)
	l := g.share("reader", `{"images":["{image}"]}`)
	paths := []string{"/api/v1/shares/" + l.id + "/view", "/api/v1/shares/" + l.id, "/api/v1/shares", "/api/v1/images/" + g.slide}
	for _, row := range accessTable {
		if strings.HasPrefix(row.route, "GET ") || row.route == "tiles" {
			paths = append(paths, g.fillIn(row.path))
		}
	}
	for _, path := range paths {
		a := g.with(l.cookie, path)
		if all := fmt.Sprint(a.header) + string(a.body); strings.Contains(strings.ToUpper(all), canary) {
			t.Errorf("%s reveals a name: %.400s", path, all)
		}
	}
	if log := g.log.String(); strings.Contains(strings.ToUpper(log), canary) || strings.Contains(log, l.secret) || strings.Contains(log, strings.TrimPrefix(l.cookie, authz.ShareCookie+"=")) {
		t.Errorf("the log reveals a name or a secret:\n%s", log)
	}
	// Check the test: a link with labels does show them.
	l = g.share("reader", `{"images":["{image}"],"with_labels":true}`)
	for _, path := range []string{"/api/v1/shares/" + l.id + "/view", "/api/v1/images/{image}"} {
		if a := g.with(l.cookie, path); a.status != 200 || !strings.Contains(string(a.body), canary) {
			t.Errorf("%s of a link with labels: %d %.300s", path, a.status, a.body)
		}
	}
	if a := g.with(l.cookie, "/api/v1/images/{image}/associated/label"); a.status != 200 {
		t.Errorf("label of a link with labels: %d", a.status)
	}
}

// Only users who may see the images can share them, and only with labels if they see those.
func TestShareCreation(t *testing.T) {
	g := newGuardedSite(t)
	for _, row := range []struct {
		body string
		want statuses
	}{
		{`{"images":["{image}"]}`, statuses{401, 201, 201, 201, 201, 403}},
		{`{"images":["{image}"],"with_labels":true}`, statuses{401, 403, 201, 201, 201, 403}},
		{`{"images":["{image}","{away}"]}`, statuses{401, 403, 403, 403, 201, 403}},
		{`{"images":["unknown"]}`, statuses{401, 403, 403, 403, 403, 403}},
		{`{"images":[]}`, statuses{401, 422, 422, 422, 422, 422}},
		{`{"images":["{image}"],"hours":0}`, statuses{401, 422, 422, 422, 422, 422}},
		{`{"images":["{image}"],"hours":9000}`, statuses{401, 422, 422, 422, 422, 422}},
		{`{"images":["{image}"],"password":"short"}`, statuses{401, 422, 422, 422, 422, 403}},
		{`{"images":["{image}"],"accession":"S1"}`, statuses{401, 422, 422, 422, 422, 422}},
		{`{"store":"{store}","accession":"S 26/1 ü"}`, statuses{401, 404, 404, 404, 404, 404}},
		{`{"images":["{image}"],"labels":true}`, statuses{401, 422, 422, 422, 422, 422}},
	} {
		for i, role := range roles {
			if a := g.as(role, "POST", "/api/v1/shares", g.fillIn(row.body), "Content-Type", "application/json"); a.status != row.want[i] {
				t.Errorf("%s: %s: %d %s, want %d", role, row.body, a.status, a.body, row.want[i])
			}
		}
	}
	l := g.share("reader", `{"images":["{image}"]}`)
	for i, want := range (statuses{401, 403, 200, 403, 200, 403}) {
		if a := g.as(roles[i], "GET", "/api/v1/shares/"+l.id, ""); a.status != want || strings.Contains(string(a.body), l.secret) {
			t.Errorf("%s reads the link of another: %d %s, want %d", roles[i], a.status, a.body, want)
		}
	}
	for i, want := range (statuses{401, 403, 403, 403, 200, 403}) {
		if a := g.as(roles[i], "GET", "/api/v1/shares?all=true", ""); a.status != want {
			t.Errorf("%s lists all links: %d, want %d", roles[i], a.status, want)
		}
	}
	if a := g.as("viewer", "DELETE", "/api/v1/shares/"+l.id, ""); a.status != 403 {
		t.Errorf("a user revokes the link of another: %d", a.status)
	}
}

// A link ends at once when it is revoked, and shows less when its creator may see less.
func TestShareEnds(t *testing.T) {
	g := newGuardedSite(t)
	tile, record := "/api/v1/images/{image}/tiles/0/0/0", "/api/v1/images/{image}"
	sees := func(l link, want bool) {
		t.Helper()
		for _, path := range []string{tile, record, "/api/v1/shares/" + l.id + "/view"} {
			if a := g.with(l.cookie, path); (a.status == 200) != want || !want && strings.Contains(string(a.body), g.store) {
				t.Errorf("%s: %d %.200s, want it to be shown: %v", path, a.status, a.body, want)
			}
		}
	}
	l := g.share("reader", `{"images":["{image}"]}`)
	sees(l, true)
	if a := g.as("reader", "DELETE", "/api/v1/shares/"+l.id, ""); a.status != 204 {
		t.Fatalf("revoke: %d %s", a.status, a.body)
	}
	sees(l, false)
	g.openShare(l, "", 404) // replayed

	l = g.share("reader", `{"images":["{image}"]}`)
	sees(l, true)
	disable := func(disabled bool) {
		t.Helper()
		if _, err := g.people.Users.Update(t.Context(), g.ids["reader"], func(u *account.User) error { u.Disabled = disabled; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	sees(l, false)
	disable(false)
	sees(link{l.id, l.secret, g.openShare(l, "", 200)}, true)
	grants, err := g.people.Grants.List(t.Context(), account.GrantFilter{User: g.ids["reader"]})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.people.Grants.Delete(t.Context(), grants[0].ID); err != nil {
		t.Fatal(err)
	}
	sees(l, false)

	l = g.share("contributor", `{"images":["{image}"]}`)
	sees(l, true)
	if a := g.as("admin", "DELETE", "/api/v1/images/"+g.slide, ""); a.status != 204 {
		t.Errorf("delete the slide: %d %s", a.status, a.body)
	} else {
		g.load()
		sees(l, false)
	}
	for _, bad := range []link{{"unknown", l.secret, ""}, {l.id, l.secret + "x", ""}, {l.id, "", ""}, {l.id, strings.ToUpper(l.secret), ""}} {
		g.openShare(bad, "", 404)
	}
	g.api.Access.NoSharing = true
	g.openShare(l, "", 404)
	if a := g.as("contributor", "POST", "/api/v1/shares", g.fillIn(`{"images":["{image}"]}`)); a.status != 403 {
		t.Errorf("with sharing switched off: %d", a.status)
	}
}

// The audit log has the creation of a link, its openings and views, wrong passwords and the
// revocation, without secrets.
func TestShareAudit(t *testing.T) {
	g := newGuardedSite(t)
	a := g.as("reader", "POST", "/api/v1/shares", g.fillIn(`{"images":["{image}"],"password":"open sesame"}`))
	var made struct{ ID, URL string }
	if err := json.Unmarshal(a.body, &made); err != nil || a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	_, secret, _ := strings.Cut(made.URL, "#")
	l := link{id: made.ID, secret: secret}
	g.openShare(l, "", 403)
	g.openShare(l, "guess this", 403)
	l.cookie = g.openShare(l, "open sesame", 200)
	g.with(l.cookie, "/api/v1/shares/"+l.id+"/view")
	g.as("reader", "DELETE", "/api/v1/shares/"+l.id, "")
	events, _, err := g.people.Audit.List(t.Context(), account.EventFilter{Object: l.id}, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range slices.Backward(events) {
		got = append(got, fmt.Sprint(e.Act, " ", e.Allowed, " ", e.Detail, " ", e.User == g.ids["reader"]))
	}
	want := []string{"share.add true  true", "share.open false wrong password false", "share.open true  false", "share.view true 1 of 1 slides false", "share.revoke true  true"}
	if !slices.Equal(got, want) {
		t.Errorf("audit log:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for range 30 {
		a = g.ask("POST", "/api/v1/shares/"+l.id+"/open", `{"secret":"psl_x","password":"guess"}`)
		if a.status != http.StatusNotFound {
			t.Fatalf("guess of a secret: %d", a.status)
		}
	}
}
