package authz

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// A centralServer is a central server whose responses a test sets.
type centralServer struct {
	*httptest.Server
	asked    atomic.Int64
	decision atomic.Value // func(w http.ResponseWriter, r *http.Request)
}

func newCentralServer(t testing.TB, decision http.HandlerFunc) *centralServer {
	t.Helper()
	c := new(centralServer)
	c.decision.Store(decision)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.asked.Add(1)
		c.decision.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// says sets the response to all requests.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if body != "" {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// A clock advances only when a test advances it.
type clock struct{ n atomic.Int64 }

func newClock() *clock { c := new(clock); c.n.Store(time.Now().UnixNano()); return c }

func (c *clock) now() time.Time      { return time.Unix(0, c.n.Load()) }
func (c *clock) add(d time.Duration) { c.n.Add(int64(d)) }

func gateTo(t testing.TB, c *centralServer, o GateOptions) *Gate {
	t.Helper()
	central, err := NewCentral(CentralOptions{URL: c.URL, Cookie: CookieName, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(central.Close)
	o.Authorizer = central
	return NewGate(o)
}

func bearer(s string) Credential { return Credential{Authorization: "Bearer " + s} }

func tileOf(store, image string) Request {
	return Request{Store: store, Image: image, Scope: account.ScopeTiles}
}

const yes = `{"allow":true,"user":{"id":"u1","name":"Ann"},"ttl":60,"session":"s1"}`

func mustAllow(t testing.TB, g *Gate, c Credential, q Request) Decision {
	t.Helper()
	a, err := g.Allow(t.Context(), c, q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return a
}

// TestRemembered counts the requests to the central server.
func TestRemembered(t *testing.T) {
	type step struct {
		who   string
		q     Request
		after time.Duration // before the step
		asked int64         // in all, after the step
	}
	label := Request{Store: "st", Image: "a", Scope: account.ScopeLabel}
	tests := []struct {
		name   string
		status int
		body   string
		steps  []step
	}{
		{"yes", 200, yes, []step{
			{"ann", tileOf("st", "a"), 0, 1},
			{"ann", tileOf("st", "a"), 59 * time.Second, 1},
			{"ann", tileOf("st", "a"), time.Second, 2},
			{"ann", tileOf("st", "b"), 0, 3},
			{"ann", label, 0, 4},
			{"bob", tileOf("st", "a"), 0, 5},
			{"bob", tileOf("other", "a"), 0, 6},
		}},
		{"no", 403, `{"allow":false,"ttl":10}`, []step{
			{"ann", tileOf("st", "a"), 0, 1}, {"ann", tileOf("st", "a"), 9 * time.Second, 1}, {"ann", tileOf("st", "a"), time.Second, 2},
		}},
		{"not logged in, by status alone", 401, "", []step{
			{"ann", tileOf("st", "a"), 0, 1}, {"ann", tileOf("st", "a"), 59 * time.Second, 1}, {"ann", tileOf("st", "a"), time.Second, 2},
		}},
		{"yes for the store", 200, `{"allow":true,"ttl":60,"store_wide":true}`, []step{
			{"ann", tileOf("st", "a"), 0, 1},
			{"ann", tileOf("st", "b"), 0, 1},
			{"ann", tileOf("st", ""), 0, 1},
			{"ann", tileOf("other", "b"), 0, 2},
			{"ann", label, 0, 3},
		}},
		{"a question without image holds for all of the store", 200, yes, []step{
			{"ann", tileOf("st", ""), 0, 1}, {"ann", tileOf("st", "b"), 0, 1}, {"ann", tileOf("", ""), 0, 2}, {"ann", tileOf("other", "b"), 0, 3},
		}},
		{"no for all of a store says nothing of its images", 403, "", []step{
			{"ann", tileOf("st", ""), 0, 1}, {"ann", tileOf("st", ""), 0, 1}, {"ann", tileOf("st", "b"), 0, 2},
		}},
		{"not to be remembered", 200, `{"allow":true,"ttl":0}`, []step{
			{"ann", tileOf("st", "a"), 0, 1}, {"ann", tileOf("st", "a"), 0, 2},
		}},
		{"never longer than we want", 200, `{"allow":true,"ttl":1e9}`, []step{
			{"ann", tileOf("st", "a"), 0, 1}, {"ann", tileOf("st", "a"), 299 * time.Second, 1}, {"ann", tileOf("st", "a"), time.Second, 2},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, clock := newCentralServer(t, says(tt.status, tt.body)), newClock()
			g := gateTo(t, c, GateOptions{Now: clock.now})
			for i, s := range tt.steps {
				clock.add(s.after)
				a := mustAllow(t, g, bearer(s.who), s.q)
				if a.Status != tt.status || a.Allow != (tt.status == 200) {
					t.Errorf("step %d: %+v, want status %d", i, a, tt.status)
				}
				if n := c.asked.Load(); n != s.asked {
					t.Errorf("step %d: the central server was asked %d times, want %d", i, n, s.asked)
				}
			}
		})
	}
}

// TestSlowAnswer: the TTL of a decision begins with the request, because the decision may
// have been made right then.
func TestSlowAnswer(t *testing.T) {
	clock := newClock()
	c := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
		clock.add(5 * time.Second)
		says(200, yes)(w, r)
	})
	g := gateTo(t, c, GateOptions{Now: clock.now})
	mustAllow(t, g, bearer("ann"), tileOf("st", "a"))
	clock.add(56 * time.Second)
	mustAllow(t, g, bearer("ann"), tileOf("st", "a"))
	if n := c.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

// TestManyAskAtOnce: for concurrent equal requests the central server gets one.
func TestManyAskAtOnce(t *testing.T) {
	c := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		says(200, yes)(w, r)
	})
	g := gateTo(t, c, GateOptions{})
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if a := mustAllow(t, g, bearer("ann"), tileOf("st", "a")); !a.Allow {
				t.Error("not allowed")
			}
		})
	}
	wg.Wait()
	if n := c.asked.Load(); n != 1 {
		t.Errorf("the central server was asked %d times, want 1", n)
	}
}

