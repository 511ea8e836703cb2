// Package answer decides how a request for a tile is answered: whether the caller may
// have the tile, which pages may show it, how long caches may keep it, and the status and
// text of a refusal. The handlers of net/http and fasthttp write out the same [Answer].
package answer

import (
	"context"
	"errors"
	"log/slog"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// Methods is the Allow header of the routes of tiles, and ErrMethod the answer to any
// other method.
const Methods = "GET, HEAD"

// ErrMethod: the method is neither GET nor HEAD.
var ErrMethod = &httperr.Error{Status: 405, Detail: "Tiles can only be read: use GET or HEAD."}

// anyOrigin is the [authz.PolicyHeader] of an answer that every page may show.
const anyOrigin = "cross-origin"

// A Request is a request for a tile, independent of the HTTP library.
type Request struct {
	tile.Request
	Query string // of the URL, as sent
	CORS  bool   // the answer already has a header that lets the page read it
}

// A Header returns the value of a request header, given by its canonical name; "" if the
// request does not have it. Several Cookie headers are joined by "; ". It is not a field of
// [Request], so that passing one does not allocate.
type Header func(name string) string

// An Answer is what the client gets.
type Answer struct {
	Status  int
	Policy  string       // value of [authz.PolicyHeader]
	Vary    string       // value to add to Vary; "" for none
	Tile    tile.Answer  // with status 200 or 304; to be released
	Problem tile.Problem // with any other status
	Err     error        // why there is no tile; nil with status 200 or 304

	image   *tile.Image
	byName  bool // the image was found by the name of its file
	private bool // the answer depends on the caller
}

// File returns the file of the image, and whether the client named the file. It may be
// called only if Err is nil.
func (a *Answer) File() (f *tile.File, byName bool) { return &a.image.File, a.byName }

// A Decider answers requests for the tiles of a server.
type Decider struct {
	Tiles *tile.Server
	Gate  *authz.Gate // nil: no access control
}

// Check decides whether the caller may have the tile, and which pages may show it. If Err
// of the answer is nil, [Decider.Tile] completes it.
func (d *Decider) Check(ctx context.Context, r *Request, header Header) (a Answer) {
	var found error
	a.image, a.byName, found = d.Tiles.Find(&r.Request)
	err := a.setPolicy(r, header, found, d.Gate != nil)
	switch {
	case err != nil:
	case d.Gate == nil:
		err = found
	default:
		err = d.authorize(ctx, r, header, &a, found)
	}
	if err != nil {
		a.refuse(err)
	}
	return a
}

// Tile completes the answer to a request that [Decider.Check] has allowed.
func (d *Decider) Tile(ctx context.Context, r *Request, header Header, a *Answer) {
	t, err := a.image.Tile(ctx, &r.Address, header("If-None-Match"))
	if err != nil {
		a.refuse(err)
		return
	}
	t.Public = t.Public && !a.private
	a.Tile, a.Status = t, 200
	if t.NotModified {
		a.Status = 304
	}
}

// setPolicy decides which pages may show the answer. Without access control it refuses
// requests by file name that pages of other sites make, whether the file exists or not,
// except where CORS lets the page read the answer.
func (a *Answer) setPolicy(r *Request, header Header, found error, controlled bool) error {
	if !r.ByFile || !controlled && !a.byName && found == nil {
		a.Policy = anyOrigin
		return nil
	}
	site := header("Sec-Fetch-Site")
	a.Policy = authz.Policy(true, controlled, site)
	if controlled {
		return nil
	}
	a.Vary = "Sec-Fetch-Site"
	if !r.CORS && authz.CrossSite(site, header("Sec-Fetch-Mode"), header("Sec-Fetch-Dest")) {
		return authz.ErrCrossSite
	}
	return nil
}

// authorize asks the gate whether the caller may have the tile. Found is the error of
// finding the image, which only a caller with permission may learn.
func (d *Decider) authorize(ctx context.Context, r *Request, header Header, a *Answer, found error) error {
	target := authz.Target{Known: found == nil, Named: r.Image, InStore: r.Store, Names: r.ByFile, ByFile: a.byName}
	if f := d.Tiles.Subject(a.image); f != nil {
		target.Store, target.Image, target.ExternalID, target.Public = f.Store.ID, f.ID, f.ExternalID, f.Store.Public
		target.HideLabels = f.Store.HideLabels
	}
	if !target.Checked() {
		a.Policy = anyOrigin
		return nil
	}
	a.private, a.Vary = true, "Authorization, Cookie"
	credential := d.Gate.Credential(header("Authorization"), header("Cookie"), r.Query)
	switch err := d.Gate.Tile(ctx, credential, &target); {
	case errors.Is(err, authz.ErrUnknown):
		return tile.ErrNoImage
	case err != nil:
		return err
	case found != nil:
		return found
	}
	// A route that takes names may have been given an id. Only callers with permission
	// learn that from the policy.
	if !a.byName || d.Gate.ByAddress(&credential, &target) {
		a.Policy = anyOrigin
	}
	return nil
}

func (a *Answer) refuse(err error) {
	a.Err, a.Problem = err, Explain(err)
	a.Status = a.Problem.Status
}

// Explain returns the problem that the client gets for err: that of a
// [*httperr.Error], else that of [tile.Explain].
func Explain(err error) tile.Problem {
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		return tile.Problem{Status: e.Status, Detail: e.Detail, RetryAfter: e.RetryAfter}
	}
	return tile.Explain(err)
}

// Log logs why there is no tile if the server or the file is at fault: ids and numbers,
// never a file's name. Of the failures of a store, only one every ten seconds is logged, with
// the number of those in between. Refusals of the gate are not logged, as thousands of requests may
// fail while a central server is away.
func (a *Answer) Log(ctx context.Context, log *slog.Logger, r *tile.Request, requestID string) {
	if _, refused := errors.AsType[*httperr.Error](a.Err); refused || log == nil || a.Status < 500 {
		return
	}
	attrs := []slog.Attr{slog.Int("status", a.Status), r.LogAttr(), slog.String("request", requestID), slog.Any("err", a.Err)}
	if a.image != nil {
		unlogged, ok := a.image.Logs()
		if !ok {
			return
		}
		if unlogged > 0 {
			attrs = append(attrs, slog.Int64("unlogged", unlogged))
		}
	}
	log.LogAttrs(ctx, slog.LevelError, "tile not served", attrs...)
}
