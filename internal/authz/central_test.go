package authz

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

func ask(t testing.TB, c *Central, cred Credential, qs ...Request) ([]Decision, error) {
	t.Helper()
	return c.Check(t.Context(), cred, qs)
}

func central(t testing.TB, o CentralOptions) *Central {
	t.Helper()
	c, err := NewCentral(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestCentralAnswers checks the decision for each response of the central server.
func TestCentralAnswers(t *testing.T) {
	tests := []struct {
		name         string
		status       int
		kind, body   string
		want         Decision
		unavailable  bool
		unavailMsg   string
		extraHeaders map[string]string
	}{
		{name: "yes", status: 200, kind: "application/json", body: `{"allow":true,"user":{"id":"u","name":"N"},"ttl":30,"more":1}`, want: Decision{Allow: true, Status: 200, User: User{"u", "N"}, TTL: 30 * time.Second}},
		{name: "yes for the store", status: 200, kind: "application/json; charset=utf-8", body: `{"allow":true,"store_wide":true,"session":"s","token":"t"}`, want: Decision{Allow: true, Status: 200, TTL: time.Minute, StoreWide: true, Session: "s", Token: "t"}},
		{name: "no, said in the body", status: 200, kind: "application/json", body: `{"allow":false}`, want: Decision{Status: 403, TTL: time.Minute}},
		{name: "yes by status alone", status: 200, want: Decision{Allow: true, Status: 200, TTL: time.Minute}},
		{name: "yes by status alone, 204", status: 204, want: Decision{Allow: true, Status: 200, TTL: time.Minute}},
		{name: "401 by status alone", status: 401, want: Decision{Status: 401, TTL: time.Minute}},
		{name: "403 with a page", status: 403, kind: "text/html", body: "<p>no", want: Decision{Status: 403, TTL: time.Minute}},
		{name: "403 with a name", status: 403, kind: "application/json", body: `{"allow":false,"user":{"id":"u"},"ttl":5}`, want: Decision{Status: 403, User: User{ID: "u"}, TTL: 5 * time.Second}},
		{name: "403 that contradicts itself", status: 403, kind: "application/json", body: `{"allow":true}`, want: Decision{Status: 403, TTL: time.Minute}},
		{name: "no time", status: 200, kind: "application/json", body: `{"allow":true,"ttl":-5}`, want: Decision{Allow: true, Status: 200}},
		{name: "a page where an answer should be", status: 200, kind: "text/html", body: "<form>Log in", unavailable: true},
		{name: "no allow", status: 200, kind: "application/json", body: `{}`, unavailable: true},
		{name: "allow twice", status: 200, kind: "application/json", body: `{"allow":false,"allow":true}`, unavailable: true},
		{name: "allow in another case", status: 200, kind: "application/json", body: `{"allow":false,"Allow":true}`, unavailable: true},
		{name: "no JSON", status: 200, kind: "application/json", body: `{"allow":tru`, unavailable: true},
		{name: "allow that is no truth", status: 200, kind: "application/json", body: `{"allow":"true"}`, unavailable: true},
		{name: "redirect to a login", status: 302, extraHeaders: map[string]string{"Location": "/login"}, unavailable: true},
		{name: "not found", status: 404, unavailable: true},
		{name: "trailing garbage", status: 200, kind: "application/json", body: `{"allow":true}{}`, unavailable: true},
		{name: "said twice", status: 200, kind: "application/json", body: `{"allow":false,"allow":true}`, unavailable: true},
		{name: "said twice in other spellings", status: 200, kind: "application/json", body: `{"allow":false,"aLLow":true}`, unavailable: true},
		{name: "spelled otherwise", status: 200, kind: "application/json", body: `{"Allow":true}`, unavailable: true},
		{name: "spelled otherwise, folded", status: 200, kind: "application/json", body: `{"allow":true,"uſer":{"id":"x"}}`, unavailable: true},
		{name: "a user said twice", status: 200, kind: "application/json", body: `{"allow":true,"user":{"id":"a","id":"b"}}`, unavailable: true},
		{name: "more of another application", status: 200, kind: "application/json", body: `{"allow":true,"more":{"Other":[{"x":1}]}}`, want: Decision{Allow: true, Status: 200, TTL: time.Minute}},
		{name: "nested without end", status: 200, kind: "application/json", body: `{"allow":true,"more":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, unavailable: true},
		{name: "null", status: 200, kind: "application/json", body: `null`, unavailable: true},
		{name: "a list", status: 200, kind: "application/json", body: `[{"allow":true}]`, unavailable: true},
		{name: "another type that begins alike", status: 200, kind: "application/json-seq", body: `{"allow":true}`, unavailable: true},
		{name: "error", status: 500, kind: "application/json", body: `{"allow":true}`, unavailable: true},
		{name: "endless", status: 200, kind: "application/json", body: `{"allow":true}` + strings.Repeat(" ", 2<<20), unavailable: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := newCentralServer(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range tt.extraHeaders {
					w.Header().Set(k, v)
				}
				if tt.kind != "" {
					w.Header().Set("Content-Type", tt.kind)
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			got, err := ask(t, central(t, CentralOptions{URL: srv.URL}), bearer("x"), tileOf("st", "a"))
			if tt.unavailable {
				if !errors.Is(err, ErrUnavailable) {
					t.Errorf("%+v, %v, want ErrUnavailable", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]Decision{tt.want}, got, cmpopts.EquateComparable(Decision{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestCentralAsked checks the requests to the central server, and the credentials in
// them.
func TestCentralAsked(t *testing.T) {
	var got *http.Request
	var body string
	srv := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		if r.Method == http.MethodPost {
			says(200, `{"user":{"id":"u"},"ttl":60,"answers":[{"allow":true},{"allow":false}]}`)(w, r)
			return
		}
		says(200, yes)(w, r)
	})
	c := central(t, CentralOptions{URL: srv.URL + "/slides/", Cookie: "sid"})
	cred := Credential{Authorization: "Bearer x", Cookie: "c1", AccessToken: "p"}
	q := Request{Store: "st", Image: "a", ExternalID: "7 b", Scope: "label"}
	if _, err := ask(t, c, cred, q); err != nil {
		t.Fatal(err)
	}
	if want := "GET /slides/api/v1/auth/check?external_id=7+b&image=a&scope=label&store=st"; got.Method+" "+got.URL.String() != want {
		t.Errorf("%s %s, want %s", got.Method, got.URL, want)
	}
	if got.Header.Get("Authorization") != "Bearer x" || got.Header.Get("Cookie") != "sid=c1" {
		t.Errorf("headers %v", got.Header)
	}
	decisions, err := ask(t, c, cred, q, tileOf("st", "b"))
	if err == nil {
		t.Errorf("two scopes, each with one question, were answered with two answers: %+v", decisions)
	}
	decisions, err = ask(t, c, cred, tileOf("st", "a"), tileOf("st", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"scope":"tiles","images":[{"store":"st","image":"a"},{"store":"st","image":"b"}]}`; body != want {
		t.Errorf("body %s, want %s", body, want)
	}
	if !decisions[0].Allow || decisions[1].Allow || decisions[1].Status != 403 || decisions[1].User.ID != "u" {
		t.Errorf("%+v", decisions)
	}
	if _, err := ask(t, central(t, CentralOptions{URL: srv.URL}), cred, q); err != nil || got.Header.Get("Cookie") != "" {
		t.Errorf("a cookie that the options do not name was passed on: %v, %v", got.Header, err)
	}
}

// TestCentralWithoutPOST uses a central server that supports only single requests.
func TestCentralWithoutPOST(t *testing.T) {
	for _, post := range []int{404, 405, 501, 200} {
		srv := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost:
				w.WriteHeader(post)
			case r.URL.Query().Get("image") == "b":
				w.WriteHeader(403)
			}
		})
		c := central(t, CentralOptions{URL: srv.URL})
		for range 2 {
			got, err := ask(t, c, bearer("x"), tileOf("st", "a"), tileOf("st", "b"), tileOf("st", "c"))
			if err != nil || !got[0].Allow || got[1].Allow || !got[2].Allow {
				t.Errorf("POST answered %d: %+v, %v", post, got, err)
			}
		}
		if n := srv.asked.Load(); n != 7 {
			t.Errorf("POST answered %d: asked %d times, want one POST and six GET", post, n)
		}
	}
}

// TestCentralBatch checks responses to a POST.
func TestCentralBatch(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   []int // statuses, nil if unavailable
	}{
		{"each", 200, `{"answers":[{"allow":true},{"allow":false}]}`, []int{200, 403}},
		{"not logged in", 401, ``, []int{401, 401}},
		{"nothing", 403, ``, []int{403, 403}},
		{"one that says both", 200, `{"answers":[{"allow":true},{"allow":false,"ALLOW":true}]}`, nil},
		{"too few", 200, `{"answers":[{"allow":true}]}`, nil},
		{"too many", 200, `{"answers":[{"allow":true},{"allow":true},{"allow":true}]}`, nil},
		{"one that says nothing", 200, `{"answers":[{"allow":true},{}]}`, nil},
		{"yes for all at once", 200, `{"allow":true,"answers":[{},{}]}`, nil},
		{"error", 500, ``, nil},
	}
	for _, tt := range tests {
		srv := newCentralServer(t, says(tt.status, tt.body))
		decisions, err := ask(t, central(t, CentralOptions{URL: srv.URL}), bearer("x"), tileOf("st", "a"), tileOf("st", "b"))
		var got []int
		for _, a := range decisions {
			got = append(got, a.Status)
		}
		if d := cmp.Diff(tt.want, got); d != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v\n%s", tt.name, err, d)
		}
	}
}

