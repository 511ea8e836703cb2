package server

import (
	"net/http"
	"time"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

const (
	// Requests other than tiles query the database, decode images or read files.
	requestsAtOnce  = 256
	requestsWaiting = 1024
	requestPatience = 5 * time.Second
	// streamsAtOnce is the limit for long requests: events, uploads and received DICOM instances.
	streamsAtOnce = 2048
	// Bodies being received and answers being sent may take 1/bufferShare of the memory
	// limit.
	bufferShare = 8
)

// bufferBudget returns the memory budget of bodies being received and answers being sent.
func bufferBudget(m *limit.Memory) *limit.Budget { return limit.NewBudget(m.Limit() / bufferShare) }

// A router is a mux that puts the same handlers before each route. They know the pattern
// of the route, so a request is matched only once.
type router struct {
	mux    *http.ServeMux
	before func(pattern string, h http.Handler) http.Handler
}

func (m router) Handle(pattern string, h http.Handler)            { m.mux.Handle(pattern, m.before(pattern, h)) }
func (m router) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }

// gates returns a function that limits how many requests other than tiles are served at
// once. The limit depends on the route: health and documents in memory have none, and
// streams and uploads, which take long, have their own. For all others the body is received
// before, and the answer is sent after, the request counts.
func (p *port) gates() func(pattern string, h http.Handler) http.Handler {
	brief, buffer := p.requests, p.buffer
	lasting := limit.NewRequestLimiter(streamsAtOnce, 0, 0)
	return func(pattern string, h http.Handler) http.Handler {
		switch {
		case pattern == "GET /healthz", pattern == "GET /readyz", pattern == viewerPattern, api.Document(pattern):
			return limit.Static(h)
		case pattern == metricsPattern:
			return buffer.Handler(nil, h)
		case pattern == upload.Route, pattern == uploadPattern, pattern == dicomweb.StoreRoute, pattern == dicomweb.StoreStudyRoute, pattern == api.EventsPattern, pattern == api.DatabasePattern:
			return lasting.Handler(h)
		case api.Streamed(pattern):
			return buffer.Streamed(brief, h)
		}
		return buffer.Handler(brief, h)
	}
}

// tileGates is gates for a server that buffers bodies and answers in memory itself, except
// those that are streamed.
func (p *port) tileGates(next http.Handler) http.Handler {
	brief, streamed := p.requests.Handler(next), p.buffer.Streamed(p.requests, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/healthz", path == "/readyz", path == "/metrics":
			next.ServeHTTP(w, r)
		case api.StreamedPath(path):
			streamed.ServeHTTP(w, r)
		default:
			brief.ServeHTTP(w, r)
		}
	})
}

// Patterns of routes that have their own limits.
const (
	viewerPattern  = "/"
	metricsPattern = "GET /metrics"
	uploadPattern  = upload.Route + "/{upload}"
)
