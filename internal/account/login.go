package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// Logins admit users by a password, or by an OpenID Connect provider.
type Logins struct{ *handle }

// ByPassword returns the user of that name and password. Address is the client's
// address. The error is [ErrWrongPassword], which takes the same time whether or not the
// user exists; [ErrDisabled] if the password is correct but the user is disabled; or a
// [*LimitError]. With the first two it also returns the user of that name, if it
// exists, for the audit log only.
func (l *Logins) ByPassword(ctx context.Context, name, password, address string) (*User, error) {
	name = strings.TrimSpace(name)
	if !utf8.ValidString(name) || !utf8.ValidString(password) || len(password) > maxPassword || utf8.RuneCountInString(name) > 64 {
		name, password = "", "" // no user's
	}
	at := newAttempt(name, address)
	if err := l.begin(ctx, at); err != nil {
		return nil, err
	}
	u, hash, err := l.withPassword(ctx, name)
	if err != nil {
		return nil, err
	}
	known := hash != ""
	if !known {
		hash = l.passwords.dummyHash()
	}
	right, err := l.passwords.matches(ctx, hash, password)
	switch {
	case err != nil: // the hash was not computed
		return nil, errors.Join(err, l.withdraw(ctx, at))
	case !right || !known:
		return u, ErrWrongPassword
	}
	again := hash
	if l.passwords.cheaper(hash) {
		if again, err = l.passwords.hash(ctx, password); err != nil {
			return nil, err
		}
	}
	return l.admit(ctx, u.ID, at, hash, again)
}

// withPassword returns the user, nil if no user has that name, and the hash of their
// password, or "".
func (l *Logins) withPassword(ctx context.Context, name string) (*User, string, error) {
	var u User
	var hash string
	row := l.read.QueryRowContext(ctx, `SELECT `+userColumns+`, u.password FROM users u WHERE u.folded = $1`, fold(name))
	err := wrap(row.Scan(append(u.fields(), &hash)...), "user")
	if errors.Is(err, ErrNotFound) {
		return nil, "", nil
	}
	return &u, hash, err
}

// admit records a successful login, unless the password was changed in the meantime.
func (l *Logins) admit(ctx context.Context, id string, at attempt, hash, again string) (*User, error) {
	var u *User
	err := l.change(ctx, func(t *tx) (err error) {
		if err := t.succeed(ctx, at); err != nil {
			return err
		}
		n, err := t.exec(ctx, "login", `UPDATE users SET password = $3, last_login_at = CASE WHEN disabled THEN last_login_at ELSE $4 END
			WHERE id = $1 AND password = $2`, id, hash, again, t.now.UnixMicro())
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrWrongPassword
		}
		u, err = t.user(ctx, id)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case u.Disabled:
		return u, ErrDisabled
	}
	return u, nil
}

// ByOIDC returns the user whom an OpenID Connect provider has authenticated, and
// creates the user at the first login. If another user has the same name, the new user
// gets a longer name. The error may be [ErrDisabled], with the user.
func (l *Logins) ByOIDC(ctx context.Context, issuer, subject, name, displayName string) (*User, error) {
	if issuer == "" || subject == "" {
		return nil, invalid("a user of OpenID Connect needs an issuer and a subject")
	}
	var u *User
	err := l.change(ctx, func(t *tx) (err error) {
		u, err = one(ctx, t, scanUser, "user", `SELECT `+userColumns+` FROM users u WHERE u.issuer = $1 AND u.subject = $2`, issuer, subject)
		if errors.Is(err, ErrNotFound) {
			u, err = t.createOIDC(ctx, User{Name: name, DisplayName: displayName, Issuer: issuer, Subject: subject})
		}
		if err != nil || u.Disabled {
			return err
		}
		u.LastLoginAt = &t.now
		_, err = t.exec(ctx, "login", `UPDATE users SET last_login_at = $2 WHERE id = $1`, u.ID, t.now.UnixMicro())
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case u.Disabled:
		return u, ErrDisabled
	}
	return u, nil
}

func (t *tx) createOIDC(ctx context.Context, u User) (*User, error) {
	name, err := checkName("user", u.Name)
	if err != nil {
		name = "user"
	}
	var taken bool
	err = t.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE folded = $1)`, fold(name)).Scan(&taken)
	if err != nil {
		return nil, wrap(err, "user")
	}
	if taken || name == "user" {
		runes := []rune(name)
		name = string(runes[:min(len(runes), 50)]) + "-" + catalog.NewID()[:8]
	}
	u.Name = name
	return t.createUser(ctx, u, "")
}

// RefuseOIDC records that an OpenID Connect provider has identified a person who may
// not log in, and ends the results of earlier logins: sessions, tokens, memberships from
// the provider, and, by a revocation, signed links and access tokens. Grants and
// memberships given by an admin stay: they have no effect until the person may log in
// again. Event e is recorded in the same transaction; the user's id and a list of what
// ended are added to it. If the person is not a user here, only e is recorded.
func (l *Logins) RefuseOIDC(ctx context.Context, issuer, subject string, e Event) error {
	err := l.change(ctx, func(t *tx) error {
		u, err := one(ctx, t, scanUser, "user", `SELECT `+userColumns+` FROM users u WHERE u.issuer = $1 AND u.subject = $2`, issuer, subject)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		default:
			ended, err := t.endOIDCUser(ctx, u.ID)
			if err != nil {
				return err
			}
			e.User, e.Object, e.Detail = u.ID, u.ID, e.Detail+"; ended: "+ended
		}
		return l.insertEvent(ctx, t, &e)
	})
	if err != nil {
		return err
	}
	return l.writeEvent(&e)
}

// endOIDCUser does this for a user, and returns a description of what ended. It may
// remove the last admin: the provider's decision has priority.
func (t *tx) endOIDCUser(ctx context.Context, user string) (string, error) {
	var ended []string
	for _, v := range []struct{ what, statement string }{
		{"sessions", `DELETE FROM sessions WHERE user_id = $1`},
		{"tokens", `DELETE FROM tokens WHERE user_id = $1`},
		{"memberships", `DELETE FROM group_members WHERE user_id = $1 AND source = '` + string(OIDC) + `'`},
	} {
		n, err := t.exec(ctx, v.what, v.statement, user)
		if err != nil {
			return "", err
		}
		ended = append(ended, fmt.Sprintf("%s %d", v.what, n))
	}
	n, err := t.exec(ctx, "share links", `UPDATE shares SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL`, user, t.now.UnixMicro())
	if err != nil {
		return "", err
	}
	if n > 0 {
		ended = append(ended, fmt.Sprintf("share links %d", n))
	}
	return strings.Join(ended, ", "), t.revoke(ctx, RevokeUser, user)
}
