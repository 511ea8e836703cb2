package httperr

import (
	"net/http"
	"slices"
	"sync/atomic"
)

// CORS configures which other origins' pages may read responses.
type CORS struct {
	Origins     []string // "https://viewer.example.org"; "*" for every origin, without credentials
	Credentials bool     // let these pages send cookies; not with "*"
}

// Set sets the CORS headers for a request from a page of origin. It always sets Vary,
// also without an origin: responses differ by origin, and caches may store a tile for a
// year.
func (c *CORS) Set(origin string, set func(key, value string)) {
	if c == nil || len(c.Origins) == 0 {
		return
	}
	set("Vary", "Origin")
	switch {
	case origin == "":
		return
	case slices.Contains(c.Origins, origin):
		set("Access-Control-Allow-Origin", origin)
		if c.Credentials {
			set("Access-Control-Allow-Credentials", "true")
		}
	case slices.Contains(c.Origins, "*"):
		set("Access-Control-Allow-Origin", "*")
	default:
		return
	}
	set("Access-Control-Expose-Headers", "ETag, X-Tile, X-Region-Box, X-Region-Clipped, X-Region-Width, X-Region-Height, Retry-After, Warning, X-Request-Id")
}

// answer sets the headers of a response, and answers preflight requests itself.
func (c *CORS) answer(w http.ResponseWriter, r *http.Request) (done bool) {
	if c == nil || len(c.Origins) == 0 {
		return false
	}
	c.Set(r.Header.Get("Origin"), w.Header().Set)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD")
		w.Header().Set("Access-Control-Allow-Headers", "Accept, Authorization, If-None-Match")
		w.Header().Set("Access-Control-Max-Age", "3600")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// A LiveCORS is a CORS that may be replaced while requests are being served. The zero
// value lets no other origin read.
type LiveCORS struct{ atomic.Pointer[CORS] }

// Set calls [CORS.Set] of the stored value.
func (l *LiveCORS) Set(origin string, set func(key, value string)) { l.Load().Set(origin, set) }

// Handler answers preflight requests and sets the CORS headers of other responses.
func (l *LiveCORS) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.Load().answer(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}
