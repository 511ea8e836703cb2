package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const accessTag = "access"

// person is who is logged in.
type person struct {
	ID   string `json:"id" doc:"Opaque."`
	Name string `json:"name" doc:"What they are called."`
}

// session is what the server knows of the caller.
type session struct {
	Mode    string          `json:"mode" enum:"none,local,central" doc:"none: there is no access control. local: users are known here. central: another server knows them."`
	User    *person         `json:"user" doc:"null for one who has not logged in."`
	Admin   bool            `json:"admin" doc:"May do everything."`
	Scopes  []account.Scope `json:"scopes" doc:"Held for everything. Those held for single stores are in the list of stores."`
	Token   bool            `json:"token" doc:"The caller has come with a token, and not by logging in."`
	OIDC    *string         `json:"oidc" doc:"Name of the OpenID Connect provider at which one can log in, by /api/v1/auth/oidc/start; null if there is none."`
	Central *string         `json:"central" doc:"Base URL of the server where to log in, in mode central."`
}

type sessionOutput struct {
	CacheControl string `header:"Cache-Control"`
	SetCookie    string `header:"Set-Cookie"`
	Body         session
}

type logOutOutput struct {
	CacheControl string `header:"Cache-Control"`
	SetCookie    string `header:"Set-Cookie"`
	Body         struct {
		Provider *string `json:"provider" doc:"Where a browser goes on to be logged out at the OpenID Connect provider, too; null if there is nothing to do, or the provider offers no such thing."`
	}
}

const (
	noPeople   = "This server knows no users: it has no access control, or another server knows them."
	notAllowed = "The caller may not do this."
	notLogged  = "The caller has not logged in."
)

func (a *API) sessions(h huma.API) {
	tags := []string{accessTag}
	register(h, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/api/v1/auth/session", Tags: tags,
		Summary: "Say who the caller is and what they may do",
	}, nil, a.getSession)
	register(h, huma.Operation{
		OperationID: "log-in", Method: http.MethodPost, Path: "/api/v1/auth/login", Tags: tags,
		Summary:     "Log in with name and password",
		Description: "The answer sets the cookie " + authz.CookieName + ", which scripts can't read. A session ends 12 hours after its last use, and 7 days after it began.",
	}, problems{401: "Wrong name or password.", 403: "The user is disabled; or a page of another origin has sent this.", 404: noPeople, 429: "Too many attempts: Retry-After says when the next one is allowed."}, a.logIn)
	register(h, huma.Operation{
		OperationID: "log-out", Method: http.MethodPost, Path: "/api/v1/auth/logout", Tags: tags,
		Summary:     "End the session",
		Description: "One that began at an OpenID Connect provider goes on there: provider is where a browser goes to end it, too.",
	}, problems{403: "A page of another origin has sent this.", 404: noPeople}, a.logOut)
	register(h, huma.Operation{
		OperationID: "make-first-admin", Method: http.MethodPost, Path: "/api/v1/auth/bootstrap", Tags: tags,
		Summary:     "Make the first admin, and log in",
		Description: "With the secret of the link that the server has printed. It is good once, and for 24 hours.",
	}, problems{401: "The link is unknown, used or expired, or there is an admin.", 403: "A page of another origin has sent this.", 404: noPeople, 409: "Another user has that name.", 429: "The server is busy with other passwords."}, a.bootstrap)
	register(h, huma.Operation{
		OperationID: "sign-image", Method: http.MethodPost, Path: imageRoute + "/sign", Tags: []string{"images"},
		Summary:     "Make a link by which an image can be seen without logging in",
		Description: "query is appended to the image's URLs, which then may be read: tiles and pictures, and with scope label what is patient data, too. It ends with the rights of who made it.",
	}, problems{401: notLogged, 403: notAllowed, 404: noPeople + " Or there is no such image."}, a.signImage)
}

// people refuses where no users are known.
func (a *API) people() error {
	if a.mode() != modeLocal {
		return newError(http.StatusNotFound, noPeople)
	}
	return nil
}

func (a *API) getSession(ctx context.Context, _ *struct{}) (*sessionOutput, error) {
	c := callerOf(ctx)
	if c.err != nil {
		return nil, a.failed(ctx, authz.Problem(c.err))
	}
	s, err := a.sightOf(ctx, nil)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &sessionOutput{CacheControl: "no-store", Body: session{Mode: a.mode(), Admin: c.admin, Token: c.Token != "", Scopes: []account.Scope{}}}
	switch {
	case a.Access == nil && c.admin:
		out.Body.Scopes = allScopes
	case a.Access == nil:
		out.Body.Scopes = allScopes[:2]
	case c.LoggedIn:
		out.Body.User = &person{c.ID, c.Name}
		if out.Body.Scopes, err = a.everywhere(ctx, c, s); err != nil {
			return nil, a.failed(ctx, err)
		}
	}
	if a.Access != nil {
		out.Body.Central = known(a.Access.Central)
		if a.Access.OIDC != nil {
			out.Body.OIDC = known(a.Access.OIDC.Label())
		}
	}
	return out, nil
}

