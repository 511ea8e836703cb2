package webui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func built() fstest.MapFS {
	return fstest.MapFS{
		".keep":                  {},
		"index.html":             {Data: []byte("<title>index</title>")},
		"index.html.br":          {Data: []byte("br of index")},
		"index.html.gz":          {Data: []byte("gz of index")},
		"slide.html":             {Data: []byte("<title>slide</title>")},
		"assets/main-1a2b.js":    {Data: []byte("script")},
		"assets/main-1a2b.js.gz": {Data: []byte("gz of script")},
		"assets/logo-3c4d.svg":   {Data: []byte("<svg/>")},
	}
}

func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	const html = "text/html,application/xhtml+xml"
	tests := []struct {
		name, target string
		header       []string
		status       int
		body         string
		want         map[string]string
	}{
		{"gallery", "/", nil, 200, "<title>index</title>", map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Content-Encoding": ""}},
		{"slide", "/slides/abc", nil, 200, "<title>slide</title>", nil},
		{"stores", "/stores", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"tasks", "/tasks", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"open", "/open?barcode=S26-1%3BA1", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"cases", "/cases", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"case", "/cases/S26%2F1%20%C3%BC?store=s", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"compare", "/compare?ids=a,b", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"about", "/about", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"task", "/tasks/12", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"log in", "/login", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"first admin", "/welcome", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"first admin, as printed", "/setup", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"account", "/account", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"people", "/people", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"user", "/people/u1", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"group", "/people/groups/g1", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"audit", "/audit", []string{"Accept", html}, 200, "<title>index</title>", nil},
		{"below a page", "/stores/12", []string{"Accept", html}, 404, "<title>index</title>", nil},
		{"brotli before gzip", "/", []string{"Accept-Encoding", "gzip, deflate, br"}, 200, "br of index", map[string]string{"Content-Encoding": "br", "Vary": "Accept-Encoding", "Content-Length": "11"}},
		{"brotli refused", "/", []string{"Accept-Encoding", "br;q=0, gzip;q=0.5"}, 200, "gz of index", map[string]string{"Content-Encoding": "gzip"}},
		{"no brotli at hand", "/assets/main-1a2b.js", []string{"Accept-Encoding", "gzip, br"}, 200, "gz of script", map[string]string{"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public, max-age=31536000, immutable", "Content-Encoding": "gzip"}},
		{"picture", "/assets/logo-3c4d.svg", nil, 200, "<svg/>", map[string]string{"Content-Type": "image/svg+xml"}},
		{"compressed form by its own name", "/assets/main-1a2b.js.gz", nil, 404, "", nil},
		{"no such asset", "/assets/main-0000.js", []string{"Accept", html}, 404, "", map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"}},
		{"way out of the folder", "/assets/../webui.go", nil, 307, "", nil},
		{"unknown page to a browser", "/nowhere", []string{"Accept", html}, 404, "<title>index</title>", nil},
		{"unknown address to a program", "/nowhere", nil, 404, "", map[string]string{"Content-Type": "application/problem+json"}},
	}
	h := handler(built(), Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := get(h, tt.target, tt.header...)
			if w.Code != tt.status && (tt.status != 307 || w.Code != 301) {
				t.Fatalf("GET %s: status %d, want %d", tt.target, w.Code, tt.status)
			}
			if tt.body != "" && w.Body.String() != tt.body {
				t.Errorf("GET %s: body %q, want %q", tt.target, w.Body, tt.body)
			}
			for name, want := range tt.want {
				if got := w.Header().Get(name); got != want {
					t.Errorf("GET %s: %s %q, want %q", tt.target, name, got, want)
				}
			}
		})
	}
}