// TestBreaker: the breaker opens for a server that fails for different callers, and lets
// a request through after a while; failures of one caller do not open it.
func TestBreaker(t *testing.T) {
	type step struct {
		o      outcome
		caller uint64
		after  time.Duration // before the step
		want   breakerEvent
	}
	same := func(o outcome, want breakerEvent) []step {
		return slices.Repeat([]step{{o, 1, 0, want}}, 20)
	}
	four := []step{{failed, 1, 0, unchanged}, {failed, 2, 0, unchanged}, {failed, 3, 0, unchanged}, {failed, 4, 0, unchanged}}
	tests := []struct {
		name  string
		steps []step
		open  bool
	}{
		{"one caller's failures", same(failed, unchanged), false},
		{"one caller's odd answers", same(unusable, unchanged), false},
		{"many callers' odd answers", []step{{unusable, 1, 0, unchanged}, {unusable, 2, 0, unchanged}, {unusable, 3, 0, unchanged}, {unusable, 4, 0, unchanged}, {unusable, 5, 0, unchanged}, {unusable, 6, 0, unchanged}}, false},
		{"failures of different callers are a suspicion", append(slices.Clone(four), step{failed, 5, 0, suspected}), false},
		{"others wait for what the suspicion comes to", append(slices.Clone(four), step{failed, 5, 0, suspected}, step{failed, 6, 0, unchanged}), false},
		{"an answer between", append(append(slices.Clone(four), step{good, 9, 0, unchanged}), four...), false},
		{"over a long time", append(slices.Clone(four), step{failed, 5, breakerWindow, unchanged}), false},
		{"no connection, the same caller each time", []step{{unreached, 1, 0, unchanged}, {unreached, 1, 0, unchanged}, {unreached, 1, 0, unchanged}, {unreached, 1, 0, unchanged}, {unreached, 1, 0, wentDown}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, now := new(breaker), noon
			for i, s := range tt.steps {
				now = now.Add(s.after)
				if got := b.leave(s.o, s.caller, false, now); got != s.want {
					t.Errorf("step %d: event %d, want %d", i, got, s.want)
				}
			}
			if ok, _, _ := b.enter(now); ok == tt.open {
				t.Errorf("lets through: %v", ok)
			}
			if len(b.recent) > breakerCallers {
				t.Errorf("remembers %d failures", len(b.recent))
			}
		})
	}
}

