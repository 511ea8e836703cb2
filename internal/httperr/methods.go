package httperr

import (
	"net/http"
	"strings"
)

// OtherMethods is for the pattern of mux that matches every path. It answers 405 with Allow
// if mux has a route for the path with other methods, and otherwise calls next. Because of
// that pattern mux itself never answers 405.
func OtherMethods(mux *http.ServeMux, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other := *r
			other.Method = method
			if _, pattern := mux.Handler(&other); pattern != "" && pattern != r.Pattern {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		WriteProblem(w, r, http.StatusMethodNotAllowed, "This address does not support "+r.Method+"; it supports "+strings.Join(allowed, ", ")+".", 0)
	})
}
