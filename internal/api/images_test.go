package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// record adds an image to the catalog only.
func (st *site) record(name string, change func(*catalog.Image)) string {
	st.t.Helper()
	im := &catalog.Image{
		StoreID: st.store, Path: name, State: catalog.Available, Revision: "r-" + name, Identity: fsx.Identity{Size: int64(len(name))},
		Description: catalog.Description{FileName: name, FirstSeen: time.Now(), LastChange: time.Now()},
	}
	if change != nil {
		change(im)
	}
	if err := st.api.Catalog.Images.Put(st.t.Context(), []*catalog.Image{im}); err != nil {
		st.t.Fatal(err)
	}
	return im.ID
}

// The complete JSON of an image.
func TestImage(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"S1 ä.tiff": {Label: true, Macro: true, Barcode: "S26-1;A1"}})["S1 ä.tiff"]
	got := st.object("GET", "/api/v1/images/"+id, "", 200)
	im, err := st.api.Catalog.Images.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	level := func(w, h, cols, rows, down float64) any {
		return map[string]any{"width": w, "height": h, "tile_width": 128.0, "tile_height": 128.0, "columns": cols, "rows": rows, "downsample": down}
	}
	want := map[string]any{
		"id": id, "store": st.store, "revision": im.Revision, "state": "available", "reason": nil, "format": "philips", "vendor": "PHILIPS",
		"width": 640.0, "height": 512.0, "tile_width": 128.0, "tile_height": 128.0, "max_zoom": 3.0,
		"levels": []any{level(640, 512, 5, 4, 1), level(320, 256, 3, 2, 2), level(160, 128, 2, 1, 4), level(80, 64, 1, 1, 8)},
		"mpp_x":  0.25, "mpp_y": 0.25, "objective_power": 40.0, "barcode": "S26-1;A1", "label": nil,
		"file_name": "S1 ä.tiff", "folder": nil, "aliases": []any{}, "external_id": nil, "size": float64(im.Identity.Size), "digest": nil,
		"accession": nil, "part": nil, "block": nil, "stain": nil, "corrected": []any{},
		"tile_url": "/api/v1/images/" + id + "/tiles/{z}/{x}/{y}.jpg?v=" + im.Revision,
		"bounds":   nil, "associated": []any{"label", "macro"}, "profile": nil, "missing_since": nil, "deleted_at": nil, "viewers": []any{},
		"properties": got["properties"], "created_at": got["created_at"], "updated_at": got["updated_at"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	for _, field := range []string{"created_at", "updated_at"} {
		if s, _ := got[field].(string); !strings.HasSuffix(s, "Z") {
			t.Errorf("%s is %q, want RFC 3339 in UTC", field, s)
		}
	}
	tile := strings.NewReplacer("{z}", "3", "{x}", "1", "{y}", "1").Replace(got["tile_url"].(string))
	if a := st.get(tile); a.status != 200 || a.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("GET %s: %d %s, want the tile", tile, a.status, a.header.Get("Content-Type"))
	}
}

