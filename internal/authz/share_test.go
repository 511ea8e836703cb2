package authz

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// An edge server forwards the cookie of share links to the built-in central server only.
func TestShareForwarded(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		cookie, want string
	}{{CookieName, CookieName + "=c " + ShareCookie + "=psv_x"}, {"sid", "sid=c"}, {"", ""}} {
		var got []string
		srv := newCentralServer(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header["Cookie"]
			w.WriteHeader(http.StatusNoContent)
		})
		c := central(t, CentralOptions{URL: srv.URL, Cookie: row.cookie})
		if _, err := ask(t, c, Credential{Cookie: "c", Share: "psv_x"}, Request{Store: "st", Image: "a", Scope: "tiles"}); err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(got, " "); all != row.want {
			t.Errorf("cookie %q: %q, want %q", row.cookie, all, row.want)
		}
	}
}

// A share link allows its images only, and ends at once when it, its creator's right or the
// creator's user is revoked, although the decision is cached.
func TestShareDecisions(t *testing.T) {
	t.Parallel()
	a := openAccounts(t)
	ctx := t.Context()
	u, err := a.Users.Add(ctx, account.User{Name: "anna"}, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	grant, err := a.Grants.Add(ctx, account.Grant{User: u.ID, Role: account.Reader, Store: "st"})
	if err != nil {
		t.Fatal(err)
	}
	visit := func(labels bool, images ...string) (Credential, string) {
		t.Helper()
		secret, s, err := a.Shares.Add(ctx, account.Share{User: u.ID, Kind: account.ShareSlides, Labels: labels, Images: images, ExpiresAt: time.Now().Add(2 * time.Hour)}, "")
		if err != nil {
			t.Fatal(err)
		}
		cookie, _, err := a.Shares.Open(ctx, s.ID, secret, "", "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		return Credential{Share: cookie}, s.ID
	}
	g := NewGate(GateOptions{Authorizer: &Local{Accounts: a}})
	a.Revocations.Notify(g.Revoke)
	c, id := visit(false, "a", "b")
	labelled, _ := visit(true, "a")
	for _, row := range []struct {
		name string
		c    Credential
		q    Request
		want bool
	}{
		{"its image", c, tileOf("st", "a"), true},
		{"its other image", c, tileOf("st", "b"), true},
		{"another image", c, tileOf("st", "c"), false},
		{"its image in a store that its creator may not see", c, tileOf("other", "a"), false},
		{"the store", c, tileOf("st", ""), false},
		{"everything", c, tileOf("", ""), false},
		{"a label", c, Request{Store: "st", Image: "a", Scope: account.ScopeLabel}, false},
		{"a label on purpose", labelled, Request{Store: "st", Image: "a", Scope: account.ScopeLabel}, true},
		{"another label", labelled, Request{Store: "st", Image: "b", Scope: account.ScopeLabel}, false},
		{"a change", labelled, Request{Store: "st", Image: "a", Scope: account.ScopeWrite}, false},
		{"admin", labelled, Request{Store: "st", Image: "a", Scope: account.ScopeAdmin}, false},
		{"an invented cookie", Credential{Share: "psv_x"}, tileOf("st", "a"), false},
	} {
		if d := mustAllow(t, g, row.c, row.q); d.Allow != row.want || !row.want && d.Status != 401 {
			t.Errorf("%s: %+v, want %v", row.name, d, row.want)
		}
	}
	if who, err := g.Identify(ctx, c); err != nil || who.LoggedIn || who.ID != "" {
		t.Errorf("the caller is %+v, %v", who, err)
	}
	if d := mustAllow(t, NewGate(GateOptions{Authorizer: &Local{Accounts: a, NoShares: true}}), c, tileOf("st", "a")); d.Allow {
		t.Error("with share links switched off one allows an image")
	}
	if err := a.Shares.Revoke(ctx, id); err != nil {
		t.Fatal(err)
	}
	if d := mustAllow(t, g, c, tileOf("st", "a")); d.Allow {
		t.Error("a revoked link allows its image")
	}
	if d := mustAllow(t, g, labelled, tileOf("st", "a")); !d.Allow {
		t.Error("the other link ended with it")
	}
	if err := a.Grants.Delete(ctx, grant.ID); err != nil {
		t.Fatal(err)
	}
	if d := mustAllow(t, g, labelled, tileOf("st", "a")); d.Allow {
		t.Error("a link allows what its creator may no longer see")
	}
}