// TestImpatient: if the first client disconnects, the other waiting clients still get the
// decision.
func TestImpatient(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	c := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		says(200, yes)(w, r)
	})
	g := gateTo(t, c, GateOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := g.Allow(ctx, bearer("ann"), tileOf("st", "a")); first <- err }()
	<-arrived
	second := make(chan error)
	go func() { _, err := g.Allow(t.Context(), bearer("ann"), tileOf("st", "a")); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who went away got %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("who stayed got %v", err)
	}
}

// TestRevoke: a revocation invalidates exactly the decisions it is about, at once.
func TestRevoke(t *testing.T) {
	unnamed := `{"allow":true,"ttl":60}`
	wide := `{"allow":true,"user":{"id":"u1"},"ttl":60,"store_wide":true,"token":"t1"}`
	tests := []struct {
		name   string
		body   string
		kind   account.RevocationKind
		id     string
		forget bool
	}{
		{"user", yes, account.RevokeUser, "u1", true},
		{"another user", yes, account.RevokeUser, "u2", false},
		{"session", yes, account.RevokeSession, "s1", true},
		{"another session", yes, account.RevokeSession, "s2", false},
		{"a token, by whom has a session", yes, account.RevokeToken, "t1", false},
		{"image", yes, account.RevokeImage, "a", true},
		{"another image", yes, account.RevokeImage, "b", false},
		{"store", yes, account.RevokeStore, "st", true},
		{"another store", yes, account.RevokeStore, "s2", false},
		{"all", yes, account.RevokeAll, "", true},
		{"a kind of later days", yes, "planet", "x", true},
		{"user, whom the central server does not name", unnamed, account.RevokeUser, "u2", true},
		{"session, which the central server does not name", unnamed, account.RevokeSession, "s2", true},
		{"token, which the central server does not name", unnamed, account.RevokeToken, "s2", true},
		{"image, remembered for the store", wide, account.RevokeImage, "a", true},
		{"another image, remembered for the store", wide, account.RevokeImage, "b", false},
		{"token, remembered for the store", wide, account.RevokeToken, "t1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCentralServer(t, says(200, tt.body))
			g := gateTo(t, c, GateOptions{})
			mustAllow(t, g, bearer("ann"), tileOf("st", "a"))
			c.decision.Store(says(403, `{"allow":false,"user":{"id":"u1"},"ttl":60}`))
			g.Revoke(account.Revocation{N: 1, Kind: tt.kind, ID: tt.id})
			if a := mustAllow(t, g, bearer("ann"), tileOf("st", "a")); a.Allow == tt.forget {
				t.Errorf("allowed: %v", a.Allow)
			}
			if a := mustAllow(t, g, bearer("ann"), tileOf("st", "a")); a.Allow == tt.forget {
				t.Errorf("allowed the second time: %v", a.Allow)
			}
			if want := int64(1); tt.forget {
				want = 2
				if n := c.asked.Load(); n != want {
					t.Errorf("asked %d times, want %d", n, want)
				}
			}
		})
	}
}

