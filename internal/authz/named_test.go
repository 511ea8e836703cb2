package authz

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// TestNamesTakeTheSame: the central server gets the same number of requests for existing
// and for unknown names, whatever the caller may see and whatever is cached.
func TestNamesTakeTheSame(t *testing.T) {
	variants := map[string]func(*Target){
		"by id":         func(*Target) {},
		"by name":       func(t *Target) { t.ByFile = true },
		"label by id":   func(t *Target) { t.Label = true },
		"label by name": func(t *Target) { t.ByFile, t.Label = true, true },
	}
	lists := []Request{
		tileOf("other", "b"),
		{Store: "other", Image: "b", Scope: account.ScopeLabel},
		{Store: "other", Scope: account.ScopeLabel},
		{Store: "other", Scope: account.ScopeTiles},
		tileOf("st", "a"),
		{Store: "st", Image: "a", Scope: account.ScopeLabel},
		{Store: "st", Scope: account.ScopeLabel},
		{Store: "st", Scope: account.ScopeTiles},
	}
	const no = `{"allow":false,"ttl":60}`
	tests := []struct {
		name   string
		status int // of a no
		body   string
		store  string // of which the caller may see everything
		cred   Credential
		before []Request // asked before
	}{
		{"a stranger", 401, "", "", Credential{}, nil},
		{"a forged credential", 401, "", "", bearer("x"), nil},
		{"logged in", 403, no, "", bearer("x"), nil},
		{"a no for the whole store", 403, `{"allow":false,"ttl":60,"store_wide":true}`, "", bearer("x"), nil},
		{"a no for the whole store, known before", 403, `{"allow":false,"ttl":60,"store_wide":true}`, "", bearer("x"), lists},
		{"nothing is remembered", 403, `{"allow":false,"ttl":0}`, "", bearer("x"), nil},
		{"seen in a list", 403, no, "", bearer("x"), lists},
		{"may see what stands in", 403, no, "st", bearer("x"), nil},
		{"may see what stands in, known before", 403, no, "st", bearer("x"), lists},
		{"a bad link and a credential", 403, "", "", Credential{Authorization: "Bearer x", AccessToken: "p", Signed: Signature{Sig: "s"}}, nil},
		{"a bad link", 401, "", "", Credential{AccessToken: "p", Signed: Signature{Sig: "s"}}, nil},
		{"the server fails", 500, "", "", bearer("x"), nil},
	}
	for _, tt := range tests {
		for name, vary := range variants {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				srv := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
					if s := r.URL.Query().Get("store"); s != "" && s == tt.store {
						says(200, `{"allow":true,"ttl":60,"store_wide":true}`)(w, r)
						return
					}
					says(tt.status, tt.body)(w, r)
				})
				// The responses to several names, the first of them twice and again after
				// its decision was dropped, and the number of requests to the server.
				follow := func(names ...Target) (got []string) {
					clock := newClock()
					g := gateTo(t, srv, GateOptions{Now: clock.now, Keys: new(Keys)})
					for _, q := range tt.before {
						mustAllow(t, g, tt.cred, q)
					}
					for _, n := range append(append([]Target{names[0]}, names...), names[0]) {
						if len(got) > len(names) {
							clock.add(2 * time.Minute)
						}
						vary(&n)
						before := srv.asked.Load()
						err := g.Tile(t.Context(), tt.cred, &n)
						got = append(got, fmt.Sprintf("%v, asked %d times", err, srv.asked.Load()-before))
					}
					return got
				}
				there := follow(Target{Known: true, Named: "1", Store: "other", Image: "b"}, Target{Known: true, Named: "2", Store: "other", Image: "c"})
				none := follow(Target{Named: "1", Store: "st", Image: "a"}, Target{Named: "2", Store: "st", Image: "a"})
				if d := cmp.Diff(there, none); d != "" {
					t.Errorf("-there +none:\n%s", d)
				}
			})
		}
	}
}

// TestStandInLetsNobodyIn: the decision about an unknown image's stand-in is always a
// denial, and is dropped once the name exists.
func TestStandInLetsNobodyIn(t *testing.T) {
	var asked []url.Values
	srv := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query())
		says(200, `{"allow":true,"ttl":60}`)(w, r)
	})
	g := gateTo(t, srv, GateOptions{})
	unknown := Request{Store: "st", Image: "a", Scope: account.ScopeLabel}
	for range 2 {
		a, err := g.AllowNamed(t.Context(), bearer("x"), unknown, false, "name")
		if err != nil || a.Allow {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if a, err := g.AllowNamed(t.Context(), bearer("x"), Request{Store: "st", Image: "new", Scope: account.ScopeLabel}, true, "name"); err != nil || !a.Allow {
		t.Errorf("%+v, %v", a, err)
	}
	want := []url.Values{{"store": {"st"}, "image": {"a"}, "scope": {"label"}}, {"store": {"st"}, "image": {"new"}, "scope": {"label"}}}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}
}
