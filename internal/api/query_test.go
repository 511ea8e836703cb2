package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// tolerant are the documented paths under /api/v1 that ignore unknown parameters.
var tolerant = regexp.MustCompile(`^/api/v1/(images/\{image\}/(tiles/.*|associated/\{kind\}|preview|thumbnail|region)|auth/(login|logout|bootstrap|check|oidc/.*))$`)

// A queryCase is a request with an invalid query string.
type queryCase struct {
	query string
	want  string // part of the answer
}

// strict reports whether a path's operations refuse parameters that are not known.
func strict(path string) bool {
	return strings.HasPrefix(path, "/apiv1/databases") || strings.HasPrefix(path, "/api/v1/") && !tolerant.MatchString(path)
}

// wrong returns query strings that an operation must refuse.
func (op *operation) wrong() []queryCase {
	list := []queryCase{
		{"externalid=S-17", "externalid: unknown"},
		{"dryrun", "dryrun: unknown"},
		{"Limit=1", "Limit: unknown"},
		{"v=1&v=2", "v: given 2 times"},
		{"v", "v: has no value"},
		{"a;b", "malformed"},
		{"v=%zz", "malformed"},
		{"v=1&&pass=2", "malformed"},
		{"v=1&%73%69g=2&sig=3", "sig: given 2 times"},
		{"%00=1", "?: unknown"},
	}
	for _, p := range op.Parameters {
		if p.In != "query" {
			continue
		}
		name := url.QueryEscape(p.Name)
		list = append(list, queryCase{name + "=1&" + name + "=1", p.Name + ": given 2 times"}, queryCase{name + "=", p.Name + ": has no value"}, queryCase{name, p.Name + ": has no value"})
		switch {
		case p.Schema["type"] == "integer", p.Schema["type"] == "boolean", p.Schema["enum"] != nil, p.Schema["format"] == "date-time":
			list = append(list, queryCase{name + "=no-such-value", ""})
		}
		if p.Schema["maximum"] != nil {
			list = append(list, queryCase{name + "=1000000", p.Name}, queryCase{name + "=0", p.Name})
		}
	}
	return list
}

// A list that ignored a misspelled filter would show other patients' slides, and a
// misspelled dry run would change data.
func TestWrongParameters(t *testing.T) {
	st := newSite(t)
	st.tasks()
	st.removal()
	image := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	fill := regexp.MustCompile(`\{[^}]+\}`)
	for path, methods := range st.document().Paths {
		if !strict(path) {
			continue
		}
		at := fill.ReplaceAllString(strings.NewReplacer("{image}", image, "{store}", st.store).Replace(path), "x")
		for method, op := range methods {
			if path == "/api/v1/auth/revocations" || path == "/api/v1/auth/revoke" {
				op.Parameters = nil // their values are looked at where there are edges: see package authz
			}
			body := "" // for the parameters alone to be wrong
			if op.RequestBody != nil {
				body = "{}"
			}
			for _, c := range op.wrong() {
				a := st.ask(strings.ToUpper(method), at+"?"+c.query, body)
				if a.status != 422 || method != "head" && !strings.Contains(string(a.body), c.want) {
					t.Errorf("%s %s?%s: %d %s, want 422 and %q", method, at, c.query, a.status, a.body, c.want)
				}
			}
		}
	}
	if items := st.object("GET", "/api/v1/tasks", "", 200)["items"].([]any); len(items) != 0 {
		t.Errorf("a request that was refused has begun a task: %v", items)
	}
	st.object("GET", "/api/v1/images/"+image, "", 200) // it was not deleted
}

// Common parameters and valid ones are accepted.
func TestRightParameters(t *testing.T) {
	st := newSite(t)
	image := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	for _, path := range []string{
		"/api/v1/images?v=1&pass=2&sig=3&exp=4&scope=tiles&kid=5",
		"/api/v1/images?lim%69t=1&q=a+b%26c&store=" + st.store,
		"/api/v1/images/" + image + "?v=1",
		"/api/v1/stores?",
		"/api/v1/auth/session?v=1",
	} {
		if a := st.get(path); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// Viewers, identity providers and proxies append parameters to requests.
func TestUnknownParametersIgnored(t *testing.T) {
	st := newSite(t)
	image := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true}})["a.tiff"]
	study, series := dicom.StudyUID(image), dicom.SeriesUID(image)
	var instances []map[string]struct{ Value []any }
	if a := st.get("/dicom-web/studies/" + study + "/metadata"); json.Unmarshal(a.body, &instances) != nil || len(instances) == 0 {
		t.Fatalf("metadata: %d %s", a.status, a.body)
	}
	instance := fmt.Sprint(instances[0]["00080018"].Value[0])
	doc := st.document()
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		if strict(path) || path == "/healthz" || path == "/readyz" || strings.HasSuffix(path, "/region") || path == "/iiif/{version}/cases/{accession}/manifest.json" { // see TestRegionRefused
			continue
		}
		at := strings.NewReplacer(
			"{image}", image, "{file}", "a.tiff", "{store}", st.store, "{kind}", "label", "{name}", "t", "{z}", "0", "{x}", "0", "{y}", "0", "{level}", "0", "{tier}", "0", "{group}", "0",
			"{study}", study, "{series}", series, "{instance}", instance, "{frames}", "1", "{frame}", "1", "{path}", "00480105/1/00282000",
			"{version}", "3", "{region}", "full", "{size}", "max", "{rotation}", "0",
		).Replace(path)
		at = strings.Replace(at, "/max/0/a.tiff", "/max/0/default.jpg", 1)
		query := "?"
		switch path {
		case "/cutout/{store}/{image}/{name}":
			at, query = at+".png", "?bounds=[0,9,0,9]&"
		case "/tileat/{store}/{image}":
			query = "?x=1&y=2&"
		case "/ptiff-viewer":
			continue // it leads to a page, which is not here
		}
		if path == "/tile" || path == "/thumb" || path == "/label" {
			query = "?db=" + st.store + "&img=a.tiff&name=t.jpg&"
		}
		for method := range doc.Paths[path] {
			method = strings.ToUpper(method)
			plain, more := st.ask(method, at+query, ""), st.ask(method, at+query+"cache=1&cache=2&utm_source", "")
			if plain.status != more.status || method == "GET" && !strings.Contains(path, "/auth/") && more.status != 200 {
				t.Errorf("%s %s: %d, with parameters that are not known %d %s", method, at, plain.status, more.status, more.body)
			}
		}
	}
	for _, path := range []string{"/api/v1/images/" + image + "/preview?height=many", "/api/v1/images/" + image + "/thumbnail?width=0", "/iiif/3/" + image + "/full/none/0/default.jpg"} {
		if a := st.get(path); a.status != 400 {
			t.Errorf("%s: %d %s, want 400", path, a.status, a.body)
		}
	}
}
