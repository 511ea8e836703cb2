package authz

import (
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// PolicyHeader says which pages may show a response without reading it, as <img> does.
const PolicyHeader = "Cross-Origin-Resource-Policy"

// Policy is the value of [PolicyHeader] for a response. Private ones are patient data, or
// were asked for by the name of a file: no page of another origin shows them, nor learns
// whether there is such a name. With access control pages of the same site may, as when
// it has several hosts; site is the request's Sec-Fetch-Site.
func Policy(private, controlled bool, site string) string {
	switch {
	case !private:
		return "cross-origin"
	case controlled && site == "same-site":
		return "same-site"
	}
	return "same-origin"
}

// CrossSite reports whether a page of another site makes a browser ask, other than by a
// link that a person follows. The arguments are the headers Sec-Fetch-Site, -Mode and
// -Dest, which pages can't set; programs and old browsers send none.
func CrossSite(site, mode, dest string) bool {
	return site == "cross-site" && (mode != "navigate" || dest != "document")
}

// ErrCrossSite is the response to such a request for what is private, where there is no
// access control: whoever is in front of the browser may see everything, so the browser
// must not be used by others.
var ErrCrossSite = &httperr.Error{
	Status: http.StatusForbidden,
	Detail: "A page of another site requested labels or file names, and this server has no access control. Add the page's origin with --cors-origin and use CORS there, or configure auth.",
}

// ByAddress reports whether the access token or signature in the address alone is good for t. A
// page that has such an address was given it.
func (g *Gate) ByAddress(c *Credential, t *Target) bool {
	q := t.Request()
	a, ok := g.decideLocally(c, &q)
	return ok && a.Allow && t.Known
}
