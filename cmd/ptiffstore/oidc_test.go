package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/test/oidctest"
)

// TestServeOIDC logs in at an OpenID Connect provider, through a proxy with TLS: the session
// has the name and groups of the provider.
func TestServeOIDC(t *testing.T) {
	t.Parallel()
	var backend atomic.Pointer[neturl.URL]
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(backend.Load())
		r.SetXForwarded()
	}})
	t.Cleanup(proxy.Close)
	p := oidctest.Start(t, "127.0.0.1:0", proxy.URL+"/api/v1/auth/oidc/callback")
	o := newOffice(t)
	o.says("", "group", "add", "pathologists", "--external", "path")
	o.says("", "grant", "add", "--group", "pathologists", "--role", "reader", "--everything")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(oidctest.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "serve", "--data", o.data, "--auth", "local", "--no-worker", "--no-admin-link", "--trusted-proxy", "127.0.0.1", "--public-url", proxy.URL+"/",
		"--oidc-issuer", p.Issuer, "--oidc-client-id", oidctest.ClientID, "--oidc-client-secret-file", secret, "--oidc-label", "The clinic", "--oidc-allow-group", "path")
	at, err := neturl.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	backend.Store(at)

	browser := proxy.Client()
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	session := func() (v struct {
		OIDC   string
		User   *struct{ Name string }
		Scopes []string
	},
	) {
		t.Helper()
		if err := json.Unmarshal([]byte(fetch(t, browser, proxy.URL+"/api/v1/auth/session").body), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := session(); v.OIDC != "The clinic" || v.User != nil {
		t.Errorf("before the login: %+v", v)
	}
	logIn := func() answer {
		t.Helper()
		return fetch(t, browser, p.LogIn(t, browser, proxy.URL+"/api/v1/auth/oidc/start?next=/api/v1/images", "anna").String())
	}
	checkProblem(t, "one of no group", logIn(), http.StatusForbidden)

	p.Say(t, oidctest.Said{Groups: []string{"path"}})
	stay := *browser
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	back := p.LogIn(t, browser, proxy.URL+"/api/v1/auth/oidc/start?next=/slides/7", "anna")
	in := fetch(t, &stay, back.String())
	if in.status != http.StatusSeeOther || in.header.Get("Location") != "/slides/7" || in.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the login ended at %v", in)
	}
	first := sessionCookie(t, in)
	if !first.Secure || !first.HttpOnly || first.SameSite != http.SameSiteLaxMode || first.Path != "/" {
		t.Errorf("cookie %+v", first)
	}
	v := session()
	if v.User == nil || v.User.Name != "Anna Arnold" {
		t.Errorf("after the login: %+v", v)
	}
	diff(t, "scopes", []string{"tiles", "label"}, v.Scopes)

	// Another login of the browser ends its earlier session.
	second := sessionCookie(t, fetch(t, &stay, p.LogIn(t, browser, proxy.URL+"/api/v1/auth/oidc/start", "anna").String()))
	for cookie, want := range map[string]int{first.Value: http.StatusUnauthorized, second.Value: http.StatusOK} {
		if a := s.get("/api/v1/stores", "Cookie", authz.CookieName+"="+cookie); a.status != want {
			t.Errorf("with a session: %v, want %d", a, want)
		}
	}

	// Logging out also logs out at the provider, which redirects back.
	resp, err := browser.Post(proxy.URL+"/api/v1/auth/logout", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Provider string }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || !strings.HasPrefix(out.Provider, p.Issuer+"/") {
		t.Fatalf("logged out: %s, redirect to %q, %v", resp.Status, out.Provider, err)
	}
	if left := fetch(t, &stay, out.Provider); left.header.Get("Location") != proxy.URL+"/login" {
		t.Errorf("after the logout the provider redirects to %q: %v", left.header.Get("Location"), left)
	}
	diff(t, "logged out at the provider", []string{"1"}, p.Ended(t))
	if v := session(); v.User != nil {
		t.Errorf("after logging out: %+v", v)
	}
	// Without groups at the provider, the user loses all permissions of groups.
	last := authz.CookieName + "=" + sessionCookie(t, fetch(t, &stay, p.LogIn(t, browser, proxy.URL+"/api/v1/auth/oidc/start", "anna").String())).Value
	token := "Bearer " + o.says("", "token", "add", "--user", "anna", "--scope", "label")
	for _, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		for name, value := range map[string]string{"Cookie": last, "Authorization": token} {
			if a := s.get("/api/v1/stores", name, value); a.status != want {
				t.Errorf("by %s: %v, want %d", name, a, want)
			}
		}
		if want == http.StatusOK {
			p.Say(t, oidctest.Said{})
			checkProblem(t, "a former member of the group", logIn(), http.StatusForbidden)
		}
	}
	if events := o.says("", "audit", "--act", "login"); !strings.Contains(events, "not in a group that may log in; ended: sessions 1, tokens 1, memberships 1") {
		t.Errorf("audit log: %s", events)
	}
	if strings.Contains(s.log.String(), "Arnold") || strings.Contains(s.log.String(), oidctest.ClientSecret) {
		t.Errorf("the log names who has logged in, or the secret: %s", s.log)
	}
}

// fetch returns the answer that a browser gets.
func fetch(t *testing.T, browser *http.Client, url string) answer {
	t.Helper()
	resp, err := browser.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// sessionCookie returns the session cookie that an answer sets.
func sessionCookie(t *testing.T, a answer) *http.Cookie {
	t.Helper()
	for _, line := range a.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == authz.CookieName {
			return c
		}
	}
	t.Fatalf("no session: %v", a)
	return nil
}

// TestOIDCFlags passes contradictory flags of the provider.
func TestOIDCFlags(t *testing.T) {
	t.Parallel()
	for words, args := range map[string][]string{
		"no effect without --auth local":    {"--oidc-issuer", "https://login.example.org"},
		"no effect without --oidc-issuer":   {"--auth", "local", "--oidc-client-id", "x"},
		"needs --oidc-client-id":            {"--auth", "local", "--oidc-issuer", "https://login.example.org", "--public-url", "https://slides.example.org"},
		"and --public-url for the redirect": {"--auth", "local", "--oidc-issuer", "https://login.example.org", "--oidc-client-id", "x"},
		"is not https":                      {"--auth", "local", "--oidc-issuer", "http://login.example.org", "--oidc-client-id", "x", "--public-url", "https://slides.example.org"},
		"oidc-client-secret-file: open /dev/null: it is not a regular file": {"--auth", "local", "--oidc-issuer", "https://login.example.org", "--oidc-client-id", "x", "--public-url", "https://slides.example.org", "--oidc-client-secret-file", "/dev/null"},
	} {
		o := newOffice(t)
		o.refuses(words, "", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	}
}
