package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

// bounds are the flags that keep a server calm under load.
type bounds struct {
	Connections int `key:"limits.connections" name:"max-connections" default:"16384" help:"Bound of connections. Over it the one goes that has been idle longest, or else the new one is told 503."`
	PerAddress  int `key:"limits.connections_per_address" name:"max-connections-per-address" default:"1024" help:"Limit of connections from one address, or one IPv6 network of 64 bits; 0 for none. At the limit, that address's own stalled connections are closed first, then those idle longest. Trusted proxies are exempt."`
}

const (
	// What is no tile asks the database, decodes pictures or reads files.
	requestsAtOnce  = 256
	requestsWaiting = 1024
	requestPatience = 5 * time.Second
	// streamsAtOnce are those that are meant to last: events and uploads.
	streamsAtOnce = 2048
	// bufferShare is the part of the memory limit, one in so many, that bodies being
	// received and answers being sent may take.
	bufferShare = 8
)

// openPort bounds the connections of l, and looks after them until ctx is done.
func (s *site) openPort(ctx context.Context, wg *sync.WaitGroup, l net.Listener, raw bool) (*limit.Port, error) {
	proxies, err := s.c.proxies()
	if err != nil {
		return nil, err
	}
	o := limit.Options{
		Max: limit.Connections(s.c.Connections, s.c.OpenFiles), PerAddress: s.c.PerAddress, Exempt: proxies.Trust,
		Raw: raw, Memory: s.memory, Log: s.log,
	}
	if o.Max < s.c.Connections {
		s.log.Warn("fewer connections than --max-connections: the process may not open more files. Raise LimitNOFILE, or ulimit -n",
			"connections", o.Max, "wanted", s.c.Connections)
	}
	s.port = limit.New(l, o)
	wg.Go(func() {
		s.loops.Run(ctx, s.log, "connections", func(ctx context.Context) error {
			s.port.Run(ctx)
			return nil
		})
	})
	return s.port, nil
}

// full is told that tiles which are being sent fill the memory that is there for them.
func (s *site) full() {
	if s.port != nil {
		s.port.Relieve()
	}
}

// budget is the memory of bodies being received and answers being sent.
func (s *site) budget() *limit.Budget { return limit.NewBudget(s.memory.Limit() / bufferShare) }

// gates bounds how many requests are served at once that are no tiles. What mux has a
// request answered by says which bound applies: the state of the server is told whatever
// comes, documents in memory wait for nothing but their client, and streams and uploads
// last. Of everything else the body is received before, and the answer sent after.
func (s *site) gates(mux *http.ServeMux, next http.Handler) http.Handler {
	buffer := &limit.Buffer{Budget: s.budget()}
	brief := buffer.Handler(limit.NewGate(requestsAtOnce, requestsWaiting, requestPatience), next)
	unbounded := buffer.Handler(nil, next)
	lasting := limit.NewGate(streamsAtOnce, 0, 0).Handler(next)
	static := limit.Static(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch _, pattern := mux.Handler(r); {
		case pattern == "GET /healthz", pattern == "GET /readyz", pattern == viewerPattern, api.Document(pattern):
			static.ServeHTTP(w, r)
		case pattern == metricsPattern:
			unbounded.ServeHTTP(w, r)
		case pattern == upload.Route, pattern == uploadPattern, pattern == api.EventsPattern:
			lasting.ServeHTTP(w, r)
		default:
			brief.ServeHTTP(w, r)
		}
	})
}

// tileGates is gates of a server that has its answers, and the bodies of requests, in
// memory anyway.
func tileGates(next http.Handler) http.Handler {
	brief := limit.NewGate(requestsAtOnce, requestsWaiting, requestPatience).Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics":
			next.ServeHTTP(w, r)
		default:
			brief.ServeHTTP(w, r)
		}
	})
}

// Patterns of routes that have bounds of their own.
const (
	viewerPattern  = "/"
	metricsPattern = "GET /metrics"
	uploadPattern  = upload.Route + "/{upload}"
)
