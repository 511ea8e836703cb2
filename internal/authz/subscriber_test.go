package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

func TestProof(t *testing.T) {
	key := []byte("key of both")
	body := []byte(`{"items":[]}`)
	signed := func() *http.Request {
		r := httptest.NewRequest("POST", "/api/v1/auth/revoke?x=1", bytes.NewReader(body))
		Prove(r, body, key, noon)
		return r
	}
	tests := []struct {
		name   string
		change func(*http.Request)
		body   string
		key    string
		at     time.Time
		ok     bool
	}{
		{"as signed", nil, string(body), string(key), noon, true},
		{"a little later", nil, string(body), string(key), noon.Add(4 * time.Minute), true},
		{"behind a proxy that cuts a prefix off", func(r *http.Request) { r.URL.Path = "/slides" + r.URL.Path }, string(body), string(key), noon, true},
		{"another body", nil, `{"items":[1]}`, string(key), noon, false},
		{"another key", nil, string(body), "other", noon, false},
		{"no key", nil, string(body), "", noon, false},
		{"too late", nil, string(body), string(key), noon.Add(6 * time.Minute), false},
		{"too early", nil, string(body), string(key), noon.Add(-6 * time.Minute), false},
		{"another method", func(r *http.Request) { r.Method = "GET" }, string(body), string(key), noon, false},
		{"another path", func(r *http.Request) { r.URL.Path = "/api/v1/auth/revocations" }, string(body), string(key), noon, false},
		{"another query", func(r *http.Request) { r.URL.RawQuery = "x=2" }, string(body), string(key), noon, false},
		{"no proof", func(r *http.Request) { r.Header.Del(ProofHeader) }, string(body), string(key), noon, false},
		{"another version", func(r *http.Request) {
			r.Header.Set(ProofHeader, "v2"+r.Header.Get(ProofHeader)[2:])
		}, string(body), string(key), noon, false},
		{"a short nonce", func(r *http.Request) {
			h := strings.Fields(r.Header.Get(ProofHeader))
			r.Header.Set(ProofHeader, h[0]+" "+h[1]+" n=1 "+h[3])
		}, string(body), string(key), noon, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := signed()
			if tt.change != nil {
				tt.change(r)
			}
			p := new(Proofs)
			if err := p.Verify(r, []byte(tt.body), [][]byte{nil, []byte("of another edge"), []byte(tt.key)}, tt.at); (err == nil) != tt.ok {
				t.Errorf("%v", err)
			}
			if err := p.Verify(r, []byte(tt.body), [][]byte{[]byte(tt.key)}, tt.at); err == nil {
				t.Error("good a second time")
			}
		})
	}
}

