package httperr

import (
	"net/http"
	"strconv"
	"strings"
)

// IfNoneMatch returns the If-None-Match header, which may be sent in several lines.
func IfNoneMatch(r *http.Request) string { return strings.Join(r.Header.Values("If-None-Match"), ",") }

// Send answers a request with a body, or for HEAD with its headers. It always returns nil, so that
// handlers can return its result.
func Send(w http.ResponseWriter, r *http.Request, contentType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return nil
	}
	w.Write(body) // the client is gone if this fails
	return nil
}
