package api_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
)

// noUsers is an authorizer without users: its gate accepts only access tokens and links.
type noUsers struct{}

func (noUsers) Check(_ context.Context, _ authz.Credential, questions []authz.Request) ([]authz.Decision, error) {
	answers := make([]authz.Decision, len(questions))
	for i := range answers {
		answers[i].Status = http.StatusUnauthorized
	}
	return answers, nil
}

// tileServer starts a tile server with the files of st, as the program does, and returns
// its URL. Keys are nil without access control.
func (st *site) tileServer(keys *authz.Keys) string {
	st.t.Helper()
	server := tile.New(tile.Options{Render: st.api.Renderer.Tile, Blank: render.Blank})
	st.t.Cleanup(server.Close)
	f := &follow.Follower{Catalog: st.api.Catalog, Tiles: server, Log: st.api.Log}
	if err := f.Load(st.t.Context()); err != nil {
		st.t.Fatal(err)
	}
	a := &api.API{Catalog: st.api.Catalog, Tiles: server, Renderer: st.api.Renderer, Log: st.api.Log}
	mux := http.NewServeMux()
	h := &fasthttp.Handler{Tiles: server, Next: mux, Log: st.api.Log}
	if keys != nil {
		public, err := authz.PublicKeys(keys.Public())
		if err != nil {
			st.t.Fatal(err)
		}
		known := new(authz.Keys)
		known.SetPublic(public)
		h.Gate = authz.NewGate(authz.GateOptions{Authorizer: noUsers{}, Keys: known})
		a.Access = &api.Access{Gate: h.Gate, Keys: known, Central: "https://slides.example.org"}
	}
	a.RegisterPictures(mux)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		st.t.Fatal(err)
	}
	srv := h.Server()
	go srv.Serve(l) //nolint:errcheck // what it fails with the requests show
	st.t.Cleanup(func() { srv.Shutdown() })
	return "http://" + l.Addr().String()
}

// bindElsewhere binds the site's store to another host with this endpoint.
func (st *site) bindElsewhere(endpoint string, change ...func(*catalog.Store)) {
	st.t.Helper()
	st.follower.Host = "central"
	_, err := st.api.Catalog.Stores.Update(st.t.Context(), st.store, func(s *catalog.Store) error {
		s.Host, s.Endpoint = "scanner", endpoint
		for _, c := range change {
			c(s)
		}
		return nil
	})
	if err != nil {
		st.t.Fatal(err)
	}
	st.load()
}

// getBare requests a complete URL without other credentials.
func (st *site) getBare(url string) answer {
	st.t.Helper()
	there := &site{t: st.t, url: url}
	return there.get("")
}

// redirectedRoutes are the routes of a slide whose file may be on another server, with a role that
// may use them; here are those that this server answers itself.
var redirectedRoutes = []struct {
	role, path string
	here       bool
}{
	{"viewer", "/api/v1/images/{image}/tiles/0/0/0", false},
	{"viewer", "/api/v1/images/{image}/tiles/3/0/0.jpg?v={revision}", false},
	{"viewer", "/api/v1/images/{image}/tiles/t.jpg?origin=bottom-left&x=a%20b", false},
	{"viewer", "/dzi/{image}.dzi", true},
	{"viewer", "/dzi/{image}_files/10/0_0.jpg", false},
	{"viewer", "/dzi/{image}_files/0/0_0.jpeg", false},
	{"viewer", "/iiif/3/{image}", true},
	{"viewer", "/iiif/3/{image}/info.json", true},
	{"viewer", "/iiif/2/{image}/info.json", true},
	{"viewer", "/iiif/3/{image}/0,0,128,128/max/0/default.jpg", false},
	{"viewer", "/iiif/3/{image}/pct:1,2.5,30,30/!100,50/!90/gray.png", false},
	{"viewer", "/iiif/2/{image}/full/64,/0/default.jpg", false},
	{"viewer", "/zoomify/{image}/ImageProperties.xml", true},
	{"viewer", "/zoomify/{image}/TileGroup0/0-0-0.jpg", false},
	{"viewer", "/api/v1/images/{image}/thumbnail?width=100", false},
	{"reader", "/api/v1/images/{image}/associated/label", false},
	{"reader", "/api/v1/images/{image}/associated/macro", false},
	{"reader", "/api/v1/images/{image}/preview?height=50", false},
	{"viewer", "/tile/{store}/{image}/t.jpg", false},
	{"reader", "/tile/{store}/{name}/t.jpg", false},
	{"viewer", "/tile?db={store}&img={image}&name=tq.jpg", false},
	{"reader", "/tile?db={store}&img={name}&name=tq.jpg", false},
	{"reader", "/thumb/{store}/{image}", false},
	{"reader", "/thumb/{store}/{name}", false},
	{"reader", "/thumb?db={store}&img={name}", false},
	{"reader", "/label?db={store}&img={image}", false},
	{"viewer", "/apiv1/slides/{image}/1/1/0", false},
	{"reader", "/apiv1/slides/{name}/1/1/0", false},
	{"reader", "/apiv1/slides/{name}/label/", false},
	{"reader", "/apiv1/slides/{image}/macro/", false},
}

