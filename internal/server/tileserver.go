package server

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
)

// serveTiles answers requests for tiles and images until ctx is done, then waits for those
// in progress.
func (s *Server) serveTiles(ctx context.Context) error {
	h := &fasthttp.Handler{
		Tiles: s.storage.tiles, Next: s.port.tileGates(s.images()), Guard: s.guard().Check, CORS: &s.cors, Observe: s.metrics.Tile, Trace: s.trace.Tile(),
		Ending: s.health.Ending, Hold: s.port.buffer.Budget.Take, State: s.port.limiter.State, Join: limit.Join, Log: s.log,
	}
	if s.access.api != nil {
		h.Gate, h.Proxies = s.access.api.Gate, s.access.api.Proxies
	}
	server := h.Server()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.port.limiter) }()
	if err := lasts(ctx, failed); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := server.ShutdownWithContext(end)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return nil // connections still open end with the process; the port had been closed before
	}
	return err
}

// images returns the handler of the other routes of a tile server.
func (s *Server) images() http.Handler {
	mux := http.NewServeMux()
	a := &api.API{Access: s.access.api, Catalog: s.storage.catalog, Tiles: s.storage.tiles, Renderer: s.storage.renderer, Version: s.o.Version, Log: s.log}
	a.RegisterPictures(mux)
	s.health.Register(mux)
	mux.Handle(metricsPattern, a.Guard(metricsPattern, s.metrics.Handler()))
	if s.access.api != nil && s.access.api.Revoke != nil {
		mux.Handle("POST "+authz.RevokePath, s.access.api.Revoke)
	}
	mux.Handle("/", httperr.OtherMethods(mux, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httperr.WriteProblem(w, r, http.StatusNotFound, "There is nothing at this address: this server serves only tiles.", 0)
	})))
	h := httperr.SecurityHeaders(s.access.proxies(), httperr.WithRequestID(s.trace.Handler(api.RejectEmptyParts(s.metrics.Routes(mux)))))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(httperr.ContextWithLog(r.Context(), s.log)))
	})
}
