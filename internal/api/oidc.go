package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/oidc"
)

// oidcAPI are the routes of logging in at an OpenID Connect provider.
type oidcAPI struct{ *API }

const (
	oidcStart = "/api/v1/auth/oidc/start"
	// OIDCCallback is where an OpenID Connect provider sends people back to.
	OIDCCallback = "/api/v1/auth/oidc/callback"
)

var errNoProvider = &httperr.Error{Status: http.StatusNotFound, Detail: "No OpenID Connect provider is set up here: log in with name and password."}

// routes are the routes of logging in at an OpenID Connect provider.
func (a oidcAPI) routes() []route {
	op := func(id, summary, description, found string, problems map[string]string, params ...*huma.Param) huma.Operation {
		op := huma.Operation{
			OperationID: id, Summary: summary, Description: description, Tags: []string{accessTag}, Parameters: params,
			Responses: map[string]*huma.Response{"303": {Description: found}},
		}
		for status, text := range problems {
			op.Responses[status] = problemAnswer(text)
			op.Responses[status].Content["text/html"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		}
		return op
	}
	const none, notAtAll, away = "There is no provider here.", "The provider's answer can't be used: something is not set up rightly, here or there.", "The provider or the database does not answer. Retry-After says when to try again."
	return []route{
		{path: oidcStart, handle: signInPage(a.start), op: op(
			"start-oidc", "Log in at the OpenID Connect provider", "For browsers: a link leads here. A cookie says for 15 minutes which browser has begun. Errors are pages for who accepts text/html.", "The provider's page.",
			map[string]string{"404": none, "502": notAtAll, "503": away},
			textParam("query", "next", "Path of the page of this server where to go on; / if absent, or if it is elsewhere."),
		)},
		{path: OIDCCallback, handle: signInPage(a.finish), op: op(
			"finish-oidc", "Come back from the OpenID Connect provider", "The provider sends browsers here. The answer sets the cookie of a session; groups whose external name is in the provider's list then have the user as a member. If the provider has identified a user who may not log in, their sessions, tokens and memberships from there end. Errors are pages for who accepts text/html.", "The page where to go on.",
			map[string]string{"400": "This browser has begun no log-in that could go on, or the answer was used already: begin again.", "403": "The provider has not let the person in, the user is disabled, or is in none of the groups that may log in.", "404": none, "502": notAtAll, "503": away},
			textParam("query", "code", "Of the provider."), textParam("query", "state", "Of the log-in."), textParam("query", "error", "Why the provider refuses."),
			textParam("query", "iss", "Issuer, of providers that tell."),
		)},
	}
}

func (a oidcAPI) start(w http.ResponseWriter, r *http.Request) error {
	if a.mode() != modeLocal || a.Access.OIDC == nil {
		return errNoProvider
	}
	return a.Access.OIDC.Start(w, r)
}

func (a oidcAPI) finish(w http.ResponseWriter, r *http.Request) error {
	if a.mode() != modeLocal || a.Access.OIDC == nil {
		return errNoProvider
	}
	ctx, c := r.Context(), callerOf(r.Context())
	l, err := a.Access.OIDC.Callback(w, r)
	if errors.Is(err, oidc.ErrDenied) {
		if failed := a.endDenied(w, r); failed != nil {
			err = failed
		}
	}
	if err != nil {
		return err
	}
	if err := (sessionAPI{a.API}).endCurrent(ctx, c); err != nil {
		return a.plain(ctx, err)
	}
	w.Header().Add("Set-Cookie", sessionCookie(l.Secret, l.Session.ExpiresAt, c.secure))
	http.Redirect(w, r, l.Next, http.StatusSeeOther)
	return nil
}

// endDenied ends the session of a browser whose log-in the provider has denied. The
// provider does not say whom it means, so only the browser that has begun the log-in is
// affected, and only if its user is one of the provider's.
func (a oidcAPI) endDenied(w http.ResponseWriter, r *http.Request) error {
	ctx := context.WithoutCancel(r.Context()) // closing the browser must not keep it alive
	c := callerOf(ctx)
	u, s, err := a.Access.Accounts.UseSession(ctx, c.cookie)
	if err == nil && u.Issuer != a.Access.OIDC.Issuer() {
		return nil
	}
	if err == nil {
		err = a.Access.Accounts.EndSession(ctx, s.ID)
	}
	switch {
	case errors.Is(err, account.ErrBadSecret), errors.Is(err, account.ErrNotFound):
		return nil
	case err != nil:
		return a.plain(ctx, a.accountFailed(ctx, err))
	}
	a.note(ctx, account.Event{User: u.ID, Act: "logout", Object: u.ID, Allowed: true, Detail: "OpenID Connect: the provider denied another log-in of this browser"})
	w.Header().Add("Set-Cookie", sessionCookie("", time.Time{}, c.secure))
	return nil
}