// A client that only knows the central server gets the same for slides of other hosts as
// for its own.
func TestRedirect(t *testing.T) {
	g := newGuardedSite(t)
	im, err := g.api.Catalog.Images.Get(t.Context(), g.slide)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(s string) string { return strings.ReplaceAll(g.fillIn(s), "{revision}", im.Revision) }
	before := make([]answer, len(redirectedRoutes))
	for i, row := range redirectedRoutes {
		if before[i] = g.as(row.role, "GET", fill(row.path), ""); before[i].status != 200 {
			t.Fatalf("%s: GET %s: %d %.200s while the file is here", row.role, row.path, before[i].status, before[i].body)
		}
	}
	edge := g.tileServer(g.keys)
	g.bindElsewhere(edge)
	for i, row := range redirectedRoutes {
		path := fill(row.path)
		a := g.as(row.role, "GET", path, "")
		if row.here {
			if a.status != 200 || !bytes.Equal(a.body, before[i].body) {
				t.Errorf("GET %s: %d %.200s, want what it was: %.200s", row.path, a.status, a.body, before[i].body)
			}
			continue
		}
		at, pass, _ := strings.Cut(a.header.Get("Location"), "pass=")
		if a.status != 307 || strings.TrimRight(at, "?&") != edge+path || pass == "" || strings.Contains(pass, "&") {
			t.Errorf("GET %s: %d to %q, want the same at %s with a pass", row.path, a.status, a.header.Get("Location"), edge)
			continue
		}
		if cc, v := a.header.Get("Cache-Control"), a.header.Get("Vary"); cc != "private, max-age=300" || v != "Authorization, Cookie" {
			t.Errorf("GET %s: Cache-Control %q, Vary %q", row.path, cc, v)
		}
		if there := g.getBare(a.header.Get("Location")); there.status != 200 || !bytes.Equal(there.body, before[i].body) {
			t.Errorf("GET %s there: %d %.200s, want the %d bytes that it was", row.path, there.status, there.body, len(before[i].body))
		}
		if bare := g.getBare(edge + path); bare.status != 401 {
			t.Errorf("GET %s there without a pass: %d", row.path, bare.status)
		}
		if head := g.as(row.role, "HEAD", path, ""); head.status != 307 {
			t.Errorf("HEAD %s: %d, want 307", row.path, head.status)
		}
	}
	// The other server serves descriptions as well.
	pass := "?pass=" + g.pass("viewer")
	for _, row := range redirectedRoutes {
		if path := fill(row.path); row.here {
			if a := g.getBare(edge + path + pass); a.status != 200 {
				t.Errorf("GET %s there with a pass: %d %.200s", row.path, a.status, a.body)
			}
		}
	}
}

// pass returns the role's access token for the slide's tiles.
func (g *guardedSite) pass(role string) string {
	g.t.Helper()
	a := g.as(role, "GET", g.fillIn("/api/v1/images/{image}/tiles/0/0/0"), "")
	_, pass, ok := strings.Cut(a.header.Get("Location"), "pass=")
	if !ok {
		g.t.Fatalf("%s: %d to %q, want a pass", role, a.status, a.header.Get("Location"))
	}
	return pass
}

// A caller who may not see a slide is refused as if its file were here, without a
// redirect.
func TestRedirectRefuses(t *testing.T) {
	g := newGuardedSite(t)
	g.bindElsewhere("https://tiles.example.org")
	asked := 0
	for _, row := range accessTable {
		if row.route != "tiles" && !api.OfPicture(row.route) {
			continue
		}
		for i, role := range roles {
			a := g.as(role, "GET", g.fillIn(row.path), "")
			to := a.header.Get("Location")
			switch want := row.want[i]; {
			case want == 401 || want == 403:
				asked++
				if a.status != want || to != "" {
					t.Errorf("%s: GET %s: %d to %q, want %d", role, row.path, a.status, to, want)
				}
			case want == 200 && a.status == 307:
				if !strings.HasPrefix(to, "https://tiles.example.org/") || !strings.Contains(to, "pass=") {
					t.Errorf("%s: GET %s: to %q", role, row.path, to)
				}
			case want == 200 && a.status == 409 && strings.HasSuffix(row.path, "/file"): // there are no original files on a tile server
			case want == 200 && a.status != 200: // a description
				t.Errorf("%s: GET %s: %d %.200s", role, row.path, a.status, a.body)
			}
		}
	}
	if asked < 50 {
		t.Errorf("%d refusals, want them of all routes", asked)
	}
}

