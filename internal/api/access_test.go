package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
)

// canary is part of every name, barcode, label and task. Callers who may not see labels
// must never find it in a response, and it must never be in the log.
const canary = "CANARY"

// A log is a log's output that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A guardedSite is a site with access control: two stores with a slide each, and a user
// of each role for the first store, who has no rights in the second.
type guardedSite struct {
	*site
	people      *account.Accounts
	gate        *authz.Gate
	keys        *authz.Keys
	log         *lines
	other       string // the second store
	slide, away string // a slide of each
	name        string // of the file of the first
	task        string // about the first store
	secrets     map[string]string
	ids         map[string]string
}

// roles are in the order of the tables below. The outsider is a viewer of the second
// store.
var roles = []string{"stranger", "viewer", "reader", "contributor", "admin", "outsider"}

func openPeople(t *testing.T, database string) *account.Accounts {
	t.Helper()
	a, err := account.Open(t.Context(), database, account.Options{Password: account.PasswordCost{Memory: 64, Passes: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func newGuardedSite(t *testing.T) *guardedSite {
	t.Helper()
	st := newSite(t)
	st.tasks()
	st.removal()
	st.api.Retry = func(context.Context, string) error { return nil }
	st.api.Admin = nil
	g := &guardedSite{site: st, people: openPeople(t, st.database), keys: new(authz.Keys), log: new(lines), secrets: map[string]string{}, ids: map[string]string{}}
	st.api.Log = slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	old := slog.Default()
	slog.SetDefault(st.api.Log)
	t.Cleanup(func() { slog.SetDefault(old) })
	keys, err := g.people.Keys.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.keys.SetSigning(keys)
	g.gate = authz.NewGate(authz.GateOptions{Authorizer: &authz.Local{Accounts: g.people}, Keys: g.keys})
	g.people.Revocations.Notify(g.gate.Revoke)
	st.api.Access = &api.Access{Gate: g.gate, Accounts: g.people, Keys: g.keys}
	g.fill()
	for i, role := range roles[1:] {
		store := st.store
		given := account.Role(role)
		switch role {
		case "admin":
			store = ""
		case "outsider":
			store, given = g.other, account.Viewer
		}
		g.person(role, fmt.Sprintf("correct horse %d", i), account.Grant{Role: given, Store: store})
	}
	g.serveGuarded()
	return g
}

// fill creates the stores, slides and a task.
func (g *guardedSite) fill() {
	g.name = canary + "-name.tiff"
	g.slide = g.slides(map[string]synth.Philips{g.name: {Label: true, Macro: true, Barcode: canary + "-1"}})[g.name]
	g.mkdir("other")
	g.other = g.putStore(catalog.Store{Label: "Scanner 2", Mode: catalog.InPlace, Root: g.path("other")})
	g.write(synth.Philips{Width: 600, Height: 400, TileSize: 128, Label: true, Barcode: canary + "-2"}, "other/"+canary+"-away.tiff")
	s := &scan.Syncer{Catalog: g.api.Catalog, Pause: 5 * time.Millisecond}
	if _, err := s.Sync(g.t.Context(), g.other, scan.Options{Wait: true}); err != nil {
		g.t.Fatal(err)
	}
	g.load()
	page, err := g.api.Catalog.Images.List(g.t.Context(), catalog.Query{Store: g.other})
	if err != nil {
		g.t.Fatal(err)
	}
	g.away = page.Items[0].ID
	im, err := g.api.Catalog.Images.Get(g.t.Context(), g.slide)
	if err != nil {
		g.t.Fatal(err)
	}
	im.Label, im.ExternalID, im.Aliases = ptr(canary+"-label"), ptr(canary+"-external"), []string{canary + "-alias.tiff"}
	im.Properties["philips.DICOM_ACQUISITION_DATETIME"] = canary + "-time"
	im.Properties["philips.DICOM_MANUFACTURER"] = "PHILIPS"
	if err := g.api.Catalog.Images.Put(g.t.Context(), []*catalog.Image{im}); err != nil {
		g.t.Fatal(err)
	}
	g.record(canary+"-broken.tiff", func(im *catalog.Image) {
		im.State, im.Reason, im.Revision = catalog.Broken, canary+" is cut short", "r1"
	})
	_, err = g.api.Catalog.Stores.Update(g.t.Context(), g.store, func(s *catalog.Store) error {
		s.LastResult = json.RawMessage(`{"count":1,"duration":0.5,"failed":[{"image":"x","reason":"` + canary + `"}],"note":"` + canary + `"}`)
		s.Exclude = []string{canary + "*"}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	v, err := g.api.Tasks.Submit(g.t.Context(), task.Submission{Kind: task.HashImage, Store: g.store, Args: task.Args{Image: canary}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.task = v.ID
}

// importAs gives a store and an image of it external ids.
func (g *guardedSite) importAs(store, storeOID, image, imageOID string) {
	g.t.Helper()
	if _, err := g.api.Catalog.Stores.Update(g.t.Context(), store, func(s *catalog.Store) error { s.ExternalID = storeOID; return nil }); err != nil {
		g.t.Fatal(err)
	}
	if _, err := g.api.Catalog.Images.Update(g.t.Context(), image, func(im *catalog.Image) error { im.ExternalID = &imageOID; return nil }); err != nil {
		g.t.Fatal(err)
	}
	g.load()
}

func ptr[T any](v T) *T { return &v }

// person creates a user with a session.
func (g *guardedSite) person(name, password string, grants ...account.Grant) {
	g.t.Helper()
	u, err := g.people.Users.Add(g.t.Context(), account.User{Name: name}, password)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, gr := range grants {
		gr.User = u.ID
		if _, err := g.people.Grants.Add(g.t.Context(), gr); err != nil {
			g.t.Fatal(err)
		}
	}
	secret, _, err := g.people.Sessions.Start(g.t.Context(), u.ID, "192.0.2.1", "test")
	if err != nil {
		g.t.Fatal(err)
	}
	g.ids[name], g.secrets[name] = u.ID, secret
}

// serveGuarded starts the server as the program does: tiles first, then the other routes
// behind the cross-origin protection.
func (g *guardedSite) serveGuarded() {
	mux := http.NewServeMux()
	g.api.Register(mux)
	g.takeUploads(mux)
	rest := http.NewCrossOriginProtection().Handler(httperr.WithRequestID(mux))
	srv := httptest.NewServer(httperr.SecurityHeaders(nil, &nethttp.Handler{Tiles: g.api.Tiles, Next: &dicomweb.Frames{Service: g.api.DICOMweb(), Next: rest, Gate: g.gate}, Gate: g.gate, Redirect: g.api.SendOn, Log: g.api.Log}))
	g.t.Cleanup(srv.Close)
	g.url = srv.URL
}

// as sends a request of a user with a role.
func (g *guardedSite) as(role, method, path, body string, header ...string) answer {
	g.t.Helper()
	if secret := g.secrets[role]; secret != "" {
		header = append(header, "Cookie", authz.CookieName+"="+secret)
	}
	return g.ask(method, path, body, header...)
}

// fillIn replaces placeholders in a path or body by ids.
func (g *guardedSite) fillIn(s string) string {
	return strings.NewReplacer(
		"{store}", g.store, "{image}", g.slide, "{task}", g.task, "{other}", g.other, "{away}", g.away, "{name}", url.PathEscape(g.name), "{viewer}", g.ids["viewer"],
		"{study}", dicom.StudyUID(g.slide), "{series}", dicom.SeriesUID(g.slide),
	).Replace(s)
}

// Statuses, in the order of roles.
type statuses [6]int

var (
	open     = statuses{200, 200, 200, 200, 200, 200}
	ownTiles = statuses{401, 200, 200, 200, 200, 403}
	labels   = statuses{401, 403, 200, 200, 200, 403}
	loggedIn = statuses{401, 200, 200, 200, 200, 200}
	admins   = statuses{401, 403, 403, 403, 200, 403}
)

// with replaces the status of callers who are allowed.
func (s statuses) with(status int) statuses {
	for i := range s {
		if s[i] == 200 {
			s[i] = status
		}
	}
	return s
}

// accessTable has every route, a request for it, and the status for each role. Requests
// of routes that change something are invalid (422 at best) or name unknown objects.
var accessTable = []struct {
	route, path, body string
	want              statuses
}{
	{"GET /openapi.json", "/openapi.json", "", open},
	{"GET /openapi-3.0.json", "/openapi-3.0.json", "", open},
	{"GET /openapi.yaml", "/openapi.yaml", "", open},
	{"GET /openapi-3.0.yaml", "/openapi-3.0.yaml", "", open},
	{"GET /schemas/{schema}", "/schemas/Image.json", "", open},
	{"GET /docs", "/docs", "", open},
	{"GET /docs.js", "/docs.js", "", open},
	{"GET /api/v1/stores", "/api/v1/stores", "", loggedIn},
	{"POST /api/v1/stores", "/api/v1/stores", "{}", admins.with(422)},
	{"GET /api/v1/stores/{store}", "/api/v1/stores/{store}", "", ownTiles},
	{"GET /api/v1/stores/{store}", "/api/v1/stores/unknown", "", statuses{401, 403, 403, 403, 404, 403}},
	{"PATCH /api/v1/stores/{store}", "/api/v1/stores/{store}", `{"origin":"up"}`, admins.with(422)},
	{"DELETE /api/v1/stores/{store}", "/api/v1/stores/unknown", "", admins.with(404)},
	{"GET /api/v1/store-folders", "/api/v1/store-folders", "", admins},
	{"POST /api/v1/stores/sync", "/api/v1/stores/sync?dry_run=x", "", admins.with(422)},
	{"POST /api/v1/stores/{store}/sync", "/api/v1/stores/{store}/sync", "", statuses{401, 403, 403, 202, 202, 403}},
	{"POST /api/v1/stores/{store}/case-pattern", "/api/v1/stores/{store}/case-pattern", `{"case_pattern":"(?P<accession>x)"}`, admins},
	{"POST /api/v1/stores/{store}/case-pattern", "/api/v1/stores/{store}/case-pattern", `{"case_pattern":"("}`, admins.with(422)},
	{"GET /api/v1/cases", "/api/v1/cases", "", loggedIn},
	{"GET /api/v1/cases", "/api/v1/cases?store=unknown", "", loggedIn},
	{"GET /api/v1/cases/{accession}", "/api/v1/cases/S26%2F1%20%C3%BC", "", loggedIn.with(404)},
	{"GET /api/v1/images", "/api/v1/images", "", loggedIn},
	{"GET /api/v1/images", "/api/v1/images?store={store}", "", ownTiles},
	{"GET /api/v1/images", "/api/v1/images?store=unknown", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /api/v1/images", "/api/v1/images?deleted=true", "", admins},
	{"GET /api/v1/images", "/api/v1/images?external_id=5356d8b9e67655244bf3273a&store={store}", "", ownTiles},
	{"GET /api/v1/images/{image}", "/api/v1/images/{image}", "", ownTiles},
	{"GET /api/v1/images/{image}", "/api/v1/images/unknown", "", statuses{401, 403, 403, 403, 404, 403}},
	{"PATCH /api/v1/images/{image}", "/api/v1/images/{image}", `{"label":""}`, statuses{401, 403, 403, 422, 422, 403}},
	{"PATCH /api/v1/images/{image}", "/api/v1/images/{image}", `{}`, statuses{401, 403, 403, 200, 200, 403}},
	{"PATCH /api/v1/images/{image}", "/api/v1/images/unknown", `{}`, statuses{401, 403, 403, 403, 404, 403}},
	{"DELETE /api/v1/images/{image}", "/api/v1/images/{image}", "", statuses{401, 403, 403, 403, 0, 403}},
	{"POST /api/v1/images/{image}/restore", "/api/v1/images/{image}/restore", "", statuses{401, 403, 403, 403, 0, 403}},
	{"POST /api/v1/images/{image}/retry", "/api/v1/images/{image}/retry", "", statuses{401, 403, 403, 200, 200, 403}},
	{"POST /api/v1/images/{image}/sign", "/api/v1/images/{image}/sign", "{}", ownTiles},
	{"POST /api/v1/images/{image}/sign", "/api/v1/images/{image}/sign", `{"scope":"label"}`, labels},
	{"POST /api/v1/images/{image}/sign", "/api/v1/images/{image}/sign", `{"scope":"admin"}`, ownTiles.with(422)},
	{"GET /api/v1/images/{image}/associated/{kind}", "/api/v1/images/{image}/associated/label", "", labels},
	{"GET /api/v1/images/{image}/associated/{kind}", "/api/v1/images/{image}/associated/macro", "", labels},
	{"GET /api/v1/images/{image}/associated/{kind}", "/api/v1/images/{image}/associated/thumbnail", "", ownTiles.with(404)},
	{"GET /api/v1/images/{image}/preview", "/api/v1/images/{image}/preview", "", labels},
	{"GET /api/v1/images/{image}/thumbnail", "/api/v1/images/{image}/thumbnail", "", ownTiles},
	{"GET /api/v1/images/{image}/dicom", "/api/v1/images/{image}/dicom", "", ownTiles},
	{"GET /api/v1/images/{image}/dicom", "/api/v1/images/{image}/dicom?deidentify=true", "", ownTiles},
	{"GET /api/v1/images/{image}/dicom", "/api/v1/images/{image}/dicom?labels=true", "", labels},
	{"GET /api/v1/images/{image}/dicom", "/api/v1/images/{image}/dicom?labels=maybe", "", labels.with(422)},
	{"GET /iiif/{version}/{image}/manifest.json", "/iiif/3/{image}/manifest.json", "", ownTiles},
	{"GET /iiif/{version}/{image}/manifest.json", "/iiif/2/{image}/manifest.json", "", ownTiles.with(404)},
	{"GET /iiif/{version}/cases/{accession}/manifest.json", "/iiif/3/cases/S26%2F1/manifest.json", "", loggedIn.with(404)},
	{"GET /api/v1/images/{image}/references.json", "/api/v1/images/{image}/references.json", "", ownTiles},
	{"GET /api/v1/images/{image}/file", "/api/v1/images/{image}/file", "", statuses{401, 403, 403, 403, 200, 403}},
	{"GET /api/v1/images/{image}/file", "/api/v1/images/unknown/file", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /api/v1/images/{image}/icc", "/api/v1/images/{image}/icc", "", ownTiles.with(404)},
	{"GET /api/v1/images/{image}/icc/lut", "/api/v1/images/{image}/icc/lut", "", ownTiles.with(404)},
	{"GET /dzi/{file}", "/dzi/{image}.dzi", "", ownTiles},
	{"GET /dzi/{file}", "/dzi/{image}", "", ownTiles.with(404)},
	{"GET /api/v1/images/{image}/region", "/api/v1/images/{image}/region?x=0&y=0&w=64&h=64", "", ownTiles},
	{"GET /api/v1/images/{image}/region", "/api/v1/images/{image}/region?x=nothing", "", ownTiles.with(400)},
	{"GET /api/v1/images/{image}/region", "/api/v1/images/{name}/region?x=0&y=0&w=64&h=64", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /iiif/{version}/{image}", "/iiif/3/{image}", "", ownTiles}, // by way of the description
	{"GET /iiif/{version}/{image}", "/iiif/4/{image}", "", ownTiles.with(404)},
	{"GET /iiif/{version}/{image}", "/iiif/3/{name}", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /iiif/{version}/{image}/info.json", "/iiif/2/{image}/info.json", "", ownTiles},
	{"GET /iiif/{version}/{image}/info.json", "/iiif/3/{image}/info.json", "", ownTiles},
	{"GET /iiif/{version}/{image}/info.json", "/iiif/3/unknown/info.json", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /iiif/{version}/{image}/{region}/{size}/{rotation}/{file}", "/iiif/2/{image}/full/64,/0/default.jpg", "", ownTiles},
	{"GET /iiif/{version}/{image}/{region}/{size}/{rotation}/{file}", "/iiif/3/{image}/0,0,128,128/max/0/default.jpg", "", ownTiles},
	{"GET /iiif/{version}/{image}/{region}/{size}/{rotation}/{file}", "/iiif/3/{image}/nothing/max/0/default.jpg", "", ownTiles.with(400)},
	{"GET /iiif/{version}/{image}/{region}/{size}/{rotation}/{file}", "/iiif/3/{name}/full/max/0/default.jpg", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /zoomify/{image}/ImageProperties.xml", "/zoomify/{image}/ImageProperties.xml", "", ownTiles},
	{"GET /zoomify/{image}/ImageProperties.xml", "/zoomify/{name}/ImageProperties.xml", "", statuses{401, 403, 403, 403, 404, 403}},
	{"tiles", "/zoomify/{image}/TileGroup0/0-0-0.jpg", "", ownTiles},
	{"tiles", "/zoomify/{name}/TileGroup0/0-0-0.jpg", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /thumb/{store}/{image}", "/thumb/{store}/{image}", "", ownTiles},
	{"GET /thumb/{store}/{image}", "/thumb/{store}/{name}", "", statuses{401, 403, 200, 200, 200, 403}},
	{"GET /thumb", "/thumb?db={store}&img={image}", "", ownTiles},
	{"GET /tileat/{store}/{image}", "/tileat/{store}/{image}?x=1&y=1", "", ownTiles},
	{"GET /tileat/{store}/{image}", "/tileat/{store}/{name}?x=1&y=1", "", labels},
	{"GET /cutout/{store}/{image}/{name}", "/cutout/{store}/{image}/a.png?bounds=[0,9,0,9]", "", ownTiles},
	{"GET /cutout/{store}/{image}/{name}", "/cutout/{store}/{image}/a.svs?bounds=[0,9,0,9]", "", ownTiles},
	{"GET /cutout/{store}/{image}/{name}", "/cutout/{store}/{name}/a.jpg?bounds=[0,9,0,9]", "", labels},
	{"GET /ptiff-viewer", "/ptiff-viewer?image={name}", "", statuses{401, 403, 404, 404, 404, 403}}, // by way of the page
	{"GET /apiv1/databases", "/apiv1/databases", "", loggedIn},
	{"POST /apiv1/databases", "/apiv1/databases", `{"insert":{"label":"x"}}`, admins.with(422)},
	{"GET /apiv1/databases/{store}", "/apiv1/databases/{store}", "", ownTiles},
	{"GET /apiv1/databases/{store}", "/apiv1/databases/unknown", "", statuses{401, 403, 403, 403, 404, 403}},
	{"POST /apiv1/databases/{store}", "/apiv1/databases/{store}", `{}`, statuses{401, 403, 403, 422, 422, 403}},
	{"POST /apiv1/databases/{store}", "/apiv1/databases/{store}", `{"modify":{"label":"Scanner 1"}}`, admins},
	{"PUT /apiv1/databases/{store}", "/apiv1/databases/{store}", `{"_id":"{other}"}`, admins.with(422)},
	{"DELETE /apiv1/databases/{store}", "/apiv1/databases/unknown", "", admins.with(404)},
	{"GET /dicom-web/studies", "/dicom-web/studies", "", loggedIn},
	{"GET /dicom-web/studies", "/dicom-web/studies?limit=-1", "", loggedIn.with(400)},
	{"GET /dicom-web/series", "/dicom-web/series?StudyInstanceUID={study}", "", loggedIn},
	{"GET /dicom-web/instances", "/dicom-web/instances?SeriesInstanceUID={series}", "", loggedIn},
	{"GET /dicom-web/studies/{study}/series", "/dicom-web/studies/{study}/series", "", ownTiles},
	{"GET /dicom-web/studies/{study}/series", "/dicom-web/studies/2.25.1/series", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /dicom-web/studies/{study}/instances", "/dicom-web/studies/{study}/instances", "", ownTiles},
	{"GET /dicom-web/studies/{study}/series/{series}/instances", "/dicom-web/studies/{study}/series/{series}/instances", "", ownTiles},
	{"GET /dicom-web/studies/{study}/metadata", "/dicom-web/studies/{study}/metadata", "", ownTiles},
	{"GET /dicom-web/studies/{study}/metadata", "/dicom-web/studies/{image}/metadata", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /dicom-web/studies/{study}/series/{series}/metadata", "/dicom-web/studies/{study}/series/{series}/metadata", "", ownTiles},
	{"GET /dicom-web/studies/{study}/series/{series}/metadata", "/dicom-web/studies/{study}/series/{study}/metadata", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata", "/dicom-web/studies/{study}/series/{series}/instances/2.25.1/metadata", "", ownTiles.with(404)},
	{"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", "/dicom-web/studies/{study}/series/{series}/instances/2.25.1/frames/1", "", ownTiles.with(404)},
	{"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path...}", "/dicom-web/studies/{study}/series/{series}/instances/2.25.1/bulkdata/x", "", ownTiles.with(404)},
	{"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/rendered", "/dicom-web/studies/{study}/series/{series}/instances/2.25.1/frames/1/rendered", "", ownTiles.with(404)},
	{"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/rendered", "/dicom-web/studies/{study}/series/{series}/instances/2.25.1/rendered", "", ownTiles.with(404)},
	{"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/thumbnail", "/dicom-web/studies/{study}/series/{series}/instances/2.25.1/thumbnail", "", ownTiles.with(404)},
	{"GET /dicom-web/studies/{study}/series/{series}/instances/{instance}", "/dicom-web/studies/{study}/series/{series}/instances/2.25.1", "", ownTiles.with(404)},
	{"GET /dicom-web/studies/{study}/series/{series}/thumbnail", "/dicom-web/studies/{study}/series/{series}/thumbnail", "", ownTiles},
	{"GET /dicom-web/studies/{study}/thumbnail", "/dicom-web/studies/{study}/thumbnail", "", ownTiles},
	{"GET /dicom-web/studies/{study}/series/{series}", "/dicom-web/studies/{study}/series/{series}", "", ownTiles},
	{"GET /dicom-web/studies/{study}", "/dicom-web/studies/{study}", "", ownTiles},
	{"GET /label", "/label?db={store}&img={image}", "", labels},
	{"GET /apiv1/slides", "/apiv1/slides", "", loggedIn},
	{"GET /apiv1/slides/{file}/label/{$}", "/apiv1/slides/{image}/label/", "", labels},
	{"GET /apiv1/slides/{file}/label/{$}", "/apiv1/slides/{name}/label/", "", labels},
	{"GET /apiv1/slides/{file}/macro/{$}", "/apiv1/slides/{name}/macro/", "", labels},
	{"tiles", "/api/v1/images/{image}/tiles/0/0/0", "", ownTiles},
	{"tiles", "/api/v1/images/unknown/tiles/0/0/0", "", statuses{401, 403, 403, 403, 404, 403}},
	{"tiles", "/tile/{store}/{image}/t.jpg", "", ownTiles},
	{"tiles", "/tile/{store}/{name}/t.jpg", "", labels},
	{"tiles", "/apiv1/slides/{name}/0/0/0", "", labels},
	{"GET /api/v1/tasks", "/api/v1/tasks", "", loggedIn},
	{"GET /api/v1/tasks", "/api/v1/tasks?store={store}", "", ownTiles},
	{"GET /api/v1/tasks", "/api/v1/tasks?store=unknown", "", statuses{401, 403, 403, 403, 200, 403}},
	{"POST /api/v1/tasks", "/api/v1/tasks", `{"kind":"sync_store","args":{"store":"{store}"}}`, statuses{401, 403, 403, 202, 202, 403}},
	{"POST /api/v1/tasks", "/api/v1/tasks", `{"kind":"sync_store","args":{"store":"{other}"}}`, statuses{401, 403, 403, 403, 202, 403}},
	{"POST /api/v1/tasks", "/api/v1/tasks", `{"kind":"sync_store","args":{"store":"{store}","ſtore":"{other}","confirm":true}}`, statuses{401, 422, 422, 422, 422, 422}},
	{"POST /api/v1/tasks", "/api/v1/tasks", `{"kind":"hash_image","args":{"store":"{store}","image":"{away}"}}`, statuses{401, 403, 403, 422, 422, 403}},
	{"POST /api/v1/tasks", "/api/v1/tasks", `{"kind":"nothing"}`, admins.with(422)},
	{"GET /api/v1/tasks/{task}", "/api/v1/tasks/{task}", "", ownTiles},
	{"GET /api/v1/tasks/{task}", "/api/v1/tasks/t999", "", statuses{401, 403, 403, 403, 404, 403}},
	{"DELETE /api/v1/tasks/{task}", "/api/v1/tasks/{task}", "", statuses{401, 403, 403, 200, 200, 403}},
	{"GET /api/v1/tasks/{task}/events", "/api/v1/tasks/{task}/events", "", ownTiles},
	{"GET /api/v1/workers", "/api/v1/workers", "", admins},
	{"GET /api/v1/auth/session", "/api/v1/auth/session", "", open},
	{"POST /api/v1/auth/login", "/api/v1/auth/login", `{"name":"x"}`, open.with(422)},
	{"POST /api/v1/auth/bootstrap", "/api/v1/auth/bootstrap", `{"secret":"x","name":"y","password":"correct horse battery"}`, open.with(401)},
	{"GET /api/v1/auth/oidc/start", "/api/v1/auth/oidc/start", "", open.with(404)},
	{"GET /api/v1/auth/oidc/callback", "/api/v1/auth/oidc/callback", "", open.with(404)},
	{"GET /api/v1/auth/check", "/api/v1/auth/check?store={store}&image={image}&scope=tiles", "", ownTiles},
	{"GET /api/v1/auth/check", "/api/v1/auth/check?store={store}&image={image}&scope=label", "", labels},
	{"GET /api/v1/auth/check", "/api/v1/auth/check?scope=admin", "", admins},
	{"GET /api/v1/auth/check", "/api/v1/auth/check?store={store}&store={away}&scope=tiles", "", statuses{422, 422, 422, 422, 422, 422}},
	{"GET /api/v1/auth/check", "/api/v1/auth/check?store={store}&image=%zz&scope=tiles", "", statuses{422, 422, 422, 422, 422, 422}},
	{"POST /api/v1/auth/check", "/api/v1/auth/check", `{"scope":"tiles","ſcope":"label","images":[{"store":"{store}","image":"{image}"}]}`, statuses{400, 400, 400, 400, 400, 400}},
	{"POST /api/v1/auth/check", "/api/v1/auth/check", `{"scope":"tiles","images":[{"store":"{store}","image":"{image}","image":"{away}"}]}`, statuses{400, 400, 400, 400, 400, 400}},
	{"POST /api/v1/auth/check", "/api/v1/auth/check", `{"scope":"tiles","images":[{"store":"{store}","image":"{image}"}]}`, loggedIn},
	{"POST /api/v1/auth/revoke", "/api/v1/auth/revoke", "{}", open.with(404)},
	{"GET /api/v1/auth/revocations", "/api/v1/auth/revocations?since=0", "", open.with(401)},
	{"GET /api/v1/shares", "/api/v1/shares", "", loggedIn},
	{"GET /api/v1/shares", "/api/v1/shares?all=true", "", admins},
	{"POST /api/v1/shares", "/api/v1/shares", `{"images":["{image}"],"hours":0}`, loggedIn.with(422)},
	{"GET /api/v1/shares/{share}", "/api/v1/shares/unknown", "", statuses{401, 403, 403, 403, 404, 403}},
	{"DELETE /api/v1/shares/{share}", "/api/v1/shares/unknown", "", statuses{401, 403, 403, 403, 404, 403}},
	{"POST /api/v1/shares/{share}/open", "/api/v1/shares/unknown/open", `{"secret":"x"}`, open.with(404)},
	{"GET /api/v1/shares/{share}/view", "/api/v1/shares/unknown/view", "", open.with(404)},
	{"GET /api/v1/users", "/api/v1/users", "", admins},
	{"POST /api/v1/users", "/api/v1/users", `{"name":""}`, admins.with(422)},
	{"GET /api/v1/users/{user}", "/api/v1/users/{viewer}", "", admins},
	{"PATCH /api/v1/users/{user}", "/api/v1/users/{viewer}", `{"name":""}`, admins.with(422)},
	{"DELETE /api/v1/users/{user}", "/api/v1/users/unknown", "", admins.with(404)},
	{"PUT /api/v1/users/{user}/password", "/api/v1/users/{viewer}/password", `{"password":"short","current":"wrong"}`, statuses{401, 401, 403, 403, 422, 403}},
	{"PUT /api/v1/users/{user}/password", "/api/v1/users/unknown/password", `{"password":"long enough for anybody"}`, admins.with(404)},
	{"GET /api/v1/users/{user}/sessions", "/api/v1/users/{viewer}/sessions", "", statuses{401, 200, 403, 403, 200, 403}},
	{"DELETE /api/v1/users/{user}/sessions", "/api/v1/users/unknown/sessions", "", admins.with(204)},
	{"DELETE /api/v1/users/{user}/sessions/{session}", "/api/v1/users/unknown/sessions/unknown", "", admins.with(404)},
	{"DELETE /api/v1/users/{user}/sessions/{session}", "/api/v1/users/{viewer}/sessions/unknown", "", statuses{401, 404, 403, 403, 404, 403}},
	{"GET /api/v1/groups", "/api/v1/groups", "", admins},
	{"POST /api/v1/groups", "/api/v1/groups", "{}", admins.with(422)},
	{"GET /api/v1/groups/{group}", "/api/v1/groups/unknown", "", admins.with(404)},
	{"PATCH /api/v1/groups/{group}", "/api/v1/groups/unknown", "{}", admins.with(404)},
	{"DELETE /api/v1/groups/{group}", "/api/v1/groups/unknown", "", admins.with(404)},
	{"GET /api/v1/groups/{group}/members", "/api/v1/groups/unknown/members", "", admins.with(404)},
	{"PUT /api/v1/groups/{group}/members/{user}", "/api/v1/groups/unknown/members/{viewer}", "", admins.with(404)},
	{"DELETE /api/v1/groups/{group}/members/{user}", "/api/v1/groups/unknown/members/{viewer}", "", admins.with(404)},
	{"GET /api/v1/tokens", "/api/v1/tokens", "", loggedIn},
	{"GET /api/v1/tokens", "/api/v1/tokens?user={viewer}", "", statuses{401, 200, 403, 403, 200, 403}},
	{"POST /api/v1/tokens", "/api/v1/tokens", `{"label":"x","scopes":["everything"]}`, loggedIn.with(422)},
	{"DELETE /api/v1/tokens/{token}", "/api/v1/tokens/unknown", "", statuses{401, 403, 403, 403, 404, 403}},
	{"GET /api/v1/grants", "/api/v1/grants", "", admins},
	{"POST /api/v1/grants", "/api/v1/grants", `{"role":"king"}`, admins.with(422)},
	{"DELETE /api/v1/grants/{grant}", "/api/v1/grants/unknown", "", admins.with(404)},
	{"GET /api/v1/audit", "/api/v1/audit", "", admins},
	{"GET /api/v1/audit/export", "/api/v1/audit/export?format=jsonl&names=true", "", admins},
	{"POST /api/v1/auth/logout", "/api/v1/auth/logout", "", statuses{200, 0, 0, 0, 0, 0}},
}

// Every route gives each role the status in the table.
func TestAccess(t *testing.T) {
	g := newGuardedSite(t)
	for _, row := range accessTable {
		method, _, _ := strings.Cut(row.route, " ")
		if row.route == "tiles" {
			method = "GET"
		}
		path, body := g.fillIn(row.path), g.fillIn(row.body)
		if path == row.path {
			path = g.fillIn(path)
		}
		for i, role := range roles {
			if row.want[i] == 0 {
				continue
			}
			a := g.as(role, method, path, body)
			if a.status != row.want[i] {
				t.Errorf("%s: %s %s: %d %.200s, want %d", role, method, row.path, a.status, a.body, row.want[i])
			}
			if a.status == 401 && row.route != "POST /api/v1/auth/bootstrap" && role == "stranger" && a.header.Get("WWW-Authenticate") == "" && !strings.Contains(row.path, "revocations") {
				t.Errorf("%s: %s %s: 401 without WWW-Authenticate", role, method, row.path)
			}
			if cc := a.header.Get("Cache-Control"); strings.Contains(cc, "public") {
				t.Errorf("%s: %s %s: Cache-Control %q", role, method, row.path, cc)
			}
		}
	}
}

// Every rule belongs to a route, every route has a rule, and the table above has all
// routes.
func TestEveryRouteHasARule(t *testing.T) {
	st := newSite(t)
	elsewhere := []string{"GET /metrics", "/api/v1/uploads", "/api/v1/uploads/{upload}", "POST /dicom-web/studies", "POST /dicom-web/studies/{study}"}
	registered := slices.Sorted(slices.Values(st.api.Routes()))
	ruled := slices.DeleteFunc(api.Rules(), func(p string) bool { return slices.Contains(elsewhere, p) })
	if diff := cmp.Diff(ruled, registered); diff != "" {
		t.Errorf("rules and routes (-rules +routes):\n%s", diff)
	}
	for _, p := range ruled {
		if !slices.ContainsFunc(accessTable, func(row struct {
			route, path, body string
			want              statuses
		},
		) bool {
			return row.route == p
		}) {
			t.Errorf("%s is not in the table of what is answered to whom", p)
		}
	}
}

// A route without a rule is refused for every caller.
func TestRouteWithoutRule(t *testing.T) {
	g := newGuardedSite(t)
	h := g.api.Guard("GET /new", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secret") }))
	r := httptest.NewRequest("GET", "/new", nil)
	r.Header.Set("Cookie", authz.CookieName+"="+g.secrets["admin"])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 403 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s, want 403", w.Code, w.Body)
	}
}

var instance = regexp.MustCompile(`,?"instance":"[^"]*"`)

// comparable returns a response without the parts that differ between responses.
func comparable(a answer) string {
	h := a.header.Clone()
	for _, name := range []string{"Date", "X-Request-Id", "Content-Length"} {
		h.Del(name)
	}
	return fmt.Sprint(a.status, h, instance.ReplaceAllString(string(a.body), ""))
}

// For an object that the caller may not see, the response is the same as for an unknown
// one (except the request id), and so is the number of requests to the authorizer, which
// the response time would reveal.
func TestForbiddenLooksUnknown(t *testing.T) {
	g := newGuardedSite(t)
	unknown := map[string]string{} // an unknown id for each existing one
	for _, id := range []string{g.other, g.away, g.ids["admin"], canary + "-away.tiff"} {
		unknown[id] = catalog.NewID()
	}
	unknown[dicom.StudyUID(g.away)] = dicom.StudyUID(catalog.NewID())
	const oidOther, oidAway, oidThird = "5356d8b9e67655244bf3273a", "5356d8b9e67655244bf3273b", "5356d8b9e67655244bf3273e"
	unknown[oidAway], unknown[oidThird] = "5356d8b9e67655244bf3273d", "5356d8b9e67655244bf3273f"
	g.importAs(g.other, oidOther, g.away, oidAway)
	g.mkdir("third")
	g.putStore(catalog.Store{Label: "Scanner 3", Mode: catalog.InPlace, Root: g.path("third"), ExternalID: oidThird}) // no decision about it is cached
	paths := []struct{ method, path, forbidden string }{
		{"GET", "/apiv1/databases/%s", oidThird},
		{"GET", "/api/v1/stores/%s", g.other},
		{"PATCH", "/api/v1/stores/%s", g.other},
		{"POST", "/api/v1/stores/%s/sync", g.other},
		{"DELETE", "/api/v1/stores/%s", g.other},
		{"GET", "/api/v1/images?store=%s", g.other},
		{"GET", "/api/v1/images?q=abc&store=%s", g.other},
		{"GET", "/api/v1/images?sort=name&store=%s", g.other},
		{"GET", "/api/v1/images?external_id=x&store=%s", g.other},
		{"GET", "/api/v1/images/%s", g.away},
		{"PATCH", "/api/v1/images/%s", g.away},
		{"DELETE", "/api/v1/images/%s", g.away},
		{"POST", "/api/v1/images/%s/retry", g.away},
		{"POST", "/api/v1/images/%s/restore", g.away},
		{"GET", "/api/v1/images/%s/thumbnail", g.away},
		{"GET", "/api/v1/images/%s/preview", g.away},
		{"GET", "/api/v1/images/%s/associated/label", g.away},
		{"GET", "/api/v1/images/%s/associated/thumbnail", g.away},
		{"GET", "/dzi/%s.dzi", g.away},
		{"GET", "/dzi/%s_files/8/0_0.jpg", g.away},
		{"GET", "/iiif/3/%s", g.away},
		{"GET", "/iiif/3/%s/info.json", g.away},
		{"GET", "/iiif/2/%s/full/max/0/default.png", g.away},
		{"GET", "/iiif/2/%s/nothing/max/0/default.png", g.away},
		{"GET", "/iiif/9/%s/info.json", g.away},
		{"GET", "/zoomify/%s/ImageProperties.xml", g.away},
		{"GET", "/dicom-web/studies/%s/metadata", dicom.StudyUID(g.away)},
		{"GET", "/dicom-web/studies/%s/series", dicom.StudyUID(g.away)},
		{"GET", "/zoomify/%s/TileGroup0/0-0-0.jpg", g.away},
		{"GET", "/zoomify/%s/TileGroup9/9-9-9.jpg", g.away},
		{"GET", "/api/v1/images/%s/tiles/0/0/0", g.away},
		{"GET", "/api/v1/images/%s/tiles/99/0/0", g.away},
		{"GET", "/tile/" + g.other + "/%s/t.jpg", g.away},
		{"GET", "/tile/" + g.store + "/%s/t.jpg", g.away},
		{"GET", "/thumb/" + g.other + "/%s", g.away},
		{"GET", "/tile/" + g.other + "/%s/t.jpg", canary + "-away.tiff"},
		{"GET", "/thumb?db=" + g.other + "&img=%s", g.away},
		{"GET", "/tileat/" + g.other + "/%s?x=0&y=0", g.away},
		{"GET", "/tileat/" + g.other + "/%s?x=a", canary + "-away.tiff"},
		{"GET", "/cutout/" + g.other + "/%s/a.png?bounds=[0,1,0,1]", g.away},
		{"GET", "/cutout/" + g.other + "/%s/a.tif", canary + "-away.tiff"},
		{"GET", "/ptiff-viewer?image=%s", canary + "-away.tiff"},
		{"GET", "/apiv1/databases/%s", g.other},
		{"PUT", "/apiv1/databases/%s", g.other},
		{"DELETE", "/apiv1/databases/%s", g.other},
		{"GET", "/tile/" + oidOther + "/%s/t.jpg", oidAway},
		{"GET", "/tile?db=" + oidOther + "&name=t.jpg&img=%s", oidAway},
		{"GET", "/thumb/" + oidOther + "/%s", oidAway},
		{"GET", "/label?img=%s", oidAway},
		{"GET", "/apiv1/slides/%s/0/0/0", oidAway},
		{"GET", "/tileat/" + oidOther + "/%s?x=0&y=0", oidAway},
		{"GET", "/cutout/" + oidOther + "/%s/a.jpg?bounds=[0,1,0,1]", oidAway},
		{"GET", "/thumb?db=" + g.other + "&img=%s", canary + "-away.tiff"},
		{"GET", "/label?img=%s", canary + "-away.tiff"},
		{"GET", "/apiv1/slides/%s/label/", canary + "-away.tiff"},
		{"GET", "/apiv1/slides/%s/0/0/0", canary + "-away.tiff"},
		{"GET", "/api/v1/tasks?store=%s", g.other},
		{"GET", "/api/v1/users/%s", g.ids["admin"]},
		{"GET", "/api/v1/users/%s/sessions", g.ids["admin"]},
		{"GET", "/api/v1/tokens?user=%s", g.ids["admin"]},
	}
	for _, role := range []string{"stranger", "viewer", "reader", "contributor"} {
		for _, path := range []string{"/api/v1/images", "/api/v1/images/x/preview", "/label?img=x", "/tile/x/x/t.jpg"} {
			g.as(role, "GET", path, "") // the authorizer has now been asked once per caller
		}
		for _, p := range paths {
			ask := func(what string) string {
				body := ""
				if p.method == "PATCH" || p.method == "PUT" {
					body = "{}"
				}
				before := g.gate.Stats().Misses
				a := comparable(g.as(role, p.method, fmt.Sprintf(p.path, what), body))
				return fmt.Sprintf("%s, %d requests", a, g.gate.Stats().Misses-before)
			}
			if diff := cmp.Diff(ask(unknown[p.forbidden]), ask(p.forbidden)); diff != "" {
				t.Errorf("%s: %s %s (-unknown +forbidden):\n%s", role, p.method, p.path, diff)
			}
		}
	}
	// A caller who may see all tiles but no labels gets 404 for an unknown name.
	g.person("overseer", "correct horse 6", account.Grant{Role: account.Viewer})
	for _, path := range []string{"/tile/" + g.store + "/%s/t.jpg", "/thumb/" + g.store + "/%s", "/label?img=%s", "/apiv1/slides/%s/macro/", "/apiv1/slides/%s/0/0/0"} {
		name, none := g.as("overseer", "GET", fmt.Sprintf(path, url.PathEscape(g.name)), ""), g.as("overseer", "GET", fmt.Sprintf(path, "none.tiff"), "")
		if diff := cmp.Diff(comparable(none), comparable(name)); diff != "" || name.status != 404 {
			t.Errorf("overseer: %s by name: %d, want 404 (-unknown +there):\n%s", path, name.status, diff)
		}
	}
	// A slide that the caller may see, by a name that the caller may not know.
	for _, path := range []string{"/tile/" + g.store + "/%s/t.jpg", "/thumb/" + g.store + "/%s", "/label?img=%s", "/apiv1/slides/%s/macro/", "/apiv1/slides/%s/0/0/0"} {
		name, none := g.as("viewer", "GET", fmt.Sprintf(path, url.PathEscape(g.name)), ""), g.as("viewer", "GET", fmt.Sprintf(path, "none.tiff"), "")
		if diff := cmp.Diff(comparable(none), comparable(name)); diff != "" {
			t.Errorf("%s by name (-unknown +there):\n%s", path, diff)
		}
	}
}

// A caller without the label scope never reads a name, barcode or label, and the log
// contains none.
func TestNoNamesWithoutLabel(t *testing.T) {
	g := newGuardedSite(t)
	filed := g.record(canary+"-folder/filed.tiff", func(im *catalog.Image) { im.FileName, im.Revision = "filed.tiff", "r2" })
	awaitTask(g)
	paths := []string{
		"/api/v1/images", "/api/v1/images?sort=name", "/api/v1/images?sort=state", "/api/v1/images?q=" + canary, "/api/v1/images?external_id=" + canary + "-external", "/api/v1/images?q=" + canary[:2], "/api/v1/images?limit=1", "/api/v1/images?fields=id,folder", "/api/v1/images/" + filed, "/api/v1/images?q=" + canary + "-folder", "/api/v1/images?barcode=" + canary + "-1", "/api/v1/images?fields=label,file_name,reason,properties",
		"/api/v1/images?q=" + canary + "&store=" + g.store, "/api/v1/images?store=" + g.store + "&state=broken", "/api/v1/stores", "/api/v1/stores/" + g.store, "/api/v1/tasks",
		"/api/v1/tasks/" + g.task, "/api/v1/tasks/" + g.task + "/events", "/api/v1/tasks?store=" + g.store, "/apiv1/slides", "/api/v1/images/" + g.slide, "/api/v1/audit",
		"/api/v1/auth/session", "/openapi.json", "/api/v1/workers",
	}
	for _, row := range accessTable {
		if strings.HasPrefix(row.route, "GET ") || row.route == "tiles" {
			paths = append(paths, g.fillIn(row.path))
		}
	}
	for _, role := range []string{"stranger", "viewer", "outsider"} {
		for _, path := range paths {
			for _, method := range []string{"GET", "HEAD"} {
				a := g.as(role, method, path, "")
				// A response may repeat the client's own text, but none does.
				if all := fmt.Sprint(a.header) + string(a.body); strings.Contains(strings.ToUpper(all), canary) {
					t.Errorf("%s: %s %s reveals a name: %.400s", role, method, path, all)
				}
			}
		}
		for _, q := range []string{"q=" + canary, "q=" + canary + "-folder", "barcode=" + canary + "-1", "external_id=" + canary + "-external"} {
			if role == "stranger" {
				continue
			}
			if n := len(names(g.json(role, "/api/v1/images?"+q), "id")); n != 0 {
				t.Errorf("%s: %s finds %d slides by their names", role, q, n)
			}
		}
	}
	if log := g.log.String(); strings.Contains(strings.ToUpper(log), canary) {
		t.Errorf("the log reveals a name:\n%s", log)
	}
	// Check the test: a caller with the scope does read them.
	for _, path := range []string{"/api/v1/images", "/api/v1/images/" + g.slide, "/api/v1/images/" + filed, "/api/v1/images?fields=folder", "/api/v1/tasks/" + g.task, "/apiv1/slides", "/api/v1/stores", "/api/v1/images?q=" + canary, "/api/v1/images?external_id=" + canary + "-external", "/api/v1/images?barcode=" + canary + "-1"} {
		if a := g.as("reader", "GET", path, ""); !bytes.Contains(a.body, []byte(canary)) {
			t.Errorf("reader: GET %s: %d does not contain the name: %.300s", path, a.status, a.body)
		}
	}
}

func awaitTask(g *guardedSite) {
	ctx, stop := context.WithCancel(g.t.Context())
	done := make(chan error, 1)
	go func() { done <- g.api.Tasks.Work(ctx, task.WorkOptions{Queues: map[string]int{task.DefaultQueue: 1}}) }()
	if _, err := g.api.Tasks.Wait(ctx, g.task); err != nil {
		g.t.Fatal(err)
	}
	stop()
	<-done
}

func (g *guardedSite) json(role, path string) map[string]any {
	g.t.Helper()
	a := g.as(role, "GET", path, "")
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 {
		g.t.Fatalf("%s: GET %s: %d %.300s: %v", role, path, a.status, a.body, err)
	}
	return v
}

// Lists show what the caller may see and nothing else, whatever the filter.
func TestListsAreFiltered(t *testing.T) {
	g := newGuardedSite(t)
	g.person("two", "correct horse 2", account.Grant{Role: account.Reader, Store: g.store}, account.Grant{Role: account.Viewer, Store: g.other})
	g.person("one", "correct horse 3", account.Grant{Role: account.Reader, Image: g.away})
	g.person("mixed", "correct horse 5", account.Grant{Role: account.Reader, Store: g.store}, account.Grant{Role: account.Viewer, Store: g.other}, account.Grant{Role: account.Reader, Image: g.away})
	g.person("nobody", "correct horse 4")
	var own []string // in store slides
	for _, im := range g.json("admin", "/api/v1/images?store="+g.store)["items"].([]any) {
		own = append(own, im.(map[string]any)["id"].(string))
	}
	both := append(slices.Clone(own), g.away)
	for _, tt := range []struct {
		role   string
		query  string
		images []string
	}{
		{"viewer", "", own},
		{"viewer", "?sort=size", own},
		{"viewer", "?sort=name", own},
		{"viewer", "?limit=1", own},
		{"viewer", "?q=canary", nil},
		{"outsider", "", []string{g.away}},
		{"admin", "", both},
		{"nobody", "", nil},
		{"nobody", "?q=canary", nil},
		{"two", "", both},
		{"two", "?limit=1", both},
		{"two", "?q=canary", own},
		{"two", "?sort=name", own},
		{"two", "?q=canary&limit=1", own},
		{"one", "", []string{g.away}},
		{"one", "?limit=1", []string{g.away}},
		{"one", "?q=canary", []string{g.away}},
		{"one", "?q=canary&sort=name&limit=1", []string{g.away}},
		{"one", "?q=canary&store=" + g.other, []string{g.away}},
		{"one", "?q=nosuchname", nil},
		{"outsider", "?q=canary", nil},
		{"mixed", "?q=canary", both},
		{"mixed", "?sort=name", both},
		{"one", "?store=" + g.other, []string{g.away}},
	} {
		var got []string
		cursor := ""
		for range 20 {
			sep := "?"
			if tt.query != "" {
				sep = "&"
			}
			path := "/api/v1/images" + tt.query
			if cursor != "" {
				path += sep + "cursor=" + cursor
			}
			v := g.json(tt.role, path)
			got = append(got, names(v, "id")...)
			if cursor, _ = v["next_cursor"].(string); cursor == "" {
				break
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(slices.Values(tt.images)), got); diff != "" {
			t.Errorf("%s: images%s (-want +got):\n%s", tt.role, tt.query, diff)
		}
	}
	for role, want := range map[string][]string{
		"viewer": {g.store}, "outsider": {g.other}, "two": {g.store, g.other}, "admin": {g.store, g.other}, "nobody": {}, "one": {},
	} {
		if diff := cmp.Diff(want, names(g.json(role, "/api/v1/stores"), "id")); diff != "" {
			t.Errorf("%s: stores (-want +got):\n%s", role, diff)
		}
	}
	// In lists, each slide has the fields that the caller may read of it.
	for _, im := range g.json("two", "/api/v1/images")["items"].([]any) {
		im := im.(map[string]any)
		if named := im["file_name"] != nil; named != (im["store"] == g.store) {
			t.Errorf("image of store %v has the name %v", im["store"], im["file_name"])
		}
	}
	if im := g.json("one", "/api/v1/images")["items"].([]any)[0].(map[string]any); im["file_name"] == nil {
		t.Error("one's only slide has no name")
	}
	if _, err := g.api.Catalog.Stores.Update(t.Context(), g.other, func(s *catalog.Store) error { s.HideLabels = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := names(g.json("one", "/api/v1/images?q=canary"), "id"); len(got) > 0 {
		t.Errorf("one's only slide has a hidden label, and is found: %v", got)
	}
}

// TestImageWithoutLabel checks the fields of an image that callers without the label
// scope get.
func TestImageWithoutLabel(t *testing.T) {
	g := newGuardedSite(t)
	got := g.json("viewer", "/api/v1/images/"+g.slide)
	want := map[string]any{
		"barcode": nil, "label": nil, "file_name": nil, "folder": nil, "aliases": []any{}, "external_id": nil, "reason": nil, "associated": []any{},
	}
	for field, v := range want {
		if diff := cmp.Diff(v, got[field]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	properties := got["properties"].(map[string]any)
	if properties["philips.DICOM_MANUFACTURER"] != "PHILIPS" || properties["philips.DICOM_ACQUISITION_DATETIME"] != nil {
		t.Errorf("properties %v", properties)
	}
	if got["tile_url"] == nil || got["width"] == nil || got["mpp_x"] == nil {
		t.Errorf("the tissue can't be shown: %v", got)
	}
	if full := g.json("reader", "/api/v1/images/"+g.slide); full["barcode"] != canary+"-1" || len(full["associated"].([]any)) != 2 {
		t.Errorf("reader: %v", full)
	}
}

// A store may hide labels from all but admins, and its tiles may be public.
func TestStorePolicies(t *testing.T) {
	g := newGuardedSite(t)
	set := func(hide, public bool) {
		_, err := g.api.Catalog.Stores.Update(t.Context(), g.store, func(s *catalog.Store) error {
			s.HideLabels, s.Public = hide, public
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		g.load()
	}
	label, tile, image := "/api/v1/images/"+g.slide+"/associated/label", "/api/v1/images/"+g.slide+"/tiles/0/0/0", "/api/v1/images/"+g.slide
	named := "/tile/" + g.store + "/" + g.name + "/t.jpg"
	check := func(what, path string, want statuses) {
		t.Helper()
		for i, role := range roles {
			if a := g.as(role, "GET", path, ""); a.status != want[i] {
				t.Errorf("%s: %s: GET %s: %d, want %d", what, role, path, a.status, want[i])
			}
		}
	}
	set(true, false)
	check("hidden", label, admins)
	check("hidden", named, admins)
	check("hidden", image, ownTiles)
	if im := g.json("reader", image); im["file_name"] != nil {
		t.Errorf("hidden: a reader sees %v", im["file_name"])
	}
	if n := len(names(g.json("reader", "/api/v1/images?q=canary"), "id")); n != 0 {
		t.Errorf("hidden: a reader finds %d by name", n)
	}
	if im := g.json("admin", image); im["file_name"] == nil {
		t.Error("hidden: an admin sees no name")
	}
	for _, role := range []string{"reader", "contributor", "admin"} {
		for scope, want := range map[string]int{"label": 403, "tiles": 200} {
			if a := g.as(role, "POST", image+"/sign", `{"scope":"`+scope+`"}`); a.status != want {
				t.Errorf("hidden: %s: a link for %s: %d %s, want %d", role, scope, a.status, a.body, want)
			}
		}
	}
	set(false, true)
	check("public", tile, open)
	check("public", image, open)
	check("public", label, labels)
	check("public", named, labels)
	if a := g.get(tile); !strings.HasPrefix(a.header.Get("Cache-Control"), "public") {
		t.Errorf("public tile: Cache-Control %q", a.header.Get("Cache-Control"))
	}
	if a := g.as("reader", "GET", label, ""); !strings.HasPrefix(a.header.Get("Cache-Control"), "private") {
		t.Errorf("label of a public store: Cache-Control %q", a.header.Get("Cache-Control"))
	}
	if a := g.get(image); a.status != 200 || bytes.Contains(a.body, []byte(canary)) {
		t.Errorf("public: a stranger reads %s", a.body)
	}
	set(true, true)
	check("public and hidden", label, admins)
}

// Only admins see folders and hosts.
func TestRootForAdminsOnly(t *testing.T) {
	g := newGuardedSite(t)
	for _, role := range roles[1:5] {
		s := g.json(role, "/api/v1/stores/"+g.store)
		if shown := s["root"] != nil; shown != (role == "admin") {
			t.Errorf("%s: root %v", role, s["root"])
		}
	}
	// An admin of a single store can't move it.
	g.person("warden", "correct horse 5", account.Grant{Role: account.Admin, Store: g.store})
	for _, body := range []string{`{"root":"/"}`, `{"incoming":"/"}`, `{"host":"evil"}`, `{"endpoint":"https://evil.example"}`, `{"queue":"evil"}`} {
		if a := g.as("warden", "PATCH", "/api/v1/stores/"+g.store, body); a.status != 403 {
			t.Errorf("PATCH %s: %d, want 403", body, a.status)
		}
	}
	if a := g.as("warden", "PATCH", "/api/v1/stores/"+g.store, `{"label":"Mine"}`); a.status != 200 {
		t.Errorf("PATCH label: %d %s, want 200", a.status, a.body)
	}
	if a := g.as("warden", "PATCH", "/api/v1/stores/"+g.other, `{"label":"Mine"}`); a.status != 403 {
		t.Errorf("PATCH of another store: %d, want 403", a.status)
	}
}
