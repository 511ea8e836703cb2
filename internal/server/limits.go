package server

import (
	"context"
	"net/http"
	"time"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

const (
	// Requests other than tiles query the database, decode images or read files.
	requestsAtOnce  = 256
	requestsWaiting = 1024
	requestPatience = 5 * time.Second
	// streamsAtOnce is the limit for long requests: events and uploads.
	streamsAtOnce = 2048
	// Bodies being received and answers being sent may take 1/bufferShare of the memory
	// limit.
	bufferShare = 8
)

// openPort opens the port of the service and limits its connections.
func (s *Server) openPort(context.Context) (err error) {
	if s.listener, err = s.o.Listen(); err != nil {
		return err
	}
	http := &s.o.HTTP
	o := limit.Options{
		Max: limit.Connections(http.Connections, s.o.Cache.OpenSlides), PerAddress: http.PerAddress, Exempt: http.Proxies.Trust,
		Raw: s.o.Mode == TileServer, Memory: s.memory, Log: s.log,
	}
	if o.Max < http.Connections {
		s.log.Warn("the limit of open files is too low for all connections: raise LimitNOFILE, or ulimit -n",
			"connections", o.Max, "wanted", http.Connections)
	}
	s.port = limit.New(s.listener, o)
	s.Background("connections", func(ctx context.Context) error {
		s.port.Run(ctx)
		return nil
	})
	return nil
}

// full is called when tiles being sent take all of their memory.
func (s *Server) full() {
	if s.port != nil {
		s.port.Relieve()
	}
}

// budget returns the memory budget of bodies being received and answers being sent.
func (s *Server) budget() *limit.Budget { return limit.NewBudget(s.memory.Limit() / bufferShare) }

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
func (s *Server) gates() func(pattern string, h http.Handler) http.Handler {
	buffer := &limit.Buffer{Budget: s.budget()}
	brief := limit.NewRequestLimiter(requestsAtOnce, requestsWaiting, requestPatience)
	lasting := limit.NewRequestLimiter(streamsAtOnce, 0, 0)
	return func(pattern string, h http.Handler) http.Handler {
		switch {
		case pattern == "GET /healthz", pattern == "GET /readyz", pattern == viewerPattern, api.Document(pattern):
			return limit.Static(h)
		case pattern == metricsPattern:
			return buffer.Handler(nil, h)
		case pattern == upload.Route, pattern == uploadPattern, pattern == api.EventsPattern:
			return lasting.Handler(h)
		}
		return buffer.Handler(brief, h)
	}
}

// tileGates is gates for a server that buffers bodies and answers in memory itself.
func tileGates(next http.Handler) http.Handler {
	brief := limit.NewRequestLimiter(requestsAtOnce, requestsWaiting, requestPatience).Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
			next.ServeHTTP(w, r)
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
