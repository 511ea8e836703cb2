package authz

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// Local is the authorizer of the built-in central server.
//
// A credential may also have share links. They are asked about an image that the caller may
// not see otherwise, and allow nothing else: a caller who has only share links is not logged in.
type Local struct {
	Accounts *account.Accounts
	NoShares bool          // share links allow nothing
	TTL      time.Duration // how long decisions may be cached, 1 minute if 0
	Now      func() time.Time
}

// Check decides by the accounts.
func (l *Local) Check(ctx context.Context, c Credential, requests []Request) ([]Decision, error) {
	base, rights, err := l.caller(ctx, c)
	if err != nil {
		return nil, unavailable(err, 5*time.Second)
	}
	decisions := make([]Decision, len(requests))
	for i, q := range requests {
		a := base
		switch {
		case base.Status == http.StatusUnauthorized:
			a.StoreWide = true
		case rights.Allows(q.Store, "", q.Scope):
			a.Allow, a.StoreWide = true, true
		default:
			a.Allow = rights.Allows(q.Store, q.Image, q.Scope)
			a.StoreWide = !a.Allow && len(rights.Images(q.Scope)) == 0
		}
		if a.Allow {
			a.Status = http.StatusOK
		}
		decisions[i] = a
	}
	if c.Share != "" && !l.NoShares {
		err = l.share(ctx, c.Share, requests, decisions)
	}
	if err != nil {
		return nil, unavailable(err, 5*time.Second)
	}
	return decisions, nil
}

// share replaces denials by what the share links in a cookie allow: tiles of their images,
// and labels if the link is with labels, as long as the link's creator has the right.
func (l *Local) share(ctx context.Context, cookie string, requests []Request, decisions []Decision) error {
	links, err := l.Accounts.Shares.Visited(ctx, cookie)
	if err != nil || len(links) == 0 {
		return err
	}
	rights := make([]account.Rights, len(links))
	for i := range links {
		if rights[i], err = l.Accounts.Grants.Rights(ctx, links[i].User); err != nil {
			return err
		}
	}
	now := l.now()
	for i, q := range requests {
		if decisions[i].Allow {
			continue
		}
		decisions[i].StoreWide = false // there may be an image that a link is for
		for n := range links {
			s := &links[n]
			if !shows(s, q.Scope) || !s.Has(q.Image) || !rights[n].Allows(q.Store, q.Image, q.Scope) {
				continue
			}
			// The revocations of its creator and of the link end the decision.
			a := allowed()
			a.User.ID, a.Session, a.TTL = s.User, s.ID, min(decisions[i].TTL, s.ExpiresAt.Sub(now))
			decisions[i] = a
			break
		}
	}
	return nil
}

// shows reports whether a share link shows what the scope is needed for.
func shows(s *account.Share, scope account.Scope) bool {
	return scope == account.ScopeTiles || scope == account.ScopeLabel && s.Labels
}

func (l *Local) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// caller returns a decision about the credential's user in which only Allow is not set,
// and the user's rights.
func (l *Local) caller(ctx context.Context, c Credential) (Decision, account.Rights, error) {
	a := forbidden()
	a.TTL = l.TTL
	if a.TTL == 0 {
		a.TTL = time.Minute
	}
	nobody := unauthenticated()
	nobody.TTL = a.TTL
	var u *account.User
	var scopes []account.Scope
	var ends *time.Time
	var err error
	if scheme, secret, _ := strings.Cut(c.Authorization, " "); strings.EqualFold(scheme, "Bearer") {
		var k *account.Token
		if u, k, err = l.Accounts.Tokens.Use(ctx, strings.TrimSpace(secret)); err == nil {
			a.Token, scopes, ends = k.ID, k.Scopes, k.ExpiresAt
		}
	} else if c.Cookie != "" {
		var s *account.Session
		if u, s, err = l.Accounts.Sessions.Use(ctx, c.Cookie); err == nil {
			a.Session, ends = s.ID, &s.ExpiresAt
		}
	} else {
		return nobody, account.Rights{}, nil
	}
	if errors.Is(err, account.ErrBadSecret) {
		return nobody, account.Rights{}, nil
	}
	if err != nil {
		return a, account.Rights{}, err
	}
	a.User = User{u.ID, u.DisplayName}
	if a.User.Name == "" {
		a.User.Name = u.Name
	}
	if ends != nil {
		a.TTL = min(a.TTL, ends.Sub(l.now()))
	}
	rights, err := l.Accounts.Grants.Rights(ctx, u.ID)
	if err != nil {
		return a, rights, err
	}
	if a.Token != "" {
		rights = rights.Within(scopes)
	}
	return a, rights, nil
}

// Revocations is the Source of a [RevocationSubscriber] for the log of a database.
func Revocations(ctx context.Context, a *account.Accounts, since int64) (RevocationPage, error) {
	items, err := a.Revocations.Since(ctx, since)
	if err != nil {
		return RevocationPage{}, err
	}
	latest, err := a.Revocations.Latest(ctx)
	return RevocationPage{Items: items, Latest: latest}, err
}
