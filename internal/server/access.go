package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/oidc"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// keysEvery is how often the server reads the signing keys, which another process may renew.
const keysEvery = time.Minute

// openAccess opens access control.
func (s *Server) openAccess(ctx context.Context) (err error) {
	o := &s.o.Access
	if o.none() && s.o.Mode != Serve {
		return nil
	}
	accounts, err := account.New(ctx, s.catalog.DB(), account.Options{})
	if err != nil || o.none() { // then commands need the tables
		return err
	}
	s.accounts = accounts
	s.access = &api.Access{Accounts: s.accounts, Keys: new(authz.Keys), Proxies: s.o.HTTP.Proxies}
	if o.Local {
		return s.openLocal(ctx)
	}
	return s.openCentral()
}

// openLocal opens access control by the accounts of the database.
func (s *Server) openLocal(ctx context.Context) error {
	a := s.access
	read := func(ctx context.Context) error {
		keys, err := s.accounts.Keys.Ensure(ctx)
		if err == nil {
			a.Keys.SetSigning(keys)
		}
		return err
	}
	if err := read(ctx); err != nil {
		return err
	}
	a.Gate = authz.NewGate(authz.GateOptions{Authorizer: &authz.Local{Accounts: s.accounts}, Keys: a.Keys, Trace: trace.Carry})
	if err := s.openOIDC(); err != nil {
		return err
	}
	s.accounts.Revocations.Notify(a.Gate.Revoke)
	// Other processes, such as the command line, also write revocations.
	f := &authz.RevocationSubscriber{Gate: a.Gate, Every: 2 * time.Second, Log: s.log, Loops: &s.loops, Source: func(ctx context.Context, since int64) (authz.RevocationPage, error) {
		page, err := authz.Revocations(ctx, s.accounts, since)
		all := func(r account.Revocation) bool { return r.Kind == account.RevokeAll }
		if err == nil && slices.ContainsFunc(page.Items, all) {
			err = read(ctx) // the signing keys may have been dropped
		}
		return page, err
	}}
	if err := f.CatchUp(ctx); err != nil {
		return err
	}
	s.run(f.Run)
	teller := &authz.RevocationPublisher{Accounts: s.accounts, Log: s.log, Loops: &s.loops}
	s.run(func(ctx context.Context) { teller.Run(ctx) })
	s.Background("signing keys", loop.Every(keysEvery, func(ctx context.Context) error {
		if err := read(ctx); err != nil {
			return fmt.Errorf("cannot read signing keys, continuing with the known ones: %w", err)
		}
		return nil
	}))
	return nil
}

// openOIDC lets users log in at an OpenID Connect provider, if one is configured. The
// provider may be unreachable at the start.
func (s *Server) openOIDC() error {
	if s.o.Access.OIDC == nil {
		return nil
	}
	o := *s.o.Access.OIDC
	o.Accounts, o.Proxies, o.Log = s.accounts, s.access.Proxies, s.log
	client, err := oidc.New(o)
	if err != nil {
		return err
	}
	s.access.OIDC = client
	s.run(func(ctx context.Context) {
		if err := client.Check(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot reach the OpenID Connect provider: logins with it fail until it is reachable", "issuer", o.Issuer, "err", err)
		}
	})
	return nil
}

// openCentral opens access control by a central server.
func (s *Server) openCentral() error {
	o := *s.o.Access.Central
	o.Wrap, o.Log = s.trace.Transport("ask the central server"), s.log
	central, err := authz.NewCentral(o)
	if err != nil {
		return err
	}
	a := s.access
	a.Central = o.URL
	// Without a name no cookie is accepted: no cookie can have this name.
	cookie := o.Cookie
	if cookie == "" {
		cookie = "\x00"
	}
	a.Gate = authz.NewGate(authz.GateOptions{Authorizer: central, Cookie: cookie, Keys: a.Keys, Trace: trace.Carry})
	if o.EdgeKey == nil {
		return nil
	}
	f := &authz.RevocationSubscriber{Gate: a.Gate, Source: central.Revocations, Keys: a.Keys, Back: central.Back(), Log: s.log, Loops: &s.loops}
	a.Revoke = f.RevokeHandler(o.EdgeKey)
	s.run(f.Run)
	return nil
}

// renamed drops the cached permissions of an image whose id on the central server has
// changed.
func (s *Server) renamed(image string) {
	if s.access != nil && s.access.Central != "" {
		s.access.Gate.Revoke(account.Revocation{Kind: account.RevokeImage, ID: image})
	}
}
