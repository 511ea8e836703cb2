package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// ErrDenied: the provider did not log the person in, or the person cancelled. The
// provider does not say who the person is.
var ErrDenied = errors.New("the provider denied access")

// act is the audit log's name for a login.
const act = "login"

// A Login is a successful login.
type Login struct {
	User    *account.User
	Session *account.Session
	Secret  string // of the session, for the cookie
	Next    string // path of this server to redirect to
}

// Start redirects the browser to the provider. The query parameter next is the path of
// the page to show after the login; anything but a path of this server is ignored. An
// error is a [*httperr.Error]; Start has not written anything then.
func (c *Client) Start(w http.ResponseWriter, r *http.Request) error {
	p, err := c.ready(r.Context())
	if err != nil {
		return err
	}
	at := newAttempt(r.URL.Query().Get("next"), c.o.Now())
	sealed, err := c.seal(r.Context(), at)
	if err != nil {
		return databaseAway(err)
	}
	c.setCookie(w, sealed)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, c.config(p).AuthCodeURL(at.State, oidc.Nonce(at.Nonce), oauth2.S256ChallengeOption(at.Verifier)), http.StatusSeeOther)
	return nil
}

// Callback completes a login with the parameters of the provider's redirect, and starts a
// session. It sets headers but writes no response: the caller sets the session cookie and
// redirects the browser to Next. An error is a [*httperr.Error]. Callback records success
// and failure in the audit log.
func (c *Client) Callback(w http.ResponseWriter, r *http.Request) (*Login, error) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the URL contains the code
	c.setCookie(w, "")                               // valid for one attempt
	login, err := c.callback(r)
	if err == nil {
		return login, nil
	}
	e, ok := errors.AsType[*httperr.Error](err)
	if !ok {
		e = databaseAway(err)
	}
	logged := *e // e may be shared
	logged.Logged = true
	return nil, c.refused(r, &logged)
}

func (c *Client) callback(r *http.Request) (*Login, error) {
	ctx := oidc.ClientContext(r.Context(), c.http)
	at, err := c.open(ctx, r)
	if err != nil && !errors.Is(err, errNoAttempt) {
		return nil, err
	}
	q := r.URL.Query()
	if err != nil || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(at.State)) != 1 {
		return nil, c.again("This login was started in another window or browser, under another address, or more than 15 minutes ago.", err)
	}
	if iss := q.Get("iss"); iss != "" && iss != c.o.Issuer { // RFC 9207
		return nil, c.again("This answer is not from "+c.o.Label+".", nil)
	}
	if word := q.Get("error"); word != "" {
		return nil, c.denied(word)
	}
	code := q.Get("code")
	if code == "" {
		return nil, c.again("The answer of "+c.o.Label+" is incomplete: it has no code.", nil)
	}
	p, err := c.find(ctx)
	if err != nil {
		return nil, err
	}
	token, err := c.config(p).Exchange(ctx, code, oauth2.VerifierOption(at.Verifier))
	if err != nil {
		return nil, c.notExchanged(err)
	}
	id, err := c.verify(ctx, p, token, at)
	if err != nil {
		return nil, err
	}
	who, err := c.person(ctx, p, id, token)
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	return c.admit(r, who, at, hintOf(raw))
}

// verify returns the ID token if it was issued by the provider, for this server and this
// login, and has not expired.
func (c *Client) verify(ctx context.Context, p *oidc.Provider, token *oauth2.Token, at attempt) (*oidc.IDToken, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, c.unusable("the id token", errors.New("it is missing: check that the client may use the scope openid"))
	}
	id, err := p.Verifier(&oidc.Config{
		ClientID:        c.o.ClientID,
		SkipExpiryCheck: true, // see checkTimes, whose errors have the time of this server
	}).Verify(ctx, raw)
	switch {
	case err != nil && strings.Contains(err.Error(), "fetching keys"): // go-oidc has no typed error for it
		return nil, c.away(err)
	case err != nil:
		return nil, c.unusable("the id token", err)
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(at.Nonce)) != 1:
		return nil, c.unusable("the id token", errors.New("its nonce does not match this login"))
	case id.Subject == "" || len(id.Subject) > 255:
		return nil, c.unusable("the id token", errors.New("its subject is empty or longer than 255 bytes"))
	}
	if err := checkTimes(id, c.o.Now()); err != nil {
		return nil, c.unusable("the id token", err)
	}
	azp, err := authorized(id)
	switch { // OpenID Connect Core, section 3.1.3.7
	case err != nil:
		return nil, c.unusable("the id token", err)
	case azp != "" && azp != c.o.ClientID, azp == "" && len(id.Audience) > 1:
		return nil, c.unusable("the id token", fmt.Errorf("it was made for the client %q", azp))
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, c.unusable("the access token", err)
		}
	}
	return id, nil
}

