package account

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const (
	sessionPrefix = "pss_"
	// seenEvery limits how often the use of a session or token is recorded.
	seenEvery = time.Minute
	// sessionsMost is the maximum number of sessions of a user; a new one replaces the
	// one that was unused longest.
	sessionsMost = 100
)

// A Session is a login of a user in a browser.
type Session struct {
	ID        string    `json:"id"` // not secret
	User      string    `json:"user"`
	Address   string    `json:"address"`
	Agent     string    `json:"agent"` // the browser's User-Agent
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`    // with a precision of a minute
	ExpiresAt time.Time `json:"expires_at"` // at the latest; earlier if unused
}

const sessionColumns = `s.id, s.user_id, s.address, s.agent, s.created_at, s.seen_at, s.expires_at`

func (s *Session) fields() []any {
	return []any{&s.ID, &s.User, &s.Address, &s.Agent, moment{&s.CreatedAt}, moment{&s.SeenAt}, moment{&s.ExpiresAt}}
}

func scanSession(r row) (Session, error) {
	var s Session
	err := r.Scan(s.fields()...)
	return s, err
}

// StartSession starts a session of a user who has logged in, and returns its secret for
// the cookie. The error is [ErrNotFound] or [ErrDisabled].
func (a *Accounts) StartSession(ctx context.Context, user, address, agent string) (secret string, s *Session, err error) {
	secret = newSecret(sessionPrefix)
	err = a.change(ctx, func(t *tx) error {
		u, err := t.user(ctx, user)
		if err != nil {
			return err
		}
		if u.Disabled {
			return ErrDisabled
		}
		if err := t.dropSessions(ctx, user); err != nil {
			return err
		}
		s = &Session{
			ID: catalog.NewID(), User: user, Address: printable(address, 64), Agent: printable(agent, 200),
			CreatedAt: t.now, SeenAt: t.now, ExpiresAt: t.now.Add(a.o.SessionLife),
		}
		_, err = t.exec(ctx, "session", `INSERT INTO sessions (id, secret, user_id, address, agent, created_at, seen_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $6, $7)`,
			s.ID, hashSecret(secret), user, s.Address, s.Agent, t.now.UnixMicro(), s.ExpiresAt.UnixMicro())
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return secret, s, nil
}

// dropSessions deletes expired sessions and, if the user has too many, those that were
// unused longest.
func (t *tx) dropSessions(ctx context.Context, user string) error {
	if _, err := t.exec(ctx, "sessions", `DELETE FROM sessions WHERE expires_at <= $1 OR seen_at <= $2`,
		t.now.UnixMicro(), t.now.Add(-t.a.o.SessionIdle).UnixMicro()); err != nil {
		return err
	}
	old, err := all(ctx, t.a, t, scanSession, "sessions", `SELECT `+sessionColumns+` FROM sessions s WHERE s.user_id = $1
		ORDER BY s.seen_at DESC, s.created_at DESC LIMIT 1000 OFFSET $2`, user, sessionsMost-1)
	if err != nil {
		return err
	}
	for _, s := range old {
		if _, err := t.exec(ctx, "session", `DELETE FROM sessions WHERE id = $1`, s.ID); err != nil {
			return err
		}
		if err := t.revoke(ctx, RevokeSession, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// UseSession returns the user and the session of a secret, and records the use. The error
// is [ErrBadSecret] if the session is unknown or has ended, or the user is disabled.
func (a *Accounts) UseSession(ctx context.Context, secret string) (*User, *Session, error) {
	var s Session
	var u User
	var kept []byte
	hash, now := hashSecret(secret), a.now()
	row := a.read.QueryRowContext(ctx, `SELECT `+userColumns+`, `+sessionColumns+`, s.secret FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.secret = $1`, hash)
	if err := a.wrap(row.Scan(append(append(u.fields(), s.fields()...), &kept)...), "session"); errors.Is(err, ErrNotFound) {
		return nil, nil, ErrBadSecret
	} else if err != nil {
		return nil, nil, err
	}
	u.finish()
	if subtle.ConstantTimeCompare(kept, hash) != 1 || u.Disabled || !now.Before(s.ExpiresAt) || now.Sub(s.SeenAt) >= a.o.SessionIdle {
		return nil, nil, ErrBadSecret
	}
	if now.Sub(s.SeenAt) >= seenEvery {
		s.SeenAt = now
		a.note(ctx, `UPDATE sessions SET seen_at = $1 WHERE id = $2 AND seen_at < $1`, now.UnixMicro(), s.ID)
	}
	return &u, &s, nil
}

// note records a use. It ignores errors, because the request can be served anyway.
func (a *Accounts) note(ctx context.Context, statement string, args ...any) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	a.write.ExecContext(ctx, statement, args...) //nolint:errcheck // the next use tries again
}

// Sessions returns the active sessions of a user, most recently used first.
func (a *Accounts) Sessions(ctx context.Context, user string) ([]Session, error) {
	now := a.now()
	return all(ctx, a, a.read, scanSession, "sessions", `SELECT `+sessionColumns+` FROM sessions s
		WHERE s.user_id = $1 AND s.expires_at > $2 AND s.seen_at > $3 ORDER BY s.seen_at DESC, s.id`,
		user, now.UnixMicro(), now.Add(-a.o.SessionIdle).UnixMicro())
}

// EndSession ends the session of that id. The error is [ErrNotFound].
func (a *Accounts) EndSession(ctx context.Context, id string) error {
	return a.change(ctx, func(t *tx) error {
		n, err := t.exec(ctx, "session", `DELETE FROM sessions WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: session", ErrNotFound)
		}
		return t.revoke(ctx, RevokeSession, id)
	})
}

// EndSessions ends all sessions of a user.
func (a *Accounts) EndSessions(ctx context.Context, user string) error {
	return a.change(ctx, func(t *tx) error {
		ids, err := all(ctx, a, t, scanSession, "sessions", `SELECT `+sessionColumns+` FROM sessions s WHERE s.user_id = $1 ORDER BY s.id`, user)
		if err != nil {
			return err
		}
		for _, s := range ids {
			if err := t.revoke(ctx, RevokeSession, s.ID); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, "sessions", `DELETE FROM sessions WHERE user_id = $1`, user)
		return err
	})
}
