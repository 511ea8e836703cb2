package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/oidc"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// keysEvery is how often the server reads the signing keys, which another process may renew.
const keysEvery = time.Minute

// accessControl decides access by the accounts of the database or by a central server. The
// zero value is no access control.
type accessControl struct {
	accounts *account.Accounts // nil without access control
	api      *api.Access       // nil without access control
}

// openAccess opens access control.
func (s *Server) openAccess(ctx context.Context) (err error) {
	o := &s.o.Access
	if o.none() && s.o.Mode != Serve {
		return nil
	}
	accounts, err := account.New(ctx, s.storage.catalog.DB(), account.Options{Password: o.Password})
	if err != nil || o.none() { // then commands need the tables
		return err
	}
	s.access = accessControl{accounts, &api.Access{Accounts: accounts, Keys: new(authz.Keys), Proxies: s.o.HTTP.Proxies, NoSharing: o.NoSharing}}
	if !o.Local {
		return s.access.openCentral(*o.Central, s.trace, &s.background)
	}
	if err := s.access.openLocal(ctx, &s.background); err != nil || o.OIDC == nil {
		return err
	}
	return s.access.openOIDC(*o.OIDC, &s.background)
}

// openLocal opens access control by the accounts of the database.
func (a *accessControl) openLocal(ctx context.Context, b *background) error {
	read := func(ctx context.Context) error {
		keys, err := a.accounts.Keys.Ensure(ctx)
		if err == nil {
			a.api.Keys.SetSigning(keys)
		}
		return err
	}
	if err := read(ctx); err != nil {
		return err
	}
	a.api.Gate = authz.NewGate(authz.GateOptions{Authorizer: &authz.Local{Accounts: a.accounts, NoShares: a.api.NoSharing}, Keys: a.api.Keys, Trace: trace.Carry})
	a.accounts.Revocations.Notify(a.api.Gate.Revoke)
	// Other processes, such as the command line, also write revocations.
	f := &authz.RevocationSubscriber{Gate: a.api.Gate, Every: 2 * time.Second, Log: b.log, Loops: &b.loops, Source: func(ctx context.Context, since int64) (authz.RevocationPage, error) {
		page, err := authz.Revocations(ctx, a.accounts, since)
		all := func(r account.Revocation) bool { return r.Kind == account.RevokeAll }
		if err == nil && slices.ContainsFunc(page.Items, all) {
			err = read(ctx) // the signing keys may have been dropped
		}
		return page, err
	}}
	if err := f.CatchUp(ctx); err != nil {
		return err
	}
	b.add(f.Run)
	publisher := &authz.RevocationPublisher{Accounts: a.accounts, Log: b.log, Loops: &b.loops}
	b.add(func(ctx context.Context) { publisher.Run(ctx) })
	b.addLoop("signing keys", loop.Every(keysEvery, func(ctx context.Context) error {
		if err := read(ctx); err != nil {
			return fmt.Errorf("cannot read signing keys, continuing with the known ones: %w", err)
		}
		return nil
	}))
	return nil
}

// openOIDC lets users log in at an OpenID Connect provider, which may be unreachable at the
// start.
func (a *accessControl) openOIDC(o oidc.Options, b *background) error {
	o.Accounts, o.Proxies, o.Log = a.accounts, a.api.Proxies, b.log
	client, err := oidc.New(o)
	if err != nil {
		return err
	}
	a.api.OIDC = client
	b.add(func(ctx context.Context) {
		if err := client.Check(ctx); err != nil && ctx.Err() == nil {
			b.log.Warn("cannot reach the OpenID Connect provider: logins with it fail until it is reachable", "issuer", o.Issuer, "err", err)
		}
	})
	return nil
}

// openCentral opens access control by a central server.
func (a *accessControl) openCentral(o authz.CentralOptions, t *trace.Tracer, b *background) error {
	o.Wrap, o.Log = t.Transport("ask the central server"), b.log
	central, err := authz.NewCentral(o)
	if err != nil {
		return err
	}
	a.api.Central = o.URL
	// Without a name no cookie is accepted: no cookie can have this name.
	cookie := o.Cookie
	if cookie == "" {
		cookie = "\x00"
	}
	a.api.Gate = authz.NewGate(authz.GateOptions{Authorizer: central, Cookie: cookie, Keys: a.api.Keys, Trace: trace.Carry})
	if o.EdgeKey == nil {
		return nil
	}
	f := &authz.RevocationSubscriber{Gate: a.api.Gate, Source: central.Revocations, Keys: a.api.Keys, Back: central.Back(), Log: b.log, Loops: &b.loops}
	a.api.Revoke = f.RevokeHandler(o.EdgeKey)
	b.add(f.Run)
	return nil
}

// renamed drops the cached permissions of an image whose id on the central server has
// changed.
func (a *accessControl) renamed(image string) {
	if a.api != nil && a.api.Central != "" {
		a.api.Gate.Revoke(account.Revocation{Kind: account.RevokeImage, ID: image})
	}
}

// proxies returns the proxies whose forwarding headers are trusted.
func (a *accessControl) proxies() httperr.Proxies {
	if a.api == nil {
		return nil
	}
	return a.api.Proxies
}
