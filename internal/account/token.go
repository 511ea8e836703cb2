package account

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const (
	// TokenPrefix is the prefix of each token.
	TokenPrefix = "pts_"
	tokensMost  = 1000 // per user
)

// Tokens are the tokens of programs.
type Tokens struct{ *handle }

// A Token lets a program do what its user may do, limited to its scopes.
type Token struct {
	ID         string     `json:"id"` // not secret
	User       string     `json:"user"`
	Label      string     `json:"label"`
	Scopes     []Scope    `json:"scopes"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`   // nil: never
	LastUsedAt *time.Time `json:"last_used_at"` // with a precision of a minute
}

const tokenColumns = `t.id, t.user_id, t.label, t.scopes, t.created_at, t.expires_at, t.last_used_at`

// scopeList reads scopes from the database.
type scopeList struct{ to *[]Scope }

// Scan is for database/sql.
func (l scopeList) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("%T is not a list of scopes", v)
	}
	for name := range strings.FieldsSeq(s) {
		*l.to = append(*l.to, Scope(name))
	}
	return nil
}

func (t *Token) fields() []any {
	return []any{&t.ID, &t.User, &t.Label, scopeList{&t.Scopes}, moment{&t.CreatedAt}, stamp{&t.ExpiresAt}, stamp{&t.LastUsedAt}}
}

func scanToken(r row) (Token, error) {
	var t Token
	err := r.Scan(t.fields()...)
	return t, err
}

// Add creates a token with the User, Label, Scopes and ExpiresAt of k, and
// returns its secret, which is not stored. A scope adds the scopes that it includes. The
// error is [ErrNotFound] or [ErrInvalid].
func (ts *Tokens) Add(ctx context.Context, k Token) (secret string, made *Token, err error) {
	set, err := scopesOf(k.Scopes)
	if err != nil {
		return "", nil, err
	}
	if set == 0 {
		return "", nil, invalid("a token needs at least one scope")
	}
	if k.Label, err = checkText("label", k.Label, 200); err != nil {
		return "", nil, err
	}
	secret = newSecret(TokenPrefix)
	err = ts.change(ctx, func(t *tx) error {
		if k.ExpiresAt != nil && !k.ExpiresAt.After(t.now) {
			return invalid("the token would be expired already")
		}
		if _, err := t.user(ctx, k.User); err != nil {
			return err
		}
		var has int
		if err := t.QueryRowContext(ctx, `SELECT count(*) FROM tokens WHERE user_id = $1`, k.User).Scan(&has); err != nil {
			return wrap(err, "tokens")
		}
		if has >= tokensMost {
			return invalid("the user has %d tokens: delete some", has)
		}
		k.ID, k.Scopes, k.CreatedAt, k.LastUsedAt = catalog.NewID(), set.list(), t.now, nil
		if k.ExpiresAt != nil {
			at := k.ExpiresAt.UTC().Truncate(time.Microsecond)
			k.ExpiresAt = &at
		}
		_, err := t.exec(ctx, "token", `INSERT INTO tokens (id, secret, user_id, label, scopes, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			k.ID, hashSecret(secret), k.User, k.Label, set.String(), t.now.UnixMicro(), micros(k.ExpiresAt))
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return secret, &k, nil
}

// Use returns the user and the token of a secret, and records the use. The caller's
// rights are [Rights.Within] of the token's scopes. The error is [ErrBadSecret] if the
// token is unknown or has expired, or the user is disabled.
func (ts *Tokens) Use(ctx context.Context, secret string) (*User, *Token, error) {
	if !strings.HasPrefix(secret, TokenPrefix) {
		return nil, nil, ErrBadSecret
	}
	var k Token
	var u User
	var kept []byte
	hash, now := hashSecret(secret), ts.now()
	row := ts.read.QueryRowContext(ctx, `SELECT `+userColumns+`, `+tokenColumns+`, t.secret FROM tokens t JOIN users u ON u.id = t.user_id
		WHERE t.secret = $1`, hash)
	if err := wrap(row.Scan(append(append(u.fields(), k.fields()...), &kept)...), "token"); errors.Is(err, ErrNotFound) {
		return nil, nil, ErrBadSecret
	} else if err != nil {
		return nil, nil, err
	}
	u.finish()
	if subtle.ConstantTimeCompare(kept, hash) != 1 || u.Disabled || k.ExpiresAt != nil && !now.Before(*k.ExpiresAt) {
		return nil, nil, ErrBadSecret
	}
	if k.LastUsedAt == nil || now.Sub(*k.LastUsedAt) >= seenEvery {
		k.LastUsedAt = &now
		ts.note(ctx, `UPDATE tokens SET last_used_at = $1 WHERE id = $2 AND coalesce(last_used_at, 0) < $1`, now.UnixMicro(), k.ID)
	}
	return &u, &k, nil
}

// List returns the tokens of a user, or of all users if user is empty, newest first. It
// includes expired ones.
func (ts *Tokens) List(ctx context.Context, user string) ([]Token, error) {
	return all(ctx, ts.read, scanToken, "tokens", `SELECT `+tokenColumns+` FROM tokens t WHERE $1 = '' OR t.user_id = $1
		ORDER BY t.created_at DESC, t.id`, user)
}

// Get returns the token of that id, or [ErrNotFound].
func (ts *Tokens) Get(ctx context.Context, id string) (*Token, error) {
	return one(ctx, ts.read, scanToken, "token", `SELECT `+tokenColumns+` FROM tokens t WHERE t.id = $1`, id)
}

// Delete removes a token. The error is [ErrNotFound].
func (ts *Tokens) Delete(ctx context.Context, id string) error {
	return ts.change(ctx, func(t *tx) error {
		n, err := t.exec(ctx, "token", `DELETE FROM tokens WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: token", ErrNotFound)
		}
		return t.revoke(ctx, RevokeToken, id)
	})
}

// printable makes a client's text displayable: without control characters, and at most
// that many characters.
func printable(s string, most int) string {
	runes := []rune(strings.ToValidUTF8(s, "?"))
	if len(runes) > most {
		runes = runes[:most]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, string(runes))
}
