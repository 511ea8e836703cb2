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

// A redirector sends clients to the server that has the file of a slide.
type redirector struct{ *API }

// sendOnAge is how long a browser may keep where a picture is: with the access token in it that
// is one address for it, so that the picture is kept, too.
const sendOnAge = authz.MaxAccessTokenAge / 3

// described are the routes that say what a slide is like, by what the catalog knows if its
// file is at another server: viewers make the addresses of its tiles from that of the
// description, and can't do so from one with an access token behind it.
var described = map[string]bool{
	"GET /dzi/{file}":                          true,
	"GET /iiif/{version}/{image}":              true,
	"GET /iiif/{version}/{image}/info.json":    true,
	"GET /zoomify/{image}/ImageProperties.xml": true,
}

// SendOn sends the caller, who may see the tile that they ask for, to the same address at
// the server that has the image's file, with an access token if they have logged in here. ByFile
// tells that they named the file. It answers nothing and reports false if the file is for
// this server to read.
func (a *API) SendOn(w http.ResponseWriter, r *http.Request, f *tile.File, byFile bool) bool {
	if !(redirector{a}).isRemote(r, f) {
		return false
	}
	t := targetOf(f)
	t.ByFile = byFile
	redirector{a}.redirect(w, r, f, &t)
	return true
}

// orElsewhere has h answer for images whose files are here, and sends on who asks for others.
func (a redirector) orElsewhere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		im, _, err := a.find(r.Context(), pictureRequest(r))
		if err != nil || !a.isRemote(r, &im.File) {
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

// accessTokenFor returns an access token for what the caller asks for, escaped for a URL; "" if they need
// none, or can't have one. It says what was proved here and no more: who may see it by a
// link alone gets one of whoever gave the link, good no longer than that is. Who may by a
// pass alone gets no other: theirs goes with them in the query.
func (a redirector) accessTokenFor(r *http.Request, t *authz.Target) string {
	if a.Access == nil || a.Access.Keys == nil || !t.Checked() {
		return ""
	}
	c, q := a.Access.Gate.FromRequest(r), t.Request()
	scope := q.Scope
	if scope == mayAdmin {
		scope = seeLabel // as much as an access token can be for
	}
	may := func(c authz.Credential) (authz.Decision, bool) {
		if c.None() {
			return authz.Decision{}, false
		}
		an, err := a.Access.Gate.Allow(r.Context(), c, q)
		return an, err == nil && an.Allow // else the other server asks for itself
	}
	if an, ok := may(authz.Credential{Authorization: c.Authorization, Cookie: c.Cookie}); ok {
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

// isRemote reports whether another server has the file. A store may be bound to another host
// and have this server, or the balancer before it, for its endpoint: its disk is seen from
// here, then.
func (a redirector) isRemote(r *http.Request, f *tile.File) bool {
	if f.Store.Elsewhere == "" {
		return false
	}
	host := hostOf(f.Store.Elsewhere)
	return host == "" || host != hostOf("http://"+r.Host) && host != hostOf(a.PublicURL)
}

// hostOf is the host, and the port where it is not the usual one, of a base URL; "" if
// there is a path behind it.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil || strings.Trim(u.Path, "/") != "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
}

// shape is that of a slide: its file's, or if that is away what the catalog knows of it.
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
	known, err := a.Catalog.Image(ctx, im.File.ID)
	if errors.Is(err, catalog.ErrNotFound) {
		return p, explained(tile.ErrNoImage)
	} else if err != nil {
		return p, a.plain(ctx, err)
	}
	return iiif.Image{Width: known.Width, Height: known.Height, TileWidth: known.TileWidth, TileHeight: known.TileHeight, Zooms: known.MaxZoom + 1}, nil
}

// accessToken returns an access token for an image at another host, for its tiles or also its labels, escaped for a URL, ""
// if the caller needs none or can't have one.
func (a redirector) accessToken(ctx context.Context, store, image string, scope account.Scope) string {
	if a.Access == nil || a.Access.Keys == nil {
		return ""
	}
	return a.signAccessToken(&callerOf(ctx).Caller, store, image, scope, authz.MaxAccessTokenAge)
}

// signAccessToken is pass for a caller who is known, good for as long as is said.
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
		return "" // an edge asks the central server then
	}
	return url.QueryEscape(text)
}
