package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/internal/webui"
)

// draining is a context that ends after ctx does. If there is to be a while in between, a
// load balancer gets to know first, then the port is closed, and requests that come along
// open connections are still answered, each with the word that it is the last: so no
// request is lost that must not be sent twice. What is returned besides ends it at once.
func (s *Server) draining(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-inner.Done():
		}
	}
	go func() {
		defer stop()
		select {
		case <-ctx.Done():
		case <-inner.Done():
			return
		}
		if !s.health.End() || s.o.HTTP.Drain <= 0 {
			return
		}
		s.log.Info("about to stop", "in", s.o.HTTP.Drain)
		wait(s.o.HTTP.Drain)
		limit.Close(s.listener) // is closed again when the server ends
		wait(lingerTime)
	}()
	return inner, stop
}

// lingerTime is how long connections are served after the port has been closed. Under load
// a proxy uses those that it has within it, and gives them up.
const lingerTime = time.Second

// shutdownTime bounds how long a server that ends waits for requests under way.
const shutdownTime = 10 * time.Second

// lasts waits until ctx is done, or until what serves has failed otherwise than because its
// port was closed.
func lasts(ctx context.Context, failed <-chan error) error {
	select {
	case err := <-failed:
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}

// serve answers requests until ctx is done, then lets those under way end.
func (s *Server) serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           limit.Bodies(s.handler(), 30*time.Second),
		ConnState:         s.port.State,
		ConnContext:       s.port.Context,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.port) }()
	if err := lasts(ctx, failed); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := server.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}

// handler puts the routes together: tiles first, as they are what there is most
// of, then everything else.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	a := &api.API{
		Access:  s.access,
		Catalog: s.catalog, Tiles: s.tiles, Renderer: s.renderer, Version: s.o.Version, PublicURL: s.o.HTTP.PublicURL, Log: s.log,
		Admin:      func(*http.Request) bool { return true }, // without access control every client that is answered may do all
		StoreRoots: append([]string{s.o.DataDir}, append(s.o.Folders, s.o.StoreRoots...)...), Watching: s.watchers.Status, Endpoints: s.endpoints.status, Jobs: s.tasks, Closing: s.closing,
		Remove: s.handlers.Syncer.Remove, Restore: s.handlers.Syncer.Restore, Retry: s.handlers.Syncer.Retry,
	}
	a.Register(mux)
	uploads := http.NewServeMux()
	s.uploads.Register(uploads)
	for _, route := range []string{upload.Route, uploadPattern} {
		mux.Handle(route, a.Guard(route, uploads))
	}
	s.health.Register(mux)
	mux.Handle(metricsPattern, a.Guard(metricsPattern, s.metrics.Handler()))
	mux.Handle(viewerPattern, webui.Handler(webui.Options{Origins: s.endpoints.sources}))
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httperr.WriteProblem(w, r, http.StatusForbidden, "Another site's page has sent this, and may not.", 0)
	}))
	rest := cross.Handler(httperr.WithRequestID(s.trace.Handler(s.metrics.Routes(mux))))
	h := &nethttp.Handler{Tiles: s.tiles, Next: s.gates(mux, rest), Redirect: a.SendOn, Observe: s.metrics.Tile, Trace: s.trace.Tile(), Log: s.log}
	if s.access != nil {
		h.Gate = s.access.Gate
	}
	return s.health.Closing(s.admission(h))
}

// guard keeps a server without access control to this machine.
func (s *Server) guard() *authz.Guard { return &authz.Guard{Open: s.o.HTTP.Public} }

// admission is what stands before all else: where there is no access control the guard
// that keeps to this machine. Its refusals have the headers of all answers.
func (s *Server) admission(h http.Handler) http.Handler {
	return httperr.SecurityHeaders(s.proxies(), s.guard().Handler(s.cors.Handler(h)))
}

// proxies are those whose word on a request is believed, if it matters.
func (s *Server) proxies() httperr.Proxies {
	if s.access == nil {
		return nil
	}
	return s.access.Proxies
}