// TestNotModified revalidates with the ETag of each form: those of other forms must not
// match, or a cache would return a body in the wrong encoding.
func TestNotModified(t *testing.T) {
	h := handler(built(), Options{})
	plain := get(h, "/").Header().Get("ETag")
	brotli := get(h, "/", "Accept-Encoding", "br").Header().Get("ETag")
	tests := []struct {
		name, match, encoding string
		want                  int
	}{
		{"same form", plain, "", 304},
		{"same form, weak", "W/" + plain, "", 304},
		{"in a list", `"x", ` + brotli, "br", 304},
		{"other form", plain, "br", 200},
		{"other content", `"x"`, "", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := get(h, "/", "If-None-Match", tt.match, "Accept-Encoding", tt.encoding)
			if w.Code != tt.want {
				t.Errorf("If-None-Match %s with encoding %q: status %d, want %d", tt.match, tt.encoding, w.Code, tt.want)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	h := handler(built(), Options{Origins: func() []string {
		return []string{"https://tiles.example.org", "https://evil.example; script-src *"}
	}})
	got := get(h, "/").Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self' https://tiles.example.org;", "frame-ancestors 'none'"} {
		if !strings.Contains(got, want) {
			t.Errorf("Content-Security-Policy %q lacks %q", got, want)
		}
	}
	for _, not := range []string{"unsafe", "evil"} {
		if strings.Contains(got, not) {
			t.Errorf("Content-Security-Policy %q has %q", got, not)
		}
	}
}

func TestUnbuilt(t *testing.T) {
	h := handler(fstest.MapFS{".keep": {}}, Options{})
	w := get(h, "/", "Accept", "text/html")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("GET / without the application: status %d, body %q; want 200 and a mention of make build", w.Code, w.Body)
	}
	if w := get(h, "/slides/abc"); w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("GET /slides/abc by a program: Content-Type %q, want a problem", w.Header().Get("Content-Type"))
	}
}

// TestBuilt checks the embedded application, if there is one.
func TestBuilt(t *testing.T) {
	h := Handler(Options{})
	w := get(h, "/", "Accept", "text/html")
	if strings.Contains(w.Body.String(), "make build") {
		t.Skip("the web application is not built: run make build")
	}
	if strings.Contains(w.Body.String(), "<style") || strings.Contains(w.Body.String(), "<script>") {
		t.Error("index.html has inline script or style, which its Content-Security-Policy forbids")
	}
	for _, attribute := range []string{`src="/assets/`, `href="/assets/`} {
		for rest := w.Body.String(); ; {
			_, after, ok := strings.Cut(rest, attribute)
			if !ok {
				break
			}
			name, after, _ := strings.Cut(after, `"`)
			rest = after
			if a := get(h, "/assets/"+name); a.Code != http.StatusOK {
				t.Errorf("GET /assets/%s, named by index.html: status %d, want 200", name, a.Code)
			}
		}
	}
}

// Only the viewer for other pages and share links may be shown in frames.
func TestFrames(t *testing.T) {
	t.Parallel()
	ancestors := []string{"https://intranet.example.org", "http://10.0.0.1:8080"}
	h := handler(fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}}, Options{Ancestors: ancestors})
	const framed = "frame-ancestors 'self' https://intranet.example.org http://10.0.0.1:8080"
	for path, want := range map[string]string{
		"/": "frame-ancestors 'none'", "/login": "frame-ancestors 'none'", "/account": "frame-ancestors 'none'", "/slides/abc": "frame-ancestors 'none'",
		"/slides/abc?embed=0": "frame-ancestors 'none'", "/slides/abc?embed=1": framed, "/share/abc": framed, "/cases/a?embed=1": "frame-ancestors 'none'",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		got := w.Header()
		if w.Code != 200 || !strings.HasSuffix(got.Get("Content-Security-Policy"), "; "+want) {
			t.Errorf("%s: %d %q, want %q", path, w.Code, got.Get("Content-Security-Policy"), want)
		}
		if want == framed && (got.Get("Referrer-Policy") != "no-referrer" || got.Get("Cache-Control") != "no-store") {
			t.Errorf("%s: %v", path, got)
		}
	}
}
