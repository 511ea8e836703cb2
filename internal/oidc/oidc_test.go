package oidc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/test/oidctest"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

const (
	startPath    = "/api/v1/auth/oidc/start"
	callbackPath = "/api/v1/auth/oidc/callback"
)

func TestMain(m *testing.M) {
	oidctest.Main()
	m.Run()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A clock is the real time plus an offset, until it is stopped.
type clock struct {
	mu      sync.Mutex
	ahead   time.Duration
	stopped time.Time // the real time since which it stands still; zero if it runs
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped.Add(c.ahead)
	}
	return time.Now().Add(c.ahead)
}

// stop lets no time pass but what is added: a slow machine does not change what is due.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = time.Now()
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// A site is a server with the routes of a login, and its provider.
type site struct {
	*httptest.Server
	provider *oidctest.Provider
	accounts *account.Accounts
	clock    *clock
	log      *safeBuffer

	mu     sync.Mutex
	client *Client
	login  *Login // the last one that succeeded
}

type safeBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

// newSite starts a provider and a server. Set changes the options.
func newSite(t *testing.T, database string, set func(*Options)) *site {
	t.Helper()
	s := &site{clock: new(clock), log: new(safeBuffer)}
	mux := http.NewServeMux()
	mux.Handle("GET "+startPath, httperr.Handler(func(w http.ResponseWriter, r *http.Request) error { return s.current().Start(w, r) }))
	mux.Handle("GET "+callbackPath, httperr.Handler(func(w http.ResponseWriter, r *http.Request) error {
		l, err := s.current().Callback(w, r)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.login = l
		s.mu.Unlock()
		http.Redirect(w, r, l.Next, http.StatusFound)
		return nil
	}))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page "+r.URL.String()) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	var err error
	s.accounts, err = account.Open(t.Context(), database, account.Options{})
	check(t, err)
	t.Cleanup(func() { s.accounts.Close() })
	s.provider = oidctest.Start(t, "127.0.0.1:0", s.URL+callbackPath)
	s.use(t, set)
	return s
}

// use creates a new client, as a restart of the server does.
func (s *site) use(t *testing.T, set func(*Options)) {
	t.Helper()
	o := Options{
		Issuer: s.provider.Issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, RedirectURL: s.URL + callbackPath, Label: "The clinic",
		Accounts: s.accounts, Log: slog.New(slog.NewTextHandler(s.log, nil)), Now: s.clock.now,
	}
	if set != nil {
		set(&o)
	}
	c, err := New(o)
	check(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = c
}

// groupsOf returns the groups of a user, ordered by name.
func (s *site) groupsOf(t *testing.T, user string) (list []account.Group, err error) {
	t.Helper()
	groups, err := s.accounts.Groups.List(t.Context())
	for _, g := range groups {
		members, e := s.accounts.Groups.Members(t.Context(), g.ID)
		err = errors.Join(err, e)
		if slices.ContainsFunc(members, func(u account.User) bool { return u.ID == user }) {
			list = append(list, g)
		}
	}
	return list, err
}

func (s *site) current() *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// template is a database with empty tables; each test gets a copy.
var template = &pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	a, err := account.Open(ctx, url, account.Options{})
	if err != nil {
		return err
	}
	return a.Close()
}}

func sqliteURL(t *testing.T) string { return template.SQLite(t) }

// A browser keeps cookies, and follows redirects as far as a test requests it.
type browser struct {
	*http.Client
	t    *testing.T
	site *site
}

func (s *site) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	check(t, err)
	return &browser{&http.Client{Jar: jar, Timeout: 30 * time.Second}, t, s}
}

// A page is a response with its body.
type page struct {
	status int
	url    *url.URL
	header http.Header
	body   string
}

