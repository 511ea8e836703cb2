package tilefast_test

import (
	"net"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/tilefast"
	"github.com/slideatlas/ptiffstore/internal/tiles"
	"github.com/slideatlas/ptiffstore/internal/tiles/tilestest"
)

func TestAdapter(t *testing.T) {
	tilestest.Run(t, func(t *testing.T, s *tiles.Server) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := (&tilefast.Handler{Tiles: s}).Server()
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
	})
}
