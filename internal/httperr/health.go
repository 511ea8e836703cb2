package httperr

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// VersionHeader is the header of /healthz with the program's version.
const VersionHeader = "Ptiffstore-Version"

// Health serves /healthz and /readyz.
type Health struct {
	// Ready is set once everything needed has been loaded.
	Ready atomic.Bool
	// Version, if not empty, is sent with /healthz, to compare several hosts.
	Version string
	// Degraded, if not nil, returns what does not work at present, one line each and
	// without patient data, because the response is public. It does not affect readiness:
	// tiles are still served.
	Degraded func() []string

	ending atomic.Bool
}

// End marks the process as ending: from now on /readyz answers 503, so that load
// balancers use other servers, and [Health.Closing] closes connections. It reports
// whether the process was ready.
func (h *Health) End() bool {
	h.ending.Store(true)
	return h.Ready.Load()
}

// Ending reports whether the process is about to end.
func (h *Health) Ending() bool { return h.ending.Load() }

// Closing sets "Connection: close" on every response of a process that is ending.
// Otherwise a proxy may send its next request on a connection that is just being closed,
// and can't tell whether the server received it.
func (h *Health) Closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.Ending() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// A Mux is what routes are added to: a [http.ServeMux], or one that puts the same handlers
// before all of its routes.
type Mux interface {
	http.Handler
	Handle(pattern string, h http.Handler)
}

// Register adds /healthz and /readyz to mux.
func (h *Health) Register(mux Mux) {
	mux.Handle("GET /healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if h.Version != "" {
			w.Header().Set(VersionHeader, h.Version)
		}
		plain(w, http.StatusOK, "ok\n")
	}))
	mux.Handle("GET /readyz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case h.Ending():
			plain(w, http.StatusServiceUnavailable, "about to end\n")
		case !h.Ready.Load():
			plain(w, http.StatusServiceUnavailable, "still loading the catalog\n")
		default:
			plain(w, http.StatusOK, h.state())
		}
	}))
}

// state describes a ready process.
func (h *Health) state() string {
	if h.Degraded == nil {
		return "ready\n"
	}
	list := h.Degraded()
	if len(list) == 0 {
		return "ready\n"
	}
	return "ready, but degraded\n" + strings.Join(list, "\n") + "\n"
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text)) // the client is gone if this fails
}
