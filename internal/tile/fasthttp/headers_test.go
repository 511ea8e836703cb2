package fasthttp_test

import (
	"net/http"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
)

// Answers of this handler itself have the headers that all answers have, and HSTS only if
// the client uses TLS.
func TestSecurityHeaders(t *testing.T) {
	var ours httperr.Proxies
	if err := ours.Add("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		proxies httperr.Proxies
		proto   string
		hsts    bool
	}{
		{"by TLS", ours, "https", true},
		{"without", ours, "http", false},
		{"says a stranger", nil, "https", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tile.New(tile.Options{})
			defer s.Close()
			r, err := http.NewRequestWithContext(t.Context(), "GET", serve(t, &fasthttp.Handler{Tiles: s, Proxies: tt.proxies})+"/api/v1/images/a/tiles/0/0/0", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Forwarded-Proto", tt.proto)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			h := resp.Header
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "SAMEORIGIN" || h.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("headers %v", h)
			}
			if got := h.Get("Strict-Transport-Security") != ""; got != tt.hsts {
				t.Errorf("HSTS %v, want %v", got, tt.hsts)
			}
		})
	}
}