// checkTimes checks that an ID token is valid now, with some tolerance for the clocks.
func checkTimes(id *oidc.IDToken, now time.Time) error {
	var claims struct {
		NotBefore float64 `json:"nbf"` // seconds since 1970; 0 if absent
	}
	if err := id.Claims(&claims); err != nil {
		return err
	}
	clock := now.UTC().Format(time.RFC3339)
	if now.After(id.Expiry.Add(skew)) {
		return fmt.Errorf("it expired at %s, and the clock of this server says %s: check the clocks of both", id.Expiry.UTC().Format(time.RFC3339), clock)
	}
	if begin := time.UnixMilli(int64(claims.NotBefore * 1000)); now.Add(earliest).Before(begin) {
		return fmt.Errorf("it is not valid before %s (nbf), and the clock of this server says %s: check the clocks of both", begin.UTC().Format(time.RFC3339), clock)
	}
	return nil
}

// A refusal is the error for a person whom the provider has identified with a verified
// token.
type refusal struct {
	error
	subject string
	user    string // id, if only this login is refused; else earlier sessions and tokens end too
}

func (r *refusal) Unwrap() error { return r.error }

// admit creates or updates the person's user and starts a session, storing hint with it.
func (c *Client) admit(r *http.Request, who *person, at attempt, hint string) (*Login, error) {
	ctx := r.Context()
	if len(c.o.AllowGroups) > 0 && !slices.ContainsFunc(who.groups, func(g string) bool { return slices.Contains(c.o.AllowGroups, g) }) {
		return nil, &httperr.Error{
			Status: http.StatusForbidden, Err: &refusal{error: errors.New("not in a group that may log in"), subject: who.subject},
			Detail: c.o.Label + " knows you, but you are not in a group that may log in here. Ask an admin of this server.",
		}
	}
	u, err := c.o.Accounts.Logins.ByOIDC(ctx, c.o.Issuer, who.subject, who.name, who.displayName)
	disabled := errors.Is(err, account.ErrDisabled)
	if err != nil && !disabled {
		return nil, err
	}
	// Also for a disabled user: a membership that has ended at the provider must not
	// become effective again when the user is enabled.
	if err := c.o.Accounts.Groups.SetOIDC(ctx, u.ID, who.groups); err != nil {
		return nil, err
	}
	if disabled {
		return nil, errDisabled(&refusal{error: err, subject: who.subject, user: u.ID})
	}
	from := c.o.Proxies.Address(r)
	// A login that cannot be recorded is refused.
	if err := c.o.Accounts.Audit.Record(ctx, account.Event{User: u.ID, Act: act, Object: u.ID, From: from, Allowed: true, Detail: "OpenID Connect"}); err != nil {
		return nil, err
	}
	secret, s, err := c.o.Accounts.Sessions.Start(ctx, u.ID, from, r.UserAgent())
	switch {
	case errors.Is(err, account.ErrDisabled): // in the meantime
		return nil, errDisabled(&refusal{error: err, subject: who.subject, user: u.ID})
	case err != nil:
		return nil, err
	}
	if err := c.o.Accounts.Sessions.SetHint(ctx, secret, hint); err != nil {
		return nil, err
	}
	return &Login{User: u, Session: s, Secret: secret, Next: at.Next}, nil
}

// refused records a failed login in the audit log, and ends earlier sessions and tokens
// of a person who may not log in any more. It returns the response. The error in e
// contains no names, secrets or text from the client.
func (c *Client) refused(r *http.Request, e *httperr.Error) *httperr.Error {
	ctx := context.WithoutCancel(r.Context()) // also if the client disconnects: the session must end
	why := "failed"
	switch {
	case errors.Is(e, account.ErrDisabled):
		why = "the user is disabled"
	case e.Status == http.StatusForbidden && e.Err != nil:
		why = e.Err.Error()
	case e.Status == http.StatusBadRequest:
		why = "state, code or time were not right"
	case e.Status == http.StatusServiceUnavailable:
		why = "the provider or the database did not answer"
	case e.Status == http.StatusBadGateway:
		why = "the provider's answer could not be used"
	}
	c.o.Log.WarnContext(ctx, "OpenID Connect login failed", "request", httperr.RequestID(ctx), "why", why, "err", e.Err)
	event := account.Event{Act: act, From: c.o.Proxies.Address(r), Detail: "OpenID Connect: " + why}
	named, ok := errors.AsType[*refusal](e)
	if ok && named.user == "" {
		if err := c.o.Accounts.Logins.RefuseOIDC(ctx, c.o.Issuer, named.subject, event); err != nil {
			c.o.Log.ErrorContext(ctx, "cannot end the sessions and tokens of a refused user: disable the user", "request", httperr.RequestID(ctx), "err", err)
			return databaseAway(err)
		}
		return e
	}
	if ok {
		event.User, event.Object = named.user, named.user
	}
	if err := c.o.Accounts.Audit.Record(ctx, event); err != nil {
		c.o.Log.ErrorContext(ctx, "cannot write the audit log", "request", httperr.RequestID(ctx), "act", act, "err", err)
	}
	return e
}

