// Package oidc lets people log in at an OpenID Connect provider, by the authorization
// code flow with PKCE. The person becomes a user of this server, with the provider's
// groups, and gets a session like any other user.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

const (
	// loginTime is how long a person may take to log in at the provider.
	loginTime = 15 * time.Minute
	// skew is the tolerated difference between the clocks of server and provider.
	skew = time.Minute
	// earliest is how long before the time in its claim nbf an ID token is accepted: some
	// providers set it to the end of the login.
	earliest = 5 * time.Minute
	// askTime is the timeout for a request to the provider.
	askTime = 10 * time.Second
	// discoverTime is the timeout for the provider's configuration: people wait for it.
	discoverTime = 5 * time.Second
	// askAgain is how long after a failure the provider's configuration is not requested
	// again: waiting people get the same error at once.
	askAgain = 2 * time.Second
	// addressesKept is how long the provider's configuration is used before it is read
	// again.
	addressesKept = time.Hour
	// aliveFor is how long after a response browsers are redirected without a new check.
	aliveFor = 10 * time.Second
	// answerMost is the maximum size of a response, in bytes.
	answerMost = 4 << 20
)

// Options configure the provider, and this server as its client.
type Options struct {
	// Issuer is the provider's URL, exactly as in its configuration. It must be https,
	// except on this machine.
	Issuer string
	// ClientID and ClientSecret are this server's registration at the provider. A public
	// client has no secret.
	ClientID, ClientSecret string
	// RedirectURL is the URL of [Client.Callback] as browsers see it, registered at the
	// provider character for character.
	RedirectURL string
	// LoggedOutURL is the URL to which the provider redirects after a logout, registered
	// there too. If it is empty, people stay on the provider's page.
	LoggedOutURL string
	// Scopes are requested at login; nil means openid, profile and email.
	Scopes []string
	// GroupsClaim is the claim with a user's groups, "groups" if empty; dots separate the
	// names of nested claims, as in realm_access.roles.
	GroupsClaim string
	// AllowGroups, unless empty, are the provider's groups whose members may log in.
	AllowGroups []string
	// Label is the provider's name on pages; if empty, the host of Issuer.
	Label string

	Accounts *account.Accounts
	// Proxies are trusted to report a client's address.
	Proxies httperr.Proxies
	Log     *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Client is this server as a client of the provider. It is safe for concurrent use.
type Client struct {
	o        Options
	redirect *url.URL
	http     *http.Client

	turn     chan struct{} // held while requesting the configuration
	provider *oidc.Provider
	foundAt  time.Time // when the configuration was read
	answered time.Time // time of the last response
	askAt    time.Time // no request before, after a failure
	failed   error     // error of the last request; nil if it succeeded
}

// New returns a client. It does not contact the provider before the first login, so the
// provider may be unreachable. The error names the invalid option.
func New(o Options) (*Client, error) {
	issuer, err := secureURL("issuer", o.Issuer)
	if err != nil {
		return nil, err
	}
	redirect, err := secureURL("redirect URL", o.RedirectURL)
	if err != nil {
		return nil, err
	}
	switch {
	case o.ClientID == "":
		return nil, errors.New("the client id is missing: use the one that the provider assigned")
	case o.Accounts == nil:
		return nil, errors.New("the option Accounts is missing")
	case redirect.RawQuery != "" || !strings.HasPrefix(redirect.Path, "/"):
		return nil, fmt.Errorf("the redirect URL %s must have a path and no query", o.RedirectURL)
	}
	if o.LoggedOutURL != "" {
		if _, err := secureURL("URL for those who have logged out", o.LoggedOutURL); err != nil {
			return nil, err
		}
	}
	if o.Scopes == nil {
		o.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if !slices.Contains(o.Scopes, oidc.ScopeOpenID) {
		return nil, errors.New("the scope openid is missing, which logins need")
	}
	if o.GroupsClaim == "" {
		o.GroupsClaim = "groups"
	}
	if o.Label == "" {
		o.Label = issuer.Hostname()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Client{
		o: o, redirect: redirect, turn: make(chan struct{}, 1),
		http: &http.Client{Timeout: askTime, Transport: bounded{}, CheckRedirect: keepSecret},
	}, nil
}

// secureURL parses a URL, and refuses one whose responses could be changed in transit.
func secureURL(what, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("invalid %s %q: use a URL such as https://login.example.org/path", what, s)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("the %s %s is not https: anyone on the network could log in as another user", what, s)
	}
	return u, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Label returns the provider's name on pages.
func (c *Client) Label() string { return c.o.Label }

// Issuer returns the provider's URL.
func (c *Client) Issuer() string { return c.o.Issuer }

// Check returns nil if the provider responds correctly at present.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.find(ctx)
	return err
}

// bounded limits the size of responses.
type bounded struct{}

// RoundTrip implements [http.RoundTripper].
func (bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, answerMost)
	return resp, nil
}

// keepSecret follows no redirect with the client secret, nor from https to http.
func keepSecret(r *http.Request, via []*http.Request) error {
	switch first := via[0]; {
	case first.Method != http.MethodGet || first.Header.Get("Authorization") != "":
		return errors.New("the response is a redirect, which is not followed because the request has a secret")
	case first.URL.Scheme == "https" && r.URL.Scheme != "https":
		return errors.New("the response is a redirect away from https")
	case len(via) >= 5:
		return errors.New("more than 5 redirects")
	}
	return nil
}

// find returns the provider, and reads its configuration if that is outdated. A known
// provider is returned even if it does not respond now.
func (c *Client) find(ctx context.Context) (*oidc.Provider, error) {
	p, err := c.ask(ctx, addressesKept)
	if p != nil {
		return p, nil
	}
	return nil, err
}

// ready returns the provider if it responded recently: a browser that is redirected to a
// provider that does not respond shows only its own error page.
func (c *Client) ready(ctx context.Context) (*oidc.Provider, error) {
	p, err := c.ask(ctx, aliveFor)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ask returns the provider, nil if it is unknown, and the error of the last request. It
// makes a new request unless the provider has responded within that time.
func (c *Client) ask(ctx context.Context, within time.Duration) (*oidc.Provider, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, c.away(ctx.Err())
	}
	now := c.o.Now()
	if now.Before(c.answered.Add(within)) || now.Before(c.askAt) {
		return c.provider, c.failed
	}
	p, err := c.discover(ctx)
	now = c.o.Now() // the request may have taken long
	if err != nil {
		c.failed, c.askAt = c.undiscovered(err), now.Add(askAgain)
		return c.provider, c.failed
	}
	// The provider caches its keys: a new one would fetch them again.
	if c.provider == nil || now.Sub(c.foundAt) >= addressesKept || c.provider.Endpoint() != p.Endpoint() {
		c.provider, c.foundAt = p, now
	}
	c.failed, c.answered = nil, now
	return c.provider, nil
}

func (c *Client) discover(ctx context.Context) (*oidc.Provider, error) {
	// A client that disconnects must not cancel the request for the other waiting
	// clients.
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoverTime)
	defer cancel()
	p, err := oidc.NewProvider(oidc.ClientContext(ask, c.http), c.o.Issuer)
	if err != nil {
		return nil, err
	}
	return p, secureEndpoints(p.Endpoint())
}