func (b *browser) read(resp *http.Response, err error) *page {
	b.t.Helper()
	check(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(b.t, err)
	return &page{resp.StatusCode, resp.Request.URL, resp.Header, string(body)}
}

// logIn starts a login, logs in at the provider's page, and returns the provider's
// redirect URL.
func (b *browser) logIn(user, next string) *url.URL {
	b.t.Helper()
	return b.site.provider.LogIn(b.t, b.Client, b.site.URL+startPath+"?next="+url.QueryEscape(next), user)
}

// dance does a complete login and returns its last page.
func (b *browser) dance(user, next string) *page {
	b.t.Helper()
	return b.read(b.Get(b.logIn(user, next).String()))
}

// refusedAs fails the test unless a page is a problem with that status and text.
func (p *page) refusedAs(t *testing.T, status int, words string) {
	t.Helper()
	if p.status != status || !strings.Contains(p.body, words) || p.header.Get("Content-Type") != httperr.ProblemType {
		t.Errorf("got %d %s, want %d with %q", p.status, p.body, status, words)
	}
}

func (s *site) users(t *testing.T) []account.User {
	t.Helper()
	u, _, err := s.accounts.Users.List(t.Context(), account.UserQuery{})
	check(t, err)
	return u
}

// groups returns the groups of the user who logged in last.
func (s *site) groups(t *testing.T) []string {
	t.Helper()
	list, err := s.groupsOf(t, s.login.User.ID)
	check(t, err)
	names := []string{}
	for _, g := range list {
		names = append(names, g.Name)
	}
	return names
}

// audit returns the newest events of logins, without variable parts.
func (s *site) audit(t *testing.T) []account.Event {
	t.Helper()
	list, _, err := s.accounts.Audit.List(t.Context(), account.EventFilter{Act: "login"}, "")
	check(t, err)
	for i := range list {
		list[i].N, list[i].At = 0, time.Time{}
	}
	return list
}

// TestLogIn fails if a login at the provider does not start a session of the right user.
func TestLogIn(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{"sqlite": sqliteURL, "postgres": func(t *testing.T) string { return template.Postgres(t) }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, database(t), nil)
			_, err := s.accounts.Users.Add(t.Context(), account.User{Name: "anna"}, "correct horse battery")
			check(t, err)
			end := s.browser(t).dance("anna", "/images/42?zoom=3#x")
			if want := "page /images/42?zoom=3"; end.status != http.StatusOK || end.body != want {
				t.Fatalf("the login ended at %d %q, want %q", end.status, end.body, want)
			}
			u, session, err := s.accounts.Sessions.Use(t.Context(), s.login.Secret)
			check(t, err)
			if u.ID != s.login.User.ID || session.ID != s.login.Session.ID || session.Address != "127.0.0.1" || session.Agent == "" {
				t.Errorf("session %+v of %+v, want one of %+v", session, u, s.login.User)
			}
			// A local user of the same name is a different user.
			if !strings.HasPrefix(u.Name, "anna-") || u.DisplayName != "Anna Arnold" || u.Source != account.OIDC || u.Subject != "1" || u.Issuer != s.provider.Issuer || u.HasPassword {
				t.Errorf("user %+v", u)
			}
			want := []account.Event{{User: u.ID, Act: "login", Object: u.ID, From: "127.0.0.1", Allowed: true, Detail: "OpenID Connect"}}
			if diff := cmp.Diff(want, s.audit(t)); diff != "" {
				t.Error(diff)
			}

			s.use(t, nil) // the server is started again
			s.browser(t).dance("anna", "/")
			if s.login.User.ID != u.ID || s.login.Secret == "" || s.login.Session.ID == session.ID {
				t.Errorf("the second login is that of %+v, want %s", s.login.User, u.ID)
			}
			s.browser(t).dance("", "/")
			if got := s.login.User; got.ID == u.ID || got.Name != "bert@example.org" || got.DisplayName != "" {
				t.Errorf("one without a user name is %+v", got)
			}
		})
	}
}

// TestRequest fails if the redirect to the provider, or the cookie, lacks its protection.
func TestRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	b := s.browser(t)
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	one, two := b.read(b.Get(s.URL+startPath)), b.read(b.Get(s.URL+startPath))
	at, err := url.Parse(one.header.Get("Location"))
	check(t, err)
	q := at.Query()
	fixed := url.Values{
		"client_id": {oidctest.ClientID}, "redirect_uri": {s.URL + callbackPath}, "response_type": {"code"},
		"scope": {"openid profile email"}, "code_challenge_method": {"S256"},
	}
	again, err := url.Parse(two.header.Get("Location"))
	check(t, err)
	for _, once := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(once)) < 26 || q.Get(once) == again.Query().Get(once) {
			t.Errorf("%s is %q and then %q", once, q.Get(once), again.Query().Get(once))
		}
		q.Del(once)
	}
	if diff := cmp.Diff(fixed, q); diff != "" {
		t.Error(diff)
	}
	if one.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the redirect may be kept: %q", one.header.Get("Cache-Control"))
	}
	c, err := http.ParseSetCookie(one.header.Get("Set-Cookie"))
	check(t, err)
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/api/v1/auth/oidc" || c.MaxAge != 900 || c.Secure || c.Domain != "" {
		t.Errorf("cookie %s", c.Raw)
	}
	for _, secret := range []string{at.Query().Get("state"), at.Query().Get("nonce")} {
		if strings.Contains(c.Value, secret) {
			t.Error("the cookie can be read")
		}
	}
	s.use(t, func(o *Options) { o.RedirectURL = "https://slides.example.org/api/v1/auth/oidc/callback" })
	if c, err = http.ParseSetCookie(b.read(b.Get(s.URL + startPath)).header.Get("Set-Cookie")); err != nil || !c.Secure {
		t.Errorf("behind TLS the cookie is %v, %v", c, err)
	}
}

