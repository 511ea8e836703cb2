package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/scan"
)

// newStoresSite creates a site whose stores may be in two folders: roots, and the target
// of a symbolic link.
func newStoresSite(t *testing.T) *site {
	t.Helper()
	st := newSite(t)
	st.mkdir("roots/a")
	st.mkdir("roots/b")
	st.mkdir("mounted/c")
	st.mkdir("elsewhere/d")
	st.link("mounted", "by-link")
	st.api.StoreRoots = []string{st.path("roots"), st.path("by-link")}
	return st
}

func (st *site) link(to, name string) {
	st.t.Helper()
	if err := os.Symlink(st.path(to), st.path(name)); err != nil {
		st.t.Fatal(err)
	}
}

// body returns a JSON object of alternating names and values.
func body(pairs ...any) string {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestAddStore(t *testing.T) {
	st := newStoresSite(t)
	a := st.ask("POST", "/api/v1/stores", body("root", st.path("roots/a")))
	if a.status != http.StatusCreated {
		t.Fatalf("%d %s, want 201", a.status, a.body)
	}
	var got map[string]any
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": got["id"], "label": "a", "copyright": nil, "mode": "in-place", "root": st.path("roots/a"), "incoming": nil, "host": nil, "endpoint": nil, "scopes": []any{"tiles", "label", "file", "write", "admin"}, "schedule": nil,
		"time_zone": nil, "next_sync": nil, "queue": nil, "include": []any{}, "exclude": []any{}, "settle": nil, "max_missing": nil, "move_to": nil, "move_after": nil, "hide_after": nil,
		"drop_after": nil, "keep_trash": nil, "verify": nil, "verify_rate": nil, "quota": nil, "bytes": 0.0, "convert": false, "background": "#ffffff", "origin": "top-left", "public": false,
		"hide_labels": false, "last_sync": nil, "last_result": nil, "counts": map[string]any{}, "watch": nil,
		"host_away": nil, "host_seen_at": nil, "endpoint_away": nil, "endpoint_error": nil, "declared": map[string]any{},
		"kind": "directory", "external_id": nil, "password_file": nil, "case_pattern": nil, "case_source": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("store (-want +got):\n%s", diff)
	}
	where := a.header.Get("Location")
	if diff := cmp.Diff(want, st.object("GET", where, "", 200)); diff != "" {
		t.Errorf("GET %s (-want +got):\n%s", where, diff)
	}
	entries, err := os.ReadDir(st.path("roots/a"))
	if err != nil || len(entries) != 0 {
		t.Errorf("the folder of an in-place store holds %v, %v", entries, err)
	}
}

// all has a value for every field that can be changed, none of them the default.
func (st *site) all() map[string]any {
	return map[string]any{
		"label": "Scanner 2", "root": st.path("roots/b"), "host": "scan2.example.org", "endpoint": "https://tiles.example.org/x",
		"schedule": "15m", "time_zone": "Europe/Vienna", "queue": "scan-2", "include": []any{"*.tiff"}, "exclude": []any{"old/**", "tmp"},
		"settle": "1m30s", "max_missing": 0.25, "hide_after": "24h0m0s", "drop_after": "720h0m0s", "keep_trash": "48h0m0s", "verify": "0 3 * * 0",
		"verify_rate": 1e6, "quota": 5e9, "background": "#f0f0f0", "origin": "bottom-left", "public": true, "hide_labels": true,
	}
}

// away are the routes of a slide whose file may be on another server, with a role that
// may use them; here are those that this server answers itself.
func TestStoreFields(t *testing.T) {
	st := newStoresSite(t)
	added := st.object("POST", "/api/v1/stores", body("root", st.path("roots/a")), 201)
	path := "/api/v1/stores/" + added["id"].(string)
	for field, value := range st.all() {
		t.Run(field, func(t *testing.T) {
			before := st.object("GET", path, "", 200)
			want := st.object("GET", path, "", 200)
			want[field] = value
			if field == "host" {
				want["host_away"] = true // it has no worker
			}
			got := st.object("PATCH", path, body(field, value), 200)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after PATCH (-want +got):\n%s", diff)
			}
			if field == "root" {
				st.refused("PATCH", path, `{"root":null}`, 422, "a store needs a folder")
				st.object("PATCH", path, body("root", before["root"]), 200)
				return
			}
			if diff := cmp.Diff(before, st.object("PATCH", path, body(field, nil), 200)); diff != "" {
				t.Errorf("after PATCH with null (-want +got):\n%s", diff)
			}
		})
	}
	want := st.all()
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := st.object("POST", "/api/v1/stores", string(b), 201)
	for field, value := range want {
		if diff := cmp.Diff(value, got[field]); diff != "" {
			t.Errorf("POST: %s (-want +got):\n%s", field, diff)
		}
	}
	again := st.object("PATCH", "/api/v1/stores/"+got["id"].(string), `{}`, 200)
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("an empty PATCH changed something (-before +after):\n%s", diff)
	}
}