// The folder of an image is that of its file below the root of an in-place store.
func TestImageFolder(t *testing.T) {
	st := newSite(t)
	for _, tt := range []struct {
		path, name string
		want       any
	}{
		{"root.tiff", "root.tiff", nil},
		{"S26-00077 Müller/HE/a.tiff", "a.tiff", "S26-00077 Müller/HE"},
		{"incoming/b.tiff", "b.tiff", "incoming"},
		{"latin\xfc/c\xfc.tiff", "c\uFFFD.tiff", "latin\uFFFD"},
		{"scans/~1.2.840.1", "series", "scans"},
		{"objects/5f1e", "other.tiff", nil},
	} {
		id := st.record(tt.path, func(im *catalog.Image) { im.FileName = tt.name })
		if got := st.object("GET", "/api/v1/images/"+id, "", 200)["folder"]; got != tt.want {
			t.Errorf("%q: folder %v, want %v", tt.path, got, tt.want)
		}
	}
	page := st.object("GET", "/api/v1/images?q=m%C3%BCller&fields=folder", "", 200)
	if diff := cmp.Diff([]string{"S26-00077 Müller/HE"}, names(page, "folder")); diff != "" {
		t.Errorf("folders found (-want +got):\n%s", diff)
	}
	if _, err := st.api.Catalog.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error {
		s.Mode = catalog.Managed
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, folder := range names(st.object("GET", "/api/v1/images?q=.tiff", "", 200), "folder") {
		if folder != "" {
			t.Errorf("an image of a managed store has the folder %q", folder)
		}
	}
}

// Unknown values are null, never 0 or "".
func TestImageUnknown(t *testing.T) {
	st := newSite(t)
	id := st.record("a.tiff", func(im *catalog.Image) { im.State, im.Reason = catalog.Broken, "cut short" })
	got := st.object("GET", "/api/v1/images/"+id, "", 200)
	null := []string{
		"format", "vendor", "width", "height", "tile_width", "tile_height", "max_zoom", "mpp_x", "mpp_y", "objective_power", "barcode", "label",
		"external_id", "digest", "tile_url", "missing_since",
	}
	for _, field := range null {
		if v, ok := got[field]; v != nil || !ok {
			t.Errorf("%s is %v (there: %t), want null", field, v, ok)
		}
	}
	for field, want := range map[string]string{"levels": "[]", "aliases": "[]", "associated": "[]", "properties": "{}", "reason": `"cut short"`} {
		if b, _ := json.Marshal(got[field]); string(b) != want {
			t.Errorf("%s is %s, want %s", field, b, want)
		}
	}
}

// A label that can be rendered from the barcode is listed.
func TestMadeLabelListed(t *testing.T) {
	st := newSite(t)
	barcode := "S26-1"
	id := st.record("a.tiff", func(im *catalog.Image) { im.Barcode, im.Associated = &barcode, []string{"macro"} })
	if diff := cmp.Diff([]any{"label", "macro"}, st.object("GET", "/api/v1/images/"+id, "", 200)["associated"]); diff != "" {
		t.Errorf("associated (-want +got):\n%s", diff)
	}
}

func TestTileURLOfEndpoint(t *testing.T) {
	st := newSite(t)
	_, err := st.api.Catalog.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error {
		s.Endpoint = "https://tiles.example/"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	id := st.record("a.tiff", nil)
	want := "https://tiles.example/api/v1/images/" + id + "/tiles/{z}/{x}/{y}.jpg?v=r-a.tiff"
	if got := st.object("GET", "/api/v1/images/"+id, "", 200)["tile_url"]; got != want {
		t.Errorf("tile_url %v, want %s", got, want)
	}
}

func TestListImages(t *testing.T) {
	st := newSite(t)
	st.mkdir("other")
	other := st.putStore(catalog.Store{Mode: catalog.InPlace, Root: st.path("other")})
	barcode := "S26-777;B2"
	st.record("beta.tiff", nil)
	st.record("alpha.tiff", func(im *catalog.Image) { im.Identity.Size = 99; im.Barcode = &barcode })
	st.record("gamma-long.tiff", func(im *catalog.Image) { im.State = catalog.Broken })
	st.record("elsewhere.tiff", func(im *catalog.Image) { im.StoreID = other })
	deleted := st.record("deleted.tiff", nil)
	if err := st.api.Catalog.Images.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, query string
		want        []string
	}{
		{"newest first", "", []string{"elsewhere.tiff", "gamma-long.tiff", "alpha.tiff", "beta.tiff"}},
		{"by name", "sort=name", []string{"alpha.tiff", "beta.tiff", "elsewhere.tiff", "gamma-long.tiff"}},
		{"by size", "sort=size&store=" + st.store, []string{"beta.tiff", "gamma-long.tiff", "alpha.tiff"}},
		{"by state", "sort=state", []string{"gamma-long.tiff", "elsewhere.tiff", "alpha.tiff", "beta.tiff"}},
		{"of a store", "store=" + other, []string{"elsewhere.tiff"}},
		{"in a state", "state=broken", []string{"gamma-long.tiff"}},
		{"in a state without images", "state=missing", []string{}},
		{"part of a name", "q=MMA-l", []string{"gamma-long.tiff"}},
		{"part of a barcode", "q=777", []string{"alpha.tiff"}},
		{"short, at the beginning", "q=al", []string{"alpha.tiff"}},
		{"short, within", "q=lp", []string{}},
		{"nothing like it", "q=nothing-like-it", []string{}},
		{"several conditions", "q=tiff&state=available&sort=name&store=" + st.store, []string{"alpha.tiff", "beta.tiff"}},
		{"two", "limit=2", []string{"elsewhere.tiff", "gamma-long.tiff"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := st.object("GET", "/api/v1/images?"+tt.query, "", 200)
			if diff := cmp.Diff(tt.want, names(page, "file_name")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.query, diff)
			}
			if more := page["next_cursor"] != nil; more != (tt.name == "two") {
				t.Errorf("next_cursor %v", page["next_cursor"])
			}
		})
	}
}

