package tiletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// StartGated serves a tile server through an adapter with access control, and returns its
// base URL without a trailing slash.
type StartGated func(t *testing.T, s *tile.Server, g *authz.Gate) string

// A people is an authorizer that knows the permissions of each token.
type people struct {
	away  bool
	asked atomic.Int64 // number of requests
	may   map[string]account.Rights
}

func (p *people) Check(_ context.Context, c authz.Credential, questions []authz.Request) ([]authz.Decision, error) {
	p.asked.Add(int64(len(questions)))
	if p.away {
		return nil, errors.New("the authority is away")
	}
	answers := make([]authz.Decision, len(questions))
	rights, known := p.may[c.Authorization]
	if c.Cookie != "" {
		rights, known = p.may["cookie "+c.Cookie]
	}
	for i, q := range questions {
		switch {
		case !known:
			answers[i] = authz.Decision{Status: 401}
		case rights.Allows(q.Store, q.Image, q.Scope):
			answers[i] = authz.Decision{Allow: true, Status: 200}
		default:
			answers[i] = authz.Decision{Status: 403}
		}
	}
	return answers, nil
}

// RunGated runs the part of the suite for access control.
func RunGated(t *testing.T, start StartGated) {
	site := NewSite(t)
	for i, id := range []string{"a", "b", "open"} {
		write(t, synth.Philips{Seed: uint64(i + 1), Width: 150, Height: 125}, filepath.Join(site.Dir, id+".tiff"))
	}
	site.Add(t, "a", "a.tiff")
	site.Add(t, "b", "b.tiff")
	private := site.Store
	site.Store = &tile.Store{ID: "pub", Root: site.Dir, Background: color.RGBA{255, 255, 255, 255}, Origin: slide.TopLeft, Public: true}
	site.Add(t, "open", "open.tiff")
	site.Store = private

	give := func(g ...account.Grant) account.Rights { return account.RightsOf(g) }
	who := &people{may: map[string]account.Rights{
		"Bearer admin":  give(account.Grant{Role: account.Admin}),
		"Bearer all":    give(account.Grant{Role: account.Viewer}),
		"Bearer reader": give(account.Grant{Role: account.Reader, Store: "st"}),
		"Bearer a":      give(account.Grant{Role: account.Viewer, Image: "a"}),
		"cookie s1":     give(account.Grant{Role: account.Viewer, Image: "a"}),
		"Bearer none":   {},
	}}
	keys := signingKeys(t)
	gate := authz.NewGate(authz.GateOptions{Authorizer: who, Keys: keys})
	base := start(t, site.Tiles, gate)
	t.Run("permissions", func(t *testing.T) { permissions(t, base, keys) })
	t.Run("headers", func(t *testing.T) { gatedHeaders(t, base) })
	t.Run("other origins", func(t *testing.T) { otherOrigins(t, base, keys) })
	t.Run("hidden and unknown images get the same answers", func(t *testing.T) { alike(t, base, who) })
	t.Run("authority away", func(t *testing.T) {
		who.away = true
		defer func() { who.away = false }()
		got := ask(t, "GET", base+"/api/v1/images/a/tiles/0/0/0", "Authorization", "Bearer a")
		if ra := got.header.Get("Retry-After"); got.status != 503 || ra == "" || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("status %d, Retry-After %q, %s", got.status, ra, got.body)
		}
		if got := get(t, base+"/api/v1/images/open/tiles/0/0/0"); got.status != 200 {
			t.Errorf("of a public store: status %d, want 200", got.status)
		}
	})
}

func signingKeys(t testing.TB) *authz.Keys {
	t.Helper()
	a, err := account.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), account.Options{})
	mustDo(t, err)
	defer a.Close()
	list, err := a.Keys.Ensure(t.Context())
	mustDo(t, err)
	keys := new(authz.Keys)
	keys.SetSigning(list)
	return keys
}

