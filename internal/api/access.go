package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/oidc"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// Access is what an API needs to know who may do what.
type Access struct {
	Gate *authz.Gate
	// Accounts hold the audit log, and of a central server the people.
	Accounts *account.Accounts
	// Keys sign access tokens and links, and verify them. Nil are none.
	Keys *authz.Keys
	// Central is the URL of the server that knows the people, "" if this one does.
	Central string
	// Revoke, if not nil, answers the central server's word of a revocation.
	Revoke http.Handler
	// OIDC, if not nil, logs people in beside passwords.
	OIDC *oidc.Client
	// Proxies are those whose word on a client's address and TLS is believed.
	Proxies httperr.Proxies
}

// The modes, as the session tells them.
const (
	modeNone    = "none"
	modeLocal   = "local"
	modeCentral = "central"
)

func (a *API) mode() string {
	switch {
	case a.Access == nil:
		return modeNone
	case a.Access.Central != "":
		return modeCentral
	}
	return modeLocal
}

// A caller is who sent a request, and where from.
type caller struct {
	authz.Caller
	cred   authz.Credential
	err    error // why it can't be known who it is
	admin  bool  // of everything
	from   string
	agent  string
	secure bool
	cookie string // secret of the session, if there is one
	found  *found // the image that a picture is asked of
}

// found is what was found of an image that a request names.
type found struct {
	image *tile.Image
	err   error
	// private tells that the answer is the caller's own, whatever the store says.
	private bool
	target  authz.Target // what was checked
}

type callerKey struct{}

// callerOf returns who sent the request that ctx belongs to.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{}
}

func isAdmin(ctx context.Context) bool { return callerOf(ctx).admin }

// Guard puts a handler of another package behind the rule of its pattern.
func (a *API) Guard(pattern string, h http.Handler) http.Handler {
	if isStrict(pattern) {
		h = strictRoutes(pattern, uploadRoutes(), h)
	}
	return guard{a}.handler(pattern, h)
}

// may reports whether the caller holds a scope.
func (a *API) may(ctx context.Context, c *caller, q authz.Request) (bool, error) {
	if a.Access == nil {
		return q.Scope == seeTiles || q.Scope == seeLabel || c.admin, nil
	}
	an, err := a.Access.Gate.Allow(ctx, c.cred, q)
	if err != nil {
		return false, authz.Problem(err)
	}
	return an.Allow, nil
}

func refused(status int) error {
	if status == http.StatusUnauthorized {
		return errLogin
	}
	return errForbidden
}

// hold returns nil if the caller holds the scope that the question asks for.
func (a *API) hold(ctx context.Context, c *caller, q authz.Request) error {
	an, err := a.Access.Gate.Allow(ctx, c.cred, q)
	switch {
	case err != nil:
		return authz.Problem(err)
	case an.Allow:
		return nil
	}
	return refused(an.Status)
}

// requestFor asks for a scope of an image.
func requestFor(im *catalog.Image, scope account.Scope) authz.Request {
	q := authz.Request{Store: im.StoreID, Image: im.ID, Scope: scope}
	if im.ExternalID != nil {
		q.ExternalID = *im.ExternalID
	}
	return q
}

// find is the image that a picture is asked of, which the caller may see.
func (a *API) find(ctx context.Context, req *tile.Request) (im *tile.Image, private bool, err error) {
	if a.Access == nil {
		im, _, err = a.Tiles.Find(req)
		return im, false, err
	}
	f := callerOf(ctx).found
	if f == nil {
		return nil, true, tile.ErrNoImage // a route whose rule is for no picture
	}
	return f.image, f.private, f.err
}

// labelScope is what those hold who may see the labels of a store.
func labelScope(hidden bool) account.Scope {
	if hidden {
		return mayAdmin
	}
	return seeLabel
}

// record puts an event into the audit log.
func (a *API) record(ctx context.Context, e account.Event) error {
	if a.Access == nil || a.Access.Accounts == nil {
		return nil
	}
	c := callerOf(ctx)
	if e.User == "" {
		e.User = c.ID
	}
	e.From = c.from
	if err := a.Access.Accounts.Record(context.WithoutCancel(ctx), e); err != nil {
		if errors.Is(err, account.ErrFull) {
			return &httperr.Error{Status: http.StatusInsufficientStorage, RetryAfter: 60, Detail: "The disk of the database is full: the audit log can't be written, so this is not shown.", Err: err}
		}
		return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Detail: "The audit log can't be written at present, so this is not shown. Try again.", Err: err}
	}
	return nil
}

// note is record for what has been done or refused already.
func (a *API) note(ctx context.Context, e account.Event) {
	if err := a.record(ctx, e); err != nil {
		a.Log.ErrorContext(ctx, "cannot write the audit log", "request", httperr.RequestID(ctx), "act", e.Act, "object", e.Object, "err", err)
	}
}

// mayChange returns the refusal of those who may not change things.
func mayChange(ctx context.Context) error {
	if isAdmin(ctx) {
		return nil
	}
	return newError(http.StatusForbidden, "Only an admin may do this.")
}

// requireAccounts refuses where no users are known.
func (a *API) requireAccounts() error {
	if a.mode() != modeLocal {
		return newError(http.StatusNotFound, noPeople)
	}
	return nil
}

// requireTasks returns the refusal of a server that has no tasks.
func (a *API) requireTasks() error {
	if a.Jobs == nil {
		return newError(http.StatusServiceUnavailable, "This server is read-only and runs no tasks: use the server that manages the stores.")
	}
	return nil
}

// ownOrAdmin refuses what is neither the caller's own nor asked for by an admin. That
// there is no such user only admins learn.
func ownOrAdmin(ctx context.Context, user string) error {
	if c := callerOf(ctx); c.admin || c.ID != "" && c.ID == user {
		return nil
	}
	return errForbidden
}

// require returns the refusal of those who don't hold a scope for a store, or for
// everything if it is empty.
func (a *API) require(ctx context.Context, scope account.Scope, store string) error {
	ok, err := a.may(ctx, callerOf(ctx), authz.Request{Store: store, Scope: scope})
	if err == nil && !ok {
		err = errForbidden
	}
	if err != nil {
		return a.failed(ctx, err)
	}
	return nil
}
