package api_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An operation is the tested part of an operation in the document.
type operation struct {
	OperationID string
	Summary     string
	Tags        []string
	Parameters  []struct {
		Name, In, Description string
		Schema                map[string]any
	}
	RequestBody *struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema schema }
	}
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Format     string
	Properties map[string]struct{ Description string }
}

type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

func (st *site) document() document {
	st.t.Helper()
	a := st.get("/openapi.json")
	var d document
	if err := json.Unmarshal(a.body, &d); err != nil {
		st.t.Fatal(err)
	}
	return d
}

// The routes of the server, each with its operation.
func TestDocumented(t *testing.T) {
	st := newSite(t)
	d := st.document()
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %q, want 3.1", d.OpenAPI)
	}
	for _, route := range []string{
		"GET /api/v1/stores", "POST /api/v1/stores", "GET /api/v1/stores/{store}", "PATCH /api/v1/stores/{store}", "DELETE /api/v1/stores/{store}",
		"POST /api/v1/stores/{store}/sync", "POST /api/v1/stores/sync", "GET /api/v1/images", "GET /api/v1/images/{image}",
		"DELETE /api/v1/images/{image}", "POST /api/v1/images/{image}/restore", "POST /api/v1/images/{image}/retry",
		"GET /api/v1/images/{image}/tiles/{z}/{x}/{y}", "GET /api/v1/images/{image}/tiles/{name}.jpg",
		"GET /api/v1/images/{image}/associated/{kind}", "GET /api/v1/images/{image}/preview", "GET /api/v1/images/{image}/thumbnail",
		"GET /api/v1/tasks", "POST /api/v1/tasks", "GET /api/v1/tasks/{task}", "DELETE /api/v1/tasks/{task}", "GET /api/v1/tasks/{task}/events",
		"GET /api/v1/workers", "GET /dzi/{image}.dzi", "GET /dzi/{image}_files/{level}/{x}_{y}.jpg", "GET /tile/{store}/{image}/{name}.jpg", "GET /tile",
		"GET /thumb/{store}/{image}", "GET /thumb", "GET /label", "GET /apiv1/slides", "GET /apiv1/slides/{file}/{x}/{y}/{level}",
		"GET /apiv1/slides/{file}/label/", "GET /apiv1/slides/{file}/macro/", "GET /healthz", "GET /readyz",
		"GET /api/v1/auth/session", "POST /api/v1/auth/login", "POST /api/v1/auth/logout", "POST /api/v1/auth/bootstrap", "GET /api/v1/auth/check", "POST /api/v1/auth/check",
		"POST /api/v1/auth/revoke", "GET /api/v1/auth/revocations", "GET /api/v1/users", "POST /api/v1/users", "PUT /api/v1/users/{user}/password", "GET /api/v1/users/{user}/sessions",
		"GET /api/v1/groups", "GET /api/v1/tokens", "POST /api/v1/tokens", "GET /api/v1/grants", "POST /api/v1/grants", "GET /api/v1/audit", "POST /api/v1/images/{image}/sign",
	} {
		method, path, _ := strings.Cut(route, " ")
		if _, ok := d.Paths[path][strings.ToLower(method)]; !ok {
			t.Errorf("%s is not in the document", route)
		}
	}
}

// Every route that this package adds to a mux is documented: it goes through huma or a
// route. The document and its page are not documented in it.
func TestNothingElseRegistered(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	undescribed := []string{"GET /docs", "GET /docs.js"}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Handle" && sel.Sel.Name != "HandleFunc" || e.Name() == "routes.go" || e.Name() == "guard.go" {
				return true
			}
			pattern := "not a constant"
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				pattern, _ = strconv.Unquote(lit.Value)
			}
			if !slices.Contains(undescribed, pattern) {
				t.Errorf("%s registers %q behind the document's back", e.Name(), pattern)
			}
			return true
		})
	}
}

// Every documented operation has its own handler, not a fallback.
func TestDocumentedIsServed(t *testing.T) {
	st := newSite(t)
	st.tasks()
	st.removal()
	param := regexp.MustCompile(`\{[^}]+\}`)
	for path, methods := range st.document().Paths {
		if path == "/healthz" || path == "/readyz" {
			continue // of package httperr
		}
		for method := range methods {
			if method == "post" && strings.HasPrefix(path, "/dicom-web/") {
				continue // registered by package server
			}
			path := param.ReplaceAllString(strings.ReplaceAll(path, "{name}", "t"), "1")
			if path == "/tile" {
				path += "?db=1&img=1&name=t.jpg"
			}
			a := st.ask(strings.ToUpper(method), path, "")
			if string(a.body) == "404 page not found\n" || a.status == 405 {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
}

// An operation documents what it does, every part of a request, its responses, and its
// errors.
func TestOperationsDescribed(t *testing.T) {
	st := newSite(t)
	d := st.document()
	ids := map[string]string{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			where := method + " " + path
			if op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s: summary %q, tags %q", where, op.Summary, op.Tags)
			}
			if other := ids[op.OperationID]; other != "" || op.OperationID == "" {
				t.Errorf("%s has the id %q, as %s", where, op.OperationID, other)
			}
			ids[op.OperationID] = where
			inPath := map[string]bool{}
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s: parameter %s is not described", where, p.Name)
				}
				inPath[p.Name] = inPath[p.Name] || p.In == "path"
			}
			for _, name := range regexp.MustCompile(`\{([^}]+)\}`).FindAllStringSubmatch(path, -1) {
				if !inPath[name[1]] {
					t.Errorf("%s: %s is not among the parameters", where, name[1])
				}
			}
			problems := 0
			for status, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s: answer %s is not described", where, status)
				}
				if m, ok := r.Content["application/problem+json"]; ok {
					problems++
					if m.Schema.Ref != "#/components/schemas/Problem" {
						t.Errorf("%s: the schema of %s is %q", where, status, m.Schema.Ref)
					}
				} else if _, answer := r.Content["application/dicom+json"]; status >= "400" && op.Tags[0] != "server" && !answer {
					t.Errorf("%s: %s is no problem", where, status)
				}
			}
			if problems == 0 && op.Tags[0] != "server" {
				t.Errorf("%s: nothing may go wrong", where)
			}
		}
	}
	for _, name := range []string{"Problem", "Image", "Store", "StoreFields", "Task", "Worker", "Watch", "Session", "User", "Group", "ApiToken", "Grant", "AuditEvent"} {
		s, ok := d.Components.Schemas[name]
		if !ok {
			t.Errorf("there is no schema %s", name)
		}
		for field, p := range s.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s is not described", name, field)
			}
		}
	}
}

func TestDocs(t *testing.T) {
	st := newSite(t)
	a := st.get("/docs")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("/docs: %d %v", a.status, a.header)
	}
	if external := regexp.MustCompile(`(src|href)="https?:`).Find(a.body); external != nil {
		t.Errorf("the page loads from elsewhere: %s", external)
	}
	if a := st.get("/docs.js"); a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/javascript") {
		t.Errorf("/docs.js: %d %v", a.status, a.header)
	}
	if a := st.get("/openapi.yaml"); a.status != 200 {
		t.Errorf("/openapi.yaml: %d", a.status)
	}
}
