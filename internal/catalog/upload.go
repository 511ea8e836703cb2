package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Uploads are the records of uploads into managed stores in buckets. Their texts have no meaning
// here.
type Uploads struct{ *handle }

// An Upload is the record of an upload. Two processes that write it at the same time are told
// apart by its version.
type Upload struct {
	ID, Store string
	Version   int64 // counts the writes; 0 for one that was never written
	Record    string
}

// maxUploadRecord limits the text of a record, in bytes.
const maxUploadRecord = 4 << 20

// Put writes the record of an upload, and counts its version. The error is [ErrConflict] if
// another process has written or removed it since it was read.
func (us *Uploads) Put(ctx context.Context, u *Upload) error {
	if len(u.Record) > maxUploadRecord {
		return fmt.Errorf("%w: the record of the upload has %d bytes", ErrInvalid, len(u.Record))
	}
	err := us.aside(ctx, func(t *sql.Tx) error {
		statement := `INSERT INTO uploads (id, store, version, record) VALUES ($1, $2, $3 + 1, $4) ON CONFLICT (id) DO NOTHING`
		if u.Version > 0 {
			statement = `UPDATE uploads SET version = version + 1, record = $4 WHERE id = $1 AND store = $2 AND version = $3`
		}
		r, err := t.ExecContext(ctx, statement, clean(u.ID), clean(u.Store), u.Version, u.Record)
		if err != nil {
			return wrap(err, "upload")
		}
		if n, err := r.RowsAffected(); err != nil {
			return wrap(err, "upload")
		} else if n == 0 {
			return fmt.Errorf("%w: upload %s was changed by another process", ErrConflict, clean(u.ID))
		}
		return nil
	})
	if err == nil {
		u.Version++
	}
	return err
}

// Get returns the record of an upload into a store, or [ErrNotFound].
func (us *Uploads) Get(ctx context.Context, store, id string) (*Upload, error) {
	u := Upload{ID: id, Store: store}
	err := us.read.QueryRowContext(ctx, `SELECT version, record FROM uploads WHERE id = $1 AND store = $2`, clean(id), clean(store)).Scan(&u.Version, &u.Record)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: upload %s", ErrNotFound, clean(id))
	}
	return &u, wrap(err, "upload")
}

// List calls f with the records of all uploads into a store.
func (us *Uploads) List(ctx context.Context, store string, f func(*Upload) error) error {
	rows, err := us.read.QueryContext(ctx, `SELECT id, version, record FROM uploads WHERE store = $1 ORDER BY id`, clean(store))
	if err != nil {
		return wrap(err, "uploads")
	}
	defer rows.Close()
	for rows.Next() {
		u := Upload{Store: store}
		if err := rows.Scan(&u.ID, &u.Version, &u.Record); err != nil {
			return wrap(err, "uploads")
		}
		if err := f(&u); err != nil {
			return err
		}
	}
	return wrap(rows.Err(), "uploads")
}

// Versions returns the versions of all uploads into a store, by id.
func (us *Uploads) Versions(ctx context.Context, store string) (map[string]int64, error) {
	rows, err := us.read.QueryContext(ctx, `SELECT id, version FROM uploads WHERE store = $1`, clean(store))
	if err != nil {
		return nil, wrap(err, "uploads")
	}
	defer rows.Close()
	list := map[string]int64{}
	for rows.Next() {
		var id string
		var version int64
		if err := rows.Scan(&id, &version); err != nil {
			return nil, wrap(err, "uploads")
		}
		list[id] = version
	}
	return list, wrap(rows.Err(), "uploads")
}

// Remove removes the record of an upload. One that does not exist is ignored.
func (us *Uploads) Remove(ctx context.Context, store, id string) error {
	return us.aside(ctx, func(t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `DELETE FROM uploads WHERE id = $1 AND store = $2`, clean(id), clean(store))
		return wrap(err, "upload")
	})
}
