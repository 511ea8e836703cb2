package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/oidc"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// access are the flags of who may see what.
type access struct {
	Auth           string   `key:"auth.mode" default:"none" enum:"none,local,central" help:"Who may see what: none (everybody on this machine), local (users and grants are kept here) or central (another server is asked)."`
	Central        string   `key:"auth.central.url" placeholder:"URL" help:"The server that is asked, with --auth central."`
	CentralCA      string   `key:"auth.central.ca" name:"central-ca" type:"existingfile" placeholder:"FILE" help:"Certificates (PEM) of the authorities that vouch for it; default: the system's."`
	CentralCookie  string   `key:"auth.central.cookie" name:"central-cookie" placeholder:"NAME" help:"The one cookie that is passed on to it; default: none."`
	CentralPath    string   `key:"auth.central.path" name:"central-path" placeholder:"PATH" help:"Where it answers; default: /api/v1/auth/check."`
	EdgeSecret     string   `key:"auth.central.edge_secret_file" name:"edge-secret-file" type:"existingfile" placeholder:"FILE" help:"File with the secret that it has given this server, to be told of revocations."`
	TrustedProxies []string `key:"trusted_proxies" name:"trusted-proxy" placeholder:"ADDRESS" help:"Believe what this reverse proxy (address or network) says of clients and of TLS; may be repeated."`
	PublicURL      string   `key:"public_url" name:"public-url" placeholder:"URL" help:"Where browsers reach this server: for the first admin's link, and for the way back from the OpenID Connect provider."`
	OIDCIssuer     string   `key:"auth.oidc.issuer" name:"oidc-issuer" placeholder:"URL" help:"With --auth local, let people log in at this OpenID Connect provider, too."`
	OIDCClient     string   `key:"auth.oidc.client_id" name:"oidc-client-id" placeholder:"ID" help:"What the provider calls this server."`
	OIDCSecret     string   `key:"auth.oidc.client_secret_file" name:"oidc-client-secret-file" type:"existingfile" placeholder:"FILE" help:"File with the secret that the provider has given this server; default: none, as of a public client."`
	OIDCScopes     []string `key:"auth.oidc.scopes" name:"oidc-scope" default:"openid,profile,email" placeholder:"SCOPE" help:"What the provider is asked for; may be repeated."`
	OIDCGroups     string   `key:"auth.oidc.groups_claim" name:"oidc-groups-claim" default:"groups" placeholder:"CLAIM" help:"The claim that lists a person's groups; with dots one within another."`
	OIDCAllow      []string `key:"auth.oidc.allow_groups" name:"oidc-allow-group" sep:"none" placeholder:"GROUP" help:"Let only members of this group of the provider log in there; may be repeated; default: everybody whom it lets in."`
	OIDCLabel      string   `key:"auth.oidc.label" name:"oidc-label" placeholder:"TEXT" help:"What people call the provider; default: its host."`
	AdminLink      bool     `key:"auth.admin_link" name:"admin-link" default:"true" negatable:"" help:"With --auth local, print a link for the first admin while there is none."`
}

// check says what of the flags does not go together.
func (o *access) check() error {
	switch {
	case o.Auth == "central" && o.Central == "":
		return errors.New("--auth central needs the URL of the server that knows the users: --central https://…")
	case o.Auth != "central" && (o.Central != "" || o.CentralCA != "" || o.CentralCookie != "" || o.CentralPath != "" || o.EdgeSecret != ""):
		return errors.New("--central and what goes with it are of no effect without --auth central")
	}
	if err := o.checkOIDC(); err != nil {
		return err
	}
	_, err := o.proxies()
	return err
}

func (o *access) checkOIDC() error {
	switch {
	case o.OIDCIssuer == "" && (o.OIDCClient != "" || o.OIDCSecret != "" || o.OIDCAllow != nil || o.OIDCLabel != ""):
		return errors.New("--oidc-client-id and what goes with it are of no effect without --oidc-issuer")
	case o.OIDCIssuer != "" && o.Auth != "local":
		return errors.New("--oidc-issuer is of no effect without --auth local: users are kept here, and the provider says who they are")
	case o.OIDCIssuer != "" && (o.OIDCClient == "" || o.PublicURL == ""):
		return errors.New("--oidc-issuer needs --oidc-client-id, and --public-url for the way back")
	}
	return nil
}

