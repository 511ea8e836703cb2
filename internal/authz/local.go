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
type Local struct {
	Accounts *account.Accounts
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
	return decisions, nil
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
		now := time.Now
		if l.Now != nil {
			now = l.Now
		}
		a.TTL = min(a.TTL, ends.Sub(now()))
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
