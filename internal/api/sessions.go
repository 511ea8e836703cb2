package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
)

// sessionAPI are the operations on sessions: login, logout and lists.
type sessionAPI struct{ *API }

const accessTag = "access"

// person is the logged-in user.
type person struct {
	ID   string `json:"id" doc:"Opaque."`
	Name string `json:"name" doc:"Display name."`
}

// session is the caller as the server sees it.
type session struct {
	Mode          string          `json:"mode" enum:"none,local,central" doc:"none: no access control. local: this server manages the users. central: another server manages them."`
	User          *person         `json:"user" doc:"null without a login."`
	Admin         bool            `json:"admin" doc:"Whether the caller is an admin of everything."`
	Scopes        []account.Scope `json:"scopes" doc:"Scopes held for everything. The list of stores has those held for single stores."`
	Token         bool            `json:"token" doc:"Whether the caller used an API token instead of a session."`
	OIDC          *string         `json:"oidc" doc:"Name of the OpenID Connect provider; the login starts at /api/v1/auth/oidc/start. null if none is configured."`
	CorrectColors bool            `json:"correct_colors" doc:"Whether the viewer corrects colours with the profiles of slides unless a user switches that off."`
	Sharing       bool            `json:"sharing" doc:"Whether the caller may create share links."`
	FrameOrigins  []string        `json:"frame_origins" doc:"Origins of other sites whose pages may show the viewer in a frame, and exchange messages with it."`
	Central       *string         `json:"central" doc:"Base URL of the central server, where users log in; null in other modes."`
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
		Provider *string `json:"provider" doc:"URL that logs the user out at the OpenID Connect provider, too; null if this is not needed or not supported by the provider."`
	}
}

const (
	noPeople   = "This server manages no users: it has no access control, or a central server manages them."
	notAllowed = "The caller may not do this."
	notLogged  = "The caller has not logged in."
)

func (a sessionAPI) register(h huma.API) {
	tags := []string{accessTag}
	register(h, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/api/v1/auth/session", Tags: tags,
		Summary: "Get the caller's identity and permissions",
	}, nil, a.get)
	register(h, huma.Operation{
		OperationID: "log-in", Method: http.MethodPost, Path: "/api/v1/auth/login", Tags: tags,
		Summary:     "Log in with name and password",
		Description: "The answer sets the cookie " + authz.CookieName + ", which scripts can't read. A session ends 12 hours after its last use, and 7 days after it began.",
	}, problems{401: "Wrong name or password.", 403: "The user is disabled; or a page of another origin has sent this.", 404: noPeople, 429: "Too many attempts: Retry-After says when the next one is allowed."}, a.logIn)
	register(h, huma.Operation{
		OperationID: "log-out", Method: http.MethodPost, Path: "/api/v1/auth/logout", Tags: tags,
		Summary:     "End the session",
		Description: "A session at an OpenID Connect provider continues: provider is the URL at which a browser ends it.",
	}, problems{403: "A page of another origin has sent this.", 404: noPeople}, a.logOut)
	register(h, huma.Operation{
		OperationID: "make-first-admin", Method: http.MethodPost, Path: "/api/v1/auth/bootstrap", Tags: tags,
		Summary:     "Create the first admin, and log in",
		Description: "With the secret of the link that the server has printed. The link works once and for 24 hours.",
	}, problems{401: "The link is unknown, used or expired, or an admin exists already.", 403: "A page of another origin has sent this.", 404: noPeople, 409: "Another user has that name.", 429: "The server is busy with other passwords."}, a.bootstrap)
}