// TestState fails if a login can be completed in another browser than it began in, twice,
// or too late.
func TestState(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	const begin = "was started in another window or browser"
	cookies := func(b *browser, u *url.URL) []*http.Cookie { return b.Jar.Cookies(u) }
	put := func(b *browser, u *url.URL, value string) {
		b.Jar.SetCookies(u, []*http.Cookie{{Name: cookieName, Value: value, Path: "/api/v1/auth/oidc"}})
	}
	tests := map[string]struct {
		spoil func(b *browser, u *url.URL)
		words string
	}{
		"another state": {func(_ *browser, u *url.URL) {
			q := u.Query()
			q.Set("state", q.Get("state")[1:]+"A")
			u.RawQuery = q.Encode()
		}, begin},
		"no state": {func(_ *browser, u *url.URL) {
			q := u.Query()
			q.Del("state")
			u.RawQuery = q.Encode()
		}, begin},
		"no cookie":     {func(b *browser, u *url.URL) { put(b, u, "") }, begin},
		"another's":     {func(b *browser, u *url.URL) { b.Jar = s.begun(t).Jar }, begin},
		"cookie made":   {func(b *browser, u *url.URL) { put(b, u, "e30") }, begin},
		"cookie spoilt": {func(b *browser, u *url.URL) { put(b, u, spoil(cookies(b, u)[0].Value)) }, begin},
		"another issuer": {func(_ *browser, u *url.URL) {
			u.RawQuery += "&iss=" + url.QueryEscape("https://evil.example.org")
		}, "not from The clinic"},
		"code made": {func(_ *browser, u *url.URL) {
			q := u.Query()
			q.Set("code", "guessed")
			u.RawQuery = q.Encode()
		}, "used already, or took too long"},
		"no code": {func(_ *browser, u *url.URL) {
			q := u.Query()
			q.Del("code")
			u.RawQuery = q.Encode()
		}, "it has no code"},
		"code of another": {func(_ *browser, u *url.URL) { // PKCE and the code's own login differ
			q := u.Query()
			q.Set("code", s.browser(t).logIn("anna", "/").Query().Get("code"))
			u.RawQuery = q.Encode()
		}, "used already, or took too long"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := s.browser(t)
			u := b.logIn("anna", "/")
			tt.spoil(b, u)
			got := b.read(b.Get(u.String()))
			got.refusedAs(t, http.StatusBadRequest, tt.words)
			if !strings.Contains(got.body, "Log in again.") {
				t.Errorf("it does not say what to do: %s", got.body)
			}
			if kept := b.Jar.Cookies(u); len(kept) != 0 {
				t.Errorf("the browser still has %v", kept)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		b := s.browser(t)
		u := b.logIn("anna", "/")
		kept := cookies(b, u)[0].Value
		if p := b.read(b.Get(u.String())); p.status != http.StatusOK {
			t.Fatalf("the first time: %d %s", p.status, p.body)
		}
		b.read(b.Get(u.String())).refusedAs(t, http.StatusBadRequest, begin)
		put(b, u, kept) // a client that has copied the cookie
		b.read(b.Get(u.String())).refusedAs(t, http.StatusBadRequest, "used already")
	})
	t.Run("late", func(t *testing.T) {
		b := s.browser(t)
		u := b.logIn("anna", "/")
		s.clock.add(loginTime)
		defer s.clock.add(-loginTime)
		b.read(b.Get(u.String())).refusedAs(t, http.StatusBadRequest, begin)
	})
	want := account.Event{Act: "login", From: "127.0.0.1", Detail: "OpenID Connect: state, code or time were not right"}
	if diff := cmp.Diff(want, s.audit(t)[0]); diff != "" {
		t.Error(diff)
	}
}

// begun returns a browser that has begun a login.
func (s *site) begun(t *testing.T) *browser {
	t.Helper()
	b := s.browser(t)
	b.read(b.Get(s.URL + startPath))
	return b
}

// spoil changes the last byte.
func spoil(s string) string {
	last := byte('A')
	if s[len(s)-2] == last {
		last = 'B'
	}
	return s[:len(s)-2] + string(last) + s[len(s)-1:]
}

// TestLies fails if the server accepts an ID token that the provider did not issue for
// this server and this login, or that has expired.
func TestLies(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	now := time.Now().Unix()
	tests := map[string]struct {
		said oidctest.Said
		log  string // why; "" is that it is believed
	}{
		"nothing":               {oidctest.Said{}, ""},
		"as it is":              {oidctest.Said{Lie: map[string]any{}}, ""},
		"nonce of another":      {oidctest.Said{Lie: map[string]any{"nonce": "another"}}, "its nonce does not match this login"},
		"no nonce":              {oidctest.Said{Lie: map[string]any{"nonce": nil}}, "its nonce does not match this login"},
		"audience of another":   {oidctest.Said{Lie: map[string]any{"aud": []string{"another"}}}, "expected audience"},
		"two audiences":         {oidctest.Said{Lie: map[string]any{"aud": []string{oidctest.ClientID, "another"}}}, ""},
		"two and made for none": {oidctest.Said{Lie: map[string]any{"aud": []string{oidctest.ClientID, "another"}, "azp": nil}}, "it was made for the client"},
		"made for another":      {oidctest.Said{Lie: map[string]any{"azp": "another"}}, "it was made for the client"},
		"issuer of another":     {oidctest.Said{Lie: map[string]any{"iss": "https://evil.example.org"}}, "issued by a different provider"},
		"expired":               {oidctest.Said{Lie: map[string]any{"exp": now - 120}}, "it expired at "},
		"expired by the skew":   {oidctest.Said{Lie: map[string]any{"exp": now - 20}}, ""},
		"not yet":               {oidctest.Said{Lie: map[string]any{"nbf": now + 3600}}, "nbf"},
		"no subject":            {oidctest.Said{Lie: map[string]any{"sub": ""}}, "its subject is empty"},
		"another's subject":     {oidctest.Said{Lie: map[string]any{"sub": "2"}}, "its subject differs"},
		"another access token":  {oidctest.Said{Lie: map[string]any{"at_hash": "AAAA"}}, "access token"},
		"no id token":           {oidctest.Said{Lie: map[string]any{"id_token": ""}}, "it is missing"},
		"not signed":            {oidctest.Said{Sign: "none"}, "malformed jwt"},
		"signed by the secret":  {oidctest.Said{Sign: "secret"}, "malformed jwt"},
		"changed":               {oidctest.Said{Sign: "kept", Lie: map[string]any{"email": "x@example.org"}}, "verify signature"},
		"another verifier":      {oidctest.Said{Swap: map[string]string{"code_verifier": strings.Repeat("x", 43)}}, "invalid_grant"},
		"another redirect URL":  {oidctest.Said{Swap: map[string]string{"redirect_uri": "https://evil.example.org/"}}, "invalid_grant"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.provider.Say(t, tt.said)
			before, users := s.log.String(), len(s.users(t))
			p := s.browser(t).dance("anna", "/")
			logged := strings.TrimPrefix(s.log.String(), before)
			if tt.log == "" {
				if p.status != http.StatusOK || logged != "" {
					t.Errorf("got %d %s", p.status, p.body)
				}
				return
			}
			if p.status == http.StatusOK || !strings.Contains(logged, tt.log) {
				t.Errorf("got %d %s, log %s, want %q", p.status, p.body, logged, tt.log)
			}
			if got := len(s.users(t)); got != users {
				t.Errorf("%d users, were %d", got, users)
			}
		})
	}
}

