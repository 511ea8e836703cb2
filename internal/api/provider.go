package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/web"
)

const (
	oidcRoute = "/api/v1/auth/oidc"
	// OIDCCallback is where an OpenID Connect provider sends people back to.
	OIDCCallback = oidcRoute + "/callback"
)

// provider are the routes of logging in at an OpenID Connect provider.
func (a *API) provider() []route {
	op := func(id, summary, description string, params ...*huma.Param) huma.Operation {
		op := huma.Operation{
			OperationID: id, Summary: summary, Description: description, Tags: []string{accessTag}, Parameters: params,
			Responses: map[string]*huma.Response{"303": {Description: "The page to go to."}},
		}
		for status, text := range map[string]string{
			"401": "The provider vouches for nobody, or this browser has not begun to log in.", "403": "The user may not come in.",
			"404": "There is no provider here.", "503": "The provider does not answer.",
		} {
			op.Responses[status] = problemAnswer(text)
		}
		return op
	}
	return []route{
		{path: oidcRoute + "/start", handle: a.startOIDC, op: op("start-oidc", "Log in at the OpenID Connect provider", "For browsers.", textParam("query", "next", "Path of the page to come back to."))},
		{path: OIDCCallback, handle: a.finishOIDC, op: op("finish-oidc", "Come back from the OpenID Connect provider", "Sets the cookie of the session. Groups whose external name the provider tells have the user as a member.",
			textParam("query", "code", "Of the provider."), textParam("query", "state", "Of the log-in."))},
	}
}

var errNoProvider = &web.Error{Status: http.StatusNotFound, Detail: "This server has no OpenID Connect provider: log in with name and password."}

func (a *API) startOIDC(w http.ResponseWriter, r *http.Request) error {
	if a.mode() != modeLocal || a.Access.OIDC == nil {
		return errNoProvider
	}
	return a.Access.OIDC.Start(w, r)
}

func (a *API) finishOIDC(w http.ResponseWriter, r *http.Request) error {
	if a.mode() != modeLocal || a.Access.OIDC == nil {
		return errNoProvider
	}
	c := callerOf(r.Context())
	in, err := a.Access.OIDC.Callback(w, r)
	if err != nil {
		return err
	}
	if err := a.endSession(r.Context(), c); err != nil {
		return a.plain(r.Context(), err)
	}
	w.Header().Add("Set-Cookie", sessionCookie(in.Secret, in.Session.ExpiresAt, c.secure))
	w.Header().Set("Location", in.Next)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