// Every image is on exactly one page, in every order, while others are added.
func TestPages(t *testing.T) {
	for _, sort := range []string{"created", "name", "size", "state"} {
		t.Run(sort, func(t *testing.T) {
			st := newSite(t)
			var want []string
			for i := range 23 {
				name := fmt.Sprintf("slide-%02d.tiff", i)
				st.record(name, func(im *catalog.Image) {
					im.State = []catalog.State{catalog.Available, catalog.Broken, catalog.Missing}[i%3]
					im.Identity.Size = int64(i % 4)
				})
				want = append(want, name)
			}
			var got []string
			for query, pages := "limit=5&sort="+sort, 0; ; pages++ {
				page := st.object("GET", "/api/v1/images?"+query, "", 200)
				got = append(got, names(page, "file_name")...)
				cursor, more := page["next_cursor"].(string)
				if !more || pages > 20 {
					break
				}
				query = "limit=5&sort=" + sort + "&cursor=" + url.QueryEscape(cursor)
				st.record(fmt.Sprintf("late-%d.tiff", pages), nil)
			}
			got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "late-") })
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("images on the pages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	st := newSite(t)
	for i := range 3 {
		st.record(fmt.Sprint(i), nil)
	}
	cursor := st.object("GET", "/api/v1/images?limit=1", "", 200)["next_cursor"].(string)
	tests := []struct {
		name, path string
		status     int
		words      string
	}{
		{"unknown image", "/api/v1/images/nobody", 404, "There is no object with this id"},
		{"unknown store", "/api/v1/stores/nobody", 404, "There is no object with this id"},
		{"list of an unknown store", "/api/v1/images?store=nobody", 404, "There is no object with this id"},
		{"unknown state", "/api/v1/images?state=lost", 422, "query.state"},
		{"unknown order", "/api/v1/images?sort=colour", 422, "query.sort"},
		{"limit 0", "/api/v1/images?limit=0", 422, "limit"},
		{"limit too high", "/api/v1/images?limit=501", 422, "limit"},
		{"limit no number", "/api/v1/images?limit=many", 422, "limit"},
		{"search too long", "/api/v1/images?q=" + strings.Repeat("a", 201), 422, "query.q"},
		{"cursor made up", "/api/v1/images?cursor=abcd", 400, "start again without it"},
		{"cursor of another list", "/api/v1/images?limit=1&sort=size&cursor=" + cursor, 400, "start again without it"},
		{"associated of an unknown image", "/api/v1/images/nobody/associated/label", 404, "image"},
		{"preview of an unknown image", "/api/v1/images/nobody/preview", 404, "image"},
		{"Deep Zoom of an unknown image", "/dzi/nobody.dzi", 404, "image"},
		{"Deep Zoom of another ending", "/dzi/nobody.xml", 404, "image"},
		{"thumbnail too large", "/api/v1/images/nobody/thumbnail?width=2049", 400, "width is a number of pixels from 1 to 2048"},
		{"preview of no height", "/api/v1/images/nobody/preview?height=0", 400, "height is a number of pixels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { st.refused("GET", tt.path, "", tt.status, tt.words) })
	}
}

// Error texts of the catalog are in the log, not in the response.
func TestCatalogUnreachable(t *testing.T) {
	st := newSite(t)
	id := st.record("a.tiff", nil)
	st.api.Catalog.Close()
	for _, path := range []string{"/api/v1/images", "/api/v1/images/" + id, "/api/v1/stores", "/api/v1/stores/" + st.store, "/apiv1/slides"} {
		st.refused("GET", path, "", http.StatusInternalServerError, "The server's log has the reason")
	}
}

func TestHead(t *testing.T) {
	st := newSite(t)
	for _, path := range []string{"/api/v1/images", "/api/v1/stores"} {
		if a := st.ask("HEAD", path, ""); a.status != 200 || len(a.body) != 0 {
			t.Errorf("HEAD %s: %d, %d bytes", path, a.status, len(a.body))
		}
	}
}

func TestImageFields(t *testing.T) {
	st := newSite(t)
	st.record("a & b.tiff", nil)
	a := st.ask("GET", "/api/v1/images?fields=file_name,state,id", "")
	if a.status != 200 || !strings.Contains(string(a.body), `"state":"available","file_name":"a & b.tiff"}]`) || strings.Contains(string(a.body), "levels") {
		t.Errorf("%d %s", a.status, a.body)
	}
	whole := st.object("GET", "/api/v1/images", "", 200)["items"].([]any)[0].(map[string]any)
	all := st.object("GET", "/api/v1/images?fields="+strings.Join(slices.Sorted(maps.Keys(whole)), ","), "", 200)["items"].([]any)[0]
	if diff := cmp.Diff(any(whole), all); diff != "" {
		t.Errorf("all fields by name (-without +with):\n%s", diff)
	}
	st.refused("GET", "/api/v1/images?fields=id,secret", "", 422, "fields: secret is not a field of an image")
	st.refused("GET", "/api/v1/images?fields=", "", 422, "fields: has no value")
	st.refused("GET", "/api/v1/images?fields=id&fields=label", "", 422, "given 2 times")
}
