package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/port"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

// bounds are the flags that keep a server calm under load.
type bounds struct {
	Connections int `key:"limits.connections" name:"max-connections" default:"16384" help:"Bound of connections. Over it the one goes that has been idle longest, or else the new one is told 503."`
}

const (
	// What is no tile asks the database, decodes pictures or reads files.
	requestsAtOnce  = 256
	requestsWaiting = 1024
	requestPatience = 5 * time.Second
	// streamsAtOnce are those that are meant to last: events and uploads.
	streamsAtOnce = 2048
)

// openPort bounds the connections of l, and looks after them until ctx is done.
func (s *site) openPort(ctx context.Context, wg *sync.WaitGroup, l net.Listener, raw bool) *port.Port {
	o := port.Options{Max: port.Connections(s.c.Connections, s.c.OpenFiles), Raw: raw, Memory: s.memory, Log: s.log}
	if o.Max < s.c.Connections {
		s.log.Warn("fewer connections than --max-connections: the process may not open more files. Raise LimitNOFILE, or ulimit -n",
			"connections", o.Max, "wanted", s.c.Connections)
	}
	s.port = port.New(l, o)
	wg.Go(func() { s.port.Run(ctx) })
	return s.port
}

// full is told that tiles which are being sent fill the memory that is there for them.
func (s *site) full() {
	if s.port != nil {
		s.port.Relieve()
	}
}

// gates bounds how many requests are served at once that are no tiles. The state of
// the server is told whatever comes.
func gates(next http.Handler) http.Handler {
	brief := port.NewGate(requestsAtOnce, requestsWaiting, requestPatience).Handler(next)
	lasting := port.NewGate(streamsAtOnce, 0, 0).Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case p == "/healthz", p == "/readyz", p == "/metrics":
			next.ServeHTTP(w, r)
		case strings.HasPrefix(p, upload.Route), strings.HasSuffix(p, "/events"):
			lasting.ServeHTTP(w, r)
		default:
			brief.ServeHTTP(w, r)
		}
	})
}
