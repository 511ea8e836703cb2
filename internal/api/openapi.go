package api

import (
	_ "embed"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

//go:embed docs.html
var docsPage []byte

//go:embed docs.js
var docsScript []byte

// Document reports whether the route of that pattern serves a document from memory that
// is the same for all callers. Such routes do not identify the caller.
func Document(pattern string) bool {
	switch pattern {
	case "GET /docs", "GET /docs.js", "GET /openapi.json", "GET /openapi-3.0.json", "GET /openapi.yaml", "GET /openapi-3.0.yaml":
		return true
	}
	return false
}

// docs serves a page with the OpenAPI document. It loads nothing from other sites,
// because hospital networks may be isolated.
func docs(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'self'")
	httperr.Send(w, r, "text/html; charset=utf-8", docsPage)
}

func docsJS(w http.ResponseWriter, r *http.Request) {
	httperr.Send(w, r, "text/javascript; charset=utf-8", docsScript)
}
