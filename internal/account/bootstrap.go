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

// Bootstrap creates the first admin, by a link that the server prints.
type Bootstrap struct{ *handle }

// Link returns the secret of a link that creates the first admin; ok is false if
// there is an admin. The link can be used once within [BootstrapLife]. Several processes
// may each have one: using one invalidates the others.
func (b *Bootstrap) Link(ctx context.Context) (secret string, ok bool, err error) {
	err = b.change(ctx, func(t *tx) error {
		has, err := hasAdmin(ctx, t)
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

// Claim creates the first admin. The error is [ErrBadSecret] if the link is
// unknown, used or expired, or there is an admin by now; or [ErrInvalid] or [ErrConflict]
// for the name and password, after which the link is still valid.
func (b *Bootstrap) Claim(ctx context.Context, secret, name, password string) (*User, error) {
	if err := b.check(ctx, b.read, secret); err != nil { // before computing a hash for an unknown client
		return nil, err
	}
	if password == "" {
		return nil, invalid("the first admin has a password")
	}
	hash, err := b.passwords.forUser(ctx, name, password)
	if err != nil {
		return nil, err
	}
	var u *User
	err = b.change(ctx, func(t *tx) error {
		if err := b.check(ctx, t, secret); err != nil {
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

// check returns nil if the link is valid, or [ErrBadSecret].
func (b *Bootstrap) check(ctx context.Context, q querier, secret string) error {
	var good bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM bootstrap_links WHERE secret = $1 AND expires_at > $2)`,
		hashSecret(secret), b.now().UnixMicro()).Scan(&good)
	if err != nil {
		return wrap(err, "link")
	}
	has, err := hasAdmin(ctx, q)
	switch {
	case err != nil:
		return err
	case !good || has:
		return ErrBadSecret
	}
	return nil
}