// whoMay requests images with and without permission, in every way.
func permissions(t *testing.T, base string, keys *authz.Keys) {
	now := time.Now()
	link, err := keys.SignURL(authz.Link{Image: "a", Scope: account.ScopeTiles, User: "u", Issued: now, Expires: now.Add(time.Hour)})
	mustDo(t, err)
	pass := func(p authz.AccessToken) string {
		p.User, p.Issued, p.Expires = "u", authz.Date(now), authz.Date(now)+600
		text, err := keys.SignAccessToken(p)
		mustDo(t, err)
		return "?pass=" + text
	}
	forA, forStore := pass(authz.AccessToken{Image: "a", Scope: account.ScopeTiles}), pass(authz.AccessToken{Store: "st", Scope: account.ScopeTiles})
	forNames := pass(authz.AccessToken{Store: "st", Scope: account.ScopeLabel})
	a, b, none, open := "/api/v1/images/a/tiles/0/0/0", "/api/v1/images/b/tiles/0/0/0", "/api/v1/images/none/tiles/0/0/0", "/api/v1/images/open/tiles/0/0/0"
	tests := []struct {
		who, path string
		status    int
	}{
		{"", a, 401},
		{"", none, 401},
		{"", "/dzi/a_files/7/0_0.jpg", 401},
		{"", "/tile/st/a/t.jpg", 401},
		{"", "/tile/st/a.tiff/t.jpg", 401},
		{"", "/tile/st/none.tiff/t.jpg", 401},
		{"", "/apiv1/slides/a.tiff/0/0/0", 401},
		{"Authorization: Bearer forged", a, 401},
		{"Authorization: Bearer none", a, 403},
		{"Authorization: Bearer none", none, 403},
		{"Authorization: Bearer a", a, 200},
		{"Authorization: Bearer a", "/dzi/a_files/7/0_0.jpg", 200},
		{"Authorization: Bearer a", "/tile/st/a/t.jpg", 200},
		{"Authorization: Bearer a", "/api/v1/images/a/tiles/9/0/0", 404},
		{"Authorization: Bearer a", b, 403},
		{"Authorization: Bearer a", none, 403},
		{"Authorization: Bearer a", "/apiv1/slides/a.tiff/0/0/0", 403},
		{"Authorization: Bearer a", "/apiv1/slides/none.tiff/0/0/0", 403},
		{"Cookie: x=1; ptiffstore_session=s1", a, 200},
		{"Cookie: ptiffstore_session=s2", a, 401},
		{"Cookie: other=s1", a, 401},
		{"Authorization: Bearer reader", b, 200},
		{"Authorization: Bearer reader", "/apiv1/slides/a.tiff/0/0/0", 200},
		{"Authorization: Bearer reader", "/tile/st/a.tiff/t.jpg", 200},
		{"Authorization: Bearer reader", "/tile/other/a.tiff/t.jpg", 403},
		{"Authorization: Bearer reader", none, 403},
		{"Authorization: Bearer all", b, 200},
		{"Authorization: Bearer all", none, 404},
		{"Authorization: Bearer all", "/apiv1/slides/a.tiff/0/0/0", 404},
		{"Authorization: Bearer all", "/apiv1/slides/none.tiff/0/0/0", 404},
		{"Authorization: Bearer admin", "/apiv1/slides/a.tiff/0/0/0", 200},
		{"Authorization: Bearer admin", none, 404},
		{"", open, 200},
		{"Authorization: Bearer forged", open, 200},
		{"", "/apiv1/slides/open.tiff/0/0/0", 401},
		{"", a + "?" + link.Encode(), 200},
		{"", b + "?" + link.Encode(), 401},
		{"Authorization: Bearer none", a + "?" + link.Encode(), 200},
		{"Authorization: Bearer a", a + "?sig=x&kid=y", 200},
		{"", a + forA, 200},
		{"", b + forA, 403},
		{"", none + forA, 403},
		{"", a + forStore, 200},
		{"", b + forStore, 200},
		{"", "/apiv1/slides/a.tiff/0/0/0" + forStore, 403},
		{"", "/apiv1/slides/a.tiff/0/0/0" + forNames, 200},
		{"", a + forA + "x", 401},
	}
	for _, tt := range tests {
		k, v, ok := strings.Cut(tt.who, ": ")
		var header []string
		if ok {
			header = []string{k, v}
		}
		if got := ask(t, "GET", base+tt.path, header...); got.status != tt.status {
			t.Errorf("%q GET %.60s: status %d, want %d: %.200s", tt.who, tt.path, got.status, tt.status, got.body)
		}
	}
}

