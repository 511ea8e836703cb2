package authz

import (
	"context"
	"errors"
	"math"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// A Target is the image of a request for a tile or another picture.
type Target struct {
	// Known is true if the image exists. If not, Store, Image and ExternalID are those of
	// another image in its place: see [Gate.AllowNamed].
	Known                    bool
	Store, Image, ExternalID string
	// Named is the id or name in the request, InStore the store in the request, and Names
	// is true if the route accepts names. Together they select the image.
	Named, InStore string
	Names          bool
	// ByFile is true if the request has the file's name, which is patient data: only
	// callers who may see it may use it.
	ByFile bool
	// Label is true if the picture itself is patient data: label, macro or preview.
	Label bool
	// File is true if the answer is the original file.
	File bool
	// Public is true if the store's tiles are public.
	Public bool
	// HideLabels is true if only admins may see labels and names of the store.
	HideLabels bool
}

// Checked reports whether the decision depends on the caller.
func (t *Target) Checked() bool { return !t.Known || !t.Public || t.ByFile || t.Label || t.File }

// Request returns the request to the authorizer for t.
func (t *Target) Request() Request {
	q := Request{Store: t.Store, Image: t.Image, ExternalID: t.ExternalID, Scope: account.ScopeTiles}
	switch {
	case !t.ByFile && !t.Label && !t.File:
	case t.HideLabels:
		q.Scope = account.ScopeAdmin
	case t.File:
		q.Scope = account.ScopeFile
	default:
		q.Scope = account.ScopeLabel
	}
	return q
}

// route distinguishes kinds of requests, so that denials of unknown images are cached per
// kind, as those of existing images are.
func (t *Target) route() string {
	switch {
	case t.File:
		return "file"
	case t.Names && t.Label:
		return "label by name"
	case t.Names:
		return "by name"
	case t.Label:
		return "label"
	}
	return ""
}

// ErrUnknown: the response is that the image does not exist.
var ErrUnknown = errors.New("unknown image")

var (
	errLogin     = &httperr.Error{Status: http.StatusUnauthorized, Detail: "Log in to see this."}
	errForbidden = &httperr.Error{Status: http.StatusForbidden, Detail: "You may not see this image, or it does not exist."}
)

// Tile returns nil if the caller may see the tiles of t, or if t is unknown and the
// caller may know that. Otherwise the error is a [*httperr.Error], [ErrUnknown], or that
// of ctx.
//
// The response is the same for an image that the caller may not see and one that does not
// exist, and the authorizer gets the same number of requests.
func (g *Gate) Tile(ctx context.Context, c Credential, t *Target) error {
	if !t.Checked() {
		return nil
	}
	a, err := g.AllowNamed(ctx, c, t.Request(), t.Known, t.Named, t.InStore, t.route())
	if err != nil {
		return Problem(err)
	}
	if a.Allow {
		return nil
	}
	return g.refuse(ctx, c, t)
}

// refuse returns the error for a caller who may not see t, or if t is unknown. It returns
// nil if the caller may know that t is unknown.
func (g *Gate) refuse(ctx context.Context, c Credential, t *Target) error {
	scope := account.ScopeTiles
	switch {
	case t.File:
		scope = account.ScopeFile
	case t.ByFile || t.Label:
		scope = account.ScopeLabel
	}
	a, err := g.Allow(ctx, c, Request{Scope: scope})
	switch {
	case err != nil:
		return Problem(err)
	case a.Allow && !t.Known:
		return nil
	case !t.ByFile:
		return Refusal(a.Status)
	}
	// Existing and unknown file names must look the same to this caller.
	if a, err = g.Allow(ctx, c, Request{Scope: account.ScopeTiles}); err != nil {
		return Problem(err)
	}
	if a.Allow {
		return ErrUnknown
	}
	return Refusal(a.Status)
}

// Refusal returns the error for an image that the caller may not see or that does not
// exist, without revealing which. Status is that of the [Decision].
func Refusal(status int) error {
	if status == http.StatusUnauthorized {
		return errLogin
	}
	return errForbidden
}

// Problem converts err to the error sent to the client.
func Problem(err error) error {
	if !errors.Is(err, ErrUnavailable) {
		return err
	}
	after := 1
	if e, ok := errors.AsType[*UnavailableError](err); ok {
		after = max(1, int(math.Ceil(e.RetryAfter.Seconds())))
	}
	return &httperr.Error{
		Status: http.StatusServiceUnavailable, RetryAfter: after, Err: err,
		Detail: "Access can't be checked at present: the central server is unreachable. Try again.",
	}
}
