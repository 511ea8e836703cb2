package httperr

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// VersionHeader is where /healthz says which version of the program answers.
const VersionHeader = "Ptiffstore-Version"

// Health answers whether the process runs and whether it can answer.
type Health struct {
	// Ready is set once everything needed has been loaded.
	Ready atomic.Bool
	// Version, if not empty, is said with /healthz, so that those of several hosts can
	// be compared.
	Version string
	// Degraded, if not nil, returns what does not work at present, a line each, without
	// anything of patients: everybody may read it. The process is ready all the same, as
	// tiles are served without.
	Degraded func() []string

	ending atomic.Bool
}

// End says that the process is about to end: from now on /readyz is 503, so that
// load balancers turn to another, and [Health.Closing] ends connections. It reports
// whether the process was ready.
func (h *Health) End() bool {
	h.ending.Store(true)
	return h.Ready.Load()
}

// Ending reports whether the process is about to end.
func (h *Health) Ending() bool { return h.ending.Load() }

// Closing has every answer of a process that is about to end say that it is the
// connection's last. Proxies keep connections open and would find one closed just when
// they send the next request along it; they can't tell whether that has been received.
func (h *Health) Closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.Ending() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Register adds /healthz and /readyz to mux.
func (h *Health) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if h.Version != "" {
			w.Header().Set(VersionHeader, h.Version)
		}
		plain(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case h.Ending():
			plain(w, http.StatusServiceUnavailable, "about to end\n")
		case !h.Ready.Load():
			plain(w, http.StatusServiceUnavailable, "still loading the catalog\n")
		default:
			plain(w, http.StatusOK, h.state())
		}
	})
}

// state is what a process that is ready says of itself.
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
