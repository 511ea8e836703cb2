// Package webui serves the web application: its pages and assets. They are built from the
// folder webapp into dist and embedded, each with its compressed forms, so that the server
// reads nothing from disk and compresses nothing while it runs.
package webui

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

//go:embed all:dist
var dist embed.FS

// Options are the options of a site.
type Options struct {
	// Origins, if not nil, lists the origins of other servers that pages may fetch
	// tiles from ("https://tiles.example.org"). It is called for each page.
	Origins func() []string
	// Ancestors are the origins of other sites whose pages may show the embeddable pages in
	// a frame, such as "https://intranet.example.org".
	Ancestors []string
}

// Handler serves the pages, and their assets under /assets/. Other paths get 404, as a page
// for browsers. If the application is not embedded, every page explains how to build it.
func Handler(o Options) http.Handler {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the path is a constant
	}
	return handler(root, o)
}

func handler(root fs.FS, o Options) http.Handler {
	files := load(root)
	index, ok := files["index.html"]
	if !ok {
		return http.HandlerFunc(serveUnbuilt)
	}
	slide, ok := files["slide.html"] // index.html that preloads the code of the viewer
	if !ok {
		slide = index
	}
	mux := http.NewServeMux()
	for _, page := range []string{
		"/{$}", "/open", "/cases", "/cases/{accession}", "/compare", "/upload", "/stores", "/tasks", "/tasks/{task}", "/about",
		"/login", "/setup", "/welcome", "/account", "/people", "/people/{user}", "/people/groups/{group}", "/audit",
	} {
		mux.HandleFunc("GET "+page, func(w http.ResponseWriter, r *http.Request) { servePage(w, r, index, http.StatusOK, o) })
	}
	mux.HandleFunc("GET /slides/{image}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("embed") != "1" {
			servePage(w, r, slide, http.StatusOK, o)
			return
		}
		serveFramed(w, r, slide, o)
	})
	// The address of a share link has a secret in its fragment, until the page has read it.
	mux.HandleFunc("GET /share/{share}", func(w http.ResponseWriter, r *http.Request) {
		serveFramed(w, r, slide, o)
	})
	mux.HandleFunc("GET /assets/{file...}", func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			httperr.WriteProblem(w, r, http.StatusNotFound, "There is no such file. The page may be older than the server: load it again.", 0)
			return
		}
		// The name holds a hash of the content.
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		f.serve(w, r, http.StatusOK)
	})
	if licences, ok := files["licences.md"]; ok {
		mux.HandleFunc("GET /licences", func(w http.ResponseWriter, r *http.Request) { servePage(w, r, licences, http.StatusOK, o) })
	}
	mux.Handle("/", httperr.OtherMethods(mux, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			httperr.WriteProblem(w, r, http.StatusNotFound, "There is nothing at this address.", 0)
			return
		}
		servePage(w, r, index, http.StatusNotFound, o)
	})))
	return mux
}

// servePage answers with a page of the application. Browsers must revalidate it each time,
// since it names the current assets.
func servePage(w http.ResponseWriter, r *http.Request, f *file, status int, o Options) {
	setHeaders(w.Header(), o)
	f.serve(w, r, status)
}