// proxies are the networks of --trusted-proxy.
func (o *access) proxies() (httperr.Proxies, error) {
	var list httperr.Proxies
	for _, s := range o.TrustedProxies {
		if err := list.Add(s); err != nil {
			return nil, fmt.Errorf("--trusted-proxy: %w", err)
		}
	}
	return list, nil
}

// keysEvery is how often signing keys are read, which another process may renew.
const keysEvery = time.Minute

// openAccess makes ready what decides who may see what. What has to run beside the
// server is run until ctx is done.
func (s *site) openAccess(ctx context.Context, wg *sync.WaitGroup) error {
	o := &s.c.access
	if o.Auth == "none" {
		return nil
	}
	proxies, err := o.proxies()
	if err != nil {
		return err
	}
	if s.people, err = account.Open(ctx, s.url, account.Options{}); err != nil {
		return err
	}
	s.access = &api.Access{Accounts: s.people, Keys: new(authz.Keys), Proxies: proxies}
	if o.Auth == "central" {
		return s.openCentral(ctx, wg, o)
	}
	return s.openLocal(ctx, wg)
}

// openLocal has the accounts decide.
func (s *site) openLocal(ctx context.Context, wg *sync.WaitGroup) error {
	a := s.access
	read := func(ctx context.Context) error {
		keys, err := s.people.SigningKeys(ctx)
		if err == nil {
			a.Keys.SetSigning(keys)
		}
		return err
	}
	if err := read(ctx); err != nil {
		return err
	}
	a.Gate = authz.NewGate(authz.GateOptions{Authority: &authz.Local{Accounts: s.people}, Keys: a.Keys, Trace: trace.Carry})
	if err := s.openOIDC(ctx, wg); err != nil {
		return err
	}
	s.people.OnRevoke(a.Gate.Revoke)
	// Other processes write revocations, too: the command line is one.
	f := &authz.Follower{Gate: a.Gate, Every: 2 * time.Second, Log: s.log, Loops: &s.loops, Source: func(ctx context.Context, since int64) (authz.RevocationPage, error) {
		return authz.Revocations(ctx, s.people, since)
	}}
	if err := f.CatchUp(ctx); err != nil {
		return err
	}
	wg.Go(func() { f.Run(ctx) })
	teller := &authz.Teller{Accounts: s.people, Log: s.log, Loops: &s.loops}
	wg.Go(func() { teller.Run(ctx) })
	wg.Go(func() {
		s.loops.Run(ctx, s.log, "signing keys", loop.Every(keysEvery, func(ctx context.Context) error {
			if err := read(ctx); err != nil {
				return fmt.Errorf("signing keys can't be read, going on with those known: %w", err)
			}
			return nil
		}))
	})
	return nil
}

// maxSecret bounds the files of secrets and certificates.
const maxSecret = 1 << 20

