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

// Access is the configuration of an API with access control.
type Access struct {
	Gate *authz.Gate
	// Accounts contain the audit log, and on a central server the users.
	Accounts *account.Accounts
	// Keys sign and verify access tokens and links. Nil has no keys.
	Keys *authz.Keys
	// Central is the URL of the central server, or "" if this is the central server.
	Central string
	// Revoke, if not nil, receives revocations from the central server.
	Revoke http.Handler
	// OIDC, if not nil, is a second way to log in, besides passwords.
	OIDC *oidc.Client
	// NoSharing refuses share links.
	NoSharing bool
	// Proxies are trusted to report a client's address and TLS.
	Proxies httperr.Proxies

	viewings viewings
}

// The modes, as the session route returns them.
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

// A caller is the sender of a request.
type caller struct {
	authz.Caller
	cred   authz.Credential
	err    error // why the caller is unknown
	admin  bool  // of everything
	from   string
	agent  string
	secure bool
	cookie string // secret of the session, or ""
	share  string // cookie of the share links that the browser has opened, or ""; in cred only on shareRoutes
	found  *found // the image of a picture request
	act    string // for the audit log instead of the rule's, if the body decides what is done; "" if not
	detail string // for the audit log, such as the names of the changed fields, without patient data
}

// found is the result of looking up the image that a request names.
type found struct {
	image *tile.Image
	err   error
	// private means that the response must not be cached for other callers, even in a
	// public store.
	private bool
	target  authz.Target // the checked target
	// withoutLabel means that the caller may see the picture only without label and macro.
	withoutLabel bool
}

type callerKey struct{}

// callerOf returns the caller of the request of ctx.
func callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{}
}

func isAdmin(ctx context.Context) bool { return callerOf(ctx).admin }

// Guard applies the rule of a pattern to a handler of another package.
func (a *API) Guard(pattern string, h http.Handler) http.Handler {
	if isStrict(pattern) {
		h = strictRoutes(pattern, uploadRoutes(), h)
	}
	return guard{a}.handler(pattern, h)
}

// may reports whether the caller holds a scope.
func (a *API) may(ctx context.Context, c *caller, q authz.Request) (bool, error) {
	if a.Access == nil {
		return q.Scope == seeTiles || q.Scope == seeLabel || q.Scope == mayFile || c.admin, nil
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

// hold returns nil if the caller holds the scope, or else the error to send.
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

// requestFor returns a request for a scope of an image.
func requestFor(im *catalog.Image, scope account.Scope) authz.Request {
	q := authz.Request{Store: im.StoreID, Image: im.ID, Scope: scope}
	if im.ExternalID != nil {
		q.ExternalID = *im.ExternalID
	}
	return q
}

// find returns the image of a picture request. The caller may see it.
func (a *API) find(ctx context.Context, req *tile.Request) (im *tile.Image, private bool, err error) {
	if a.Access == nil {
		im, _, err = a.Tiles.Find(req)
		return im, false, err
	}
	f := callerOf(ctx).found
	if f == nil {
		return nil, true, tile.ErrNoImage // the route's rule is not for pictures
	}
	return f.image, f.private, f.err
}

// labelScope returns the scope needed to see the labels of a store.
func labelScope(hidden bool) account.Scope {
	if hidden {
		return mayAdmin
	}
	return seeLabel
}

// record adds an event to the audit log.
func (a *API) record(ctx context.Context, e account.Event) error {
	if a.Access == nil || a.Access.Accounts == nil {
		return nil
	}
	c := callerOf(ctx)
	if e.User == "" {
		e.User = c.ID
	}
	e.From = c.from
	if err := a.Access.Accounts.Audit.Record(context.WithoutCancel(ctx), e); err != nil {
		return auditFailed(err)
	}
	return nil
}

// auditFailed is the error to send if an event can't be recorded.
func auditFailed(err error) error {
	if errors.Is(err, account.ErrFull) {
		return &httperr.Error{Status: http.StatusInsufficientStorage, RetryAfter: 60, Detail: "The disk of the database is full: the audit log can't be written, so this is not shown.", Err: err}
	}
	return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Detail: "The audit log can't be written at present, so this is not shown. Try again.", Err: err}
}

// note is record for an action that is already done or refused.
func (a *API) note(ctx context.Context, e account.Event) {
	a.logged(ctx, e, a.record(ctx, e))
}

// logged logs that an event could not be recorded.
func (a *API) logged(ctx context.Context, e account.Event, err error) {
	if err != nil {
		a.Log.ErrorContext(ctx, "cannot write the audit log", "request", httperr.RequestID(ctx), "act", e.Act, "object", e.Object, "err", err)
	}
}

// mayChange returns an error if the caller may not make changes.
func mayChange(ctx context.Context) error {
	if isAdmin(ctx) {
		return nil
	}
	return newError(http.StatusForbidden, "Only an admin may do this.")
}

// requireAccounts returns an error if this server has no users.
func (a *API) requireAccounts() error {
	if a.mode() != modeLocal {
		return newError(http.StatusNotFound, noPeople)
	}
	return nil
}

// requireTasks returns an error if this server has no tasks.
func (a *API) requireTasks() error {
	if a.Tasks == nil {
		return newError(http.StatusServiceUnavailable, "This server is read-only and runs no tasks: use the server that manages the stores.")
	}
	return nil
}

// ownOrAdmin returns an error unless user is the caller or the caller is an admin. Only
// admins learn that a user does not exist.
func ownOrAdmin(ctx context.Context, user string) error {
	if c := callerOf(ctx); c.admin || c.ID != "" && c.ID == user {
		return nil
	}
	return errForbidden
}

// require returns an error unless the caller holds a scope for a store, or for everything
// if store is empty.
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