// An access token grants no more than the credential of the request.
func TestRedirectPass(t *testing.T) {
	g := newGuardedSite(t)
	edge := g.tileServer(g.keys)
	g.bindElsewhere(edge)
	tile := g.fillIn("/api/v1/images/{image}/tiles/0/0/0")
	now := time.Now()
	link, err := g.keys.SignURL(authz.Link{Image: g.slide, Scope: account.ScopeTiles, User: g.ids["viewer"], Issued: now, Expires: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	given := g.pass("viewer")
	for _, tt := range []struct {
		name, role, query string
		user              string        // of the access token
		good              time.Duration // of it, at most
	}{
		{"link", "stranger", link.Encode(), "viewer", time.Minute},
		{"link, of a user without permissions", "outsider", link.Encode(), "viewer", time.Minute},
		{"link, of a user with the permission", "reader", link.Encode(), "reader", authz.MaxAccessTokenAge},
		{"pass", "stranger", "pass=" + given, "viewer", authz.MaxAccessTokenAge},
		{"pass, of a user with the permission", "reader", "v=&pass=" + given, "reader", authz.MaxAccessTokenAge},
	} {
		a := g.as(tt.role, "GET", tile+"?"+tt.query, "")
		to := a.header.Get("Location")
		kept, pass, _ := strings.Cut(to, "pass=")
		if was, _, _ := strings.Cut(tt.query, "pass="); a.status != 307 || !strings.HasPrefix(kept, edge+tile+"?"+was) {
			t.Errorf("%s: %d to %s", tt.name, a.status, to)
		}
		p, err := g.keys.VerifyAccessToken(pass, time.Now())
		if err != nil {
			t.Errorf("%s: %v: %s", tt.name, err, to)
			continue
		}
		if good := p.Expires.Time().Sub(p.Issued.Time()); p.User != g.ids[tt.user] || good > tt.good || p.Image != g.slide {
			t.Errorf("%s: the pass says %+v, good for %v", tt.name, p, good)
		}
		if there := g.getBare(to); there.status != 200 {
			t.Errorf("%s, there: %d %.200s", tt.name, there.status, there.body)
		}
	}
	for _, tt := range []struct {
		role, path string
		want       account.Scope
	}{
		{"viewer", tile, account.ScopeTiles},
		{"reader", tile, account.ScopeTiles},
		{"reader", g.fillIn("/tile/{store}/{name}/t.jpg"), account.ScopeLabel},
		{"reader", g.fillIn("/label?db={store}&img={image}"), account.ScopeLabel},
	} {
		_, pass, _ := strings.Cut(g.as(tt.role, "GET", tt.path, "").header.Get("Location"), "pass=")
		p, err := g.keys.VerifyAccessToken(pass, time.Now())
		if err != nil || p.Scope != tt.want || p.Image != g.slide || p.Store != g.store || p.User != g.ids[tt.role] || p.Session == "" {
			t.Errorf("%s: GET %s: the pass says %+v, %v", tt.role, tt.path, p, err)
		}
	}
}

// A redirect has no access token without access control or for a public store.
func TestRedirectWithoutPass(t *testing.T) {
	open := newSite(t)
	image := open.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	g := newGuardedSite(t)
	for _, tt := range []struct {
		name, image string
		st          *site
		edge        string
		change      func(*catalog.Store)
	}{
		{"no access control", image, open, open.tileServer(nil), func(*catalog.Store) {}},
		{"public store", g.slide, g.site, g.tileServer(g.keys), func(s *catalog.Store) { s.Public = true }},
	} {
		tt.st.bindElsewhere(tt.edge, tt.change)
		for _, path := range []string{"/api/v1/images/" + tt.image + "/tiles/0/0/0", "/iiif/3/" + tt.image + "/full/64,/0/default.jpg", "/zoomify/" + tt.image + "/TileGroup0/0-0-0.jpg"} {
			if a := tt.st.get(path); a.status != 307 || a.header.Get("Location") != tt.edge+path {
				t.Errorf("%s: GET %s: %d to %q", tt.name, path, a.status, a.header.Get("Location"))
			}
		}
		if a := tt.st.get("/iiif/3/" + tt.image + "/info.json"); a.status != 200 || !bytes.Contains(a.body, []byte(tt.st.url)) {
			t.Errorf("%s: described as %d %s, want here", tt.name, a.status, a.body)
		}
	}

	// A load balancer whose servers can all read the disk gets no redirect to itself.
	tile := "/api/v1/images/" + image + "/tiles/0/0/0"
	for _, own := range []string{open.url, "https://Slides.example.org:443/"} {
		open.api.PublicURL = "https://slides.example.org"
		open.bindElsewhere(own)
		if a := open.get(tile); a.status != 200 {
			t.Errorf("own endpoint %s: %d to %q", own, a.status, a.header.Get("Location"))
		}
	}
	u, err := url.Parse(open.url)
	if err != nil {
		t.Fatal(err)
	}
	open.bindElsewhere("http://" + u.Host + "/scanner") // a prefix is another server's
	if a := open.get(tile); a.status != 307 || a.header.Get("Location") != open.url+"/scanner"+tile {
		t.Errorf("prefix: %d to %q", a.status, a.header.Get("Location"))
	}

	open.bindElsewhere("")
	if err := os.Rename(open.path("slides"), open.path("gone")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tile, "/iiif/3/" + image + "/full/64,/0/default.jpg"} {
		if a := open.get(path); a.status != 503 || !strings.Contains(string(a.body), "may not be mounted") {
			t.Errorf("no endpoint: GET %s: %d to %q: %s", path, a.status, a.header.Get("Location"), a.body)
		}
	}
}