func setHeaders(h http.Header, o Options) {
	h.Set("Cache-Control", "no-cache")
	var origins []string
	if o.Origins != nil {
		origins = o.Origins()
	}
	h.Set("Content-Security-Policy", policy(origins))
	h.Set("Referrer-Policy", "same-origin") // URLs contain ids and searches
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// serveFramed is servePage for a page that other sites may show in a frame. It tells no site
// its address, and is not kept.
func serveFramed(w http.ResponseWriter, r *http.Request, f *file, o Options) {
	h := w.Header()
	setHeaders(h, o)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", strings.TrimSuffix(h.Get("Content-Security-Policy"), notFramed)+strings.Join(append([]string{"frame-ancestors 'self'"}, o.Ancestors...), " "))
	h.Set("Referrer-Policy", "no-referrer")
	if len(o.Ancestors) > 0 {
		h.Del("X-Frame-Options") // it has no list of origins
	}
	f.serve(w, r, http.StatusOK)
}

// notFramed is the end of the policy of pages that are never shown in a frame, such as that
// for the login: a page around it could make people click what they do not see.
const notFramed = "frame-ancestors 'none'"

// policy returns the Content-Security-Policy of pages: scripts and styles only from the
// application's own files, and no frames.
func policy(origins []string) string {
	also := ""
	for _, o := range origins {
		if !strings.ContainsAny(o, " ;,'\"\r\n") { // an invalid origin must not add a directive
			also += " " + o
		}
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'" + also +
		"; connect-src 'self'" + also + "; base-uri 'none'; form-action 'self'; " + notFramed
}

// A file is a file of the application with its compressed forms, which are nil if they are
// not smaller.
type file struct {
	mediaType string
	etag      string // of the content, without quotes and encoding
	plain     []byte
	brotli    []byte
	gzip      []byte
}

// load reads all files of root and returns them by path.
func load(root fs.FS) map[string]*file {
	files := map[string]*file{}
	read := func(name string) []byte {
		b, err := fs.ReadFile(root, name)
		if err != nil {
			return nil
		}
		return b
	}
	fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		ext := path.Ext(name)
		if err != nil || d.IsDir() || ext == ".br" || ext == ".gz" || d.Name() == ".keep" {
			return err
		}
		b := read(name)
		sum := sha256.Sum256(b)
		files[name] = &file{
			mediaType: mediaType(ext),
			etag:      base64.RawURLEncoding.EncodeToString(sum[:12]),
			plain:     b, brotli: read(name + ".br"), gzip: read(name + ".gz"),
		}
		return nil
	})
	return files
}

// mediaType returns the media type of a file of the application. It does not use the tables
// of the machine, which are wrong on some machines.
func mediaType(ext string) string {
	switch ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".md":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// serve answers with the smallest form that the client accepts.
func (f *file) serve(w http.ResponseWriter, r *http.Request, status int) {
	h := w.Header()
	body, encoding := f.plain, ""
	switch accept := r.Header.Get("Accept-Encoding"); {
	case f.brotli != nil && accepts(accept, "br"):
		body, encoding = f.brotli, "br"
	case f.gzip != nil && accepts(accept, "gzip"):
		body, encoding = f.gzip, "gzip"
	}
	tag := fmt.Sprintf("%q", f.etag+encoding)
	h.Add("Vary", "Accept-Encoding") // in addition to Origin
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", tag)
	if status == http.StatusOK && etag.Matches(strings.Join(r.Header.Values("If-None-Match"), ","), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // the client is gone if this fails
	}
}

// accepts reports whether an Accept-Encoding header allows coding: it is listed,
// and not with a weight of zero (RFC 9110, section 12.5.3).
func accepts(header, coding string) bool {
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(item, ";")
		if !strings.EqualFold(strings.TrimSpace(name), coding) {
			continue
		}
		weight, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !ok || (err == nil && q > 0)
	}
	return false
}

const unbuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ptiffstore</title>
<h1>ptiffstore is running, without its web application</h1>
<p>This binary was built without it. <code>make build</code> builds both, given Node.js and npm.
<p>Tiles and pictures are served all the same: <a href="/docs">what can be asked for</a>.
</html>
`

// serveUnbuilt answers for every page if the application is not embedded.
func serveUnbuilt(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") && r.URL.Path != "/" {
		httperr.WriteProblem(w, r, http.StatusNotFound, "There is nothing at this address.", 0)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy(nil))
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path != "/" {
		w.WriteHeader(http.StatusNotFound)
	}
	if r.Method != http.MethodHead {
		fmt.Fprint(w, unbuilt)
	}
}