// Input is normalized.
func TestStoreFieldForms(t *testing.T) {
	st := newStoresSite(t)
	path := "/api/v1/stores/" + st.store
	tests := []struct {
		field      string
		give, want any
	}{
		{"label", "  Scanner ß  ", "Scanner ß"},
		{"keep_trash", "30d", "720h0m0s"},
		{"settle", "90s", "1m30s"},
		{"background", "#F0E0D0", "#f0e0d0"},
		{"endpoint", "http://tiles.example:8081/", "http://tiles.example:8081"},
		{"include", []any{}, []any{}},
		{"max_missing", 1, 1.0},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, st.object("PATCH", path, body(tt.field, tt.give), 200)[tt.field]); diff != "" {
			t.Errorf("%s %v (-want +got):\n%s", tt.field, tt.give, diff)
		}
	}
}

func TestStoreFieldsRefused(t *testing.T) {
	st := newStoresSite(t)
	before := st.object("GET", "/api/v1/stores", "", 200)
	tests := []struct {
		field string
		value any
		words string
	}{
		{"label", " ", "label: give a name"},
		{"label", "two\nlines", "label: one line of text"},
		{"label", fmt.Sprintf("%0201d", 1), "label: at most 200 characters"},
		{"label", 7, "label: expected string"},
		{"root", "slides", "root: give the whole path"},
		{"root", "", "root: give the whole path"},
		{"root", st.path("roots/a") + "\x00", "root: give the whole path"},
		{"root", st.path("roots/none"), "root: the folder does not exist"},
		{"root", nil, "root: a store needs a folder"},
		{"incoming", st.path("roots/b"), "incoming: an in-place store has no folder for new files"},
		{"host", "a host", "host: a host name"},
		{"endpoint", "tiles.example", "endpoint: a URL such as"},
		{"endpoint", "ftp://tiles.example", "endpoint: a URL such as"},
		{"endpoint", "https://user:secret@tiles.example", "endpoint: a URL such as"},
		{"endpoint", "https://tiles.example/?a=b", "endpoint: a URL such as"},
		{"endpoint", "javascript:alert(1)", "endpoint: a URL such as"},
		{"schedule", " ", "schedule: "},
		{"schedule", "1s", "schedule: \\\"1s\\\" is shorter than"},
		{"schedule", "now and then", "schedule: \\\"now and then\\\" is neither an interval"},
		{"verify", "0 3 31 2 *", "verify: \\\"0 3 31 2 *\\\" is never due"},
		{"verify", "", "verify: "},
		{"time_zone", "Europe/Atlantis", "time_zone: the name of a time zone"},
		{"time_zone", "../../etc/passwd", "time_zone: the name of a time zone"},
		{"time_zone", "Local", "time_zone: the name of a time zone"},
		{"queue", "Fast Lane", "queue: up to 64 lower-case letters"},
		{"include", []string{"[a"}, "include: pattern \\\"[a\\\": a bracket"},
		{"exclude", []string{""}, "exclude: pattern"},
		{"exclude", []any{5}, "exclude"},
		{"include", make([]string, 101), "include: at most 100"},
		{"settle", "0s", "settle: a duration above 0"},
		{"settle", "-5m", "settle: a duration above 0"},
		{"settle", "soon", "settle: a duration above 0"},
		{"hide_after", "1.5d", "hide_after: a duration above 0"},
		{"drop_after", "999999999999d", "drop_after: a duration above 0"},
		{"keep_trash", 30, "keep_trash: expected string"},
		{"max_missing", 0, "max_missing: a share above 0"},
		{"max_missing", 1.5, "max_missing: a share above 0"},
		{"verify_rate", 0, "verify_rate: bytes per second"},
		{"quota", 0, "quota: a number of bytes above 0"},
		{"background", "white", "background: a colour as #rrggbb"},
		{"background", "#fff", "background: a colour as #rrggbb"},
		{"origin", "middle", "origin: top-left or bottom-left"},
		{"public", "yes", "public: expected boolean"},
		{"colour", "#ffffff", "body.colour: unexpected property"},
		{"counts", map[string]int{"broken": 0}, "body.counts: unexpected property"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.field, " ", tt.value), func(t *testing.T) {
			post := body("root", st.path("roots/a"), tt.field, tt.value)
			st.refused("POST", "/api/v1/stores", post, 422, tt.words)
			st.refused("PATCH", "/api/v1/stores/"+st.store, body(tt.field, tt.value), 422, tt.words)
		})
	}
	st.refused("POST", "/api/v1/stores", `{}`, 422, "root: a store needs a folder")
	st.refused("POST", "/api/v1/stores", `{"root":`, 400, "")
	st.refused("POST", "/api/v1/stores", body("root", st.path("roots/a"), "mode", "cloud"), 422, "mode: in-place or managed")
	st.refused("PATCH", "/api/v1/stores/"+st.store, `{"mode":"managed"}`, 422, "mode: the mode of a store can't be changed")
	st.refused("PATCH", "/api/v1/stores/"+st.store, `{"hide_after":"48h","drop_after":"24h"}`, 422, "drop_after: 24h0m0s is shorter than hide_after")
	st.refused("PATCH", "/api/v1/stores/nobody", `{"label":"x"}`, 404, "no object with this id")
	if diff := cmp.Diff(before, st.object("GET", "/api/v1/stores", "", 200)); diff != "" {
		t.Errorf("refused requests changed something (-before +after):\n%s", diff)
	}
	for _, twice := range []string{`{"label":"x","label":"y"}`, `{"public":false,"public":true}`} {
		st.refused("PATCH", "/api/v1/stores/"+st.store, twice, 422, "is given more than once")
	}
	for _, inexact := range []string{`{"hide_labelſ":false}`, `{"Public":true}`, `{"public":false,"PUBLIC":true}`} {
		st.refused("PATCH", "/api/v1/stores/"+st.store, inexact, 422, "unexpected property")
	}
	// All errors are reported at once.
	st.refused("PATCH", "/api/v1/stores/"+st.store, `{"settle":"0","origin":"x"}`, 422, `"errors":["settle: `)
	st.refused("PATCH", "/api/v1/stores/"+st.store, `{"settle":"0","origin":"x"}`, 422, `,"origin: `)
}

