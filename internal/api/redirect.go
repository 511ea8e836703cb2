package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/iiif"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// A redirector redirects clients to the server that has a slide's file.
type redirector struct{ *API }

// sendOnAge is how long a browser may cache the redirect to a picture. Within it the URL,
// with its access token, stays the same, so that the picture is cached too.
const sendOnAge = authz.MaxAccessTokenAge / 3

// described are the routes of slide descriptions, which this server answers from the
// catalog if the file is on another server: viewers derive the URLs of tiles from the
// description's URL, and can't do so if it has an access token in the query.
var described = map[string]bool{
	"GET /dzi/{file}":                            true,
	"GET /iiif/{version}/{image}":                true,
	"GET /iiif/{version}/{image}/info.json":      true,
	"GET /api/v1/images/{image}/references.json": true,
	"GET /iiif/{version}/{image}/manifest.json":  true,
	"GET /zoomify/{image}/ImageProperties.xml":   true,
}

// SendOn redirects the caller, who may see the requested tile, to the same path on the
// server that has the image's file, with an access token if the caller has logged in
// here. ByFile means that the request has the file's name. If this server has the file,
// it does nothing and returns false.
func (a *API) SendOn(w http.ResponseWriter, r *http.Request, f *tile.File, byFile bool) bool {
	if !(redirector{a}).isRemote(r, f) {
		return false
	}
	t := targetOf(f)
	t.ByFile = byFile
	redirector{a}.redirect(w, r, f, &t)
	return true
}

// orElsewhere calls h for images whose files are here, and redirects requests for others.
func (a redirector) orElsewhere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		im, _, err := a.find(r.Context(), pictureRequest(r))
		if err != nil || isOriginal(r.URL.Path) || !a.isRemote(r, &im.File) {
			h.ServeHTTP(w, r)
			return
		}
		t := new(authz.Target)
		if found := callerOf(r.Context()).found; found != nil {
			t = &found.target
		}
		a.redirect(w, r, &im.File, t)
	})
}

func (a redirector) redirect(w http.ResponseWriter, r *http.Request, f *tile.File, t *authz.Target) {
	to, query := f.Store.Elsewhere+r.URL.EscapedPath(), r.URL.RawQuery
	if pass := a.accessTokenFor(r, t); pass != "" {
		kept := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool { return p == "" || strings.HasPrefix(p, "pass=") })
		query = strings.Join(append(kept, "pass="+pass), "&")
	}
	if query != "" {
		to += "?" + query
	}
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", fmt.Sprintf("private, max-age=%d", sendOnAge/time.Second))
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// accessTokenFor returns an access token for the request, escaped for a URL, or "" if
// none is needed or possible. It grants no more than the request's credential: for a
// signed link, the token names the link's creator and expires no later than the link; for
// an access token none is made, because the redirect keeps the query.
func (a redirector) accessTokenFor(r *http.Request, t *authz.Target) string {
	if a.Access == nil || a.Access.Keys == nil || !t.Checked() {
		return ""
	}
	c, q := a.Access.Gate.FromRequest(r), t.Request()
	scope := q.Scope
	if scope == mayAdmin {
		scope = seeLabel // access tokens have no higher scope
	}
	may := func(c authz.Credential) (authz.Decision, bool) {
		if c.None() {
			return authz.Decision{}, false
		}
		an, err := a.Access.Gate.Allow(r.Context(), c, q)
		return an, err == nil && an.Allow // else the other server decides
	}
	if an, ok := may(authz.Credential{Authorization: c.Authorization, Cookie: c.Cookie, Share: c.Share}); ok {
		return a.signAccessToken(&authz.Caller{User: an.User, Session: an.Session, Token: an.Token}, q.Store, q.Image, scope, authz.MaxAccessTokenAge)
	}
	if _, ok := may(authz.Credential{Signed: c.Signed}); !ok {
		return ""
	}
	now := time.Now()
	link, err := a.Access.Keys.VerifyURL(&c.Signed, q.Image, now)
	if err != nil {
		return ""
	}
	return a.signAccessToken(&authz.Caller{User: authz.User{ID: link.User}}, q.Store, q.Image, scope, min(authz.MaxAccessTokenAge, link.Expires.Sub(now)))
}

// isRemote reports whether another server has the file. A store may be bound to another
// host while its endpoint is this server, or the load balancer before it; then this
// server can read the store's disk.
func (a redirector) isRemote(r *http.Request, f *tile.File) bool {
	if f.Store.Elsewhere == "" {
		return false
	}
	host := hostOf(f.Store.Elsewhere)
	return host == "" || host != hostOf("http://"+r.Host) && host != hostOf(a.PublicURL)
}

// hostOf returns the host of a base URL, with the port if it is not the default, or "" if
// the URL has a path.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil || strings.Trim(u.Path, "/") != "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
}

// shape returns a slide's dimensions, from its file or, if the file is not available,
// from the catalog.
func (a redirector) shape(r *http.Request, im *tile.Image) (p iiif.Image, err error) {
	ctx := r.Context()
	if !a.isRemote(r, &im.File) {
		err = im.View(ctx, func(s *slide.Slide, _ tile.Lease) error {
			p = iiifPicture(s)
			return nil
		})
		if err != nil {
			err = explained(err)
		}
		return p, err
	}
	known, err := a.Catalog.Images.Get(ctx, im.File.ID)
	if errors.Is(err, catalog.ErrNotFound) {
		return p, explained(tile.ErrNoImage)
	} else if err != nil {
		return p, a.plain(ctx, err)
	}
	p = iiif.Image{Width: known.Width, Height: known.Height, TileWidth: known.TileWidth, TileHeight: known.TileHeight, Zooms: known.MaxZoom + 1}
	if known.MPPX != nil {
		p.MPP = *known.MPPX
	}
	if b := known.Bounds; b != nil {
		p.X, p.Y = b.X, b.Y
	}
	return p, nil
}

// accessToken returns an access token for an image on another host, escaped for a URL, or
// "" if none is needed or possible. The scope is tiles or label.
func (a redirector) accessToken(ctx context.Context, store, image string, scope account.Scope) string {
	if a.Access == nil || a.Access.Keys == nil {
		return ""
	}
	c := callerOf(ctx)
	if c.cred.Share != "" { // the token ends with what allows it: the session or the share link
		an, err := a.Access.Gate.Allow(ctx, c.cred, authz.Request{Store: store, Image: image, Scope: scope})
		if err != nil || !an.Allow {
			return ""
		}
		return a.signAccessToken(&authz.Caller{User: an.User, Session: an.Session, Token: an.Token}, store, image, scope, authz.MaxAccessTokenAge)
	}
	return a.signAccessToken(&c.Caller, store, image, scope, authz.MaxAccessTokenAge)
}

// signAccessToken signs an access token for a known caller, valid for good.
func (a redirector) signAccessToken(c *authz.Caller, store, image string, scope account.Scope, good time.Duration) string {
	if c.ID == "" {
		return ""
	}
	session := c.Session
	if session == "" {
		session = c.Token
	}
	now := time.Now()
	text, err := a.Access.Keys.SignAccessToken(authz.AccessToken{
		User: c.ID, Name: c.Name, Session: session, Store: store, Image: image, Scope: scope,
		Issued: authz.Date(now), Expires: authz.Date(now) + authz.NumericDate(good.Milliseconds())/1000,
	})
	if err != nil {
		return "" // the edge asks the central server instead
	}
	return url.QueryEscape(text)
}
