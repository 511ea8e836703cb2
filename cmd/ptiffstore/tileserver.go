package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
)

type tileserverCmd struct {
	common
}

func (*tileserverCmd) Help() string {
	return "Reads the catalog of --data or --database, and follows it: another process fills it. Pictures other than tiles are served too, pages and lists are not.\n\nExample:\n\n  ptiffstore tileserver --database postgres://db/ptiffstore --listen 127.0.0.1:8081"
}

// Run serves tiles until ctx is done.
func (c *tileserverCmd) Run(ctx context.Context, std streams, file *siteFile) error {
	s, err := openServing(ctx, &c.common, "tileserver", std)
	if err != nil {
		return err
	}
	defer s.close()
	l, err := c.listen()
	if err != nil {
		return err
	}
	defer l.Close() // has been closed if it was served
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := s.lasting(ctx, l)
	defer stop() // before the wait: what runs beside ends then
	bounded, err := s.openPort(ctx, &wg, l, true)
	if err != nil {
		return err
	}
	f := &follow.Follower{Catalog: s.catalog, Tiles: s.tiles, Log: s.log, Loops: &s.loops}
	if err := f.Load(ctx); err != nil {
		return err
	}
	if err := s.openAccess(ctx, &wg); err != nil {
		return err
	}
	f.Renamed = s.renamed()
	wg.Go(func() { f.Run(ctx) })
	h := &fasthttp.Handler{Tiles: s.tiles, Next: s.pictures(), Guard: c.guard().Check, Observe: s.metrics.Tile, Trace: s.trace.Tile(), Ending: s.health.Ending, Log: s.log}
	if s.access != nil {
		h.Gate, h.Proxies = s.access.Gate, s.access.Proxies
	}
	h.CORS = &s.cors
	s.metrics.Watch(s.figures())
	if err := s.lookAfter(ctx, &wg, &c.looking); err != nil {
		return err
	}
	s.file = file
	s.obey(ctx, &wg, func(p *program) error {
		s.rebound(&p.Tileserver.common)
		return nil
	})
	h.Hold = s.budget().Take
	h.State, h.Next = bounded.State, tileGates(h.Next)
	server := h.Server()
	s.health.Ready.Store(true)
	fmt.Fprintln(std.out, url(l))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(bounded) }()
	if err := lasts(ctx, failed); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err = server.ShutdownWithContext(end)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // connections still open end with the process
	}
	if errors.Is(err, net.ErrClosed) {
		return nil // the port had been closed before
	}
	return err
}

// pictures serves what a tile server has besides tiles.
func (s *site) pictures() http.Handler {
	mux := http.NewServeMux()
	a := &api.API{Access: s.access, Catalog: s.catalog, Tiles: s.tiles, Maker: s.maker, Version: version, Log: s.log}
	a.RegisterPictures(mux)
	s.health.Register(mux)
	mux.Handle(metricsPattern, a.Guard(metricsPattern, s.metrics.Handler()))
	if s.access != nil && s.access.Revoke != nil {
		mux.Handle("POST "+authz.RevokePath, s.access.Revoke)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		httperr.WriteProblem(w, r, http.StatusNotFound, "There is nothing at this address: this server has tiles only.", 0)
	})
	var proxies httperr.Proxies
	if s.access != nil {
		proxies = s.access.Proxies
	}
	return httperr.SecurityHeaders(proxies, httperr.WithRequestID(s.trace.Handler(s.metrics.Routes(mux))))
}
