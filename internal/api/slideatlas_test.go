package api_test

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/test/picture"
)

const oidStore, oidImage, oidFormer = "5356d8b9e67655244bf3273a", "5356d8b9e67655244bf3273b", "4e695114587718175c000006"

// The routes of SlideAtlas answer the same to ObjectIds as to the ids of this server, for
// users without the right to labels, too.
func TestObjectIDs(t *testing.T) {
	g := newGuardedSite(t)
	_, err := g.api.Catalog.Images.Update(t.Context(), g.slide, func(im *catalog.Image) error {
		im.FormerStores = []string{"formerid", oidFormer}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g.importAs(g.store, oidStore, g.slide, oidImage)
	for _, path := range []string{
		"/tile/%s/%s/t.jpg", "/tile?db=%s&img=%s&name=tq.jpg", "/thumb/%s/%s", "/thumb?db=%s&img=%s", "/tileat/%s/%s?x=300&y=200&z=1",
		"/cutout/%s/%s/image.png?bounds=%%5B10,50,20,70%%5D",
	} {
		want := g.as("viewer", "GET", fmt.Sprintf(path, g.store, g.slide), "")
		if want.status != 200 {
			t.Fatalf("%s: %d %s", path, want.status, want.body)
		}
		for _, store := range []string{oidStore, oidFormer, "formerid"} {
			if got := g.as("viewer", "GET", fmt.Sprintf(path, store, strings.ToUpper(oidImage)), ""); got.status != 200 || !bytes.Equal(got.body, want.body) {
				t.Errorf("%s of store %s: %d, want the same as by id", path, store, got.status)
			}
		}
		if got := g.as("viewer", "GET", fmt.Sprintf(path, g.other, oidImage), ""); got.status != 403 {
			t.Errorf("%s in another store: %d, want 403", path, got.status)
		}
	}
	for path, status := range map[string]int{
		"/apiv1/slides/" + oidImage + "/0/0/0": 200, "/label?db=" + oidStore + "&img=" + oidImage: 403, "/apiv1/slides/" + oidImage + "/macro/": 403,
		"/ptiff-viewer?image=" + oidImage: 404, // by way of the page
	} {
		if got := g.as("viewer", "GET", path, ""); got.status != status {
			t.Errorf("%s: %d %s, want %d", path, got.status, got.body, status)
		}
	}
	// Other external ids are no keys: they may say something about a patient.
	if got := g.as("reader", "GET", "/tile/"+g.store+"/"+canary+"-external/t.jpg", ""); got.status != 403 {
		t.Errorf("by an external id that is not an ObjectId: %d, want 403", got.status)
	}
}

// A thumb shows label and macro only to those who may see them, and only that is in the audit
// log.
func TestThumbWithoutLabel(t *testing.T) {
	g := newGuardedSite(t)
	path := "/thumb/" + g.store + "/" + g.slide
	viewer, reader := g.as("viewer", "GET", path, ""), g.as("reader", "GET", path, "")
	preview := g.as("reader", "GET", "/api/v1/images/"+g.slide+"/preview", "")
	tissue := g.as("viewer", "GET", "/api/v1/images/"+g.slide+"/thumbnail?height=100", "")
	if !bytes.Equal(reader.body, preview.body) {
		t.Error("a reader does not get the preview")
	}
	if viewer.status != 200 || !bytes.Equal(viewer.body, tissue.body) {
		t.Errorf("a viewer gets %d, %d bytes, want the thumbnail", viewer.status, len(viewer.body))
	}
	if _, err := g.api.Catalog.Stores.Update(t.Context(), g.store, func(s *catalog.Store) error { s.Public = true; return nil }); err != nil {
		t.Fatal(err)
	}
	g.load()
	for _, role := range []string{"stranger", "viewer", "reader"} {
		a := g.as(role, "GET", path, "")
		if got := a.header.Get("Cache-Control"); a.status != 200 || !strings.HasPrefix(got, "private") {
			t.Errorf("%s, public store: %d, Cache-Control %q, want private", role, a.status, got)
		}
		if bytes.Equal(a.body, preview.body) != (role == "reader") {
			t.Errorf("%s, public store: wrong picture", role)
		}
	}
	if _, err := g.api.Catalog.Stores.Update(t.Context(), g.store, func(s *catalog.Store) error { s.HideLabels = true; return nil }); err != nil {
		t.Fatal(err)
	}
	g.load()
	if a := g.as("reader", "GET", path, ""); !bytes.Equal(a.body, tissue.body) {
		t.Error("a reader gets the label of a store that hides them")
	}
	shown := g.acts(account.EventFilter{User: g.ids["viewer"]})
	if len(shown) > 0 {
		t.Errorf("the audit log has %v of the viewer, want nothing", shown)
	}
	if shown := g.acts(account.EventFilter{User: g.ids["reader"]}); !slices.Contains(shown, "label.show") {
		t.Errorf("the audit log has %v of the reader, want label.show", shown)
	}
}

// A cutout has the pixels of the slide, and a tile is found by a pixel.
func TestCutout(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 600, Height: 400, TileW: 128, TileH: 128})
	st.load()
	cutout := func(bounds string) string {
		return "/cutout/" + st.store + "/" + id + "/image.png?bounds=" + url.QueryEscape(bounds)
	}
	all := st.picture(cutout("[0,600,0,400]"))
	for bounds, want := range map[string]image.Rectangle{
		"[0,128,0,128]":           image.Rect(0, 0, 128, 128),
		"[ 100.9, 300, 50, 51.5]": image.Rect(100, 50, 300, 51),
		"[500,700,300,500]":       image.Rect(500, 300, 600, 400),
		"[-10,10,-20,20]":         image.Rect(0, 0, 10, 20),
	} {
		part := image.NewRGBA(image.Rect(0, 0, want.Dx(), want.Dy()))
		draw.Draw(part, part.Rect, all, want.Min, draw.Src)
		if d := picture.Difference(st.picture(cutout(bounds)), part); d != 0 {
			t.Errorf("bounds %s: differs by %g", bounds, d)
		}
	}
	if got := st.picture("/cutout/" + st.store + "/a.tiff/x.jpg?bounds=[0,128,0,128]").Rect.Size(); got != image.Pt(128, 128) {
		t.Errorf("a JPEG of %v", got)
	}
	a := st.get(cutout("[0,9,0,9]"))
	if b := st.get(cutout("[0,9,0,9]"), "If-None-Match", a.header.Get("Etag")); b.status != 304 {
		t.Errorf("with its ETag: %d, want 304", b.status)
	}
	base := "/cutout/" + st.store + "/" + id + "/image."
	for path, want := range map[string]struct {
		status int
		words  string
	}{
		base + "png":                                            {400, "list of four numbers"},
		base + "png?bounds=":                                    {400, "list of four numbers"},
		base + "png?bounds=[1,2,3]":                             {400, "list of four numbers"},
		base + "png?bounds=[1,2,3,4,5]":                         {400, "list of four numbers"},
		base + "png?bounds=[5,5,0,9]":                           {400, "x0 below x1"},
		base + "png?bounds=[9,5,0,9]":                           {400, "x0 below x1"},
		base + "png?bounds={}":                                  {400, "list of four numbers"},
		base + "png?bounds=[0,1e99,0,9]":                        {400, "list of four numbers"},
		base + "png?bounds=[0,4097,0,9]":                        {400, "4096 pixels"},
		base + "png?bounds=[600,700,0,9]":                       {400, "outside of the image"},
		base + "png?bounds=[0,9,0,9]&v=old":                     {404, "revision"},
		base + "tif":                                            {400, "list of four numbers"},
		base + "svs?bounds=[600,700,0,9]":                       {400, "outside of the image"},
		base + "tif?bounds=[0,16385,0,9]":                       {400, "16384 pixels"},
		base + "tif?bounds=[0,9,0,9]&v=old":                     {404, "revision"},
		base + "gif?bounds=[0,9,0,9]":                           {404, ".png, .jpg, .tif or .svs"},
		"/cutout/" + st.store + "/none/a.png":                   {404, "no such image"},
		"/cutout/none/" + id + "/a.png":                         {404, "no such image"},
		"/tileat/" + st.store + "/" + id:                        {400, "x and y"},
		"/tileat/" + st.store + "/" + id + "?x=1&y=-1":          {400, "x and y"},
		"/tileat/" + st.store + "/" + id + "?x=1&y=1&z=-2":      {400, "x and y"},
		"/tileat/" + st.store + "/" + id + "?x=1&y=99999999999": {400, "x and y"},
		"/tileat/" + st.store + "/" + id + "?x=1&y=1&z=30":      {404, "tile"},
		"/tileat/" + st.store + "/" + id + "?x=2000&y=1":        {404, "tile"},
		"/tileat/none/" + id + "?x=1&y=1":                       {404, "no such image"},
		"/ptiff-viewer":                                         {404, "no such image"},
	} {
		if a := st.get(path); a.status != want.status || !strings.Contains(strings.ToLower(string(a.body)), strings.ToLower(want.words)) {
			t.Errorf("%s: %d %s, want %d and %q", path, a.status, a.body, want.status, want.words)
		}
	}
	at, tile := st.get("/tileat/"+st.store+"/"+id+"?x=300&y=140"), st.get("/api/v1/images/"+id+"/tiles/3/2/1")
	if at.status != 200 || !bytes.Equal(at.body, tile.body) {
		t.Errorf("the tile at 300, 140: %d, %d bytes; want that of 3/2/1: %d, %d bytes", at.status, len(at.body), tile.status, len(tile.body))
	}
	at, tile = st.get("/tileat/"+st.store+"/"+id+"?x=599&y=399&z=1"), st.get("/api/v1/images/"+id+"/tiles/1/1/0")
	if at.status != 200 || !bytes.Equal(at.body, tile.body) {
		t.Errorf("the tile at 599, 399, zoom 1: %d, want that of 1/1/0: %d", at.status, tile.status)
	}
}

