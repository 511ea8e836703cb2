package authz

import (
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// PolicyHeader is the header that controls which pages may embed a response, as <img>
// does.
const PolicyHeader = "Cross-Origin-Resource-Policy"

// Policy returns the value of [PolicyHeader] for a response. Private responses contain
// patient data or were requested by file name: pages of other origins can neither show
// them nor find out whether the file exists. With access control, pages of the same site
// may, for sites with several hosts; site is the request's Sec-Fetch-Site.
func Policy(private, controlled bool, site string) string {
	switch {
	case !private:
		return "cross-origin"
	case controlled && site == "same-site":
		return "same-site"
	}
	return "same-origin"
}

// CrossSite reports whether a page of another site caused a request, other than by a link
// that a person followed. The arguments are the headers Sec-Fetch-Site, -Mode and -Dest,
// which pages can't set; programs and old browsers do not send them.
func CrossSite(site, mode, dest string) bool {
	return site == "cross-site" && (mode != "navigate" || dest != "document")
}

// ErrCrossSite is the response to such a request for private data where there is no
// access control: the person at the browser may see everything, and pages of other sites
// must not use that browser to get it.
var ErrCrossSite = &httperr.Error{
	Status: http.StatusForbidden,
	Detail: "A page of another site requested labels or file names, and this server has no access control. Add the page's origin with --cors-origin and use CORS there, or configure auth.",
}

// ByAddress reports whether the URL's access token or signature alone is valid for t. A
// page that has such a URL was given it.
func (g *Gate) ByAddress(c *Credential, t *Target) bool {
	q := t.Request()
	a, ok := g.decideLocally(c, &q)
	return ok && a.Allow && t.Known
}