// gatedHeaders checks the headers for caches with access control.
func gatedHeaders(t *testing.T, base string) {
	tests := []struct {
		name, method, path, who string
		status                  int
		want                    map[string]string
	}{
		{"tile", "GET", "/api/v1/images/a/tiles/0/0/0", "Bearer a", 200, map[string]string{"Cache-Control": "private, max-age=60", "Vary": "Authorization, Cookie"}},
		{"head", "HEAD", "/api/v1/images/a/tiles/0/0/0", "Bearer a", 200, map[string]string{"Cache-Control": "private, max-age=60", "Vary": "Authorization, Cookie"}},
		{"public", "GET", "/api/v1/images/open/tiles/0/0/0", "", 200, map[string]string{"Cache-Control": "public, max-age=60", "Vary": ""}},
		{"public, found by what only some may know", "GET", "/apiv1/slides/open.tiff/0/0/0", "Bearer admin", 200, map[string]string{"Cache-Control": "private, max-age=60", "Vary": "Authorization, Cookie"}},
		{"not logged in", "GET", "/api/v1/images/a/tiles/0/0/0", "", 401, map[string]string{"Cache-Control": "no-store", "Vary": "Authorization, Cookie", "Www-Authenticate": "Bearer", "Content-Type": "application/problem+json"}},
		{"not logged in, head", "HEAD", "/api/v1/images/a/tiles/0/0/0", "", 401, map[string]string{"Www-Authenticate": "Bearer"}},
		{"forbidden", "GET", "/api/v1/images/b/tiles/0/0/0", "Bearer a", 403, map[string]string{"Cache-Control": "no-store", "Vary": "Authorization, Cookie", "Www-Authenticate": "", "Content-Type": "application/problem+json"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var header []string
			if tt.who != "" {
				header = []string{"Authorization", tt.who}
			}
			got := ask(t, tt.method, base+tt.path, header...)
			have := map[string]string{}
			for k := range tt.want {
				have[k] = got.header.Get(k)
			}
			if d := cmp.Diff(tt.want, have); d != "" || got.status != tt.status {
				t.Errorf("status %d, want %d\n%s", got.status, tt.status, d)
			}
		})
	}
	// Clients that have lost the permission do not learn whether the tile is unchanged.
	got := ask(t, "GET", base+"/api/v1/images/a/tiles/0/0/0", "Authorization", "Bearer a")
	etag := got.header.Get("Etag")
	if got := ask(t, "GET", base+"/api/v1/images/a/tiles/0/0/0", "Authorization", "Bearer none", "If-None-Match", etag); got.status != 403 {
		t.Errorf("not modified, asked by a stranger: status %d, want 403", got.status)
	}
	if got := ask(t, "GET", base+"/api/v1/images/a/tiles/0/0/0", "Authorization", "Bearer a", "If-None-Match", etag); got.status != 304 || got.header.Get("Vary") == "" {
		t.Errorf("not modified: status %d, Vary %q", got.status, got.header.Get("Vary"))
	}
}