// A cutout as TIFF has the samples of the slide, and no name of it.
func TestCutoutTIFF(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 700, Height: 500, TileW: 128, TileH: 128})
	whole := st.assembled(id, 700, 500, 128)
	path := "/cutout/" + st.store + "/" + id + "/" + canary + ".%s?bounds=[100,433,90,312]"
	a, svs := st.get(fmt.Sprintf(path, "tif")), st.get(fmt.Sprintf(path, "svs"))
	h := a.header
	if a.status != 200 || h.Get("Content-Type") != "image/tiff" || h.Get("X-Region-Box") != "96,80,352,240" || h.Get("Content-Length") != fmt.Sprint(len(a.body)) ||
		h.Get("Content-Disposition") != `attachment; filename="cutout.tif"` || h.Get("Cache-Control") == "" {
		t.Fatalf("%d %v %.200s", a.status, h, a.body)
	}
	if svs.status != 200 || !bytes.Equal(svs.body, a.body) || svs.header.Get("Content-Disposition") != `attachment; filename="cutout.svs"` {
		t.Errorf("SVS: %d %v, %d bytes, want %d", svs.status, svs.header, len(svs.body), len(a.body))
	}
	if d := picture.Difference(cropped(whole, 96, 80, 16, 16), cropped(firstTile(t, a.body, 352, 240), 0, 0, 16, 16)); d != 0 {
		t.Errorf("the first pixels are %v away", d)
	}
	if a := st.get(fmt.Sprintf(path, "tif"), "If-None-Match", h.Get("Etag")); a.status != 304 {
		t.Errorf("with its ETag: %d, want 304", a.status)
	}
	if a := st.ask("HEAD", fmt.Sprintf(path, "svs"), ""); a.status != 200 || a.header.Get("Etag") != h.Get("Etag") || len(a.body) > 0 {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	other := st.generic(synth.Generic{Width: 300, Height: 200, Codec: synth.Deflate})
	if a := st.get("/cutout/" + st.store + "/" + other + "/a.svs?bounds=[0,9,0,9]"); a.status != 422 || !strings.Contains(string(a.body), "use .png") {
		t.Errorf("of a slide without JPEGs: %d %s, want 422", a.status, a.body)
	}
}