// TestClockOfErrors checks that the error about a token from the future names this
// server's clock as it is: the reader compares it with that of the provider.
func TestClockOfErrors(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	began := time.Now().Truncate(time.Second)
	s.provider.Say(t, oidctest.Said{Lie: map[string]any{"nbf": began.Add(time.Hour).Unix()}})
	s.browser(t).dance("anna", "/")
	_, rest, _ := strings.Cut(s.log.String(), "the clock of this server says ")
	clock, _, _ := strings.Cut(rest, ": ")
	if got, err := time.Parse(time.RFC3339, clock); err != nil || got.Before(began) || got.After(time.Now()) {
		t.Errorf("the error has the clock %q, want one from %s to now", clock, began)
	}
}

// TestGroups fails if a user's groups are not those that the provider sent at the last
// login.
func TestGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	for _, external := range []string{"path", "research", ""} {
		_, err := s.accounts.Groups.Add(t.Context(), account.Group{Name: "our " + external, External: external})
		check(t, err)
	}
	tests := []struct {
		name   string
		said   oidctest.Said
		claim  string
		groups []string // nil: no login
	}{
		{"none", oidctest.Said{}, "", []string{}},
		{"of UserInfo", oidctest.Said{Groups: []string{"path", "unknown"}}, "", []string{"our path"}},
		{"of the id token", oidctest.Said{Groups: []string{"research"}, InToken: true}, "", []string{"our research"}},
		{"others", oidctest.Said{Groups: []string{"path", "research"}}, "", []string{"our path", "our research"}},
		{"is one", oidctest.Said{Groups: "path"}, "", []string{"our path"}},
		{"other claim", oidctest.Said{Groups: []string{"research"}, Claim: "roles"}, "roles", []string{"our research"}},
		{"URL", oidctest.Said{Groups: []string{"path"}, Claim: "https://example.org/groups"}, "https://example.org/groups", []string{"our path"}},
		{"within", oidctest.Said{Groups: map[string]any{"roles": []string{"research"}}, Claim: "realm_access"}, "realm_access.roles", []string{"our research"}},
		{"no texts", oidctest.Said{Groups: []int{1}}, "", nil},
		{"no list", oidctest.Said{Groups: 1}, "", nil},
		{"elsewhere", oidctest.Said{Groups: map[string]any{"groups": "src1"}, Claim: "_claim_names"}, "", nil},
		{"UserInfo is out of order", oidctest.Said{Status: map[string]int{"/userinfo": 500}}, "", nil},
		{"none again", oidctest.Said{Groups: []string{}}, "", []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.use(t, func(o *Options) { o.GroupsClaim = tt.claim })
			s.provider.Say(t, tt.said)
			var before []string
			if tt.groups == nil {
				before = s.groups(t)
			}
			p := s.browser(t).dance("anna", "/")
			if tt.groups == nil {
				p.refusedAs(t, http.StatusBadGateway, "can't be used")
				tt.groups = before // none is taken away
			} else if p.status != http.StatusOK {
				t.Fatalf("%d %s", p.status, p.body)
			}
			if diff := cmp.Diff(tt.groups, s.groups(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestUser fails if a person who may not log in gets a session.
func TestUser(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), func(o *Options) { o.AllowGroups = []string{"path", "research"} })
	s.provider.Say(t, oidctest.Said{Groups: []string{"visitors"}})
	s.browser(t).dance("anna", "/").refusedAs(t, http.StatusForbidden, "not in a group that may log in here")
	if u := s.users(t); len(u) != 0 {
		t.Errorf("there are users: %+v", u)
	}
	want := account.Event{Act: "login", From: "127.0.0.1", Detail: "OpenID Connect: not in a group that may log in"}
	if diff := cmp.Diff(want, s.audit(t)[0]); diff != "" {
		t.Error(diff)
	}
	s.provider.Say(t, oidctest.Said{Groups: []string{"visitors", "research"}})
	if p := s.browser(t).dance("anna", "/"); p.status != http.StatusOK {
		t.Fatalf("%d %s", p.status, p.body)
	}
	_, err := s.accounts.Users.Update(t.Context(), s.login.User.ID, func(u *account.User) error {
		u.Disabled = true
		return nil
	})
	check(t, err)
	s.browser(t).dance("anna", "/").refusedAs(t, http.StatusForbidden, "This user is disabled")
	id := s.login.User.ID
	want = account.Event{User: id, Act: "login", Object: id, From: "127.0.0.1", Detail: "OpenID Connect: the user is disabled"}
	if diff := cmp.Diff(want, s.audit(t)[0]); diff != "" {
		t.Error(diff)
	}
	if list, err := s.accounts.Sessions.List(t.Context(), s.login.User.ID); err != nil || len(list) != 0 {
		t.Errorf("sessions %v, %v", list, err)
	}
}

// TestRefusedLater fails if a user keeps any access after the provider, or
// --oidc-allow-group, has refused them, or if a login that does not prove the identity
// removes any of it.
func TestRefusedLater(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), func(o *Options) { o.AllowGroups = []string{"path"} })
	_, err := s.accounts.Groups.Add(t.Context(), account.Group{Name: "readers", External: "path"})
	check(t, err)
	in, out := oidctest.Said{Groups: []string{"path"}, InToken: true}, oidctest.Said{Groups: []string{"visitors"}, InToken: true}
	lie := func(claims map[string]any) oidctest.Said {
		v := out
		v.Lie = claims
		return v
	}
	tests := map[string]struct {
		said  oidctest.Said
		user  string
		spoil func(u *url.URL)
		kept  bool
	}{
		"in no allowed group":      {said: out, user: "anna"},
		"in none at all":           {said: oidctest.Said{}, user: "anna"},
		"another person":           {said: out, user: "", kept: true},
		"token for another client": {said: lie(map[string]any{"aud": []string{"another"}}), user: "anna", kept: true},
		"token of another login":   {said: lie(map[string]any{"nonce": "another"}), user: "anna", kept: true},
		"token expired":            {said: lie(map[string]any{"exp": 1}), user: "anna", kept: true},
		"token not signed":         {said: oidctest.Said{Groups: out.Groups, InToken: true, Sign: "none"}, user: "anna", kept: true},
		"subject of another":       {said: oidctest.Said{Groups: out.Groups, InToken: true, Sign: "kept", Lie: map[string]any{"sub": "1"}}, user: "", kept: true},
		"forged error": {said: out, user: "anna", kept: true, spoil: func(u *url.URL) {
			u.RawQuery = "error=access_denied&state=guessed"
		}},
		"forged code": {said: out, user: "anna", kept: true, spoil: func(u *url.URL) {
			u.RawQuery = "code=guessed&state=" + u.Query().Get("state")
		}},
		"groups that can't be read": {said: oidctest.Said{Groups: 1, InToken: true}, user: "anna", kept: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.provider.Say(t, in)
			if p := s.browser(t).dance("anna", "/"); p.status != http.StatusOK {
				t.Fatalf("the first login: %d %s", p.status, p.body)
			}
			user := s.login.User.ID
			token, _, err := s.accounts.Tokens.Add(t.Context(), account.Token{User: user, Scopes: []account.Scope{account.ScopeTiles}})
			check(t, err)
			from, err := s.accounts.Revocations.Latest(t.Context())
			check(t, err)

			s.provider.Say(t, tt.said)
			b := s.browser(t)
			u := b.logIn(tt.user, "/")
			if tt.spoil != nil {
				tt.spoil(u)
			}
			if p := b.read(b.Get(u.String())); p.status < 400 {
				t.Fatalf("not refused: %d %s", p.status, p.body)
			}
			left, err := s.groupsOf(t, user)
			check(t, err)
			revoked, err := s.accounts.Revocations.Latest(t.Context())
			check(t, err)
			_, _, noSession := s.accounts.Sessions.Use(t.Context(), s.login.Secret)
			_, _, noToken := s.accounts.Tokens.Use(t.Context(), token)
			got := []bool{noSession == nil, noToken == nil, len(left) == 1, revoked == from}
			if diff := cmp.Diff(slices.Repeat([]bool{tt.kept}, 4), got); diff != "" {
				t.Errorf("session, token, membership and what is remembered are kept (-want +got):\n%s", diff)
			}
			if e := s.audit(t)[0]; e.Allowed || (e.User == user) == tt.kept {
				t.Errorf("audit log: %+v", e)
			}
		})
	}
}

