package httperr

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A pattern that matches everything must not hide that a path has other methods.
func TestOtherMethods(t *testing.T) {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	mux.HandleFunc("GET /images/{id}", ok)
	mux.HandleFunc("DELETE /images/{id}", ok)
	mux.Handle("/", OtherMethods(mux, http.NotFoundHandler()))
	for _, tt := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/images/a", 200, ""},
		{"HEAD", "/images/a", 200, ""},
		{"POST", "/images/a", 405, "GET, HEAD, DELETE"},
		{"POST", "/nothing", 404, ""},
		{"GET", "/nothing", 404, ""},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q, want %d, %q", tt.method, tt.path, w.Code, w.Header().Get("Allow"), tt.status, tt.allow)
		}
	}
}