// everywhere are the scopes that the caller holds for everything.
func (a *API) everywhere(ctx context.Context, c *caller, s *sight) ([]account.Scope, error) {
	list := []account.Scope{}
	for _, scope := range allScopes {
		ok, err := a.may(ctx, c, authz.Question{Scope: scope})
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, scope)
		}
	}
	return list, nil
}

type logInInput struct {
	Body struct {
		Name     string `json:"name" maxLength:"200" doc:"Upper and lower case are the same."`
		Password string `json:"password" maxLength:"1000" doc:"Of the user."`
	}
}

func (a *API) logIn(ctx context.Context, in *logInInput) (*sessionOutput, error) {
	if err := a.people(); err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	u, err := a.Access.Accounts.Authenticate(ctx, in.Body.Name, in.Body.Password, c.from)
	if err != nil {
		switch {
		case errors.Is(err, account.ErrWrongPassword): // the name is not recorded: it may be a password
			a.note(ctx, account.Event{Act: "login", Detail: "wrong name or password"})
		case errors.Is(err, account.ErrDisabled):
			a.note(ctx, account.Event{Act: "login", Detail: "the user is disabled"})
		}
		return nil, a.accountFailed(ctx, err)
	}
	return a.start(ctx, u, "login")
}

// start starts a session of a user who has proved who they are. One that the browser
// had ends.
func (a *API) start(ctx context.Context, u *account.User, act string) (*sessionOutput, error) {
	c := callerOf(ctx)
	if err := a.record(ctx, account.Event{User: u.ID, Act: act, Object: u.ID, Allowed: true}); err != nil {
		return nil, a.failed(ctx, err)
	}
	if err := a.endSession(ctx, c); err != nil {
		return nil, err
	}
	secret, s, err := a.Access.Accounts.StartSession(ctx, u.ID, c.from, c.agent)
	if err != nil {
		return nil, a.accountFailed(ctx, err)
	}
	fresh := &caller{cred: authz.Credential{Cookie: secret}, from: c.from, agent: c.agent, secure: c.secure}
	if fresh.Caller, err = a.Access.Gate.Identify(ctx, fresh.cred); err != nil {
		return nil, a.failed(ctx, authz.Problem(err))
	}
	if fresh.admin, err = a.may(ctx, fresh, authz.Question{Scope: mayAdmin}); err != nil {
		return nil, a.failed(ctx, err)
	}
	out, err := a.getSession(context.WithValue(ctx, callerKey{}, fresh), nil)
	if err != nil {
		return nil, err
	}
	out.SetCookie = sessionCookie(secret, s.ExpiresAt, c.secure)
	return out, nil
}

// endSession ends the session that the caller's browser has, if any.
func (a *API) endSession(ctx context.Context, c *caller) error {
	_, old, err := a.Access.Accounts.UseSession(ctx, c.cookie)
	if err == nil {
		err = a.Access.Accounts.EndSession(ctx, old.ID)
	}
	if err != nil && !errors.Is(err, account.ErrBadSecret) && !errors.Is(err, account.ErrNotFound) {
		return a.accountFailed(ctx, err)
	}
	return nil
}

// sessionCookie is the cookie of a session; without a secret it removes it.
func sessionCookie(secret string, expires time.Time, secure bool) string {
	c := http.Cookie{
		Name: authz.CookieName, Value: secret, Path: "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	return c.String()
}

func (a *API) logOut(ctx context.Context, _ *struct{}) (*logOutOutput, error) {
	if err := a.people(); err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	out := &logOutOutput{CacheControl: "no-store", SetCookie: sessionCookie("", time.Time{}, c.secure)}
	u, s, err := a.Access.Accounts.UseSession(ctx, c.cookie)
	if err == nil {
		hint, _ := a.Access.Accounts.SessionHint(ctx, c.cookie) // without it only the session here ends
		if a.Access.OIDC != nil {
			out.Body.Provider = known(a.Access.OIDC.LogOutURL(ctx, hint))
		}
		if err = a.Access.Accounts.EndSession(ctx, s.ID); err == nil {
			a.note(ctx, account.Event{User: u.ID, Act: "logout", Object: u.ID, Allowed: true})
		}
	}
	if err != nil && !errors.Is(err, account.ErrBadSecret) && !errors.Is(err, account.ErrNotFound) {
		return nil, a.accountFailed(ctx, err)
	}
	return out, nil
}

type bootstrapInput struct {
	Body struct {
		Secret   string `json:"secret" maxLength:"200" doc:"Of the link."`
		Name     string `json:"name" maxLength:"200" doc:"What the admin logs in with."`
		Password string `json:"password" maxLength:"1000" doc:"At least 12 characters."`
	}
}

func (a *API) bootstrap(ctx context.Context, in *bootstrapInput) (*sessionOutput, error) {
	if err := a.people(); err != nil {
		return nil, err
	}
	u, err := a.Access.Accounts.ClaimBootstrap(ctx, in.Body.Secret, in.Body.Name, in.Body.Password)
	if err != nil {
		return nil, a.accountFailed(ctx, err)
	}
	return a.start(ctx, u, "bootstrap")
}

type signInput struct {
	Image string `path:"image" doc:"Id of the image."`
	Body  struct {
		Scope   string `json:"scope,omitempty" enum:"tiles,label" doc:"tiles if absent."`
		Seconds int    `json:"seconds,omitempty" minimum:"60" maximum:"86400" doc:"For how long; an hour if absent."`
	}
}

type signOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Query     string    `json:"query" doc:"To be appended to URLs of the image, behind ? or &."`
		ExpiresAt time.Time `json:"expires_at" doc:"When it ends."`
	}
}

