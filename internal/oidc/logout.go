package oidc

import "context"

const (
	// hintMost is the longest id token, in bytes, that goes into an address.
	hintMost = 4000
	// noHint is kept of a longer one: that there was a login at the provider.
	noHint = "-"
)

// hintOf is what is kept of a login to end it at the provider.
func hintOf(idToken string) string {
	if len(idToken) > hintMost {
		return noHint
	}
	return idToken
}

// LogOutURL returns where a browser has to go to be logged out at the provider, too
// (OpenID Connect RP-Initiated Logout): "" if the provider offers no such thing, or does
// not answer. Hint is what was kept beside the session, which is not asked for again.
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