// TestDisabledLater fails if a membership that ended at the provider is effective again
// when a user who was disabled meanwhile is enabled.
func TestDisabledLater(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	_, err := s.accounts.Groups.Add(t.Context(), account.Group{Name: "readers", External: "path"})
	check(t, err)
	s.provider.Say(t, oidctest.Said{Groups: []string{"path"}})
	s.browser(t).dance("anna", "/")
	if diff := cmp.Diff([]string{"readers"}, s.groups(t)); diff != "" {
		t.Fatal(diff)
	}
	_, err = s.accounts.Users.Update(t.Context(), s.login.User.ID, func(u *account.User) error {
		u.Disabled = true
		return nil
	})
	check(t, err)
	s.provider.Say(t, oidctest.Said{Groups: []string{"visitors"}})
	s.browser(t).dance("anna", "/").refusedAs(t, http.StatusForbidden, "This user is disabled")
	if diff := cmp.Diff([]string{}, s.groups(t)); diff != "" {
		t.Error(diff)
	}
}

// TestUnreachable fails if the server needs the provider for more than logins, or can't use it
// when it is reachable again.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	away := func(t *testing.T, p *page) {
		t.Helper()
		p.refusedAs(t, http.StatusServiceUnavailable, "The clinic does not answer at present")
		if p.header.Get("Retry-After") != "5" {
			t.Errorf("Retry-After %q", p.header.Get("Retry-After"))
		}
	}
	s.clock.stop()
	b := s.browser(t)
	u := b.logIn("anna", "/")
	s.provider.Stop()
	away(t, b.read(b.Get(u.String())))
	s.clock.add(aliveFor)
	for range 2 { // asked, and remembered
		away(t, s.begin(t))
	}
	addr := s.provider.Addr
	s.provider = oidctest.Start(t, addr, s.URL+callbackPath)
	away(t, s.begin(t)) // not asked again at once
	s.clock.add(askAgain)
	if p := s.begin(t); p.status != http.StatusSeeOther {
		t.Errorf("when the provider is back: %d %s", p.status, p.body)
	}
	s.provider.Stop()
	if p := s.begin(t); p.status != http.StatusSeeOther {
		t.Errorf("the provider is asked for each login: %d %s", p.status, p.body)
	}

	s.use(t, nil) // the server starts while the provider is away
	away(t, b.read(b.Get(s.URL+startPath)))
	if err := s.current().Check(t.Context()); err == nil {
		t.Error("Check finds nothing wrong")
	}
	s.provider = oidctest.Start(t, s.provider.Addr, s.URL+callbackPath)
	away(t, b.read(b.Get(s.URL+startPath))) // not asked again at once
	s.clock.add(askAgain)
	check(t, s.current().Check(t.Context()))
	if p := b.dance("anna", "/"); p.status != http.StatusOK { // signed by a new key
		t.Errorf("%d %s", p.status, p.body)
	}
	for _, path := range []string{"/oauth/token", "/userinfo"} {
		s.provider.Say(t, oidctest.Said{Status: map[string]int{path: http.StatusBadGateway}})
		p := s.browser(t).dance("anna", "/")
		if p.status < 500 || strings.Contains(p.body, "<html>") {
			t.Errorf("%s: %d %s", path, p.status, p.body)
		}
	}
	s.provider.Say(t, oidctest.Said{Status: map[string]int{"/keys": http.StatusBadGateway}})
	s.use(t, nil)
	away(t, s.browser(t).dance("anna", "/"))
}

