package account

import (
	"context"
	"time"
)

const (
	bootstrapPrefix = "ptb_"
	// BootstrapLife is how long the link for the first admin is valid.
	BootstrapLife = 24 * time.Hour
	// bootstrapMost limits the links of servers that restart repeatedly; the oldest are
	// deleted first.
	bootstrapMost = 16
)

// Bootstrap returns the secret of a link that creates the first admin; ok is false if
// there is an admin. The link can be used once within [BootstrapLife]. Several processes
// may each have one: using one invalidates the others.
func (a *Accounts) Bootstrap(ctx context.Context) (secret string, ok bool, err error) {
	err = a.change(ctx, func(t *tx) error {
		has, err := a.hasAdmin(ctx, t)
		if err != nil || has {
			return err
		}
		secret, ok = newSecret(bootstrapPrefix), true
		if _, err := t.exec(ctx, "link", `INSERT INTO bootstrap_links (secret, expires_at) VALUES ($1, $2)`,
			hashSecret(secret), t.now.Add(BootstrapLife).UnixMicro()); err != nil {
			return err
		}
		_, err = t.exec(ctx, "links", `DELETE FROM bootstrap_links WHERE expires_at <= $1 OR secret IN (
			SELECT secret FROM bootstrap_links ORDER BY expires_at DESC LIMIT 1000 OFFSET $2)`, t.now.UnixMicro(), bootstrapMost)
		return err
	})
	if err != nil || !ok {
		return "", false, err
	}
	return secret, true, nil
}

// ClaimBootstrap creates the first admin. The error is [ErrBadSecret] if the link is
// unknown, used or expired, or there is an admin by now; or [ErrInvalid] or [ErrConflict]
// for the name and password, after which the link is still valid.
func (a *Accounts) ClaimBootstrap(ctx context.Context, secret, name, password string) (*User, error) {
	if err := a.goodLink(ctx, a.read, secret); err != nil { // before computing a hash for an unknown client
		return nil, err
	}
	if password == "" {
		return nil, invalid("the first admin has a password")
	}
	hash, err := a.newPassword(ctx, name, password)
	if err != nil {
		return nil, err
	}
	var u *User
	err = a.change(ctx, func(t *tx) error {
		if err := a.goodLink(ctx, t, secret); err != nil {
			return err
		}
		if u, err = t.createUser(ctx, User{Name: name}, hash); err != nil {
			return err
		}
		if _, err := t.addGrant(ctx, Grant{User: u.ID, Role: Admin}); err != nil {
			return err
		}
		_, err := t.exec(ctx, "links", `DELETE FROM bootstrap_links`)
		return err
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// goodLink returns nil if the link is valid, or [ErrBadSecret].
func (a *Accounts) goodLink(ctx context.Context, q querier, secret string) error {
	var good bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM bootstrap_links WHERE secret = $1 AND expires_at > $2)`,
		hashSecret(secret), a.now().UnixMicro()).Scan(&good)
	if err != nil {
		return a.wrap(err, "link")
	}
	has, err := a.hasAdmin(ctx, q)
	switch {
	case err != nil:
		return err
	case !good || has:
		return ErrBadSecret
	}
	return nil
}
