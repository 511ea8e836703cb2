package account

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
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

// Sessions are the logins in browsers.
type Sessions struct{ *handle }

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

// Start starts a session of a user who has logged in, and returns its secret for
// the cookie. The error is [ErrNotFound] or [ErrDisabled].
func (ss *Sessions) Start(ctx context.Context, user, address, agent string) (secret string, s *Session, err error) {
	secret = newSecret(sessionPrefix)
	err = ss.change(ctx, func(t *tx) error {
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
			CreatedAt: t.now, SeenAt: t.now, ExpiresAt: t.now.Add(ss.o.SessionLife),
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
		t.now.UnixMicro(), t.now.Add(-t.h.o.SessionIdle).UnixMicro()); err != nil {
		return err
	}
	old, err := all(ctx, t, scanSession, "sessions", `SELECT `+sessionColumns+` FROM sessions s WHERE s.user_id = $1
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

// Use returns the user and the session of a secret, and records the use. The error
// is [ErrBadSecret] if the session is unknown or has ended, or the user is disabled.
func (ss *Sessions) Use(ctx context.Context, secret string) (*User, *Session, error) {
	var s Session
	var u User
	var kept []byte
	hash, now := hashSecret(secret), ss.now()
	row := ss.read.QueryRowContext(ctx, `SELECT `+userColumns+`, `+sessionColumns+`, s.secret FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.secret = $1`, hash)
	if err := wrap(row.Scan(append(append(u.fields(), s.fields()...), &kept)...), "session"); errors.Is(err, ErrNotFound) {
		return nil, nil, ErrBadSecret
	} else if err != nil {
		return nil, nil, err
	}
	u.finish()
	if subtle.ConstantTimeCompare(kept, hash) != 1 || u.Disabled || !now.Before(s.ExpiresAt) || now.Sub(s.SeenAt) >= ss.o.SessionIdle {
		return nil, nil, ErrBadSecret
	}
	if now.Sub(s.SeenAt) >= seenEvery {
		s.SeenAt = now
		ss.note(ctx, `UPDATE sessions SET seen_at = $1 WHERE id = $2 AND seen_at < $1`, now.UnixMicro(), s.ID)
	}
	return &u, &s, nil
}

// note records a use. It ignores errors, because the request can be served anyway.
func (h *handle) note(ctx context.Context, statement string, args ...any) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	h.write.ExecContext(ctx, statement, args...) //nolint:errcheck // the next use tries again
}

// List returns the active sessions of a user, most recently used first.
func (ss *Sessions) List(ctx context.Context, user string) ([]Session, error) {
	now := ss.now()
	return all(ctx, ss.read, scanSession, "sessions", `SELECT `+sessionColumns+` FROM sessions s
		WHERE s.user_id = $1 AND s.expires_at > $2 AND s.seen_at > $3 ORDER BY s.seen_at DESC, s.id`,
		user, now.UnixMicro(), now.Add(-ss.o.SessionIdle).UnixMicro())
}

// End ends the session of that id. The error is [ErrNotFound].
func (ss *Sessions) End(ctx context.Context, id string) error {
	return ss.change(ctx, func(t *tx) error {
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

// EndAll ends all sessions of a user.
func (ss *Sessions) EndAll(ctx context.Context, user string) error {
	return ss.change(ctx, func(t *tx) error {
		ids, err := all(ctx, t, scanSession, "sessions", `SELECT `+sessionColumns+` FROM sessions s WHERE s.user_id = $1 ORDER BY s.id`, user)
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

// SetHint stores the provider's ID token with a session, for the logout at the
// provider. It is encrypted with the session's secret, which this package does not store.
func (ss *Sessions) SetHint(ctx context.Context, secret, hint string) error {
	c, err := hintCipher(secret)
	if err != nil {
		return err
	}
	sealed := c.Seal(nil, nil, []byte(hint), nil)
	return ss.db.Retry(ctx, func() error {
		_, err := ss.write.ExecContext(ctx, `UPDATE sessions SET hint = $1 WHERE secret = $2`, sealed, hashSecret(secret))
		return wrap(err, "session")
	})
}

// Hint returns the session's hint, or "" if there is no hint or no such session.
func (ss *Sessions) Hint(ctx context.Context, secret string) (string, error) {
	var sealed []byte
	err := wrap(ss.read.QueryRowContext(ctx, `SELECT hint FROM sessions WHERE secret = $1`, hashSecret(secret)).Scan(&sealed), "session")
	if errors.Is(err, ErrNotFound) || err == nil && sealed == nil {
		return "", nil
	} else if err != nil {
		return "", err
	}
	c, err := hintCipher(secret)
	if err != nil {
		return "", err
	}
	hint, err := c.Open(nil, nil, sealed, nil)
	if err != nil {
		return "", nil //nolint:nilerr // without a hint, only the logout at the provider is missing
	}
	return string(hint), nil
}

func hintCipher(secret string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "ptiffstore session hint", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