// A folder given over HTTP must be below one of the StoreRoots, whatever its spelling.
func TestStoreRoots(t *testing.T) {
	outside := "the folder is outside the folders"
	tests := []struct {
		name, root string
		prepare    func(*site)
		status     int
		words      string
		want       string // the root that is kept
	}{
		{"below", "roots/a", nil, 201, "", "roots/a"},
		{"one of them", "roots", nil, 201, "", "roots"},
		{"below one that is a link", "by-link/c", nil, 201, "", "mounted/c"},
		{"with dots", "elsewhere/../roots/./a/", nil, 201, "", "roots/a"},
		{"a link within", "roots/l", func(st *site) { st.link("roots/b", "roots/l") }, 201, "", "roots/b"},
		{"elsewhere", "elsewhere/d", nil, 403, outside, ""},
		{"elsewhere and not there", "elsewhere/none", nil, 403, outside, ""},
		{"dots that lead out", "roots/../elsewhere/d", nil, 403, outside, ""},
		{"a link that leads out", "roots/l", func(st *site) { st.link("elsewhere/d", "roots/l") }, 403, outside, ""},
		{"through a link that leads out", "roots/l/d", func(st *site) { st.link("elsewhere", "roots/l") }, 403, outside, ""},
		{"not there, through a link that leads out", "roots/l/none", func(st *site) { st.link("elsewhere", "roots/l") }, 403, outside, ""},
		{"a name that begins like one", "roots-not", func(st *site) { st.mkdir("roots-not") }, 403, outside, ""},
		{"above", "", nil, 403, outside, ""},
		{"not there", "roots/none", nil, 422, "the folder does not exist", ""},
		{"not there, by a link", "by-link/none", nil, 422, "the folder does not exist", ""},
		{"a file", "roots/f", func(st *site) { os.WriteFile(st.path("roots/f"), nil, 0o600) }, 422, "not a folder", ""},
		{"none may be", "roots/a", func(st *site) { st.api.StoreRoots = nil }, 403, outside, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newStoresSite(t)
			if tt.prepare != nil {
				tt.prepare(st)
			}
			post := body("root", st.dir+"/"+tt.root)
			if tt.status == 201 {
				if got := st.object("POST", "/api/v1/stores", post, 201)["root"]; got != st.path(tt.want) {
					t.Errorf("root %v, want %s", got, st.path(tt.want))
				}
				return
			}
			st.refused("POST", "/api/v1/stores", post, tt.status, tt.words)
			st.refused("PATCH", "/api/v1/stores/"+st.store, post, tt.status, tt.words)
			managed := body("root", st.path("mounted/c"), "mode", "managed", "incoming", st.dir+"/"+tt.root)
			st.refused("POST", "/api/v1/stores", managed, tt.status, tt.words)
		})
	}
}