// otherOrigins checks which pages may embed an answer: with an address by name only pages of
// this site, and with an id or an access token pages of all sites.
func otherOrigins(t *testing.T, base string, keys *authz.Keys) {
	now := authz.Date(time.Now())
	pass, err := keys.SignAccessToken(authz.AccessToken{User: "u", Store: "st", Scope: account.ScopeLabel, Issued: now, Expires: now + 600})
	mustDo(t, err)
	for _, tt := range []struct {
		path, who, site, want string
		status                int
	}{
		{"/api/v1/images/a/tiles/0/0/0", "Bearer a", "cross-site", "cross-origin", 200},
		{"/api/v1/images/a/tiles/0/0/0", "", "cross-site", "cross-origin", 401},
		{"/tile/st/a/t.jpg", "Bearer a", "cross-site", "cross-origin", 200},
		{"/tile/pub/open/t.jpg", "", "cross-site", "cross-origin", 200},
		{"/tile/st/b/t.jpg", "Bearer a", "cross-site", "same-origin", 403},
		{"/tile/st/a.tiff/t.jpg", "Bearer reader", "cross-site", "same-origin", 200},
		{"/tile/st/a.tiff/t.jpg", "Bearer reader", "same-site", "same-site", 200},
		{"/tile/st/a.tiff/t.jpg", "Bearer reader", "", "same-origin", 200},
		{"/tile/st/a.tiff/t.jpg", "", "cross-site", "same-origin", 401},
		{"/tile/st/none.tiff/t.jpg", "", "cross-site", "same-origin", 401},
		{"/tile/st/a.tiff/t.jpg?pass=" + pass, "", "cross-site", "cross-origin", 200},
		{"/tile/st/none.tiff/t.jpg?pass=" + pass, "", "cross-site", "same-origin", 403},
		{"/tile/st/a.tiff/t.jpg?pass=x", "Bearer reader", "cross-site", "same-origin", 200},
	} {
		got := ask(t, "GET", base+tt.path, "Authorization", tt.who, "Sec-Fetch-Site", tt.site)
		if policy := got.header.Get(authz.PolicyHeader); got.status != tt.status || policy != tt.want {
			t.Errorf("%q GET %.40s from %s: status %d, policy %q, want %d, %q", tt.who, tt.path, tt.site, got.status, policy, tt.status, tt.want)
		}
	}
}

// alike compares the answers for existing and unknown images, and the numbers of requests to
// the authorizer, which would show in the time.
func alike(t *testing.T, base string, authority *people) {
	for _, who := range []string{"", "Bearer forged", "Bearer none", "Bearer a", "Bearer all"} {
		for _, pair := range [][2]string{
			{"/api/v1/images/b/tiles/0/0/0", "/api/v1/images/none/tiles/0/0/0"},
			{"/api/v1/images/b/tiles/9/9/9", "/api/v1/images/none/tiles/0/0/0"},
			{"/api/v1/images/b/tiles/0/0/0?v=old", "/api/v1/images/none/tiles/0/0/0"},
			{"/tile/st/b.tiff/t.jpg", "/tile/st/none.tiff/t.jpg"},
			{"/apiv1/slides/b.tiff/0/0/0", "/apiv1/slides/none.tiff/0/0/0"},
			{"/apiv1/slides/open.tiff/0/0/0", "/apiv1/slides/none.tiff/0/0/0"},
		} {
			if who == "Bearer all" && strings.HasPrefix(pair[0], "/api/v1/") {
				continue // may see b
			}
			var got [2]string
			for i, path := range pair {
				before := authority.asked.Load()
				a := ask(t, "GET", base+path, "Authorization", who)
				asked := authority.asked.Load() - before
				var p map[string]any
				if err := json.Unmarshal(a.body, &p); err != nil {
					t.Fatalf("%q GET %s: status %d, no problem", who, path, a.status)
				}
				a.header.Del("Date")
				// The request id differs each time.
				if id := a.header.Get("X-Request-Id"); id == "" || p["instance"] != "urn:request:"+id {
					t.Errorf("%q GET %s: request %q, in the problem %v", who, path, id, p["instance"])
				}
				a.header.Del("X-Request-Id")
				delete(p, "instance")
				got[i] = fmt.Sprint(a.status, p, a.header, " asked ", asked)
			}
			if got[0] != got[1] {
				t.Errorf("%q distinguishes them:\n%s %s\n%s %s", who, pair[0], got[0], pair[1], got[1])
			}
		}
	}
}
