package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/internal/webui"
)

// draining returns a context that ends after ctx, and a function that ends it at once. With
// a drain time /readyz fails first, so that load balancers switch to another server. Then
// the port is closed, and requests on open connections are answered with Connection: close.
// So no request is lost that a proxy must not repeat.
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
		s.log.Info("stopping", "in", s.o.HTTP.Drain)
		wait(s.o.HTTP.Drain)
		limit.Close(s.port.listener) // closed again when the server ends
		wait(lingerTime)
	}()
	return inner, stop
}

// lingerTime is how long the server serves open connections after it has closed the port.
// Under load a proxy uses each of its connections within that time, and then closes it.
const lingerTime = time.Second

// shutdownTime is how long a server that ends waits for requests in progress.
const shutdownTime = 10 * time.Second

// lasts waits until ctx is done, or until serving fails for another reason than that the
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

// serve answers requests until ctx is done, then waits for those in progress.
func (s *Server) serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           limit.Bodies(s.handler(), 30*time.Second),
		BaseContext:       baseContext(s.log),
		ConnState:         s.port.limiter.State,
		ConnContext:       s.port.limiter.Context,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.port.limiter) }()
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

// baseContext returns the function of an [http.Server] that gives the context of all requests.
func baseContext(log *slog.Logger) func(net.Listener) context.Context {
	return func(net.Listener) context.Context { return httperr.ContextWithLog(context.Background(), log) }
}

// handler returns the handler of all routes. Tiles come first, since most requests are for
// tiles.
func (s *Server) handler() http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httperr.WriteProblem(w, r, http.StatusForbidden, "The request comes from a page of another site, which is not allowed.", 0)
	}))
	gate, compress := s.port.gates(), compression()
	mux := router{http.NewServeMux(), func(pattern string, h http.Handler) http.Handler {
		h = s.metrics.Routes(h)
		if !api.Streamed(pattern) { // its Flush does nothing before the first Write
			h = compress(h)
		}
		return gate(pattern, cross.Handler(httperr.WithRequestID(s.trace.Handler(h))))
	}}
	a := &api.API{
		Access:  s.access.api,
		Catalog: s.storage.catalog, Tiles: s.storage.tiles, Renderer: s.storage.renderer, Version: s.o.Version, PublicURL: s.o.HTTP.PublicURL, FrameAncestors: s.o.HTTP.FrameAncestors, CorrectColors: s.o.HTTP.CorrectColors, Viewers: s.o.HTTP.Viewers, Log: s.log,
		Admin:      func(*http.Request) bool { return true }, // without access control every client that the guard admits is an admin
		StoreRoots: append([]string{s.o.DataDir}, append(s.o.Folders, s.o.StoreRoots...)...), Watching: s.watchers.Status, Endpoints: s.endpoints.status, Tasks: s.tasks, Closing: s.closing,
		Remove: s.handlers.Syncer.Remove, Restore: s.handlers.Syncer.Restore, Retry: s.handlers.Syncer.Retry, Bucket: s.o.Bucket,
	}
	a.Register(mux)
	uploads := http.NewServeMux()
	s.uploads.Register(uploads)
	for _, route := range []string{upload.Route, uploadPattern} {
		mux.Handle(route, a.Guard(route, uploads))
	}
	for _, route := range []string{dicomweb.StoreRoute, dicomweb.StoreStudyRoute} {
		mux.Handle(route, a.Guard(route, s.dicom))
	}
	s.health.Register(mux)
	mux.Handle(metricsPattern, a.Guard(metricsPattern, s.metrics.Handler()))
	mux.Handle(viewerPattern, httperr.OtherMethods(mux.mux, webui.Handler(webui.Options{Origins: s.endpoints.sources, Ancestors: s.o.HTTP.FrameAncestors})))
	frames := &dicomweb.Frames{Service: a.DICOMweb(), Next: api.RejectEmptyParts(mux), Observe: s.metrics.Tile, Join: limit.JoinAnswer}
	h := &nethttp.Handler{Tiles: s.storage.tiles, Next: frames, Redirect: a.SendOn, Observe: s.metrics.Tile, Trace: s.trace.Tile(), Join: limit.JoinAnswer, Log: s.log}
	if s.access.api != nil {
		h.Gate, frames.Gate = s.access.api.Gate, s.access.api.Gate
	}
	return s.health.Closing(s.admission(h))
}

// compression returns a function that compresses JSON for clients that accept gzip: a page of the gallery has a tenth
// of its size. Images are compressed already, and events must not be delayed.
func compression() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1<<10), gzhttp.ContentTypes([]string{"application/json", "application/ld+json", "application/dicom+json", httperr.ProblemType}))
	if err != nil {
		panic(err) // the options are constants
	}
	return wrap
}

// guard admits only clients of this machine to a server without access control.
func (s *Server) guard() *authz.Guard { return &authz.Guard{Open: s.o.HTTP.Public} }

// admission puts the guard of a server without access control before all handlers. Its
// refusals have the headers of all answers.
func (s *Server) admission(h http.Handler) http.Handler {
	return httperr.SecurityHeaders(s.access.proxies(), s.guard().Handler(s.cors.Handler(h)))
}