// A file can be in one store only.
func TestStoresApart(t *testing.T) {
	st := newStoresSite(t)
	st.mkdir("roots/a/deep/er")
	id := st.object("POST", "/api/v1/stores", body("root", st.path("roots/a/deep")), 201)["id"].(string)
	other := st.object("POST", "/api/v1/stores", body("root", st.path("roots/b")), 201)["id"].(string)
	for _, root := range []string{"roots/a/deep", "roots/a/deep/er", "roots/a", "roots"} {
		st.refused("POST", "/api/v1/stores", body("root", st.path(root)), 409, "a file may be in one store only")
		st.refused("PATCH", "/api/v1/stores/"+other, body("root", st.path(root)), 409, "a file may be in one store only")
	}
	st.refused("POST", "/api/v1/stores", body("root", st.path("by-link/c"), "mode", "managed", "incoming", st.path("roots/a/deep/er")), 409, "one store only")
	st.object("PATCH", "/api/v1/stores/"+id, body("root", st.path("roots/a/deep/er")), 200)
}

func TestManagedStore(t *testing.T) {
	st := newStoresSite(t)
	s := st.object("POST", "/api/v1/stores", body("root", st.path("roots/a"), "mode", "managed"), 201)
	if got := s["incoming"]; got != st.path("roots/a/incoming") {
		t.Errorf("incoming %v, want it in the root", got)
	}
	if info, err := os.Stat(st.path("roots/a/incoming")); err != nil || !info.IsDir() {
		t.Errorf("the incoming folder: %v", err)
	}
	path := "/api/v1/stores/" + s["id"].(string)
	st.mkdir("roots/a2")
	moved := st.object("PATCH", path, body("root", st.path("roots/a2")), 200)
	if got := moved["incoming"]; got != st.path("roots/a2/incoming") {
		t.Errorf("incoming %v, want it to have moved with the root", got)
	}
	apart := st.object("PATCH", path, body("incoming", st.path("roots/b")), 200)
	if got := apart["incoming"]; got != st.path("roots/b") {
		t.Errorf("incoming %v, want %s", got, st.path("roots/b"))
	}
	if got := st.object("PATCH", path, `{"incoming":null}`, 200)["incoming"]; got != st.path("roots/a2/incoming") {
		t.Errorf("incoming %v, want it in the root again", got)
	}
}