func (a sessionAPI) get(ctx context.Context, _ *struct{}) (*sessionOutput, error) {
	c := callerOf(ctx)
	if c.err != nil {
		return nil, a.failed(ctx, authz.Problem(c.err))
	}
	s, err := a.visibilityOf(ctx, nil)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &sessionOutput{CacheControl: "no-store", Body: session{Mode: a.mode(), Admin: c.admin, Token: c.Token != "", Scopes: []account.Scope{}, CorrectColors: a.CorrectColors, FrameOrigins: append([]string{}, a.FrameAncestors...)}}
	switch {
	case a.Access == nil && c.admin:
		out.Body.Scopes = allScopes
	case a.Access == nil:
		out.Body.Scopes = allScopes[:2]
	case c.LoggedIn:
		out.Body.User = &person{c.ID, c.Name}
		out.Body.Sharing = a.mode() == modeLocal && c.Token == "" && !a.Access.NoSharing
		if out.Body.Scopes, err = a.globalScopes(ctx, c, s); err != nil {
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

// globalScopes returns the scopes that the caller holds for everything.
func (a sessionAPI) globalScopes(ctx context.Context, c *caller, s *visibility) ([]account.Scope, error) {
	list := []account.Scope{}
	for _, scope := range allScopes {
		ok, err := a.may(ctx, c, authz.Request{Scope: scope})
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
		Name     string `json:"name" maxLength:"200" doc:"Not case-sensitive."`
		Password string `json:"password" maxLength:"1000" doc:"Password of the user."`
	}
}

func (a sessionAPI) logIn(ctx context.Context, in *logInInput) (*sessionOutput, error) {
	if err := a.requireAccounts(); err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	u, err := a.Access.Accounts.Logins.ByPassword(ctx, in.Body.Name, in.Body.Password, c.from)
	if err != nil {
		a.noteRefused(ctx, u, err)
		return nil, a.accountFailed(ctx, err)
	}
	return a.start(ctx, u, "login")
}

// noteRefused records a refused login, with the user of that name as its object. A name
// that no user has is not recorded: it may be a password.
func (a sessionAPI) noteRefused(ctx context.Context, u *account.User, err error) {
	e := account.Event{Act: "login"}
	switch {
	case errors.Is(err, account.ErrDisabled):
		e.Detail = "the user is disabled"
	case !errors.Is(err, account.ErrWrongPassword):
		return
	case u == nil:
		e.Detail = "unknown name"
	default:
		e.Detail = "wrong password"
	}
	if u != nil {
		e.Object = u.ID
	}
	a.note(ctx, e)
}

// start starts a session of a user who has logged in, and ends the browser's previous
// one.
func (a sessionAPI) start(ctx context.Context, u *account.User, act string) (*sessionOutput, error) {
	c := callerOf(ctx)
	if err := a.record(ctx, account.Event{User: u.ID, Act: act, Object: u.ID, Allowed: true}); err != nil {
		return nil, a.failed(ctx, err)
	}
	if err := a.endCurrent(ctx, c); err != nil {
		return nil, err
	}
	secret, s, err := a.Access.Accounts.Sessions.Start(ctx, u.ID, c.from, c.agent)
	if err != nil {
		return nil, a.accountFailed(ctx, err)
	}
	fresh := &caller{cred: authz.Credential{Cookie: secret}, from: c.from, agent: c.agent, secure: c.secure}
	if fresh.Caller, err = a.Access.Gate.Identify(ctx, fresh.cred); err != nil {
		return nil, a.failed(ctx, authz.Problem(err))
	}
	if fresh.admin, err = a.may(ctx, fresh, authz.Request{Scope: mayAdmin}); err != nil {
		return nil, a.failed(ctx, err)
	}
	out, err := a.get(context.WithValue(ctx, callerKey{}, fresh), nil)
	if err != nil {
		return nil, err
	}
	out.SetCookie = sessionCookie(secret, s.ExpiresAt, c.secure)
	return out, nil
}

// endCurrent ends the session of the caller's browser, if any.
func (a sessionAPI) endCurrent(ctx context.Context, c *caller) error {
	_, old, err := a.Access.Accounts.Sessions.Use(ctx, c.cookie)
	if err == nil {
		err = a.Access.Accounts.Sessions.End(ctx, old.ID)
	}
	if err != nil && !errors.Is(err, account.ErrBadSecret) && !errors.Is(err, account.ErrNotFound) {
		return a.accountFailed(ctx, err)
	}
	return nil
}

// sessionCookie returns the cookie of a session; without a secret it deletes the cookie.
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

func (a sessionAPI) logOut(ctx context.Context, _ *struct{}) (*logOutOutput, error) {
	if err := a.requireAccounts(); err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	out := &logOutOutput{CacheControl: "no-store", SetCookie: sessionCookie("", time.Time{}, c.secure)}
	u, s, err := a.Access.Accounts.Sessions.Use(ctx, c.cookie)
	if err == nil {
		hint, _ := a.Access.Accounts.Sessions.Hint(ctx, c.cookie) // without a hint only the session here ends
		if a.Access.OIDC != nil {
			out.Body.Provider = known(a.Access.OIDC.LogOutURL(ctx, hint))
		}
		if err = a.Access.Accounts.Sessions.End(ctx, s.ID); err == nil {
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
		Secret   string `json:"secret" maxLength:"200" doc:"Secret of the link."`
		Name     string `json:"name" maxLength:"200" doc:"Login name of the admin."`
		Password string `json:"password" maxLength:"1000" doc:"At least 12 characters."`
	}
}

func (a sessionAPI) bootstrap(ctx context.Context, in *bootstrapInput) (*sessionOutput, error) {
	if err := a.requireAccounts(); err != nil {
		return nil, err
	}
	u, err := a.Access.Accounts.Bootstrap.Claim(ctx, in.Body.Secret, in.Body.Name, in.Body.Password)
	if err != nil {
		return nil, a.accountFailed(ctx, err)
	}
	return a.start(ctx, u, "bootstrap")
}

// userSession is a session as its user sees it.
type userSession struct {
	ID        string    `json:"id" doc:"Opaque; not a secret."`
	Address   string    `json:"address" doc:"IP address at the login."`
	Agent     string    `json:"agent" doc:"User-Agent of the browser."`
	CreatedAt time.Time `json:"created_at" doc:"Time of the login."`
	SeenAt    time.Time `json:"seen_at" doc:"Last use, to the minute."`
	ExpiresAt time.Time `json:"expires_at" doc:"When it expires at the latest."`
	Current   bool      `json:"current" doc:"Whether this is the session of the request."`
}

func (a sessionAPI) list(ctx context.Context, in *userPath) (*list[userSession], error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	if _, err := a.Access.Accounts.Users.Get(ctx, in.User); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Sessions.List(ctx, in.User)
	if err != nil {
		return nil, err
	}
	items := []userSession{}
	for _, s := range found {
		items = append(items, userSession{s.ID, s.Address, s.Agent, s.CreatedAt, s.SeenAt, s.ExpiresAt, s.ID == callerOf(ctx).Session})
	}
	return listOf(items, ""), nil
}

func (a sessionAPI) endAll(ctx context.Context, in *userPath) (*struct{}, error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	return nil, a.Access.Accounts.Sessions.EndAll(ctx, in.User)
}

type sessionPath struct {
	User    string `path:"user" doc:"Id of the user."`
	Session string `path:"session" doc:"Id of the session."`
}

func (a sessionAPI) end(ctx context.Context, in *sessionPath) (*struct{}, error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Sessions.List(ctx, in.User)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(found, func(s account.Session) bool { return s.ID == in.Session }) {
		return nil, account.ErrNotFound // the same as for another user's session
	}
	return nil, a.Access.Accounts.Sessions.End(ctx, in.Session)
}