// begin returns the response to a browser that begins a login.
func (s *site) begin(t *testing.T) *page {
	t.Helper()
	b := s.browser(t)
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.read(b.Get(s.URL + startPath))
}

// TestMisfit fails if an error does not name what an admin must correct.
func TestMisfit(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), func(o *Options) { o.ClientSecret = "wrong" })
	s.browser(t).dance("anna", "/").refusedAs(t, http.StatusBadGateway, "compare the client id, secret, redirect URL")
	s.use(t, func(o *Options) { o.Issuer += "/" })
	b := s.browser(t)
	b.read(b.Get(s.URL+startPath)).refusedAs(t, http.StatusBadGateway, "An admin has to correct the issuer")

	s.use(t, nil)
	for code, want := range map[string]int{
		"access_denied": 403, "server_error": 503, "temporarily_unavailable": 503, "login_required": 400, "invalid_scope": 502, "<script>": 502,
	} {
		t.Run(code, func(t *testing.T) {
			b := s.browser(t)
			u := b.logIn("anna", "/")
			q := url.Values{"error": {code}, "error_description": {"<b>call 555</b>"}, "state": {u.Query().Get("state")}}
			p := b.read(b.Get(s.URL + callbackPath + "?" + q.Encode()))
			if p.status != want || strings.Contains(p.body, "555") || strings.Contains(p.body, "script") {
				t.Errorf("%d %s, want %d", p.status, p.body, want)
			}
			q.Set("state", "guessed") // another browser can't show it
			b.read(b.Get(s.URL+callbackPath+"?"+q.Encode())).refusedAs(t, http.StatusBadRequest, "Log in again")
		})
	}
}

