package oidc

import "context"

const (
	// hintMost is the longest ID token, in bytes, that is put into a URL.
	hintMost = 4000
	// noHint is stored instead of a longer one: it marks a login at the provider.
	noHint = "-"
)

// hintOf returns the hint to store with a session, for a later logout at the provider.
func hintOf(idToken string) string {
	if len(idToken) > hintMost {
		return noHint
	}
	return idToken
}

// LogOutURL returns the URL that logs a browser out at the provider, too (OpenID Connect
// RP-Initiated Logout), or "" if the provider does not support it or does not respond.
// Hint is the session's stored hint.
func (c *Client) LogOutURL(ctx context.Context, hint string) string {
	if hint == "" {
		return ""
	}
	p, err := c.ready(ctx)
	if err != nil {
		return ""
	}
	var claims struct {
		End string `json:"end_session_endpoint"`
	}
	if err := p.Claims(&claims); err != nil || claims.End == "" {
		return ""
	}
	u, err := secureURL("provider's address", claims.End)
	if err != nil {
		c.o.Log.Warn("cannot log out at the OpenID Connect provider", "err", err)
		return ""
	}
	q := u.Query()
	q.Set("client_id", c.o.ClientID)
	if hint != noHint {
		q.Set("id_token_hint", hint)
	}
	if c.o.LoggedOutURL != "" {
		q.Set("post_logout_redirect_uri", c.o.LoggedOutURL)
	}
	u.RawQuery = q.Encode()
	return u.String()
}
