package tiletest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// generous is an authorizer that allows everything, for a limited time.
type generous struct{}

func (generous) Check(_ context.Context, _ authz.Credential, questions []authz.Request) ([]authz.Decision, error) {
	answers := make([]authz.Decision, len(questions))
	for i := range answers {
		answers[i] = authz.Decision{Allow: true, Status: 200, User: authz.User{ID: "u"}, Session: "s", TTL: time.Hour}
	}
	return answers, nil
}

// BenchmarkAccess measures the handler of a tile, without the network, with cached decisions
// and without access control: the difference is the cost of the check.
func BenchmarkAccess(b *testing.B, handler func(s *tile.Server, g *authz.Gate) http.Handler) {
	site := NewSite(b)
	write(b, synth.Philips{Seed: 1, Width: 1100, Height: 900, TileSize: 512}, filepath.Join(site.Dir, "a.tiff"))
	site.Add(b, "a", "a.tiff")
	for _, bb := range []struct {
		name string
		gate *authz.Gate
	}{{"open", nil}, {"checked", authz.NewGate(authz.GateOptions{Authorizer: generous{}, MaxTTL: time.Hour})}} {
		h := handler(site.Tiles, bb.gate)
		b.Run(bb.name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/api/v1/images/a/tiles/1/0/0", nil)
			r.Header.Set("Authorization", "Bearer pts_0123456789abcdef0123456789abcdef0123456789abcdef")
			b.ReportAllocs()
			for b.Loop() {
				w := &nowhere{header: http.Header{}}
				h.ServeHTTP(w, r)
				if w.status != 0 && w.status != 200 {
					b.Fatal(w.status)
				}
			}
		})
	}
}

// nowhere discards answers.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(status int)      { n.status = status }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
