package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// PutStore adds a store, or changes the one of that id, and returns it with what
// was left to be chosen: id, background, origin, times. A root that another store
// has is [ErrConflict].
func (c *Catalog) PutStore(ctx context.Context, s Store) (*Store, error) {
	now := time.Now().UTC()
	if s.ID == "" {
		s.ID = NewID()
	}
	if s.CreatedAt.IsZero() {
		s.CreatedAt = now
	}
	s.UpdatedAt = now
	if s.Background == "" {
		s.Background = "#ffffff"
	}
	if s.Origin == "" {
		s.Origin = "top-left"
	}
	fields, err := json.Marshal(&s)
	if err != nil {
		return nil, fmt.Errorf("catalog: store %s: %w", s.ID, err)
	}
	err = c.tx(ctx, func(t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO stores (id, root, fields, created_at, updated_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id) DO UPDATE SET root = excluded.root, fields = excluded.fields, updated_at = excluded.updated_at`,
			s.ID, s.Root, string(fields), micros(s.CreatedAt), micros(s.UpdatedAt))
		if isUnique(err) {
			return fmt.Errorf("%w: another store has this folder", ErrConflict)
		}
		return wrap(err, "store "+s.ID)
	})
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// Store returns a store with its counts, or [ErrNotFound].
func (c *Catalog) Store(ctx context.Context, id string) (*Store, error) {
	list, err := c.stores(ctx, ` WHERE id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: store %s", ErrNotFound, id)
	}
	return &list[0], nil
}

// Stores returns all stores with their counts, oldest first.
func (c *Catalog) Stores(ctx context.Context) ([]Store, error) {
	return c.stores(ctx, ` ORDER BY created_at, id`)
}

func (c *Catalog) stores(ctx context.Context, where string, args ...any) ([]Store, error) {
	rows, err := c.read.QueryContext(ctx, `SELECT fields FROM stores`+where, args...)
	if err != nil {
		return nil, wrap(err, "stores")
	}
	defer rows.Close()
	var list []Store
	for rows.Next() {
		var fields []byte
		if err := rows.Scan(&fields); err != nil {
			return nil, wrap(err, "stores")
		}
		var s Store
		if err := json.Unmarshal(fields, &s); err != nil {
			return nil, wrap(err, "stores")
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(err, "stores")
	}
	return list, c.count(ctx, list)
}

// count fills the counts of stores.
func (c *Catalog) count(ctx context.Context, list []Store) error {
	byID := map[string]*Store{}
	for i := range list {
		list[i].Counts = map[State]int{}
		byID[list[i].ID] = &list[i]
	}
	rows, err := c.read.QueryContext(ctx, `SELECT store_id, state, count(*) FROM images WHERE hidden = 0 GROUP BY store_id, state`)
	if err != nil {
		return wrap(err, "counts")
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var state State
		var n int
		if err := rows.Scan(&id, &state, &n); err != nil {
			return wrap(err, "counts")
		}
		if s := byID[id]; s != nil {
			s.Counts[state] = n
		}
	}
	return wrap(rows.Err(), "counts")
}

// DeleteStore takes a store and its images out of the catalog. It touches no
// file.
func (c *Catalog) DeleteStore(ctx context.Context, id string) error {
	return c.tx(ctx, func(t *sql.Tx) error {
		seq, err := number(ctx, t, 1)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `INSERT INTO gone (id, seq) SELECT id, $1 FROM images WHERE store_id = $2 ON CONFLICT (id) DO UPDATE SET seq = excluded.seq`, seq, id); err != nil {
			return wrap(err, "store "+id)
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM images WHERE store_id = $1`, id); err != nil {
			return wrap(err, "store "+id)
		}
		r, err := t.ExecContext(ctx, `DELETE FROM stores WHERE id = $1`, id)
		if err != nil {
			return wrap(err, "store "+id)
		}
		if n, err := r.RowsAffected(); err == nil && n == 0 {
			return fmt.Errorf("%w: store %s", ErrNotFound, id)
		}
		return nil
	})
}

// number takes the next n numbers of changes and returns the first. The counter's
// row is locked until the transaction ends, so numbers become visible in order.
func number(ctx context.Context, t *sql.Tx, n int) (int64, error) {
	var last int64
	err := t.QueryRowContext(ctx, `UPDATE counters SET n = n + $1 WHERE name = 'change' RETURNING n`, n).Scan(&last)
	return last - int64(n) + 1, wrap(err, "number of a change")
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: %s", ErrNotFound, what)
	}
	return fmt.Errorf("catalog: %s: %w", what, err)
}

func isUnique(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}