// secureEndpoints refuses endpoints that would send people or the secret over plain http.
func secureEndpoints(e oauth2.Endpoint) error {
	for _, at := range []string{e.AuthURL, e.TokenURL} {
		if _, err := secureURL("provider's address", at); err != nil {
			return err
		}
	}
	return nil
}

// undiscovered returns why the provider can't be used, for people and for the log.
func (c *Client) undiscovered(err error) error {
	var mismatch *oidc.IssuerMismatchError
	if errors.As(err, &mismatch) {
		return &httperr.Error{Status: http.StatusBadGateway, Err: err, Detail: "Signing in with " + c.o.Label + " is not configured correctly: its issuer URL differs from the one configured here. An admin has to correct the issuer."}
	}
	return c.away(err)
}

// away returns the error if the provider does not respond.
func (c *Client) away(err error) error {
	return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Err: brief(err), Detail: c.o.Label + " does not answer at present. Try again in a moment, or log in with a name and password if you have one here."}
}

// unreachable reports whether an error is a failure to reach the provider.
func unreachable(err error) bool {
	var network net.Error
	var op *net.OpError
	return errors.As(err, &network) || errors.As(err, &op) || errors.Is(err, context.DeadlineExceeded)
}

// brief shortens an error for the log: it may contain a whole page.
func brief(err error) error {
	const most = 500
	if s := err.Error(); len(s) > most {
		return errors.New(strings.ToValidUTF8(s[:most], "") + "…")
	}
	return err
}

// config combines the provider's endpoints with the options.
func (c *Client) config(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: c.o.ClientID, ClientSecret: c.o.ClientSecret, Endpoint: p.Endpoint(),
		RedirectURL: c.o.RedirectURL, Scopes: c.o.Scopes,
	}
}
