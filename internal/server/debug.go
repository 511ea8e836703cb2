package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// Trace are the options of tracing.
type Trace struct {
	Endpoint string  // of a collector; "" for OTEL_EXPORTER_OTLP_ENDPOINT, or none
	Share    float64 // of requests without a sampling decision of their own to trace, from 0 to 1
}

// openTracer opens the exporter of traces.
func (s *Server) openTracer(ctx context.Context) (err error) {
	s.trace, err = trace.Open(ctx, trace.Options{Endpoint: s.o.Trace.Endpoint, Share: s.o.Trace.Share, Mode: string(s.o.Mode), Version: s.o.Version, Log: s.log})
	return err
}

// openDebug opens the ports of metrics and of profiles, if configured.
func (s *Server) openDebug(context.Context) error {
	if s.o.ListenMetrics != nil {
		l, err := s.o.ListenMetrics()
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		s.health.Register(mux)
		buffer := &limit.Buffer{Budget: limit.NewBudget(debugConnections << 18)}
		mux.Handle("GET /metrics", buffer.Handler(nil, s.metrics.Handler()))
		// An address that is not loopback was configured so that other hosts read it.
		guard := &authz.Guard{Open: !authz.LocalHost(l.Addr().String())}
		s.background.listen("metrics", l, s.o.ListenMetrics, httperr.SecurityHeaders(nil, guard.Handler(httperr.WithRequestID(s.metrics.Routes(mux)))))
	}
	if s.o.ListenDebug == nil {
		return nil
	}
	l, err := s.o.ListenDebug()
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
	s.background.listen("metrics and profiles", l, s.o.ListenDebug, (&authz.Guard{}).Handler(mux))
	return nil
}

// debugConnections is the maximum number of connections of each port except the service's.
const debugConnections = 128

// listen serves h on l, and after a failure on what again opens, with the same
// protection from slow clients as the port of the service.
func (b *background) listen(what string, l net.Listener, again func() (net.Listener, error), h http.Handler) {
	address := l.Addr()
	b.log.Info(what, "address", address.String())
	b.addLoop(what, func(ctx context.Context) (err error) {
		if l == nil {
			if l, err = relisten(address, again); err != nil {
				return err
			}
		}
		limited := limit.New(l, limit.Options{Max: debugConnections, PerAddress: debugConnections / 2, Log: b.log})
		l = nil // Serve closes it
		return serveLimited(ctx, limited, h, b.log)
	})
}

// relisten listens on the address that again has opened before, also if that was a port
// that the kernel picked.
func relisten(addr net.Addr, again func() (net.Listener, error)) (net.Listener, error) {
	if addr.Network() == "tcp" {
		return net.Listen("tcp", addr.String())
	}
	return again()
}

// serveLimited serves h on l until ctx is done or l fails.
func serveLimited(ctx context.Context, l *limit.ConnLimiter, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: limit.Bodies(h, 10*time.Second), BaseContext: baseContext(log), ConnState: l.State, ConnContext: l.Context,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, func() { server.Close() })
	go l.Run(ctx)
	return server.Serve(l)
}
