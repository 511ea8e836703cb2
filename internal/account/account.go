// Package account stores users, groups, sessions, tokens, grants and the audit log, in
// tables of its own in the catalog's database (SQLite or PostgreSQL).
//
// It stores only hashes of the secrets that it creates (sessions, tokens, links), and no
// error contains a secret or password.
package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync"
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

// Accounts are the accounts in an open database. They are safe for concurrent use.
type Accounts struct {
	o           Options
	db          *db.DB
	write, read *sql.DB // of db
	close       func() error
	hashing     chan struct{} // holds a value for each running hash
	waiting     chan struct{} // holds a value for each running or waiting hash

	auditMu  sync.Mutex // one line at a time
	hearMu   sync.Mutex
	hearers  []func(Revocation)
	dummyOne sync.Once
	dummy    string // hash that is checked for unknown users
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
	return &Accounts{
		o: o.withDefaults(), db: d, write: d.Write, read: d.Read, close: func() error { return nil },
		hashing: make(chan struct{}, hashesAtOnce), waiting: make(chan struct{}, hashesWaiting),
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

// now returns the time with the precision of the database.
func (a *Accounts) now() time.Time { return a.o.Now().UTC().Truncate(time.Microsecond) }

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

// A tx is a write transaction. Only one runs at a time.
type tx struct {
	*sql.Tx
	a       *Accounts
	now     time.Time
	revoked []Revocation
}

// change runs f in a transaction, and then notifies listeners of the revocations. It may
// run f more than once.
func (a *Accounts) change(ctx context.Context, f func(*tx) error) error {
	return a.db.Retry(ctx, func() error { return a.attempt(ctx, f) })
}

func (a *Accounts) attempt(ctx context.Context, f func(*tx) error) error {
	stx, err := a.write.BeginTx(ctx, nil)
	if err != nil {
		return a.wrap(err, "begin")
	}
	defer stx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	t := &tx{Tx: stx, a: a, now: a.now()}
	if _, err := t.ExecContext(ctx, `UPDATE account_turn SET turn = turn + 1`); err != nil {
		return a.wrap(err, "turn")
	}
	if err := f(t); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return a.wrap(err, "commit")
	}
	a.tell(t.revoked)
	return nil
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(ctx context.Context, what, statement string, args ...any) (int64, error) {
	r, err := t.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, t.a.wrap(err, what)
	}
	n, err := r.RowsAffected()
	return n, t.a.wrap(err, what)
}

// execAll runs statements with the same arguments.
func (t *tx) execAll(ctx context.Context, what string, args []any, statements ...string) error {
	for _, s := range statements {
		if _, err := t.exec(ctx, what, s, args...); err != nil {
			return err
		}
	}
	return nil
}

// A querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// A row is a row that can be scanned.
type row interface{ Scan(into ...any) error }

// all reads all rows of a query; the list is never nil.
func all[T any](ctx context.Context, a *Accounts, q querier, scan func(row) (T, error), what, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, a.wrap(err, what)
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, a.wrap(err, what)
		}
		list = append(list, v)
	}
	return list, a.wrap(rows.Err(), what)
}

// one reads the single row of a query, or returns [ErrNotFound].
func one[T any](ctx context.Context, a *Accounts, q querier, scan func(row) (T, error), what, query string, args ...any) (*T, error) {
	v, err := scan(q.QueryRowContext(ctx, query, args...))
	if err != nil {
		return nil, a.wrap(err, what)
	}
	return &v, nil
}

// wrap adds the object to a database error, and its kind.
func (a *Accounts) wrap(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s", ErrNotFound, what)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	}
	if kind := fault(err); kind != nil {
		return fmt.Errorf("%w: %s: %w", kind, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

func micros(t *time.Time) sql.Null[int64] {
	if t == nil {
		return sql.Null[int64]{}
	}
	return sql.Null[int64]{V: t.UnixMicro(), Valid: true}
}

// A stamp reads a time from the database.
type stamp struct{ at **time.Time }

// Scan is for database/sql.
func (s stamp) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s.at = nil
	case int64:
		t := time.UnixMicro(v).UTC()
		*s.at = &t
	default:
		return fmt.Errorf("%T is not a time", v)
	}
	return nil
}

// A moment reads a time that is not NULL.
type moment struct{ at *time.Time }

// Scan is for database/sql.
func (m moment) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("%T is not a time", v)
	}
	*m.at = time.UnixMicro(n).UTC()
	return nil
}
