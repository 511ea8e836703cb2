package authz

import (
	"iter"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// A Guard protects a server without access control: it accepts only requests from this
// machine by a loopback name, and none that a proxy forwarded.
type Guard struct {
	// Open accepts all clients that can reach the port (--insecure-no-auth).
	Open bool

	last atomic.Pointer[string] // the last accepted Host, nearly always the next one
}

// Check returns nil, or a [*httperr.Error] that says why the request is refused.
// Headers yields the names of the request's headers in canonical form.
func (g *Guard) Check(host string, headers iter.Seq[string]) error {
	if g.Open {
		return nil
	}
	if !g.local(host) {
		return &httperr.Error{
			Status: http.StatusMisdirectedRequest,
			Detail: "This server has no access control and answers only to a loopback name such as localhost. Configure auth, or start it with --insecure-no-auth if everyone may see every slide.",
		}
	}
	for h := range headers {
		if Forwarded(h) {
			return &httperr.Error{
				Status: http.StatusForbidden,
				Detail: "This server has no access control and refuses requests through a proxy. Configure auth, or start it with --insecure-no-auth if everyone may see every slide.",
			}
		}
	}
	return nil
}

func (g *Guard) local(host string) bool {
	if last := g.last.Load(); last != nil && *last == host {
		return true
	}
	if !LocalHost(host) {
		return false
	}
	host = strings.Clone(host) // the caller's string may not outlive the request
	g.last.Store(&host)
	return true
}

// Handler refuses what Check refuses.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.Check(r.Host, maps.Keys(r.Header)); err != nil {
			httperr.WriteError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