// asBrowser requests a page without following redirects.
func (g *guardedSite) asBrowser(role, path string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), "GET", g.url+path, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if secret := g.secrets[role]; secret != "" {
		r.Header.Set("Cookie", authz.CookieName+"="+secret)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	return answer{status: resp.StatusCode, header: resp.Header}
}

// The address of the prototype's viewer leads to the page of the slide, or to the login.
func TestViewerAddress(t *testing.T) {
	g := newGuardedSite(t)
	see := func(role, path string) string {
		a := g.asBrowser(role, path)
		return fmt.Sprint(a.status, " ", a.header.Get("Location"))
	}
	for _, tt := range []struct{ role, image, want string }{
		{"reader", g.name, "303 /slides/" + g.slide},
		{"viewer", g.slide, "303 /slides/" + g.slide},
		{"viewer", g.name, "403 "},
		{"reader", "none.tiff", "403 "},
		{"admin", "none.tiff", "404 "},
		{"stranger", g.name, "303 /login#to=" + url.QueryEscape("/ptiff-viewer?image="+url.QueryEscape(g.name))},
	} {
		if got := see(tt.role, "/ptiff-viewer?image="+url.QueryEscape(tt.image)); got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.role, tt.image, got, tt.want)
		}
	}
}

// Stores are documents, in SlideAtlas's form.
func TestDatabases(t *testing.T) {
	st := newStoresSite(t)
	st.mkdir("roots/new")
	if _, err := st.api.Catalog.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error {
		s.ExternalID, s.Copyright, s.Host = oidStore, "(c) 2014", "scan1"
		s.LastSync = ptr(time.Date(2026, 11, 30, 9, 12, 44, 318200000, time.UTC))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"_id": oidStore, "_cls": "ImageStore.MultipleDatabaseImageStore.PtiffImageStore", "label": "Scanner 1", "copyright": "(c) 2014",
		"last_sync": "2026-11-30 09:12:44.318200", "root_path": st.path("slides"), "host_name": "scan1",
	}
	list := st.object("GET", "/apiv1/databases", "", 200)["databases"].([]any)
	if diff := cmp.Diff([]any{want}, list); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	for _, id := range []string{oidStore, st.store} {
		got := st.object("GET", "/apiv1/databases/"+id, "", 200)
		delete(got, "$schema")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	if got := st.object("POST", "/apiv1/databases/"+oidStore, `{"modify":{"label":"Two","copyright":"","host_name":""}}`, 200); got["label"] != "Two" || got["copyright"] != "" {
		t.Errorf("modified: %v", got)
	}
	doc := st.object("GET", "/apiv1/databases/"+oidStore, "", 200)
	delete(doc, "$schema")
	doc["label"], doc["root_path"] = "Three", st.path("roots/a")
	if got := st.object("PUT", "/apiv1/databases/"+oidStore, body("_id", oidStore, "_cls", doc["_cls"], "label", "Three", "copyright", "", "last_sync", doc["last_sync"], "root_path", st.path("roots/a")), 200); got["label"] != "Three" || got["root_path"] != st.path("roots/a") {
		t.Errorf("put: %v", got)
	}
	made := st.object("POST", "/apiv1/databases", body("insert", map[string]any{"_cls": "PtiffImageStore", "label": "New", "copyright": "c", "root_path": st.path("roots/new")}), 200)
	id, _ := made["_id"].(string)
	if s, err := st.api.Catalog.Stores.Get(t.Context(), id); err != nil || s.Root != st.path("roots/new") || s.Label != "New" || s.Copyright != "c" {
		t.Errorf("inserted %v: %+v, %v", made, s, err)
	}
	st.object("DELETE", "/apiv1/databases/"+id, "", 200)
	st.refused("GET", "/apiv1/databases/"+id, "", 404, "no object")
	at := "/apiv1/databases/" + oidStore
	for _, tt := range []struct {
		method, path, body string
		status             int
		words              string
	}{
		{"POST", at, `{}`, 422, "either sync or modify"},
		{"POST", at, `{"sync":0}`, 422, "either sync or modify"},
		{"POST", at, `{"sync":2}`, 422, "sync"},
		{"POST", at, `{"sync":1,"modify":{}}`, 422, "either sync or modify"},
		{"POST", at, `{"modify":{},"re":1}`, 422, "re: it is for sync"},
		{"POST", at, `{"insert":{"label":"x"}}`, 422, "insert: it is for"},
		{"POST", at, `{"modify":{"label":"x","label":"y"}}`, 422, "label"},
		{"POST", at, `{"modify":{"Label":"x"}}`, 422, "Label"},
		{"POST", at, `{"modify":{"colour":"x"}}`, 422, "colour"},
		{"POST", at, `{"sync":1,"ſync":1}`, 422, ""},
		{"POST", at, `{"modify":{"_id":"x"}}`, 422, "_id: it can't be changed"},
		{"POST", at, `{"modify":{"_cls":"x"}}`, 422, "_cls: it can't be changed"},
		{"POST", at, `{"modify":{"password":"secret"}}`, 422, "password: a request may not have one"},
		{"POST", at, `{"modify":{"root_path":"/etc"}}`, 403, "outside the folders"},
		{"PUT", at, `{"label":"x"}`, 422, "_id: give that of the store"},
		{"PUT", at, `{"_id":"x","label":"x"}`, 422, "_id: it can't be changed"},
		{"POST", "/apiv1/databases", `{"sync":1}`, 422, "insert and nothing else"},
		{"POST", "/apiv1/databases", `{"insert":{"label":"x"}}`, 422, "host and dbname"},
		{"POST", "/apiv1/databases", `{"insert":{"label":"x","_id":"y","host":"h","dbname":"d"}}`, 422, "_id: the server assigns it"},
		{"POST", "/apiv1/databases", `{"insert":{"_cls":"GirderStore"}}`, 422, "_cls"},
		{"POST", "/apiv1/databases", `{"insert":{"_cls":"PtiffImageStore","root_path":"/etc"}}`, 403, "outside the folders"},
		{"GET", "/apiv1/databases/5356d8b9e67655244bf3273f", "", 404, "no object"},
		{"POST", "/apiv1/databases/5356d8b9e67655244bf3273f", `{"sync":1}`, 404, "no object"},
	} {
		a := st.ask(tt.method, tt.path, tt.body)
		if tt.path == "/apiv1/databases/5356d8b9e67655244bf3273f" && a.status == 503 {
			continue // no tasks here
		}
		if a.status != tt.status || !strings.Contains(string(a.body), tt.words) {
			t.Errorf("%s %s %s: %d %s, want %d and %q", tt.method, tt.path, tt.body, a.status, a.body, tt.status, tt.words)
		}
		if strings.Contains(string(a.body), "secret") {
			t.Errorf("the answer has the password: %s", a.body)
		}
	}
}

// A sync waits for the task, and is in the audit log as one; a change is recorded as a change.
func TestDatabaseSync(t *testing.T) {
	g := newGuardedSite(t)
	g.importAs(g.store, oidStore, g.slide, oidImage)
	g.work("default")
	a := g.as("contributor", "POST", "/apiv1/databases/"+oidStore, `{"sync":1}`)
	if a.status != 200 || !strings.Contains(string(a.body), `"syncresults":{"count":0,"synced":0,"images":[]}`) || !strings.Contains(string(a.body), `"_id":"`+oidStore+`"`) {
		t.Errorf("sync: %d %s", a.status, a.body)
	}
	if a := g.as("contributor", "POST", "/apiv1/databases/"+oidStore, `{"modify":{"label":"x"}}`); a.status != 403 {
		t.Errorf("a contributor may modify: %d %s", a.status, a.body)
	}
	if a := g.as("admin", "POST", "/apiv1/databases/"+oidStore, `{"modify":{"label":"x"}}`); a.status != 200 {
		t.Errorf("an admin may not modify: %d %s", a.status, a.body)
	}
	var got []string
	events, _, err := g.people.Audit.List(t.Context(), account.EventFilter{Object: g.store}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(events) {
		got = append(got, fmt.Sprint(e.Act, " ", e.Allowed))
	}
	if diff := cmp.Diff([]string{"store.sync true", "store.set false", "store.set true"}, got); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	// Folders, hosts and databases are for admins only.
	for _, role := range []string{"viewer", "contributor"} {
		doc := g.json(role, "/apiv1/databases/"+oidStore)
		for _, field := range []string{"root_path", "host_name", "host", "dbname", "username"} {
			if doc[field] != nil {
				t.Errorf("%s sees %s: %v", role, field, doc[field])
			}
		}
	}
}
