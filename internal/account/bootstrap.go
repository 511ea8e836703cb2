package account

import (
	"context"
	"time"
)

const (
	bootstrapPrefix = "ptb_"
	// BootstrapLife is how long the link for the first admin is good.
	BootstrapLife = 24 * time.Hour
	// bootstrapMost bounds the links of servers that start again and again; the oldest
	// go first.
	bootstrapMost = 16
)

// Bootstrap returns the secret of a link by which the first admin gets in, while there
// is no admin; else ok is false. It is good once and for [BootstrapLife]. Several
// processes may each have one: when one is used the others end.
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

// ClaimBootstrap makes the first admin. The error is [ErrBadSecret] if the link is
// unknown, used, expired, or somebody else has become admin; and [ErrInvalid] or
// [ErrConflict] of the name and password, after which the link is still good.
func (a *Accounts) ClaimBootstrap(ctx context.Context, secret, name, password string) (*User, error) {
	if err := a.goodLink(ctx, a.read, secret); err != nil { // before a hash is computed for a stranger
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

// goodLink returns nil if the link may be used, or [ErrBadSecret].
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
