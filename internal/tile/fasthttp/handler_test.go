package fasthttp_test

import (
	"net"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
	"github.com/slideatlas/ptiffstore/test/tiletest"
)

func TestAdapter(t *testing.T) {
	tiletest.Run(t, func(t *testing.T, s *tile.Server) string { return serve(t, &fasthttp.Handler{Tiles: s}) })
}

func TestAccess(t *testing.T) {
	tiletest.RunGated(t, func(t *testing.T, s *tile.Server, g *authz.Gate) string {
		return serve(t, &fasthttp.Handler{Tiles: s, Gate: g})
	})
}

func TestServer(t *testing.T) {
	tiletest.RunServer(t, func(t *testing.T, s *tile.Server, origins ...string) string {
		cors := new(httperr.LiveCORS)
		cors.Store(&httperr.CORS{Origins: origins})
		return serve(t, &fasthttp.Handler{Tiles: s, CORS: cors})
	})
}

func serve(t *testing.T, h *fasthttp.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := h.Server()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}