// TestBreakerTrial: only one request tests whether the server is up again.
func TestBreakerTrial(t *testing.T) {
	b, now := new(breaker), noon
	if got := b.settle(failed, now); got != wentDown {
		t.Fatalf("event %d", got)
	}
	enter := func(wantOK, wantTrial bool) {
		t.Helper()
		if ok, trial, wait := b.enter(now); ok != wantOK || trial != wantTrial || !ok && wait <= 0 {
			t.Fatalf("%v %v %v, want %v %v", ok, trial, wait, wantOK, wantTrial)
		}
	}
	enter(false, false)
	now = now.Add(breakerPause)
	enter(true, true)   // one tries
	enter(false, false) // the others wait for it
	if got := b.leave(failed, 7, false, now); got != unchanged {
		t.Errorf("a request from before: event %d", got)
	}
	if got := b.leave(unusable, 1, true, now); got != unchanged {
		t.Errorf("event %d", got)
	}
	enter(true, true) // the first has proved nothing
	if got := b.leave(failed, 1, true, now); got != suspected {
		t.Errorf("event %d", got)
	}
	enter(false, false)
	if got := b.settle(failed, now); got != unchanged {
		t.Errorf("event %d", got)
	}
	enter(false, false)
	now = now.Add(breakerPause)
	enter(true, true)
	if got := b.leave(unreached, 1, true, now); got != unchanged {
		t.Errorf("event %d", got)
	}
	now = now.Add(breakerPause)
	enter(true, true)
	if got := b.leave(good, 1, true, now); got != cameBack {
		t.Errorf("event %d", got)
	}
	for range 10 {
		enter(true, false)
		if got := b.leave(good, 1, false, now); got != unchanged {
			t.Errorf("event %d", got)
		}
	}
}