// again returns the error of a login that the person can simply repeat.
func (c *Client) again(why string, err error) error {
	return &httperr.Error{Status: http.StatusBadRequest, Detail: why + " Log in again.", Err: err}
}

// denied translates the provider's error code (RFC 6749, section 4.1.2.1, and OpenID
// Connect Core, section 3.1.2.6). The code comes from the browser, so unknown ones are
// not repeated.
func (c *Client) denied(word string) error {
	switch word {
	case "access_denied":
		return &httperr.Error{
			Status: http.StatusForbidden, Err: ErrDenied,
			Detail: c.o.Label + " denied access, or you cancelled. Try again, or ask its administrators whether you may use this server.",
		}
	case "server_error", "temporarily_unavailable":
		return c.away(errors.New("the provider says " + word))
	case "interaction_required", "login_required", "consent_required", "account_selection_required":
		return c.again(c.o.Label+" requires another step from you before you can log in.", nil)
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope":
		return c.misfit("the provider says " + word)
	}
	return c.misfit("the provider refuses with a word that is not known here")
}

// misfit returns the error if the provider rejects this server as a client.
func (c *Client) misfit(why string) error {
	return &httperr.Error{
		Status: http.StatusBadGateway, Err: errors.New(why),
		Detail: c.o.Label + " refuses this server: " + strings.TrimPrefix(why, "the provider says ") + ". An admin has to compare the client id, secret, redirect URL and scopes with those registered at the provider.",
	}
}

// notExchanged returns the error if the provider issued no tokens for a code.
func (c *Client) notExchanged(err error) error {
	var e *oauth2.RetrieveError
	switch {
	case !errors.As(err, &e):
		if unreachable(err) {
			return c.away(err)
		}
		return c.unusable("the answer", err)
	case e.ErrorCode == "invalid_grant":
		return c.again("This login was used already, or took too long.", errors.New("the provider says invalid_grant"))
	case e.ErrorCode == "access_denied":
		return c.denied(e.ErrorCode)
	case e.ErrorCode == "" && e.Response != nil && e.Response.StatusCode >= 500, e.ErrorCode == "server_error", e.ErrorCode == "temporarily_unavailable":
		return c.away(err)
	case slices.Contains([]string{"invalid_client", "unauthorized_client", "invalid_request", "unsupported_grant_type", "invalid_scope"}, e.ErrorCode):
		return c.misfit("the provider says " + e.ErrorCode)
	}
	return c.misfit("the provider refuses with a word that is not known here")
}

// unusable returns the error if the provider's response is invalid or not trustworthy.
func (c *Client) unusable(what string, err error) error {
	return &httperr.Error{
		Status: http.StatusBadGateway, Err: fmt.Errorf("%s: %w", what, brief(err)),
		Detail: "The answer of " + c.o.Label + " can't be used (" + what + "), so you are not logged in. Try again; if that does not help, an admin finds the reason in the server's log.",
	}
}

func errDisabled(err error) error {
	return &httperr.Error{Status: http.StatusForbidden, Detail: "This user is disabled. Ask an admin.", Err: err}
}

// databaseAway returns the error if the accounts can't be read or written.
func databaseAway(err error) *httperr.Error {
	if errors.Is(err, account.ErrFull) {
		return &httperr.Error{Status: http.StatusInsufficientStorage, RetryAfter: 60, Detail: "The disk of the database is full, so logins are not possible. Tell an admin.", Err: err}
	}
	if errors.Is(err, account.ErrAway) {
		return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Detail: "The database does not respond. Try again in a moment.", Err: err}
	}
	return &httperr.Error{Status: http.StatusInternalServerError, Detail: "Internal error. The server's log has the reason.", Err: err}
}
