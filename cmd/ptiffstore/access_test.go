package main

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
)

// TestServeWithUsers serves with --auth local: the first start prints a link for the first
// admin, users without permissions see nothing, and grants added and removed on the
// command line take effect in the running server.
func TestServeWithUsers(t *testing.T) {
	t.Parallel()
	dir := slidesIn(t, map[string]*slideFile{patient + " 1.tiff": philips})
	o := newOffice(t)
	s := start(t, "serve", dir, "--data", o.data, "--auth", "local")
	link := regexp.MustCompile(regexp.QuoteMeta(s.url) + `/setup#ptb_\S+`)
	await(t, "the link for the first admin", func() bool { return link.MatchString(s.log.String()) })
	for _, path := range []string{"/api/v1/images", "/api/v1/stores", "/metrics", "/api/v1/uploads/x", "/api/v1/images/x/tiles/0/0/0"} {
		checkProblem(t, path, s.get(path), 401)
	}
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/api/v1/auth/session"} {
		if a := s.get(path); a.status != 200 {
			t.Errorf("%s: %d, want 200", path, a.status)
		}
	}
	o.says(goodPassword+"\n", "user", "add", "anna", "--admin")
	token := "Bearer " + o.says("", "token", "add", "--user", "anna", "--scope", "admin")
	if a := s.get("/metrics", "Authorization", token); a.status != 200 {
		t.Errorf("/metrics for an admin: %d", a.status)
	}
	store := storeOf(t, s, token)
	o.says("", "user", "add", "bert", "--no-password")
	viewer := "Bearer " + o.says("", "token", "add", "--user", "bert", "--scope", "admin")
	if a := s.get("/api/v1/stores/"+store, "Authorization", viewer); a.status != 403 {
		t.Errorf("a store for one without rights: %d, want 403", a.status)
	}
	o.says("", "grant", "add", "--user", "bert", "--role", "viewer", "--store", store)
	await(t, "the grant counts", func() bool { return s.get("/api/v1/stores/"+store, "Authorization", viewer).status == 200 })
	// A user who sees a store may not upload into it. Other stores look unknown.
	for name, want := range map[string]int{store: 403, "unknown": 404} {
		header := []string{
			"Authorization", viewer, "Tus-Resumable", "1.0.0", "Upload-Length", "1",
			"Upload-Metadata", "store " + base64.StdEncoding.EncodeToString([]byte(name)) + ",filename " + base64.StdEncoding.EncodeToString([]byte("a.tiff")),
		}
		if a := s.ask("POST", "/api/v1/uploads", header...); a.status != want && (name != store || a.status != 409 && a.status != 422) {
			t.Errorf("upload into %s: %d %s, want %d", name, a.status, a.body, want)
		}
	}
	o.says("", "user", "remove", "bert")
	await(t, "the user is gone", func() bool { return s.get("/api/v1/stores", "Authorization", viewer).status == 401 })
	s.stop()
	again := start(t, "serve", dir, "--data", o.data, "--auth", "local")
	if a := again.get("/api/v1/stores", "Authorization", token); a.status != 200 {
		t.Errorf("after a restart: %d, want 200", a.status)
	}
	if strings.Contains(again.log.String(), "setup#") {
		t.Error("there is an admin, and still a link for the first")
	}
}

// storeOf returns the id of the only store.
func storeOf(t *testing.T, s *running, token string) string {
	t.Helper()
	var page struct{ Items []struct{ ID string } }
	if a := s.get("/api/v1/stores", "Authorization", token); json.Unmarshal([]byte(a.body), &page) != nil || len(page.Items) != 1 {
		t.Fatalf("stores: %d %s", a.status, a.body)
	}
	return page.Items[0].ID
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(soon); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s: not after %v", what, soon)
		}
	}
}

// TestTileserverOfCentral has a tile server ask a central server for permissions.
func TestTileserverOfCentral(t *testing.T) {
	t.Parallel()
	dir := slidesIn(t, map[string]*slideFile{patient + " 1.tiff": philips})
	o := newOffice(t)
	central := start(t, "serve", dir, "--data", o.data, "--auth", "local", "--no-admin-link")
	o.says(goodPassword+"\n", "user", "add", "anna", "--admin")
	token := "Bearer " + o.says("", "token", "add", "--user", "anna", "--scope", "admin")
	id := ""
	await(t, "the slide is there", func() bool {
		var page struct{ Items []struct{ ID, State string } }
		a := central.get("/api/v1/images", "Authorization", token)
		if json.Unmarshal([]byte(a.body), &page) == nil && len(page.Items) == 1 && page.Items[0].State == "available" {
			id = page.Items[0].ID
		}
		return id != ""
	})
	edge := start(t, "tileserver", "--data", o.data, "--auth", "central", "--central", central.url, "--central-cookie", authz.CookieName)
	for _, path := range []string{"/api/v1/images/" + id + "/tiles/0/0/0", "/api/v1/images/" + id + "/preview"} {
		await(t, path, func() bool { return edge.get(path, "Authorization", token).status == 200 })
		checkProblem(t, path, edge.get(path), 401)
		checkProblem(t, path, edge.get(path, "Cookie", authz.CookieName+"=pss_forged"), 401)
	}
}

// TestAccessFlags passes contradictory flags: the command refuses them before it creates
// anything. With access control it may listen on any address.
func TestAccessFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, words string }{
		{"--auth central", "--central"},
		{"--central https://x.example", "--auth central"},
		{"--auth local --central https://x.example", "--auth central"},
		{"--auth everybody", "must be one of"},
		{"--auth local --trusted-proxy nonsense", "--trusted-proxy"},
		{"--auth local --oidc-issuer https://id.example", "--public-url"},
		{"--auth central --central http://far.example", "TLS"},
		{"--auth local --listen 192.0.2.1:0", "assign"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		args := append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, strings.Fields(tt.args)...)
		if r := command(t, args...); r.code == exitOK || !strings.Contains(r.err, tt.words) {
			t.Errorf("%s: %v, want an error with %q", tt.args, r, tt.words)
		}
	}
}

// TestAdminLinkBehindProxy checks that the link for the first admin has the public URL.
func TestAdminLinkBehindProxy(t *testing.T) {
	t.Parallel()
	s := start(t, "serve", "--data", newCatalog(t), "--auth", "local", "--no-worker", "--public-url", "https://slides.example.org")
	await(t, "the link", func() bool { return strings.Contains(s.log.String(), "    https://slides.example.org/setup#ptb_") })
}
