package tilehttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/auth"
	"github.com/slideatlas/ptiffstore/internal/tilehttp"
	"github.com/slideatlas/ptiffstore/internal/tiles"
	"github.com/slideatlas/ptiffstore/internal/tiles/tilestest"
)

func TestAdapter(t *testing.T) {
	tilestest.Run(t, func(t *testing.T, s *tiles.Server) string {
		srv := httptest.NewServer(&tilehttp.Handler{Tiles: s})
		t.Cleanup(srv.Close)
		return srv.URL
	})
}

func TestAccess(t *testing.T) {
	tilestest.RunGated(t, func(t *testing.T, s *tiles.Server, g *auth.Gate) string {
		srv := httptest.NewServer(&tilehttp.Handler{Tiles: s, Gate: g})
		t.Cleanup(srv.Close)
		return srv.URL
	})
}

func BenchmarkAccess(b *testing.B) {
	tilestest.BenchmarkAccess(b, func(s *tiles.Server, g *auth.Gate) http.Handler {
		return &tilehttp.Handler{Tiles: s, Gate: g}
	})
}