func (a *API) signImage(ctx context.Context, in *signInput) (*signOutput, error) {
	c := callerOf(ctx)
	if a.Access == nil || a.Access.Keys == nil || c.ID == "" {
		return nil, newError(http.StatusNotFound, noPeople)
	}
	if c.Token != "" { // a link would go on when the token has ended
		return nil, a.failed(ctx, errPassword)
	}
	im, err := a.Catalog.Image(ctx, in.Image)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	scope := account.Scope(in.Body.Scope)
	if scope == "" {
		scope = seeTiles
	}
	if scope == seeLabel {
		if err := a.mayLabel(ctx, c, im); err != nil {
			return nil, err
		}
	}
	if in.Body.Seconds == 0 {
		in.Body.Seconds = 3600
	}
	now := time.Now()
	out := &signOutput{CacheControl: "no-store"}
	out.Body.ExpiresAt = now.Add(time.Duration(in.Body.Seconds) * time.Second).UTC().Truncate(time.Second)
	query, err := a.Access.Keys.SignURL(authz.Link{Image: im.ID, Scope: scope, User: c.ID, Issued: now, Expires: out.Body.ExpiresAt})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out.Body.Query = query.Encode()
	return out, nil
}

func (a *API) mayLabel(ctx context.Context, c *caller, im *catalog.Image) error {
	s, err := a.Catalog.Store(ctx, im.StoreID)
	if err != nil {
		return a.failed(ctx, err)
	}
	ok, err := a.may(ctx, c, question(im, labelScope(s.HideLabels)))
	if err == nil && !ok {
		err = errForbidden
	}
	if err != nil {
		return a.failed(ctx, err)
	}
	if s.HideLabels { // for admins, which nobody is by a link
		return newError(http.StatusForbidden, "The store of this slide hides labels: no link shows them. Sign one for tiles.")
	}
	return nil
}

// accountFailed turns an error of the accounts into an answer.
func (a *API) accountFailed(ctx context.Context, err error) error {
	limit, limited := errors.AsType[*account.LimitError](err)
	switch {
	case limited:
		h := http.Header{"Retry-After": {strconv.Itoa(int(limit.Wait.Round(time.Second).Seconds()))}}
		return huma.ErrorWithHeaders(newError(http.StatusTooManyRequests, "Too many attempts. Retry-After says when the next one is allowed."), h)
	case errors.Is(err, account.ErrTooMany):
		return huma.ErrorWithHeaders(newError(http.StatusTooManyRequests, "Too many passwords at once. Try again."), http.Header{"Retry-After": {"1"}})
	case errors.Is(err, account.ErrWrongPassword):
		return newError(http.StatusUnauthorized, "Wrong name or password.")
	case errors.Is(err, account.ErrBadSecret):
		return newError(http.StatusUnauthorized, "The link is unknown, used or expired, or there is an admin already.")
	case errors.Is(err, account.ErrDisabled):
		return newError(http.StatusForbidden, "This user is disabled. Ask an admin.")
	case errors.Is(err, account.ErrNotFound):
		return newError(http.StatusNotFound, "There is nothing of that id here.")
	case errors.Is(err, account.ErrConflict):
		return newError(http.StatusConflict, "Another has that name.")
	case errors.Is(err, account.ErrLastAdmin):
		return newError(http.StatusConflict, "Nobody would be left who is an admin: make another one first.")
	case errors.Is(err, account.ErrInvalid):
		return invalid(errors.New(words(err, account.ErrInvalid)))
	case errors.Is(err, account.ErrBadCursor):
		return newError(http.StatusBadRequest, "The cursor is not one of this list: begin again without it.")
	}
	return a.failed(ctx, err)
}
