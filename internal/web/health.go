package web

import (
	"net/http"
	"sync/atomic"
)

// Health answers whether the process runs and whether it can answer.
type Health struct {
	// Ready is set once everything needed has been loaded.
	Ready atomic.Bool
}

// Register adds /healthz and /readyz to mux.
func (h *Health) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !h.Ready.Load() {
			plain(w, http.StatusServiceUnavailable, "still loading the catalog\n")
			return
		}
		plain(w, http.StatusOK, "ready\n")
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text)) // the client is gone if this fails
}