func TestManagedStoreRefused(t *testing.T) {
	tests := []struct {
		name, incoming string
		prepare        func(*site)
		status         int
		words          string
	}{
		{"incoming is the root", "roots/a", nil, 422, ""},
		{"the root lies in incoming", "roots", nil, 422, ""},
		{"incoming where slides are kept", "roots/a/slides", func(st *site) { st.mkdir("roots/a/slides") }, 422, "slides"},
		{"incoming outside", "elsewhere/d", nil, 403, "outside"},
		{"incoming of the root is a link that leads out", "", func(st *site) { st.link("elsewhere/d", "roots/a/incoming") }, 403, "outside"},
		{"incoming of the root is a file", "", func(st *site) { os.WriteFile(st.path("roots/a/incoming"), nil, 0o600) }, 422, "not a folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newStoresSite(t)
			if tt.prepare != nil {
				tt.prepare(st)
			}
			post := map[string]any{"root": st.path("roots/a"), "mode": "managed"}
			if tt.incoming != "" {
				post["incoming"] = st.path(tt.incoming)
			}
			b, _ := json.Marshal(post)
			st.refused("POST", "/api/v1/stores", string(b), tt.status, tt.words)
		})
	}
	t.Run("a conflict leaves no folder behind", func(t *testing.T) {
		st := newStoresSite(t)
		st.object("POST", "/api/v1/stores", body("root", st.path("roots/a")), 201)
		st.refused("POST", "/api/v1/stores", body("root", st.path("roots/a"), "mode", "managed"), 409, "")
		if _, err := os.Stat(st.path("roots/a/incoming")); !os.IsNotExist(err) {
			t.Errorf("the incoming folder: %v, want none", err)
		}
	})
}

