package account

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/db"
)

// A handle is the open database, which all resources share.
type handle struct {
	o           Options
	db          *db.DB
	write, read *sql.DB // of db
	passwords   *passwords

	auditMu sync.Mutex // one line at a time
	hearMu  sync.Mutex
	hearers []func(Revocation)
}

// now returns the time with the precision of the database.
func (h *handle) now() time.Time { return h.o.Now().UTC().Truncate(time.Microsecond) }

// A tx is a write transaction. Only one runs at a time.
type tx struct {
	*sql.Tx
	h       *handle
	now     time.Time
	revoked []Revocation
}

// change runs f in a transaction, and then notifies listeners of the revocations. It may
// run f more than once.
func (h *handle) change(ctx context.Context, f func(*tx) error) error {
	return h.db.Retry(ctx, func() error { return h.attempt(ctx, f) })
}

func (h *handle) attempt(ctx context.Context, f func(*tx) error) error {
	stx, err := h.write.BeginTx(ctx, nil)
	if err != nil {
		return wrap(err, "begin")
	}
	defer stx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	t := &tx{Tx: stx, h: h, now: h.now()}
	if _, err := t.ExecContext(ctx, `UPDATE account_turn SET turn = turn + 1`); err != nil {
		return wrap(err, "turn")
	}
	if err := f(t); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return wrap(err, "commit")
	}
	h.notify(t.revoked)
	return nil
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(ctx context.Context, what, statement string, args ...any) (int64, error) {
	r, err := t.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, wrap(err, what)
	}
	n, err := r.RowsAffected()
	return n, wrap(err, what)
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
func all[T any](ctx context.Context, q querier, scan func(row) (T, error), what, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, wrap(err, what)
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, wrap(err, what)
		}
		list = append(list, v)
	}
	return list, wrap(rows.Err(), what)
}

// one reads the single row of a query, or returns [ErrNotFound].
func one[T any](ctx context.Context, q querier, scan func(row) (T, error), what, query string, args ...any) (*T, error) {
	v, err := scan(q.QueryRowContext(ctx, query, args...))
	if err != nil {
		return nil, wrap(err, what)
	}
	return &v, nil
}

// wrap adds the object to a database error, and its kind.
func wrap(err error, what string) error {
	return db.Names{NotFound: ErrNotFound, Duplicate: ErrConflict}.Wrap(err, what)
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
