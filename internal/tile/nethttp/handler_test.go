package nethttp_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/test/tiletest"
)

func TestAdapter(t *testing.T) {
	tiletest.Run(t, func(t *testing.T, s *tile.Server) string {
		srv := httptest.NewServer(&nethttp.Handler{Tiles: s})
		t.Cleanup(srv.Close)
		return srv.URL
	})
}

func TestAccess(t *testing.T) {
	tiletest.RunGated(t, func(t *testing.T, s *tile.Server, g *authz.Gate) string {
		srv := httptest.NewServer(&nethttp.Handler{Tiles: s, Gate: g})
		t.Cleanup(srv.Close)
		return srv.URL
	})
}

func TestServer(t *testing.T) {
	tiletest.RunServer(t, func(t *testing.T, s *tile.Server, origins ...string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, cors := limit.New(l, limit.Options{}), new(httperr.LiveCORS)
		cors.Store(&httperr.CORS{Origins: origins})
		srv := &http.Server{Handler: httperr.SecurityHeaders(nil, cors.Handler(&nethttp.Handler{Tiles: s})), ConnState: p.State, MaxHeaderBytes: 16 << 10}
		go srv.Serve(p)
		t.Cleanup(func() { srv.Close() })
		return "http://" + l.Addr().String()
	})
}

func BenchmarkAccess(b *testing.B) {
	tiletest.BenchmarkAccess(b, func(s *tile.Server, g *authz.Gate) http.Handler {
		return &nethttp.Handler{Tiles: s, Gate: g}
	})
}
