package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// Without access control, pages of other sites learn nothing about labels and names: they
// neither get a response nor can embed one.
func TestOtherSites(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true}})["a.tiff"]
	picture := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	tests := []struct {
		path    string
		private bool
	}{
		{"/api/v1/images/" + id + "/associated/label", true},
		{"/api/v1/images/" + id + "/associated/macro", true},
		{"/api/v1/images/none/associated/label", true},
		{"/api/v1/images/" + id + "/preview", true},
		{"/thumb/" + st.store + "/a.tiff", true},
		{"/thumb/" + st.store + "/" + id, true},
		{"/thumb?img=none.tiff", true},
		{"/label?img=a.tiff", true},
		{"/label?img=none.tiff", true},
		{"/apiv1/slides/a.tiff/label/", true},
		{"/apiv1/slides/none.tiff/macro/", true},
		{"/apiv1/slides", true},
		{"/api/v1/images", true},
		{"/api/v1/images?q=abc", true},
		{"/api/v1/images/" + id, true},
		{"/api/v1/stores", true},
		{"/api/v1/images/" + id + "/associated/thumbnail", false},
		{"/api/v1/images/" + id + "/thumbnail", false},
		{"/dzi/" + id + ".dzi", false},
		{"/iiif/3/" + id + "/info.json", false},
		{"/zoomify/" + id + "/ImageProperties.xml", false},
		{"/openapi.json", false},
	}
	for _, tt := range tests {
		policy := "cross-origin"
		if tt.private {
			policy = "same-origin"
		}
		for name, header := range map[string][]string{"program": nil, "picture": picture, "link": link} {
			got := st.get(tt.path, header...)
			refused := got.status == http.StatusForbidden
			if refused != (tt.private && name == "picture") || got.header.Get("Cross-Origin-Resource-Policy") != policy {
				t.Errorf("%s: GET %s: %d, policy %q, want %q", name, tt.path, got.status, got.header.Get("Cross-Origin-Resource-Policy"), policy)
			}
			if refused {
				st.isProblem(got)
			}
		}
	}
}

// A page of a configured CORS origin may read them.
func TestOtherSitesByCORS(t *testing.T) {
	st := newSite(t)
	st.slides(map[string]synth.Philips{"a.tiff": {Label: true}})
	mux := http.NewServeMux()
	st.api.Register(mux)
	var cors httperr.LiveCORS
	cors.Store(&httperr.CORS{Origins: []string{"https://viewer.example.org"}})
	srv := httptest.NewServer(cors.Handler(mux))
	t.Cleanup(srv.Close)
	st.url = srv.URL
	for origin, want := range map[string]int{"https://viewer.example.org": 200, "https://evil.example.org": 403} {
		if got := st.get("/label?img=a.tiff", "Origin", origin, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"); got.status != want {
			t.Errorf("%s: %d, want %d", origin, got.status, want)
		}
	}
}

// With access control, any page may embed a URL that contains its credential; other URLs
// may be embedded by pages of the same site.
func TestPolicyWithAccess(t *testing.T) {
	g := newGuardedSite(t)
	sign := func(image string) string {
		now := time.Now()
		link, err := g.keys.SignURL(authz.Link{Image: image, Scope: account.ScopeLabel, User: g.ids["reader"], Issued: now, Expires: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		return "?" + link.Encode()
	}
	label := "/api/v1/images/{image}/associated/label"
	for _, tt := range []struct {
		role, path, site, want string
		status                 int
	}{
		{"reader", label, "cross-site", "same-origin", 200},
		{"reader", label, "same-site", "same-site", 200},
		{"reader", "/thumb/{store}/{name}", "cross-site", "same-origin", 200},
		{"stranger", label + sign(g.slide), "cross-site", "cross-origin", 200},
		{"stranger", label + sign(g.away), "cross-site", "same-origin", 401},
		{"reader", label + sign(g.away), "cross-site", "same-origin", 200},
		{"stranger", "/label?img=none.tiff", "cross-site", "same-origin", 401},
		{"viewer", "/api/v1/images/{image}", "same-site", "same-site", 200},
		{"viewer", "/api/v1/images/{image}/thumbnail", "cross-site", "cross-origin", 200},
	} {
		got := g.as(tt.role, "GET", g.fillIn(tt.path), "", "Sec-Fetch-Site", tt.site)
		if policy := got.header.Get(authz.PolicyHeader); got.status != tt.status || policy != tt.want {
			t.Errorf("%s: GET %.60s from %s: %d, policy %q, want %d, %q", tt.role, tt.path, tt.site, got.status, policy, tt.status, tt.want)
		}
	}
}