// TestRevokeHandler checks an edge's responses to clients that send it revocations.
func TestRevokeHandler(t *testing.T) {
	key := []byte("key of both")
	g := NewGate(GateOptions{Authorizer: generous})
	f := &RevocationSubscriber{Gate: g}
	h := f.RevokeHandler(key)
	post := func(key []byte, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", RevokePath, strings.NewReader(body))
		if key != nil {
			Prove(r, []byte(body), key, time.Now())
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	page, err := json.Marshal(RevocationPage{Items: []account.Revocation{{N: 1, At: time.Now(), Kind: account.RevokeUser, ID: "u1"}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		key    []byte
		body   string
		status int
		revoke bool
	}{
		{"a stranger", nil, string(page), 401, false},
		{"another edge's central server", []byte("other"), string(page), 401, false},
		{"no list", key, "{", 400, false},
		{"too long", key, strings.Repeat(" ", maxRevokeBytes+1), 413, false},
		{"the central server", key, string(page), 200, true},
	}
	for _, tt := range tests {
		mustAllow(t, g, bearer("ann"), tileOf("st", "a"))
		before := g.revocations.generation.Load()
		w := post(tt.key, tt.body)
		if w.Code != tt.status || (g.revocations.generation.Load() > before) != tt.revoke {
			t.Errorf("%s: status %d, want %d; revoked %v: %s", tt.name, w.Code, tt.status, g.revocations.generation.Load() > before, w.Body)
		}
	}
	if f.Last() != 1 {
		t.Errorf("the last is %d, want 1", f.Last())
	}
	r := httptest.NewRequest("GET", RevokePath, nil)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 405 {
		t.Errorf("GET: status %d", w.Code)
	}
}

// site is a central server with accounts, and its edge server.
type site struct {
	accounts      *account.Accounts
	centralServer *centralServer
	edge          *httptest.Server
	gate          *Gate // of the edge
	follower      *RevocationSubscriber
	central       *Central
	keys          *Keys
	deaf          atomic.Bool // the edge can't be reached
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{accounts: openAccounts(t), keys: new(Keys)}
	s.centralServer = newCentralServer(t, nil)
	mux := http.NewServeMux()
	local := NewGate(GateOptions{Authorizer: &Local{Accounts: s.accounts}})
	mux.Handle(CheckPath, CheckHandler(local))
	mux.Handle(RevocationsPath, RevocationsHandler(s.accounts, signing(t, s.accounts)))
	s.centralServer.decision.Store(http.HandlerFunc(mux.ServeHTTP))

	var handler http.Handler
	s.edge = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.deaf.Load() {
			w.WriteHeader(502)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.edge.Close)
	secret, _, err := s.accounts.Edges.Add(t.Context(), s.edge.URL)
	if err != nil {
		t.Fatal(err)
	}
	key := account.EdgeKey(secret)
	s.central = central(t, CentralOptions{URL: s.centralServer.URL, Cookie: CookieName, EdgeKey: key})
	s.gate = NewGate(GateOptions{Authorizer: s.central, Keys: s.keys})
	s.follower = &RevocationSubscriber{Gate: s.gate, Source: s.central.Revocations, Keys: s.keys, Back: s.central.Back()}
	handler = s.follower.RevokeHandler(key)
	return s
}

func (s *site) user(t *testing.T, grants ...account.Grant) (id, token string, tokenID string) {
	t.Helper()
	u, err := s.accounts.Users.Add(t.Context(), account.User{Name: "ann"}, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range grants {
		g.User = u.ID
		if _, err := s.accounts.Grants.Add(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	secret, k, err := s.accounts.Tokens.Add(t.Context(), account.Token{User: u.ID, Label: "test", Scopes: []account.Scope{account.ScopeLabel}})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID, secret, k.ID
}

// eventually waits for a condition that another goroutine fulfils.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 500 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

// TestCentralServerAndEdge runs the built-in central server with an edge server.
func TestCentralServerAndEdge(t *testing.T) {
	s := newSite(t)
	_, token, _ := s.user(t, account.Grant{Role: account.Contributor, Store: "st"}, account.Grant{Role: account.Viewer, Image: "x"})
	session := func() string {
		u, err := s.accounts.Users.ByName(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		secret, _, err := s.accounts.Sessions.Start(t.Context(), u.ID, "", "")
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}()
	tests := []struct {
		name   string
		c      Credential
		q      Request
		status int
	}{
		{"store", bearer(token), tileOf("st", "a"), 200},
		{"whole store", bearer(token), tileOf("st", ""), 200},
		{"everything", bearer(token), tileOf("", ""), 403},
		{"image", bearer(token), tileOf("other", "x"), 200},
		{"another image", bearer(token), tileOf("other", "y"), 403},
		{"label in the store", bearer(token), Request{Store: "st", Image: "a", Scope: account.ScopeLabel}, 200},
		{"label of the image", bearer(token), Request{Store: "other", Image: "x", Scope: account.ScopeLabel}, 403},
		{"writing, for which the token is not", bearer(token), Request{Store: "st", Scope: account.ScopeWrite}, 403},
		{"session", Credential{Cookie: session}, tileOf("st", "a"), 200},
		{"forged", bearer("pts_x"), tileOf("st", "a"), 401},
		{"a password, which is not taken here", Credential{Authorization: "Basic YW5uOmNvcnJlY3Q="}, tileOf("st", "a"), 401},
		{"nothing", Credential{}, tileOf("st", "a"), 401},
	}
	for _, tt := range tests {
		if a := mustAllow(t, s.gate, tt.c, tt.q); a.Status != tt.status || a.Status == 200 && a.User.Name != "ann" {
			t.Errorf("%s: %+v, want status %d", tt.name, a, tt.status)
		}
	}
	var qs []Request
	for _, im := range []string{"x", "y", "z"} {
		qs = append(qs, tileOf("third", im))
	}
	decisions, err := s.gate.AllowMany(t.Context(), bearer(token), qs)
	if err != nil || !decisions[0].Allow || decisions[1].Allow {
		t.Errorf("%+v, %v", decisions, err)
	}
	if c, err := s.gate.Identify(t.Context(), bearer(token)); err != nil || !c.LoggedIn || c.Name != "ann" || c.Token == "" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := ask(t, s.central, bearer(token), Request{Scope: "everything"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown scope: %v", err)
	}
}

// TestToldAtOnce: the central server sends a revocation to the edge, and a user who lost
// their rights gets no further tile. While the edge can't be reached, the central server
// retries.
func TestToldAtOnce(t *testing.T) {
	s := newSite(t)
	user, token, tokenID := s.user(t, account.Grant{Role: account.Viewer, Store: "st"})
	if err := s.follower.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	publisher := &RevocationPublisher{Accounts: s.accounts}
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- publisher.Run(ctx) }()
	defer func() { stop(); <-done }()
	eventually(t, "the publisher does not know the edge", func() bool {
		publisher.mu.Lock()
		defer publisher.mu.Unlock()
		return len(publisher.edges) == 1
	})
	q := tileOf("st", "a")
	if a := mustAllow(t, s.gate, bearer(token), q); !a.Allow {
		t.Fatal("not allowed")
	}
	s.deaf.Store(true)
	if err := s.accounts.Tokens.Delete(t.Context(), tokenID); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if a := mustAllow(t, s.gate, bearer(token), q); !a.Allow {
		t.Error("an edge that was not notified knows it")
	}
	s.deaf.Store(false)
	eventually(t, "the edge was not notified", func() bool { return mustAllow(t, s.gate, bearer(token), q).Status == 401 })
	if _, err := s.accounts.Revocations.Add(t.Context(), account.RevokeUser, user); err != nil {
		t.Fatal(err)
	}
	last, err := s.accounts.Revocations.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the edge was not notified of the second", func() bool { return s.follower.Last() == last })
}

// TestCatchUp: an edge that was unreachable fetches the revocations that it missed, and
// the keys.
func TestCatchUp(t *testing.T) {
	s := newSite(t)
	user, token, _ := s.user(t, account.Grant{Role: account.Viewer, Store: "st"})
	q := tileOf("st", "a")
	if err := s.follower.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := mustAllow(t, s.gate, bearer(token), q); !a.Allow {
		t.Fatal("not allowed")
	}
	pass, err := signing(t, s.accounts).SignAccessToken(AccessToken{User: user, Store: "st", Scope: account.ScopeTiles, Issued: Date(time.Now()), Expires: Date(time.Now()) + 60})
	if err != nil {
		t.Fatal(err)
	}
	if a := mustAllow(t, s.gate, Credential{AccessToken: pass}, q); !a.Allow {
		t.Error("an access token of the central server is not valid")
	}
	for range 1500 { // more than one page
		if _, err := s.accounts.Revocations.Add(t.Context(), account.RevokeImage, "z"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.accounts.Users.Update(t.Context(), user, func(u *account.User) error { u.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.follower.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := mustAllow(t, s.gate, bearer(token), q); a.Status != 401 {
		t.Errorf("after catching up: %+v", a)
	}
	if a := mustAllow(t, s.gate, Credential{AccessToken: pass}, q); a.Allow {
		t.Error("the pass outlives its user")
	}
	last, err := s.accounts.Revocations.Latest(t.Context())
	if err != nil || s.follower.Last() != last {
		t.Errorf("the last is %d, want %d, %v", s.follower.Last(), last, err)
	}
	// A central server without a log of revocations is no problem.
	s.centralServer.decision.Store(says(404, ""))
	for range 2 * breakerCallers {
		if err := s.follower.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.centralServer.decision.Store(says(500, ""))
	for range 2 * breakerCallers {
		if err := s.follower.CatchUp(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	s.centralServer.decision.Store(says(200, yes))
	if a := mustAllow(t, s.gate, bearer("another"), q); !a.Allow {
		t.Error("without a log of revocations, requests are not sent any more")
	}
}

// TestRevocationsSecret: only an edge can read them.
func TestRevocationsSecret(t *testing.T) {
	s := newSite(t)
	unauthenticated := central(t, CentralOptions{URL: s.centralServer.URL, EdgeKey: []byte("x")})
	if page, err := unauthenticated.Revocations(t.Context(), 0); !errors.Is(err, ErrUnavailable) || len(page.Items) > 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestLogPutBack: a central server that was restored from a backup has lost later
// revocations, so the edge drops all decisions.
func TestLogPutBack(t *testing.T) {
	s := newSite(t)
	s.follower.last.Store(1000)
	_, token, _ := s.user(t, account.Grant{Role: account.Viewer, Store: "st"})
	mustAllow(t, s.gate, bearer(token), tileOf("st", "a"))
	before := s.centralServer.asked.Load()
	if err := s.follower.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAllow(t, s.gate, bearer(token), tileOf("st", "a"))
	if s.follower.Last() >= 1000 || s.centralServer.asked.Load() < before+2 {
		t.Errorf("last %d; asked %d times more", s.follower.Last(), s.centralServer.asked.Load()-before)
	}
}
