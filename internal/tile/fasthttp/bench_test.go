package fasthttp_test

import (
	"path/filepath"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/synth"
	tilefast "github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
	"github.com/slideatlas/ptiffstore/test/tiletest"
)

// BenchmarkTile answers with a stored tile, without the network, like a server that lets
// other origins read tiles.
func BenchmarkTile(b *testing.B) {
	site := tiletest.NewSite(b)
	if _, err := (synth.Philips{Seed: 1, Width: 600, Height: 500}).Write(filepath.Join(site.Dir, "a.tiff")); err != nil {
		b.Fatal(err)
	}
	site.Add(b, "a", "a.tiff")
	cors := new(httperr.LiveCORS)
	cors.Store(&httperr.CORS{Origins: []string{"https://viewer.example.org"}})
	server := (&tilefast.Handler{Tiles: site.Tiles, CORS: cors}).Server()
	for _, origin := range []string{"", "https://viewer.example.org"} {
		b.Run("origin="+origin, func(b *testing.B) {
			var req fasthttp.Request
			req.SetRequestURI("http://localhost/api/v1/images/a/tiles/0/0/0.jpg")
			if origin != "" {
				req.Header.Set("Origin", origin)
			}
			var ctx fasthttp.RequestCtx
			ctx.Init(&req, nil, nil)
			b.ReportAllocs()
			for b.Loop() {
				server.HeaderReceived(&ctx.Request.Header)
				server.Handler(&ctx)
				if ctx.Response.StatusCode() != fasthttp.StatusOK {
					b.Fatal(ctx.Response.StatusCode())
				}
				ctx.ResetUserValues()
				ctx.Response.Reset()
			}
		})
	}
}
