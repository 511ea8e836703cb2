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

// oidcAPI are the routes for login at an OpenID Connect provider.
type oidcAPI struct{ *API }

const (
	oidcStart = "/api/v1/auth/oidc/start"
	// OIDCCallback is the path to which an OpenID Connect provider redirects people.
	OIDCCallback = "/api/v1/auth/oidc/callback"
)

var errNoProvider = &httperr.Error{Status: http.StatusNotFound, Detail: "No OpenID Connect provider is set up here: log in with name and password."}

// routes returns the routes for login at an OpenID Connect provider.
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
	const none, notAtAll, away = "No provider is configured.", "The provider's response can't be used: the configuration here or at the provider is wrong.", "The provider or the database does not answer. Retry-After says when to try again."
	return []route{
		{path: oidcStart, handle: loginErrorPage(a.start), op: op(
			"start-oidc", "Log in at the OpenID Connect provider", "For browsers: link to this URL. A cookie identifies the browser for 15 minutes. Clients that accept text/html get errors as pages.", "The provider's login page.",
			map[string]string{"404": none, "502": notAtAll, "503": away},
			textParam("query", "next", "Path of the page of this server to continue at; / if absent, or if it is not on this server."),
		)},
		{path: OIDCCallback, handle: loginErrorPage(a.finish), op: op(
			"finish-oidc", "Complete a login at the OpenID Connect provider", "The provider redirects browsers here. The response sets the session cookie and updates the user's memberships of groups whose external name the provider lists. If the provider has identified a user who may not log in, the user's sessions, tokens and memberships that came from the provider end. Clients that accept text/html get errors as pages.", "The page to continue at.",
			map[string]string{"400": "This browser has started no login, or the response was used already: start again.", "403": "The provider refused the login, the user is disabled, or belongs to none of the groups that may log in.", "404": none, "502": notAtAll, "503": away},
			textParam("query", "code", "Authorization code of the provider."), textParam("query", "state", "State of the login."), textParam("query", "error", "Why the provider refused the login."),
			textParam("query", "iss", "Issuer, from providers that send it."),
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
	if err := sessionAPI(a).endCurrent(ctx, c); err != nil {
		return a.plain(ctx, err)
	}
	w.Header().Add("Set-Cookie", sessionCookie(l.Secret, l.Session.ExpiresAt, c.secure))
	http.Redirect(w, r, l.Next, http.StatusSeeOther)
	return nil
}

// endDenied ends the session of a browser whose login the provider has denied. The
// provider does not name the person, so only the browser that began the login is
// affected, and only if its user is one of the provider's.
func (a oidcAPI) endDenied(w http.ResponseWriter, r *http.Request) error {
	ctx := context.WithoutCancel(r.Context()) // also if the client disconnects: the session must end
	c := callerOf(ctx)
	u, s, err := a.Access.Accounts.Sessions.Use(ctx, c.cookie)
	if err == nil && u.Issuer != a.Access.OIDC.Issuer() {
		return nil
	}
	if err == nil {
		err = a.Access.Accounts.Sessions.End(ctx, s.ID)
	}
	switch {
	case errors.Is(err, account.ErrBadSecret), errors.Is(err, account.ErrNotFound):
		return nil
	case err != nil:
		return a.plain(ctx, a.accountFailed(ctx, err))
	}
	a.note(ctx, account.Event{User: u.ID, Act: "logout", Object: u.ID, Allowed: true, Detail: "OpenID Connect: the provider denied another login of this browser"})
	w.Header().Add("Set-Cookie", sessionCookie("", time.Time{}, c.secure))
	return nil
}
