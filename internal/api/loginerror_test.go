package api_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/oidc"
	"github.com/slideatlas/ptiffstore/test/oidctest"
)

func TestMain(m *testing.M) {
	oidctest.Main()
	m.Run()
}

const startPath = "/api/v1/auth/oidc/start"

// A providerSite is a guarded site with an OpenID Connect provider, whose group path may
// log in and read the first store.
type providerSite struct {
	*guardedSite
	provider *oidctest.Provider
}

func newProviderSite(t *testing.T) *providerSite {
	t.Helper()
	g := newGuardedSite(t)
	s := &providerSite{g, oidctest.Start(t, "127.0.0.1:0", g.url+api.OIDCCallback)}
	group, err := g.people.Groups.Add(t.Context(), account.Group{Name: "readers", External: "path"})
	check(t, err)
	_, err = g.people.Grants.Add(t.Context(), account.Grant{Group: group.ID, Role: account.Reader, Store: g.store})
	check(t, err)
	s.use(nil)
	return s
}

// use creates a new client, as a restart of the server does.
func (s *providerSite) use(set func(*oidc.Options)) {
	s.t.Helper()
	o := oidc.Options{
		Issuer: s.provider.Issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, RedirectURL: s.url + api.OIDCCallback,
		AllowGroups: []string{"path"}, Label: `The <b>"clinic"</b>`, Accounts: s.people, Log: s.api.Log,
	}
	if set != nil {
		set(&o)
	}
	client, err := oidc.New(o)
	check(s.t, err)
	s.api.Access.OIDC = client
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser keeps cookies and does not follow redirects.
func (s *providerSite) browser() *http.Client {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	check(s.t, err)
	return &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// visit returns the response that a person at a URL sees.
func (s *providerSite) visit(b *http.Client, at, accept string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", at, nil)
	check(s.t, err)
	r.Header.Set("Accept", accept)
	resp, err := b.Do(r)
	check(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(s.t, err)
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}

// back returns the provider's redirect URL after its login.
func (s *providerSite) back(b *http.Client, user string) *url.URL {
	s.t.Helper()
	follow := *b
	follow.CheckRedirect = nil
	return s.provider.LogIn(s.t, &follow, s.url+startPath+"?next=/slides/7", user)
}

const browserAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// TestRefusedAtProvider fails if a user whom the provider now refuses can still use the
// results of an earlier login.
func TestRefusedAtProvider(t *testing.T) {
	s := newProviderSite(t)
	s.provider.Say(t, oidctest.Said{Groups: []string{"path"}})
	b := s.browser()
	if a := s.visit(b, s.back(b, "anna").String(), browserAccepts); a.status != http.StatusSeeOther || a.header.Get("Location") != "/slides/7" {
		t.Fatalf("the login ended at %d %s", a.status, a.body)
	}
	at, err := url.Parse(s.url)
	check(t, err)
	session := authz.CookieName + "=" + b.Jar.Cookies(at)[0].Value
	user, _, err := s.people.Sessions.Use(t.Context(), b.Jar.Cookies(at)[0].Value)
	check(t, err)
	token, _, err := s.people.Tokens.Add(t.Context(), account.Token{User: user.ID, Scopes: []account.Scope{account.ScopeLabel}})
	check(t, err)
	now := time.Now()
	link, err := s.keys.SignURL(authz.Link{Image: s.slide, Scope: account.ScopeLabel, User: user.ID, Issued: now, Expires: now.Add(time.Hour)})
	check(t, err)
	pass, err := s.keys.SignAccessToken(authz.AccessToken{User: user.ID, Store: s.store, Scope: account.ScopeLabel, Issued: authz.Date(now), Expires: authz.Date(now.Add(time.Minute))})
	check(t, err)

	type display struct{ path, query, header, value string }
	tile, label := "/api/v1/images/"+s.slide+"/tiles/0/0/0", "/api/v1/images/"+s.slide+"/associated/label"
	displays := map[string]display{
		"tile, session": {tile, "", "Cookie", session}, "label, session": {label, "", "Cookie", session},
		"tile, token": {tile, "", "Authorization", "Bearer " + token}, "label, token": {label, "", "Authorization", "Bearer " + token},
		"tile, link": {tile, "?" + link.Encode(), "", ""}, "label, link": {label, "?" + link.Encode(), "", ""},
		"tile, pass": {tile, "?pass=" + pass, "", ""},
	}
	seen := func() map[string]int {
		got := map[string]int{}
		for name, l := range displays {
			var header []string
			if l.header != "" {
				header = []string{l.header, l.value}
			}
			got[name] = s.ask("GET", l.path+l.query, "", header...).status
		}
		return got
	}
	every := func(status int) map[string]int {
		want := map[string]int{}
		for name := range displays {
			want[name] = status
		}
		return want
	}
	if diff := cmp.Diff(every(200), seen()); diff != "" {
		t.Fatalf("before (-want +got):\n%s", diff)
	}
	s.provider.Say(t, oidctest.Said{Groups: []string{"visitors"}})
	other := s.browser()
	if a := s.visit(other, s.back(other, "anna").String(), browserAccepts); a.status != http.StatusForbidden {
		t.Fatalf("not refused: %d %s", a.status, a.body)
	}
	if diff := cmp.Diff(every(401), seen()); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}

// TestDeniedAtProvider fails if the session in a browser continues after the provider has
// denied its person, or if anything else ends although the response names no person.
func TestDeniedAtProvider(t *testing.T) {
	s := newProviderSite(t)
	s.provider.Say(t, oidctest.Said{Groups: []string{"path"}})
	denied := func(state string) string {
		return s.url + api.OIDCCallback + "?" + url.Values{"error": {"access_denied"}, "state": {state}}.Encode()
	}
	goesOn := func(secret string) bool {
		_, _, err := s.people.Sessions.Use(t.Context(), secret)
		return err == nil
	}
	at, err := url.Parse(s.url)
	check(t, err)
	sessionOf := func(b *http.Client) string {
		for _, c := range b.Jar.Cookies(at) {
			if c.Name == authz.CookieName {
				return c.Value
			}
		}
		return ""
	}
	b, other := s.browser(), s.browser()
	for _, one := range []*http.Client{b, other} {
		s.visit(one, s.back(one, "anna").String(), browserAccepts)
	}
	first, second := sessionOf(b), sessionOf(other)
	if a := s.visit(b, denied("guessed"), browserAccepts); a.status != http.StatusBadRequest || !goesOn(first) {
		t.Errorf("a forged answer: %d, session is active: %v", a.status, goesOn(first))
	}
	a := s.visit(b, denied(s.back(b, "anna").Query().Get("state")), browserAccepts)
	if a.status != http.StatusForbidden || goesOn(first) || !goesOn(second) || sessionOf(b) != "" {
		t.Errorf("%d, sessions are active: %v and %v, cookie %q", a.status, goesOn(first), goesOn(second), sessionOf(b))
	}
	local := s.browser()
	local.Jar.SetCookies(at, []*http.Cookie{{Name: authz.CookieName, Value: s.secrets["viewer"]}})
	a = s.visit(local, denied(s.back(local, "anna").Query().Get("state")), browserAccepts)
	if a.status != http.StatusForbidden || !goesOn(s.secrets["viewer"]) {
		t.Errorf("of a local user: %d, session is active: %v", a.status, goesOn(s.secrets["viewer"]))
	}
}

// TestLoginErrorPages fails if a browser gets anything but a page with what to do after a
// failed login, or a program does not get a problem.
func TestLoginErrorPages(t *testing.T) {
	s := newProviderSite(t)
	callback := s.url + api.OIDCCallback
	const evil = `"><script>alert(1)</script>`
	with := func(change func(q url.Values)) func(b *http.Client) string {
		return func(b *http.Client) string {
			u := s.back(b, "anna")
			q := u.Query()
			change(q)
			u.RawQuery = q.Encode()
			return u.String()
		}
	}
	errorOf := func(word string) func(b *http.Client) string {
		return with(func(q url.Values) { q.Set("error", word); q.Set("error_description", evil) })
	}
	tests := []struct {
		name   string
		at     func(b *http.Client) string
		status int
		words  string
		again  bool
	}{
		{"no cookie", func(*http.Client) string { return callback + "?state=x&code=" + url.QueryEscape(evil) }, 400, "started in another window", true},
		{"other state", with(func(q url.Values) { q.Set("state", evil) }), 400, "started in another window", true},
		{"other issuer", with(func(q url.Values) { q.Set("iss", evil) }), 400, "This answer is not from", true},
		{"no code", with(func(q url.Values) { q.Del("code") }), 400, "it has no code", true},
		{"used already", with(func(q url.Values) { q.Set("code", evil) }), 400, "used already", true},
		{"denied", errorOf("access_denied"), 403, "denied access", false},
		{"more to do", errorOf("login_required"), 400, "requires another step", true},
		{"out of order", errorOf("server_error"), 503, "does not answer at present", true},
		{"not a client", errorOf("invalid_scope"), 502, "An admin has to compare", true},
		{"unknown word", errorOf(evil), 502, "An admin has to compare", true},
		{"not in a group", with(func(url.Values) {}), 403, "not in a group that may log in here", false},
		{"away", func(*http.Client) string {
			s.use(func(o *oidc.Options) { o.Issuer = "http://127.0.0.1:1" })
			return s.url + startPath + "?next=" + url.QueryEscape("/slides/7?x="+evil)
		}, 503, "log in with a name and password", true},
		{"no provider", func(*http.Client) string {
			s.api.Access.OIDC = nil
			return s.url + startPath
		}, 404, "No OpenID Connect provider", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := s.browser()
			a := s.visit(b, tt.at(b), browserAccepts)
			body := string(a.body)
			if a.status != tt.status || !strings.Contains(body, tt.words) || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Fatalf("got %d %s, want %d with %q", a.status, body, tt.status, tt.words)
			}
			if !strings.Contains(body, `href="/login`) || strings.Contains(body, `href="`+startPath) != tt.again {
				t.Errorf("ways on: %s", body)
			}
			if strings.Contains(body, "<script") || strings.Contains(body, "<b>") || strings.Contains(body, "alert(1)</") {
				t.Errorf("what others have written is not escaped: %s", body)
			}
			want := map[string]string{
				"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Vary": "Authorization, Cookie, Accept",
			}
			got := map[string]string{}
			for name := range want {
				got[name] = strings.Join(a.header.Values(name), ", ")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if csp := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || strings.Contains(csp, "unsafe") {
				t.Errorf("policy %q", csp)
			}
			if (a.status == 503) != (a.header.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
			b = s.browser()
			if p := s.visit(b, tt.at(b), "application/json"); p.status != tt.status || p.header.Get("Content-Type") != httperr.ProblemType {
				t.Errorf("for a program: %d %s", p.status, p.body)
			}
		})
	}
}