// TestCentralSpared: while the server fails for all callers, few requests reach it.
func TestCentralSpared(t *testing.T) {
	srv := newCentralServer(t, says(500, ""))
	g := gateTo(t, srv, GateOptions{})
	var after time.Duration
	for i := range 100 {
		_, err := g.Allow(t.Context(), bearer(fmt.Sprint(i)), tileOf("st", "a"))
		e, ok := errors.AsType[*UnavailableError](err)
		if !ok {
			t.Fatal(err)
		}
		after = e.RetryAfter
	}
	if n := srv.asked.Load(); n != breakerCallers+1 {
		t.Errorf("the server was asked %d times, want %d, and once without a credential", n, breakerCallers)
	}
	if after <= 0 || after > breakerPause {
		t.Errorf("come back after %v", after)
	}
}

// TestStrangersCloseNothing: whatever responses attackers provoke for their own requests,
// other callers get access.
func TestStrangersCloseNothing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		decision http.HandlerFunc
	}{
		{"400", says(400, "")},
		{"431", says(431, "")},
		{"429", says(429, "")},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }},
		{"page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<form>Log in") }},
		{"201", says(201, `{"allow":true}`)},
		{"no JSON", says(200, `{"allow":`)},
		{"500", says(500, "")},
		{"breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
				switch who := r.Header.Get("Authorization"); {
				case strings.HasPrefix(who, "Bearer stranger"):
					tt.decision(w, r)
				case who == "":
					says(401, "")(w, r)
				default:
					says(200, yes)(w, r)
				}
			})
			g := gateTo(t, srv, GateOptions{})
			for i := range 4 * breakerCallers {
				for _, who := range []string{"stranger", fmt.Sprint("stranger", i)} {
					if _, err := g.Allow(t.Context(), bearer(who), tileOf("st", fmt.Sprint(i))); !errors.Is(err, ErrUnavailable) {
						t.Fatalf("the stranger: %v", err)
					}
				}
			}
			if a := mustAllow(t, g, bearer("ann"), tileOf("st", "a")); !a.Allow {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestCredentialRefused: a credential that every server would refuse is not sent.
func TestCredentialRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Credential
		ok   bool
	}{
		{"4 KB", Credential{Authorization: strings.Repeat("x", 4096), Cookie: strings.Repeat("x", 4096)}, true},
		{"a longer Authorization", Credential{Authorization: strings.Repeat("x", 4097)}, false},
		{"a longer cookie", Credential{Cookie: strings.Repeat("x", 4097)}, false},
		{"a control character", Credential{Authorization: "Bearer \x01"}, false},
		{"a line feed", Credential{Cookie: "a\nb"}, false},
		{"other bytes", Credential{Authorization: "Bearer \xff\t~"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newCentralServer(t, says(200, yes))
			g := gateTo(t, srv, GateOptions{})
			_, err := g.Allow(t.Context(), tt.c, tileOf("st", "a"))
			e, refused := errors.AsType[*httperr.Error](err)
			if asked := srv.asked.Load() > 0; asked != tt.ok || refused == tt.ok || refused && e.Status != 400 {
				t.Errorf("asked: %v, %v", asked, err)
			}
		})
	}
}

