package authz

import (
	"context"
	"errors"
	"math"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// A Target is an image whose tile or other picture is asked for.
type Target struct {
	// Known tells that there is such an image. If not, Store, Image and ExternalID are
	// those of another, which stands in for it: see [Gate.AllowNamed].
	Known                    bool
	Store, Image, ExternalID string
	// Named is the id or name in the request, InStore the store that it names, and
	// Names tells that the request's route takes names. Together they are what the
	// image is found by.
	Named, InStore string
	Names          bool
	// ByFile tells that it was asked for by the name of its file, which is patient
	// data: only those may use it who may see it.
	ByFile bool
	// Label tells that the picture is patient data itself: label, macro or preview.
	Label bool
	// Public tells that everybody may see the tiles of its store.
	Public bool
	// HideLabels tells that labels and names of its store are for admins alone.
	HideLabels bool
}

// Checked reports whether the decision depends on the caller.
func (t *Target) Checked() bool { return !t.Known || !t.Public || t.ByFile || t.Label }

// Request is what has to be asked about it.
func (t *Target) Request() Request {
	q := Request{Store: t.Store, Image: t.Image, ExternalID: t.ExternalID, Scope: account.ScopeTiles}
	switch {
	case !t.ByFile && !t.Label:
	case t.HideLabels:
		q.Scope = account.ScopeAdmin
	default:
		q.Scope = account.ScopeLabel
	}
	return q
}

// route tells apart what is asked in different ways of images that there are: of those
// that there are not, too, it is asked anew then.
func (t *Target) route() string {
	switch {
	case t.Names && t.Label:
		return "label by name"
	case t.Names:
		return "by name"
	case t.Label:
		return "label"
	}
	return ""
}

// ErrUnknown: the caller is to be told that there is no such image.
var ErrUnknown = errors.New("authz: unknown image")

var (
	errLogin     = &httperr.Error{Status: http.StatusUnauthorized, Detail: "Log in to see this."}
	errForbidden = &httperr.Error{Status: http.StatusForbidden, Detail: "You may not see this image, or it does not exist."}
)

// Tile returns nil if the caller may have the tiles of t; of an unknown image, if they
// may know that it is. Else it is a [*httperr.Error], [ErrUnknown], or that of ctx.
//
// An image that a caller may not see answers the same as one that does not exist, and
// the authorizer is asked the same number of requests.
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

// refuse is the decision to one who may not see t, or asks for one that there is not. Nil
// tells that they may know that there is none.
func (g *Gate) refuse(ctx context.Context, c Credential, t *Target) error {
	scope := account.ScopeTiles
	if t.ByFile || t.Label {
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
	// What a name stands for is as unknown to this caller as any other name.
	if a, err = g.Allow(ctx, c, Request{Scope: account.ScopeTiles}); err != nil {
		return Problem(err)
	}
	if a.Allow {
		return ErrUnknown
	}
	return Refusal(a.Status)
}

// Refusal is the decision to one who may not see an image, or asks for one that there is
// not: which of the two is not said. Status is that of the [Decision].
func Refusal(status int) error {
	if status == http.StatusUnauthorized {
		return errLogin
	}
	return errForbidden
}

// Problem is err as the client is told it.
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
