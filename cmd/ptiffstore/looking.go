package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// looking are the flags of those who look after a process.
type looking struct {
	Metrics string  `key:"metrics_listen" name:"metrics-listen" placeholder:"ADDRESS" help:"Address for /metrics, /healthz and /readyz alone, without log-in; a port alone is one of 127.0.0.1; default: none."`
	Debug   string  `key:"debug_listen" name:"debug-listen" placeholder:"ADDRESS" help:"Loopback address for /metrics and /debug/pprof; default: none."`
	OTLP    string  `key:"otlp_endpoint" name:"otlp-endpoint" placeholder:"URL" help:"Send traces to this collector by OTLP over HTTP, such as http://127.0.0.1:4318; default: what OTEL_EXPORTER_OTLP_ENDPOINT says, or none."`
	Share   float64 `key:"trace_share" name:"trace-share" default:"0.01" placeholder:"SHARE" help:"Trace this share of the requests, from 0 to 1, beside those whose traceparent says so."`
}

// follow opens the traces of a process.
func (s *site) follow(ctx context.Context, o *looking, mode string) error {
	if o.Share < 0 || o.Share > 1 {
		return fmt.Errorf("--trace-share %v: it is a share of the requests, from 0 to 1", o.Share)
	}
	var err error
	s.trace, err = trace.Open(ctx, trace.Options{Endpoint: o.OTLP, Share: o.Share, Mode: mode, Version: version, Log: s.log})
	return err
}

// lookAfter serves figures, and profiles, on addresses of their own, where that is
// wanted.
func (s *site) lookAfter(ctx context.Context, wg *sync.WaitGroup, o *looking) error {
	if o.Metrics != "" {
		l, err := aside("--metrics-listen", o.Metrics)
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		s.health.Register(mux)
		buffer := &limit.Buffer{Budget: limit.NewBudget(asideMax << 18)}
		mux.Handle("GET /metrics", buffer.Handler(nil, s.metrics.Handler()))
		// Whoever gave an address that others reach means them to read it.
		guard := &authz.Guard{Open: !authz.LocalHost(l.Addr().String())}
		s.serveAside(ctx, wg, "figures", l, httperr.SecurityHeaders(nil, guard.Handler(httperr.WithRequestID(s.metrics.Routes(mux)))))
	}
	if o.Debug == "" {
		return nil
	}
	if host, _, err := net.SplitHostPort(local(o.Debug)); err == nil && !authz.LocalHost(net.JoinHostPort(host, "1")) {
		return fmt.Errorf("--debug-listen %s is reachable from other machines: profiles hold what is in memory. Give a loopback address", o.Debug)
	}
	l, err := aside("--debug-listen", o.Debug)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s.serveAside(ctx, wg, "figures and profiles", l, (&authz.Guard{}).Handler(mux))
	return nil
}

// local is the address with a port alone made one of this machine: who does not say
// that others may come does not mean them.
func local(address string) string {
	if number := strings.TrimPrefix(address, ":"); !strings.Contains(number, ":") {
		return net.JoinHostPort("127.0.0.1", number)
	}
	return address
}

// aside listens on an address beside that of the service.
func aside(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", local(address))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return l, nil
}

// asideMax is how many connections there may be at an address beside that of the service.
const asideMax = 128

// serveAside answers on l until ctx is done. Slow clients hold no more there than at the
// address of the service.
func (s *site) serveAside(ctx context.Context, wg *sync.WaitGroup, what string, l net.Listener, h http.Handler) {
	address := l.Addr().String()
	s.log.Info(what, "address", address)
	wg.Go(func() {
		s.loops.Run(ctx, s.log, what, func(ctx context.Context) (err error) {
			if l == nil {
				if l, err = net.Listen("tcp", address); err != nil {
					return err
				}
			}
			bounded := limit.New(l, limit.Options{Max: asideMax, PerAddress: asideMax / 2, Log: s.log})
			l = nil // Serve closes it
			return serveBounded(ctx, bounded, h)
		})
	})
}

// serveBounded answers on l until ctx is done or l fails.
func serveBounded(ctx context.Context, l *limit.Port, h http.Handler) error {
	server := &http.Server{
		Handler: limit.Bodies(h, 10*time.Second), ConnState: l.State, ConnContext: l.Context,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, func() { server.Close() })
	go l.Run(ctx)
	return server.Serve(l)
}