// openOIDC lets people log in at an OpenID Connect provider, if there is one. It may be
// away for now.
func (s *site) openOIDC(ctx context.Context, wg *sync.WaitGroup) error {
	o := &s.c.access
	if o.OIDCIssuer == "" {
		return nil
	}
	s.warnExposed("--oidc-client-secret-file", o.OIDCSecret)
	secret := ""
	if o.OIDCSecret != "" {
		b, err := fsx.ReadFile(o.OIDCSecret, maxSecret)
		if err != nil {
			return fmt.Errorf("--oidc-client-secret-file: %w", err)
		}
		if secret = strings.TrimSpace(string(b)); secret == "" {
			return fmt.Errorf("--oidc-client-secret-file %s is empty", o.OIDCSecret)
		}
	}
	client, err := oidc.New(oidc.Options{
		Issuer: o.OIDCIssuer, ClientID: o.OIDCClient, ClientSecret: secret, RedirectURL: strings.TrimSuffix(o.PublicURL, "/") + api.OIDCCallback,
		LoggedOutURL: strings.TrimSuffix(o.PublicURL, "/") + "/login",
		Scopes:       o.OIDCScopes, GroupsClaim: o.OIDCGroups, AllowGroups: o.OIDCAllow, Label: o.OIDCLabel,
		Accounts: s.people, Proxies: s.access.Proxies, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.access.OIDC = client
	wg.Go(func() {
		if err := client.Check(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("nobody can log in at the OpenID Connect provider for now", "issuer", o.OIDCIssuer, "err", err)
		}
	})
	return nil
}

// centralOptions say how the central server is asked.
func (o *access) centralOptions(insecure bool) (co authz.CentralOptions, err error) {
	co = authz.CentralOptions{URL: o.Central, Cookie: o.CentralCookie, Path: o.CentralPath, Insecure: insecure}
	if o.CentralCA != "" {
		pem, err := fsx.ReadFile(o.CentralCA, maxSecret)
		if err != nil {
			return co, fmt.Errorf("--central-ca: %w", err)
		}
		if co.Roots = x509.NewCertPool(); !co.Roots.AppendCertsFromPEM(pem) {
			return co, fmt.Errorf("--central-ca %s: there is no certificate in PEM in it", o.CentralCA)
		}
	}
	if o.EdgeSecret != "" {
		b, err := fsx.ReadFile(o.EdgeSecret, maxSecret)
		if err != nil {
			return co, fmt.Errorf("--edge-secret-file: %w", err)
		}
		co.EdgeKey = account.EdgeKey(strings.TrimSpace(string(b)))
	}
	return co, nil
}

// openCentral has another server decide.
func (s *site) openCentral(ctx context.Context, wg *sync.WaitGroup, o *access) error {
	co, err := o.centralOptions(s.c.Insecure)
	if err != nil {
		return err
	}
	s.warnExposed("--edge-secret-file", o.EdgeSecret)
	co.Wrap, co.Log = s.trace.Transport("ask the central server"), s.log
	central, err := authz.NewCentral(co)
	if err != nil {
		return err
	}
	a := s.access
	a.Central = o.Central
	// Without a name no cookie counts: the name is one that no cookie can have.
	cookie := o.CentralCookie
	if cookie == "" {
		cookie = "\x00"
	}
	a.Gate = authz.NewGate(authz.GateOptions{Authority: central, Cookie: cookie, Keys: a.Keys, Trace: trace.Carry})
	if co.EdgeKey == nil {
		return nil
	}
	f := &authz.Follower{Gate: a.Gate, Source: central.Revocations, Keys: a.Keys, Back: central.Back(), Log: s.log, Loops: &s.loops}
	a.Revoke = f.RevokeHandler(co.EdgeKey)
	wg.Go(func() { f.Run(ctx) })
	return nil
}

// renamed returns what forgets who may see an image that a central server knows under
// another id than before; nil if there is none.
func (s *site) renamed() func(image string) {
	if s.access == nil || s.access.Central == "" {
		return nil
	}
	return func(image string) {
		s.access.Gate.Revoke(account.Revocation{Kind: account.RevokeImage, ID: image})
	}
}

// inviteAdmin prints the link by which the first admin gets in, while there is none.
// The secret is behind a #, which no browser sends anywhere and no proxy logs.
func (s *site) inviteAdmin(ctx context.Context, to io.Writer, base string) error {
	if s.c.Auth != "local" || !s.c.AdminLink {
		return nil
	}
	secret, ok, err := s.people.Bootstrap(ctx)
	switch {
	case ctx.Err() != nil: // it is being stopped
		return nil
	case err != nil || !ok:
		return err
	}
	if s.c.PublicURL != "" {
		base = strings.TrimSuffix(s.c.PublicURL, "/") + "/"
	}
	_, err = fmt.Fprintf(to, "There is no admin yet. This link makes one; it is good once, and for 24 hours:\n\n    %ssetup#%s\n\nOr: ptiffstore user add NAME --admin %s\n", base, secret, s.c.flag(s.url))
	return err
}

// admission is what stands before all else: where there is no access control the guard
// that keeps to this machine. Its refusals have the headers of all answers.
func (s *site) admission(proxies httperr.Proxies, h http.Handler) http.Handler {
	return httperr.SecurityHeaders(proxies, s.c.guard().Handler(s.cors.Handler(h)))
}
