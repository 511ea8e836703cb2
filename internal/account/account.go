// Package account stores users, groups, sessions, tokens, share links, grants and the audit log, in
// tables of its own in the catalog's database (SQLite or PostgreSQL).
//
// It stores only hashes of the secrets that it creates (sessions, tokens, links), and no
// error contains a secret or password.
package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"time"

	"github.com/slideatlas/ptiffstore/internal/db"
)

var (
	// ErrNotFound: there is no such user, group, session, token, grant or edge.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the name is already used.
	ErrConflict = errors.New("the name is taken")
	// ErrInvalid: a value is invalid; the error says which and why.
	ErrInvalid = errors.New("invalid")
	// ErrWrongPassword: the user is unknown or the password is wrong. The error does not
	// reveal which.
	ErrWrongPassword = errors.New("wrong name or password")
	// ErrDisabled: the credential is valid, but the user is disabled.
	ErrDisabled = errors.New("the user is disabled")
	// ErrTooMany: too many attempts; a [*LimitError] says how long to wait.
	ErrTooMany = errors.New("too many attempts")
	// ErrBadSecret: no session, token or link has that secret, or it has expired.
	ErrBadSecret = errors.New("unknown or expired credential")
	// ErrLastAdmin: after the change no admin could log in.
	ErrLastAdmin = errors.New("this is the last admin: create another one first")
	// ErrBadCursor: the cursor is not from this list.
	ErrBadCursor = errors.New("invalid cursor")
	// ErrAway: the database does not respond. This may be temporary.
	ErrAway = db.ErrAway
	// ErrFull: the database's disk is full.
	ErrFull = db.ErrFull
)

// Options configure accounts. The zero value has the defaults of a server.
type Options struct {
	// Now is the clock; nil is time.Now. The clocks of all processes must roughly agree:
	// each process ends sessions by its own clock.
	Now func() time.Time
	// Password is the cost of hashing a password; 0 is the default.
	Password PasswordCost
	// SessionIdle is how long an unused session lasts, 12 hours if 0.
	SessionIdle time.Duration
	// SessionLife is the maximum lifetime of a session, 7 days if 0.
	SessionLife time.Duration
	// KeyLife is how long signatures of a retired key stay valid, 7 days if 0.
	KeyLife time.Duration
	// AuditLog, unless nil, also receives each event as a line of JSON.
	AuditLog io.Writer
}

// Accounts are the accounts in an open database, by resource. They are safe for
// concurrent use.
type Accounts struct {
	Users       *Users
	Groups      *Groups
	Grants      *Grants
	Logins      *Logins
	Sessions    *Sessions
	Tokens      *Tokens
	Shares      *Shares
	Bootstrap   *Bootstrap
	Revocations *Revocations
	Keys        *Keys
	Edges       *Edges
	Audit       *Audit

	*handle
	close func() error
}

// Open opens or creates the tables in the catalog's database at url, "sqlite:PATH" or
// "postgres://…". It refuses a database that a newer program has migrated.
func Open(ctx context.Context, url string, o Options) (*Accounts, error) {
	d, err := db.Open(url)
	if err != nil {
		return nil, err
	}
	a, err := New(ctx, d, o)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	a.close = d.Close
	return a, nil
}

// New is [Open] for an open database, which the caller must close after the accounts.
func New(ctx context.Context, d *db.DB, o Options) (*Accounts, error) {
	if err := d.Migrate(ctx, tables()); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	h := &handle{o: o, db: d, write: d.Write, read: d.Read, passwords: newPasswords(o.Password)}
	return &Accounts{
		Users: &Users{h}, Groups: &Groups{h}, Grants: &Grants{h}, Logins: &Logins{h}, Sessions: &Sessions{h}, Tokens: &Tokens{h}, Shares: &Shares{h},
		Bootstrap: &Bootstrap{h}, Revocations: &Revocations{h}, Keys: &Keys{h}, Edges: &Edges{h}, Audit: &Audit{h},
		handle: h, close: func() error { return nil },
	}, nil
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Password = o.Password.withDefaults()
	if o.SessionIdle == 0 {
		o.SessionIdle = 12 * time.Hour
	}
	if o.SessionLife == 0 {
		o.SessionLife = 7 * 24 * time.Hour
	}
	if o.KeyLife == 0 {
		o.KeyLife = 7 * 24 * time.Hour
	}
	return o
}

// Close closes the database, unless the caller of [New] opened it.
func (a *Accounts) Close() error { return a.close() }

// newSecret returns 256 random bits as text. The prefix identifies the kind of secret to
// people and secret scanners.
func newSecret(prefix string) string {
	var b [32]byte
	rand.Read(b[:])
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// hashSecret returns the stored hash of a secret. Secrets have enough random bits that a
// slow hash would add nothing.
func hashSecret(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}
