package task

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const (
	// River can't wait for a lock by itself, so SQLite waits, longer than any
	// transaction of the catalog takes. A task that the power took is begun again,
	// so commits need not wait for the disk.
	pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)" +
		"&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)&_txlock=immediate"
	readers = 4
)

// openSQLite opens the file of the catalog a second time.
func openSQLite(ctx context.Context, path string, look bool) (*database, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath()
	if look {
		dsn = catalog.ReadOnly(path)
	} else if err := catalog.CreateFile(path); err != nil {
		return nil, fmt.Errorf("task: %w", err)
	} else {
		dsn += pragmas
	}
	write, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("task: %w", err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	for _, db := range []*sql.DB{read, write} {
		db.SetConnMaxLifetime(catalog.FileLife)
	}
	db := &database{
		write: write, read: read, pollOnly: true, // else River would ask twenty times a second
		close:      func() error { return errors.Join(read.Close(), write.Close()) },
		succeeded:  "+state = 'completed'",
		errorCount: "json_array_length(coalesce(errors, '[]'))",
		ofStore:    "json_extract(args, '$.store')",
		rescue:     rescueSQLite,
		standingOf: `SELECT state, attempt, coalesce(json_extract(attempted_by, '$[#-1]'), ''), json_extract(metadata, '$.cancel_attempted_at') IS NOT NULL
			FROM river_job WHERE id = $1`,
	}
	if err := db.prepareSQLite(ctx, look); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

func (db *database) prepareSQLite(ctx context.Context, look bool) error {
	if !look {
		if err := migrateSQLite(ctx, db.write); err != nil {
			return err
		}
		if err := migrateOwn(ctx, goose.DialectSQLite3, db.write); err != nil {
			return err
		}
	}
	db.newClient = func(c *river.Config) (client, error) { return river.NewClient(riversqlite.New(db.write), c) }
	c, err := river.NewClient(riversqlite.New(db.write), insertOnly())
	if err != nil {
		return fmt.Errorf("task: %w", err)
	}
	db.client = c
	if db.reader, err = river.NewClient(riversqlite.New(db.read), insertOnly()); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	db.once = func(ctx context.Context, statement string, args []any, task taskArgs, opts *river.InsertOpts) (bool, error) {
		tx, err := db.write.BeginTx(ctx, nil)
		if err != nil {
			return false, err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
		res, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return false, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return false, err
		}
		if _, err := c.InsertTx(ctx, tx, task, opts); err != nil {
			return false, err
		}
		return true, tx.Commit()
	}
	return nil
}

// migrationWaits is how many times more the wait for the database's lock may be as long
// as the pragma says while another process brings the tables to their newest version.
const migrationWaits = 5

// migrateSQLite brings River's tables to its newest version, all in one
// transaction, so that of two processes one waits for the other.
func migrateSQLite(ctx context.Context, db *sql.DB) error {
	m, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: silent})
	if err != nil {
		return fmt.Errorf("task: %w", err)
	}
	if err := refuseNewer(ctx, db, m); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	for range migrationWaits { // another process is at it
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY || ctx.Err() != nil {
			break
		}
		tx, err = db.BeginTx(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("task: migration of River: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	existing, err := m.ExistingVersionsTx(ctx, tx)
	if err != nil {
		return fmt.Errorf("task: version of River's tables: %w", err)
	}
	if len(existing) == len(m.AllVersions()) {
		return nil
	}
	//lint:ignore SA1019 it is deprecated for what PostgreSQL can't do in one transaction; SQLite can
	if _, err := m.MigrateTx(ctx, tx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("task: migration of River: %w", err)
	}
	return tx.Commit()
}

// rescueSQLite: one statement, so nobody comes in between.
const rescueSQLite = `UPDATE river_job SET
		state = CASE WHEN json_extract(metadata, '$.cancel_attempted_at') IS NOT NULL THEN 'cancelled'
			WHEN attempt >= max_attempts THEN 'discarded' ELSE 'available' END,
		finalized_at = CASE WHEN json_extract(metadata, '$.cancel_attempted_at') IS NOT NULL OR attempt >= max_attempts THEN datetime('now', 'subsec') END,
		scheduled_at = datetime('now', 'subsec'),
		errors = jsonb(json_insert(json(coalesce(errors, '[]')), '$[#]',
			json_object('at', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'attempt', attempt, 'error', $1, 'trace', '')))
	WHERE state = 'running' AND attempted_at < datetime('now', 'subsec', '-' || $2 || ' seconds')
		AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = json_extract(attempted_by, '$[#-1]')
			AND w.seen_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $3)`