// TestRevokeInFlight: a decision that is pending during a revocation is neither used by
// any waiting request nor cached.
func TestRevokeInFlight(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	c := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		says(200, yes)(w, r) // as it was true when the request came
	})
	g := gateTo(t, c, GateOptions{})
	got := make(chan Decision, 2)
	ask := func() { got <- mustAllow(t, g, bearer("ann"), tileOf("st", "a")) }
	go ask()
	<-arrived
	c.decision.Store(says(403, `{"allow":false,"user":{"id":"u1"},"ttl":60}`))
	g.Revoke(account.Revocation{N: 1, Kind: account.RevokeUser, ID: "u1"})
	go ask()
	close(release)
	for range 2 {
		if a := <-got; a.Allow {
			t.Error("an answer from before the revocation was used")
		}
	}
	if a := mustAllow(t, g, bearer("ann"), tileOf("st", "a")); a.Allow {
		t.Error("an answer from before the revocation was remembered")
	}
}

// TestRevokedForEver: a central server that applies its own revocations late causes an
// error, not access.
func TestRevokedForEver(t *testing.T) {
	c := newCentralServer(t, nil)
	g := gateTo(t, c, GateOptions{})
	c.decision.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.Revoke(account.Revocation{Kind: account.RevokeUser, ID: "u1"})
		says(200, yes)(w, r)
	}))
	if _, err := g.Allow(t.Context(), bearer("ann"), tileOf("st", "a")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

// TestAllowMany mixes cached decisions, new requests, and more than go into one
// request.
func TestAllowMany(t *testing.T) {
	var most atomic.Int64
	authority := authorityFunc(func(_ context.Context, _ Credential, qs []Request) ([]Decision, error) {
		most.Store(max(most.Load(), int64(len(qs))))
		decisions := make([]Decision, len(qs))
		for i, q := range qs {
			decisions[i] = Decision{Status: 403, TTL: time.Minute}
			if q.Image[len(q.Image)-1]%2 == 0 {
				decisions[i] = Decision{Allow: true, Status: 200, TTL: time.Minute}
			}
		}
		return decisions, nil
	})
	g := NewGate(GateOptions{Authorizer: authority})
	var qs []Request
	for i := range 1000 {
		qs = append(qs, tileOf("st", fmt.Sprintf("image-%d", i%700)))
	}
	for range 2 {
		decisions, err := g.AllowMany(t.Context(), bearer("ann"), qs)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range decisions {
			if want := (i%700)%2 == 0; a.Allow != want {
				t.Fatalf("%s: allowed %v, want %v", qs[i].Image, a.Allow, want)
			}
		}
	}
	if n := most.Load(); n != MaxBatch {
		t.Errorf("%d questions at once, want %d", n, MaxBatch)
	}
	if n := g.Stats().Decisions; n != 700 {
		t.Errorf("%d answers are remembered, want 700", n)
	}
}

type authorityFunc func(context.Context, Credential, []Request) ([]Decision, error)

func (f authorityFunc) Check(ctx context.Context, c Credential, qs []Request) ([]Decision, error) {
	return f(ctx, c, qs)
}

// generous allows everything.
var generous = authorityFunc(func(_ context.Context, _ Credential, qs []Request) ([]Decision, error) {
	decisions := make([]Decision, len(qs))
	for i := range decisions {
		decisions[i] = Decision{Allow: true, Status: 200, TTL: time.Minute, User: User{ID: "u1"}, Session: "s1"}
	}
	return decisions, nil
})

// TestMemoryBounded: attackers who try many tokens do not fill the memory, and active
// callers stay cached.
func TestMemoryBounded(t *testing.T) {
	const most = 1 << 20
	g := NewGate(GateOptions{Authorizer: generous, MaxBytes: most})
	w := g.who(&Credential{Authorization: "Bearer ann"})
	q := tileOf("st", "a")
	mustAllow(t, g, bearer("ann"), q)
	for i := range 20_000 {
		mustAllow(t, g, bearer(fmt.Sprint(i)), tileOf("st", fmt.Sprint("image-", i)))
		if g.cached(&w, &q) == nil {
			t.Fatalf("a caller in use was dropped after %d others", i)
		}
	}
	s := g.Stats()
	if s.Bytes > most || s.Decisions < most/entryBytes/2 {
		t.Errorf("%+v, want up to %d bytes", s, most)
	}
	var entries int
	for i := range g.decisionCache.shards {
		entries += len(g.decisionCache.shards[i].entries)
	}
	if entries != s.Decisions {
		t.Errorf("%d in the maps, %d in the rings", entries, s.Decisions)
	}
}

// TestCredentialsApart: different credentials never share a decision, however their parts
// are split.
func TestCredentialsApart(t *testing.T) {
	g := NewGate(GateOptions{Authorizer: generous})
	seen := map[who]Credential{}
	for _, c := range []Credential{
		{},
		{Authorization: "ab"},
		{Authorization: "a", Cookie: "b"},
		{Cookie: "ab"},
		{Cookie: "a", AccessToken: "b"},
		{AccessToken: "ab"},
		{Signed: Signature{Sig: "ab"}},
		{Signed: Signature{Sig: "a", Exp: "b"}},
		{Signed: Signature{Sig: "a", Scope: "b"}},
		{Signed: Signature{Sig: "a", KeyID: "b"}},
		{Authorization: string(make([]byte, 5000))},
		{Authorization: string(make([]byte, 5001))},
	} {
		w := g.who(&c)
		if other, ok := seen[w]; ok {
			t.Errorf("%#v and %#v have one hash", c.Authorization, other.Authorization)
		}
		seen[w] = c
		if g.who(&c) != w {
			t.Error("the hash is another the second time")
		}
	}
	if NewGate(GateOptions{}).who(&Credential{Authorization: "ab"}) == g.who(&Credential{Authorization: "ab"}) {
		t.Error("two processes make the same hash: it has no key")
	}
}

func TestCredentialTaken(t *testing.T) {
	g := NewGate(GateOptions{Cookie: "sid"})
	tests := []struct {
		name, authorization, cookies, query string
		want                                Credential
	}{
		{"none", "", "", "", Credential{}},
		{"header", "Bearer x", "", "v=1", Credential{Authorization: "Bearer x"}},
		{"the one cookie", "", "a=1; sid=abc; b=2", "", Credential{Cookie: "abc"}},
		{"no cookie of that name", "", "xsid=abc; sidx=d; SID=e", "", Credential{}},
		{"quoted", "", `sid="abc"`, "", Credential{Cookie: "abc"}},
		{"pass", "", "", "v=1&pass=p", Credential{AccessToken: "p"}},
		{"signature", "", "", "sig=s&exp=1&scope=tiles&kid=k", Credential{Signed: Signature{"s", "1", "tiles", "k"}}},
		{"parameters of something else", "", "", "exp=1&scope=tiles&kid=k", Credential{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, g.Credential(tt.authorization, tt.cookies, tt.query)); d != "" {
				t.Error(d)
			}
		})
	}
	secret := Credential{Authorization: "Bearer secret", Cookie: "secret", AccessToken: "secret", Signed: Signature{Sig: "secret"}}
	if s := fmt.Sprintf("%v %+v %#v %s %v", secret, secret, secret, secret, secret.LogValue()); s != "credential credential credential credential credential" {
		t.Errorf("a credential prints as %q", s)
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	g := NewGate(GateOptions{Authorizer: generous})
	c, q := bearer("a token of the usual length, or thereabouts"), tileOf("st", "a")
	mustAllow(t, g, c, q)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { g.Allow(ctx, c, q) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if s := g.Stats(); s.Hits != 1001 || s.Misses != 1 || s.Failed != 0 {
		t.Errorf("figures %+v, want 1001 hits and 1 miss", s)
	}
	target := Target{Known: true, Named: q.Image, Store: q.Store, Image: q.Image}
	if n := testing.AllocsPerRun(1000, func() { g.Tile(ctx, c, &target) }); n != 0 {
		t.Errorf("%v allocations for a tile", n)
	}
}

func BenchmarkHit(b *testing.B) {
	g := NewGate(GateOptions{Authorizer: generous})
	c, q := bearer("pts_0123456789abcdef0123456789abcdef0123456789abcdef"), tileOf("st", "0123456789abcdef")
	ctx := b.Context()
	b.Run("image", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.Allow(ctx, c, q)
		}
	})
	mustAllow(b, g, c, tileOf("wide", ""))
	q.Store = "wide"
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.Allow(ctx, c, q)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				g.Allow(ctx, c, q)
			}
		})
	})
}
