package fasthttp

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// own passes requests to next with copies of all strings and with a context of their own.
// The strings of fasthttp's adaptor are in buffers that it reuses for the next request on
// the connection, so that a string stored as a key of a cache or in a span would change. Its
// context is a [fasthttp.RequestCtx], which it reuses too, while an image that several
// requests wait for may be rendered after the first of them has been answered.
func own(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.WithContext(context.Background())
		q.Method, q.Proto, q.Host = strings.Clone(r.Method), strings.Clone(r.Proto), strings.Clone(r.Host)
		q.RequestURI = strings.Clone(r.RequestURI)
		u, err := url.ParseRequestURI(q.RequestURI)
		if err != nil {
			httperr.WriteProblem(w, r, http.StatusBadRequest, badAddress, 0) // the adaptor has parsed it before
			return
		}
		q.URL = u
		q.Header = make(http.Header, len(r.Header))
		for name, values := range r.Header {
			values = slices.Clone(values)
			for i := range values {
				values[i] = strings.Clone(values[i])
			}
			q.Header[strings.Clone(name)] = values
		}
		next.ServeHTTP(w, q)
	})
}
