package auth

import (
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/web"
)

// A Guard stands before a server without access control: it answers only those
// who ask this machine by a loopback name, and nobody whom a proxy let in.
type Guard struct {
	// Open lets everybody in who can reach the port. It is what --insecure-no-auth
	// asks for.
	Open bool
}

// Check returns nil, or a [*web.Error] that says why the request is refused.
func (g *Guard) Check(host string, has func(header string) bool) error {
	if g.Open {
		return nil
	}
	if !LocalHost(host) {
		return &web.Error{
			Status: http.StatusMisdirectedRequest,
			Detail: "This server has no access control and answers only to a loopback name such as localhost. Configure auth, or start it with --insecure-no-auth if everyone may see every slide.",
		}
	}
	for _, h := range ForwardedHeaders {
		if has(h) {
			return &web.Error{
				Status: http.StatusForbidden,
				Detail: "This server has no access control and answers nobody through a proxy. Configure auth, or start it with --insecure-no-auth if everyone may see every slide.",
			}
		}
	}
	return nil
}

// Handler refuses what Check refuses.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		has := func(h string) bool { _, ok := r.Header[h]; return ok }
		if err := g.Check(r.Host, has); err != nil {
			web.WriteError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
