// Package oidc lets people log in at an OpenID Connect provider: by the authorization
// code flow with PKCE. Who has proved there who they are is a user here, whose groups
// are those that the provider tells of, and gets a session like any other.
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
	// loginTime is how long a person may take at the provider.
	loginTime = 15 * time.Minute
	// skew is how much the clocks here and there may differ.
	skew = time.Minute
	// askTime is how long the provider may take for an answer.
	askTime = 10 * time.Second
	// discoverTime is how long it may take for its addresses: people wait for them.
	discoverTime = 5 * time.Second
	// askAgain is how long after a failure the provider is not asked for its
	// addresses: those who wait get the same answer at once.
	askAgain = 2 * time.Second
	// addressesKept is how long its addresses are used until it is asked again.
	addressesKept = time.Hour
	// aliveFor is how long after an answer browsers are sent there without asking again.
	aliveFor = 10 * time.Second
	// answerMost is how many bytes of an answer are read.
	answerMost = 4 << 20
)

// Options say which provider, and as whom this server is known there.
type Options struct {
	// Issuer is the provider's URL, character for character as it calls itself. It is
	// https but on this machine.
	Issuer string
	// ClientID and ClientSecret are what the provider has registered this server
	// with. A public client has no secret.
	ClientID, ClientSecret string
	// RedirectURL is where the provider sends people back to: the URL of [Client.Callback]
	// as browsers see it, registered there character for character.
	RedirectURL string
	// LoggedOutURL is where the provider sends people to whom it has logged out, registered
	// there, too. If it is empty they stay at the provider's page.
	LoggedOutURL string
	// Scopes are asked for; nil is openid, profile and email.
	Scopes []string
	// GroupsClaim is the claim that lists a user's groups, "groups" if empty; with dots
	// it is one within another, as in realm_access.roles.
	GroupsClaim string
	// AllowGroups, unless empty, are the provider's groups of which somebody must be
	// in one to log in.
	AllowGroups []string
	// Label is what people call the provider; the host of Issuer if empty.
	Label string

	Accounts *account.Accounts
	// Proxies are those whose word on a client's address is believed.
	Proxies httperr.Proxies
	Log     *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Client is this server at the provider. It is safe for concurrent use.
type Client struct {
	o        Options
	redirect *url.URL
	http     *http.Client

	turn     chan struct{} // held by the one who asks for the addresses
	provider *oidc.Provider
	foundAt  time.Time // when its addresses were read
	answered time.Time // when it answered last
	askAt    time.Time // not before, after a failure
	failed   error     // of the last question; nil if it was answered
}

// New returns a client. Nothing is asked of the provider before the first login, so it
// may be away. The error says which option is wrong.
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
		return nil, errors.New("oidc: the client id is missing: the provider assigns it")
	case o.Accounts == nil:
		return nil, errors.New("oidc: Accounts is missing")
	case redirect.RawQuery != "" || !strings.HasPrefix(redirect.Path, "/"):
		return nil, fmt.Errorf("oidc: the redirect URL %s must have a path and no query", o.RedirectURL)
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
		return nil, errors.New("oidc: the scope openid is missing, which logins need")
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

// secureURL takes a URL apart whose answers nobody on the way can change.
func secureURL(what, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("oidc: the %s %q is not a URL like https://login.example.org/path", what, s)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("oidc: the %s %s is not https: anyone on the network could log in as another user", what, s)
	}
	return u, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Label is what people call the provider.
func (c *Client) Label() string { return c.o.Label }

// Issuer is the provider's URL.
func (c *Client) Issuer() string { return c.o.Issuer }

// Check returns nil if the provider answers as it should. It may do so later if it
// does not now.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.find(ctx)
	return err
}

// bounded reads no more of an answer than is good.
type bounded struct{}

// RoundTrip is for [http.Client].
func (bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, answerMost)
	return resp, nil
}

// keepSecret follows no redirect with what is secret, nor away from https.
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

// find returns the provider with its addresses, asking for them if they are old. One
// that is known and does not answer may do so again by the time it is needed.
func (c *Client) find(ctx context.Context) (*oidc.Provider, error) {
	p, err := c.ask(ctx, addressesKept)
	if p != nil {
		return p, nil
	}
	return nil, err
}

// ready returns the provider if it has answered just now: a browser that is sent to one
// that does not answer is stuck at its own error page.
func (c *Client) ready(ctx context.Context) (*oidc.Provider, error) {
	p, err := c.ask(ctx, aliveFor)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ask returns the provider as far as it is known, and the error if it did not answer
// when it was asked last. It is asked unless it has answered within a time.
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
	now = c.o.Now() // it may have taken long
	if err != nil {
		c.failed, c.askAt = c.undiscovered(err), now.Add(askAgain)
		return c.provider, c.failed
	}
	// The provider's keys are kept with it and would be fetched again for another.
	if c.provider == nil || now.Sub(c.foundAt) >= addressesKept || c.provider.Endpoint() != p.Endpoint() {
		c.provider, c.foundAt = p, now
	}
	c.failed, c.answered = nil, now
	return c.provider, nil
}

func (c *Client) discover(ctx context.Context) (*oidc.Provider, error) {
	// One who goes away must not spoil it for those who wait.
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoverTime)
	defer cancel()
	p, err := oidc.NewProvider(oidc.ClientContext(ask, c.http), c.o.Issuer)
	if err != nil {
		return nil, err
	}
	return p, secureEndpoints(p.Endpoint())
}

// secureEndpoints keeps people and the secret from being sent in the clear.
func secureEndpoints(e oauth2.Endpoint) error {
	for _, at := range []string{e.AuthURL, e.TokenURL} {
		if _, err := secureURL("provider's address", at); err != nil {
			return err
		}
	}
	return nil
}

// undiscovered says why the provider can't be used, in the words for people and for the
// log.
func (c *Client) undiscovered(err error) error {
	var mismatch *oidc.IssuerMismatchError
	if errors.As(err, &mismatch) {
		return &httperr.Error{Status: http.StatusBadGateway, Err: err, Detail: "Signing in with " + c.o.Label + " is not configured correctly: its issuer URL differs from the one configured here. An admin has to correct the issuer."}
	}
	return c.away(err)
}

// away is the answer while the provider does not answer.
func (c *Client) away(err error) error {
	return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Err: brief(err), Detail: c.o.Label + " does not answer at present. Try again in a moment, or log in with a name and password if you have one here."}
}

// unreachable reports whether an error is that of the way to the provider.
func unreachable(err error) bool {
	var network net.Error
	var op *net.OpError
	return errors.As(err, &network) || errors.As(err, &op) || errors.Is(err, context.DeadlineExceeded)
}

// brief is an error that may hold a whole page, cut to what a log can take.
func brief(err error) error {
	const most = 500
	if s := err.Error(); len(s) > most {
		return errors.New(strings.ToValidUTF8(s[:most], "") + "…")
	}
	return err
}

// config is the provider's and ours.
func (c *Client) config(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: c.o.ClientID, ClientSecret: c.o.ClientSecret, Endpoint: p.Endpoint(),
		RedirectURL: c.o.RedirectURL, Scopes: c.o.Scopes,
	}
}