// TestCutOffAnswers: a response that may be truncated grants no access.
func TestCutOffAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, decision string
		allow          bool
	}{
		{"yes", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"allow\":true}", true},
		{"yes, to the end of the connection", "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"allow\":true}", true},
		{"explicitly empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", true},
		{"empty, to the end of the connection", "HTTP/1.0 200 OK\r\n\r\n", false},
		{"empty, of version 1.1", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false},
		{"empty, in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"chunks cut off", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"allow\":true}\r\n", false},
		{"shorter than it says", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"allow\":true}", false},
		{"cut off", "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"allow\":true", false},
		{"201", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", false},
		{"202", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", false},
		{"205", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", false},
		{"206", "HTTP/1.1 206 Partial Content\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"allow\":true}", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newCentralServer(t, func(w http.ResponseWriter, _ *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					io.WriteString(c, tt.decision)
					c.Close()
				}
			})
			got, err := ask(t, central(t, CentralOptions{URL: srv.URL}), bearer("x"), tileOf("st", "a"))
			if (err == nil) != tt.allow || err == nil && !got[0].Allow || err != nil && !errors.Is(err, ErrUnavailable) {
				t.Errorf("%+v, %v", got, err)
			}
			if _, err := ask(t, central(t, CentralOptions{URL: srv.URL}), bearer("x"), tileOf("st", "a"), tileOf("st", "b")); err != nil && !errors.Is(err, ErrUnavailable) {
				t.Errorf("many: %v", err)
			}
		})
	}
}

func TestNewCentral(t *testing.T) {
	for _, tt := range []struct {
		url      string
		insecure bool
		ok       bool
	}{
		{"https://central.example.org", false, true},
		{"https://central.example.org/slides/", false, true},
		{"http://127.0.0.1:8080", false, true},
		{"http://central.example.org", false, false},
		{"http://central.example.org", true, true},
		{"ftp://central.example.org", false, false},
		{"https://user:pw@central.example.org", false, false},
		{"central.example.org", false, false},
		{"", false, false},
	} {
		if _, err := NewCentral(CentralOptions{URL: tt.url, Insecure: tt.insecure}); (err == nil) != tt.ok {
			t.Errorf("%q, insecure %v: %v", tt.url, tt.insecure, err)
		}
	}
}

// TestCentralTLS: a certificate of a private authority is accepted only if that authority
// is configured.
func TestCentralTLS(t *testing.T) {
	srv := httptest.NewTLSServer(says(200, yes))
	t.Cleanup(srv.Close)
	srv.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	if _, err := ask(t, central(t, CentralOptions{URL: srv.URL, Roots: roots}), bearer("x"), tileOf("st", "a")); err != nil {
		t.Error(err)
	}
	if _, err := ask(t, central(t, CentralOptions{URL: srv.URL}), bearer("x"), tileOf("st", "a")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an untrusted certificate is accepted: %v", err)
	}
}

// TestErrorsSayNothingSecret: errors contain neither the credential nor an external id.
func TestErrorsSayNothingSecret(t *testing.T) {
	u, _ := url.Parse("http://127.0.0.1:1")
	c := central(t, CentralOptions{URL: u.String(), Cookie: "sid"})
	_, err := ask(t, c, Credential{Authorization: "Bearer hush", Cookie: "hush"}, Request{Store: "st", Image: "a", ExternalID: "hush", Scope: "tiles"})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
}

// TestCentralSlow: a server that does not respond costs no more than the timeout.
func TestCentralSlow(t *testing.T) {
	end := make(chan struct{})
	srv := newCentralServer(t, func(http.ResponseWriter, *http.Request) { <-end })
	t.Cleanup(func() { close(end) }) // before the server is closed
	c := central(t, CentralOptions{URL: srv.URL, Timeout: 50 * time.Millisecond})
	began := time.Now()
	if _, err := ask(t, c, bearer("x"), tileOf("st", "a")); !errors.Is(err, ErrUnavailable) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// A central server decides about original files only if its response names their scope: an older one
// refuses the scope, and one that ignores it would give the files to everybody who may see tiles.
func TestCentralFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   bool
	}{
		"knows it":       {func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, `{"allow":true,"ttl":60,"scope":"file"}`) }, true},
		"denies it":      {func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, `{"allow":false,"ttl":60,"scope":"file"}`) }, false},
		"ignores it":     {func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, `{"allow":true,"ttl":60}`) }, false},
		"has no body":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, false},
		"is older":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) }, false},
		"calls it wrong": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, false},
	} {
		srv := newCentralServer(t, tt.answer)
		c := central(t, CentralOptions{URL: srv.URL})
		got, err := c.Check(t.Context(), Credential{Cookie: "c"}, []Request{{Store: "s", Image: "i", Scope: account.ScopeFile}})
		if err != nil || got[0].Allow != tt.want {
			t.Errorf("a server that %s: %+v, %v; want %v", name, got, err, tt.want)
		}
	}
}

func answerJSON(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, body)
}