// TestSecrets fails if the log contains secrets of the provider or the browser.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := newSite(t, sqliteURL(t), nil)
	b := s.browser(t)
	u := b.logIn("anna", "/")
	s.provider.Say(t, oidctest.Said{Lie: map[string]any{"nonce": "another"}})
	kept := b.Jar.Cookies(u)[0].Value
	b.read(b.Get(u.String()))
	log := s.log.String()
	if !strings.Contains(log, "nonce") {
		t.Fatalf("the log has nothing of it: %s", log)
	}
	for _, secret := range []string{u.Query().Get("code"), u.Query().Get("state"), kept, oidctest.ClientSecret, "anna", "Arnold", "eyJ"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q: %s", secret, log)
		}
	}
}

func TestOwnPath(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"":                              "/",
		"/":                             "/",
		"/images/1?zoom=2#a":            "/images/1?zoom=2#a",
		"/search?q=https://a/b":         "/search?q=https://a/b",
		"/%C3%A9":                       "/%C3%A9",
		"images":                        "/",
		"https://evil.example.org/":     "/",
		"//evil.example.org":            "/",
		"///evil.example.org":           "/",
		"/\\evil.example.org":           "/",
		"\\\\evil.example.org":          "/",
		"/\t/evil.example.org":          "/",
		"/\n/evil.example.org":          "/",
		" //evil.example.org":           "/",
		"/a\r\nSet-Cookie: x=y":         "/",
		"javascript:alert(1)":           "/",
		"/%zz":                          "/",
		"/api/v1/auth/oidc/start":       "/",
		"/x/../api/v1/auth/logout":      "/",
		"//api/v1":                      "/",
		"/apiary":                       "/apiary",
		"/" + strings.Repeat("x", 2000): "/",
		"/a\xffb":                       "/",
	} {
		if got := ownPath(next); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	accounts, err := account.Open(t.Context(), sqliteURL(t), account.Options{})
	check(t, err)
	t.Cleanup(func() { accounts.Close() })
	good := Options{Issuer: "https://login.example.org/realm", ClientID: "x", RedirectURL: "https://slides.example.org" + callbackPath, Accounts: accounts}
	for words, spoil := range map[string]func(*Options){
		"":                                      func(*Options) {},
		"invalid issuer \"\"":                   func(o *Options) { o.Issuer = "" },
		"issuer \"login.example.org\"":          func(o *Options) { o.Issuer = "login.example.org" },
		"http://login.example.org is not https": func(o *Options) { o.Issuer = "http://login.example.org" },
		"redirect URL http://slides":            func(o *Options) { o.RedirectURL = "http://slides.example.org/x" },
		"must have a path and no query":         func(o *Options) { o.RedirectURL += "?a=b" },
		"the client id is missing":              func(o *Options) { o.ClientID = "" },
		"Accounts is missing":                   func(o *Options) { o.Accounts = nil },
		"the scope openid is missing":           func(o *Options) { o.Scopes = []string{"profile"} },
	} {
		o := good
		spoil(&o)
		c, err := New(o)
		if words == "" {
			if err != nil || c.Label() != "login.example.org" {
				t.Errorf("%v, %v", c, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %q", err, words)
		}
	}
}

// TestRedirects fails if the client secret could be redirected to another server.
func TestRedirects(t *testing.T) {
	t.Parallel()
	ask := func(method, at string) *http.Request {
		r, err := http.NewRequest(method, at, nil)
		check(t, err)
		return r
	}
	get := ask("GET", "https://a.example.org/")
	if err := keepSecret(ask("GET", "https://b.example.org/"), []*http.Request{get}); err != nil {
		t.Error(err)
	}
	bearer := ask("GET", "https://a.example.org/userinfo")
	bearer.Header.Set("Authorization", "Bearer x")
	for name, err := range map[string]error{
		"secret":     keepSecret(ask("POST", "https://b.example.org/"), []*http.Request{ask("POST", "https://a.example.org/token")}),
		"token":      keepSecret(ask("GET", "https://b.example.org/"), []*http.Request{bearer}),
		"in clear":   keepSecret(ask("GET", "http://a.example.org/"), []*http.Request{get}),
		"in circles": keepSecret(get, slices.Repeat([]*http.Request{get}, 5)),
	} {
		if err == nil {
			t.Errorf("%s: followed", name)
		}
	}
}

// TestDatabaseUnreachable fails if a database that does not respond looks like a failed login.
func TestDatabaseUnreachable(t *testing.T) {
	t.Parallel()
	if e := databaseAway(errors.Join(account.ErrAway)); e.Status != http.StatusServiceUnavailable || e.RetryAfter == 0 {
		t.Errorf("%v", e)
	}
	if e := databaseAway(errors.New("x")); e.Status != http.StatusInternalServerError {
		t.Errorf("%v", e)
	}
}