// The folder of a managed store names its store.
func TestManagedStoreIsMarked(t *testing.T) {
	st := newStoresSite(t)
	post := body("root", st.path("roots/a"), "mode", "managed")
	id := st.object("POST", "/api/v1/stores", post, 201)["id"].(string)
	st.record("slides/a.tiff", func(im *catalog.Image) { im.StoreID = id })
	path := "/api/v1/stores/" + id
	st.refused("PATCH", path, body("root", st.path("roots/b")), 409, "move all files of the store there first")
	st.object("DELETE", path+"?keep_files=true", "", 204)
	if again := st.object("POST", "/api/v1/stores", post, 201)["id"]; again != id {
		t.Errorf("added again the store is %v, want %s", again, id)
	}
	if err := os.Rename(st.path("roots/a"), st.path("roots/moved")); err != nil {
		t.Fatal(err)
	}
	moved := st.object("PATCH", path, body("root", st.path("roots/moved")), 200)
	if moved["incoming"] != st.path("roots/moved/incoming") {
		t.Errorf("incoming %v, want it to have moved with the root", moved["incoming"])
	}

	st.mkdir("roots/full/old")
	st.refused("POST", "/api/v1/stores", body("root", st.path("roots/full"), "mode", "managed"), 409, "The folder is not empty and does not belong to a store")
	st.mkdir("roots/others")
	if err := os.WriteFile(st.path("roots/others/.ptiffstore-store"), []byte("of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	st.refused("PATCH", path, body("incoming", st.path("roots/others")), 409, "The folder belongs to another store")
}

// Removing a store never deletes or changes a file.
func TestRemoveStore(t *testing.T) {
	tests := []struct {
		name   string
		mode   catalog.Mode
		state  catalog.State // of its one image; "" for none
		query  string
		status int
	}{
		{"in place", catalog.InPlace, catalog.Available, "", 204},
		{"managed and empty", catalog.Managed, "", "", 204},
		{"managed", catalog.Managed, catalog.Available, "", 409},
		{"managed, with a broken file", catalog.Managed, catalog.Quarantined, "", 409},
		{"managed, its file gone", catalog.Managed, catalog.Missing, "", 204},
		{"managed, said not", catalog.Managed, catalog.Available, "?keep_files=false", 409},
		{"managed, said so", catalog.Managed, catalog.Available, "?keep_files=true", 204},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := newStoresSite(t)
			s := catalog.Store{Mode: tt.mode, Root: st.path("roots/a")}
			if tt.mode == catalog.Managed {
				s.Incoming = st.path("roots/b")
			}
			id := st.putStore(s)
			file := filepath.Join(s.Root, "a.tiff")
			if err := os.WriteFile(file, []byte("slide"), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.state != "" {
				st.record("a.tiff", func(im *catalog.Image) { im.StoreID, im.State = id, tt.state })
			}
			path := "/api/v1/stores/" + id
			if tt.status == 409 {
				st.refused("DELETE", path+tt.query, "", 409, "keep_files=true")
				st.object("GET", path, "", 200)
			} else {
				st.object("DELETE", path+tt.query, "", tt.status)
				st.refused("GET", path, "", 404, "")
				st.refused("DELETE", path, "", 404, "")
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != "slide" {
				t.Errorf("the file is %q, %v", b, err)
			}
		})
	}
}

// Only admins see folders and hosts, and make changes.
func TestStoresForOthers(t *testing.T) {
	st := newStoresSite(t)
	id := st.putStore(catalog.Store{Mode: catalog.Managed, Root: st.path("roots/a"), Incoming: st.path("roots/b"), Host: "scan1"})
	path := "/api/v1/stores/" + id
	st.admin.Store(false)
	list := st.object("GET", "/api/v1/stores", "", 200)["items"].([]any)
	for _, s := range []any{list[1], st.object("GET", path, "", 200)} {
		for _, field := range []string{"root", "incoming", "host"} {
			if v, ok := s.(map[string]any)[field]; v != nil || !ok {
				t.Errorf("%s is %v (there: %t), want null", field, v, ok)
			}
		}
	}
	st.refused("POST", "/api/v1/stores", body("root", st.path("roots/a")), 403, "Only an admin may do this")
	st.refused("PATCH", path, `{"public":true}`, 403, "Only an admin may do this")
	st.refused("DELETE", path, "", 403, "Only an admin may do this")
	st.refused("DELETE", "/api/v1/stores/nobody", "", 403, "Only an admin may do this")
	st.api.Admin = nil
	st.refused("PATCH", path, `{"public":true}`, 403, "Only an admin may do this")
}

func TestStoreProgress(t *testing.T) {
	st := newSite(t)
	pass := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	st.api.Watching = func() map[string]scan.Status {
		return map[string]scan.Status{st.store: {Polling: true, Why: "a network", LastScan: pass, Arriving: 2}}
	}
	st.record("a", nil)
	st.record("b", func(im *catalog.Image) { im.State = catalog.Broken })
	if _, err := (&scan.Syncer{Catalog: st.api.Catalog}).Sync(context.Background(), st.store, scan.Options{Confirm: true}); err != nil {
		t.Fatal(err)
	}
	s := st.object("GET", "/api/v1/stores/"+st.store, "", 200)
	want := map[string]any{"polling": true, "why": "a network", "error": nil, "error_code": nil, "last_pass": "2026-03-01T11:00:00Z", "arriving": 2.0, "failing_since": nil, "next_try": nil}
	if diff := cmp.Diff(want, s["watch"]); diff != "" {
		t.Errorf("watch (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"missing": 2.0}, s["counts"]); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if r, _ := s["last_result"].(map[string]any); r["missing"] != 2.0 || s["last_sync"] == nil {
		t.Errorf("last_result %v at %v, want two missing", s["last_result"], s["last_sync"])
	}
}

// TestStoreNotWatched: a store that can't be watched shows since when, why, and the next
// attempt.
func TestStoreNotWatched(t *testing.T) {
	st := newSite(t)
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	st.api.Watching = func() map[string]scan.Status {
		return map[string]scan.Status{st.store: {Failing: &loop.Failure{Err: catalog.ErrAway, Since: since, Next: since.Add(time.Minute), Times: 3}}}
	}
	s := st.object("GET", "/api/v1/stores/"+st.store, "", 200)
	want := map[string]any{
		"polling": false, "why": nil, "error": catalog.ErrAway.Error(), "error_code": nil, "last_pass": nil, "arriving": 0.0,
		"failing_since": "2026-03-01T12:00:00Z", "next_try": "2026-03-01T12:01:00Z",
	}
	if diff := cmp.Diff(want, s["watch"]); diff != "" {
		t.Errorf("watch (-want +got):\n%s", diff)
	}
}

// TestDeclared changes and removes a store of a configuration file: settings in the file
// can only be changed there.
func TestDeclared(t *testing.T) {
	st := newSite(t)
	st.mkdir("a")
	id := st.putStore(catalog.Store{Label: "A", Mode: catalog.InPlace, Root: st.path("a"), Schedule: "15m", Provisioned: &catalog.Provisioning{
		Site: "north", Name: "a", Keys: map[string]string{"root": "stores.a.root", "schedule": "store_defaults.schedule"},
	}})
	route := "/api/v1/stores/" + id
	want := map[string]any{"root": "stores.a.root", "schedule": "store_defaults.schedule"}
	if got := st.object(http.MethodGet, route, "", http.StatusOK)["declared"]; cmp.Diff(any(want), got) != "" {
		t.Errorf("declared: %v, want %v", got, want)
	}
	for _, body := range []string{`{"schedule": "1h"}`, `{"schedule": null}`, `{"schedule": "15m", "label": "B"}`} {
		st.refused(http.MethodPatch, route, body, http.StatusConflict, "Schedule can't be changed here: the configuration file of the site north sets it as store_defaults.schedule;")
	}
	st.refused(http.MethodDelete, route, "", http.StatusConflict, "the configuration file of the site north provisions it as stores.a;")
	if got := st.object(http.MethodPatch, route, `{"label": "B"}`, http.StatusOK); got["label"] != "B" || got["schedule"] != "15m" {
		t.Errorf("after a change of what is free: %v", got)
	}
}

// TestAddDatabase adds stores in databases, as far as the roots allow.
func TestAddDatabase(t *testing.T) {
	st := newStoresSite(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	st.api.Bucket.Endpoint = "http://127.0.0.1:1"
	st.api.StoreRoots = append(st.api.StoreRoots, "mongodb://db:27017/", "dump:///backups", "s3://slides/scanners")
	if err := errors.Join(os.WriteFile(st.path("roots/password"), []byte("hunter2\n"), 0o600), os.WriteFile(st.path("password"), []byte("hunter2\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, body string
		status     int
		want       string // in the answer
	}{
		{"database", body("root", "mongodb://reader@db:27017/tiles1", "password_file", st.path("roots/password")), 201, `"kind":"mongodb"`},
		{"dump", body("root", "dump:///backups/tiles1"), 201, `"kind":"dump"`},
		{"dump in an allowed folder", body("root", "dump://"+st.path("roots/a")), 201, `"kind":"dump"`},
		{"dump in an allowed folder that does not exist", body("root", "dump://"+st.path("roots/none")), 422, "does not exist"},
		{"another server", body("root", "mongodb://evil:27017/tiles1"), 403, "store_roots"},
		{"dump elsewhere", body("root", "dump:///etc"), 403, "store_roots"},
		{"password in the URL", body("root", "mongodb://reader:hunter2@db:27017/tiles2"), 422, "password"},
		{"password elsewhere", body("root", "mongodb://reader@db:27017/tiles2", "password_file", st.path("password")), 403, "store_roots"},
		{"password without a user", body("root", "mongodb://db:27017/tiles2", "password_file", st.path("roots/password")), 422, "password_file"},
		{"managed", body("root", "mongodb://db:27017/tiles2", "mode", "managed"), 422, "mode"},
		{"bucket", body("root", "s3://slides/scanners/1"), 201, `"root":"s3://slides/scanners/1/"`},
		{"bucket in a store", body("root", "s3://slides/scanners/1/2026"), 409, "inside the folder of another store"},
		{"managed bucket", body("root", "s3://slides/scanners/2", "mode", "managed"), 503, "does not answer"},
		{"managed bucket with an incoming folder", body("root", "s3://slides/scanners/2", "mode", "managed", "incoming", st.path("roots/a")), 422, "incoming"},
		{"another bucket", body("root", "s3://other/scanners/1"), 403, "store_roots"},
		{"another prefix", body("root", "s3://slides/scanners-old"), 403, "store_roots"},
		{"prefix that leaves its bucket", body("root", "s3://slides/scanners/../private"), 422, "prefix"},
		{"credentials in the URL", body("root", "s3://key:hunter2@slides/scanners/3"), 422, "credentials"},
		{"endpoint in the URL", body("root", "s3://slides/scanners/3?endpoint=hunter2"), 422, "options"},
		{"password of a bucket", body("root", "s3://slides/scanners/3", "password_file", st.path("roots/password")), 422, "password_file"},
		{"another kind", body("root", "gs://bucket"), 422, "kind"},
	} {
		a := st.ask("POST", "/api/v1/stores", tt.body)
		if a.status != tt.status || !strings.Contains(string(a.body), tt.want) || strings.Contains(string(a.body), "hunter2") {
			t.Errorf("%s: %d %s, want %d with %s", tt.name, a.status, a.body, tt.status, tt.want)
		}
	}
	for _, f := range st.object("GET", "/api/v1/store-folders", "", 200)["items"].([]any) {
		if path := f.(map[string]any)["path"].(string); strings.Contains(path, "://") {
			t.Errorf("%s is listed as a folder", path)
		}
	}
}
