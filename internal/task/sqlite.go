package task

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/slideatlas/ptiffstore/internal/db"
)

// openSQLite opens a connection of its own whose commits do not wait for the disk: a task
// lost in a power failure is started again.
func openSQLite(ctx context.Context, d *db.DB, readOnly bool) (*database, error) {
	write := d.Write
	if !readOnly {
		var err error
		if write, err = d.Relaxed(); err != nil {
			return nil, fmt.Errorf("cannot open the database of tasks: %w", err)
		}
	}
	t := &database{
		write: write, read: d.Read, pollOnly: true, // otherwise River would poll twenty times a second
		succeeded:  "+state = 'completed'",
		errorCount: "json_array_length(coalesce(errors, '[]'))",
		ofStore:    "json_extract(args, '$.store')",
		rescue:     rescueSQLite,
		standingOf: `SELECT state, attempt, coalesce(json_extract(attempted_by, '$[#-1]'), ''), json_extract(metadata, '$.cancel_attempted_at') IS NOT NULL
			FROM river_job WHERE id = $1`,
	}
	if !readOnly {
		if err := migrateSQLite(ctx, write); err != nil {
			return nil, err
		}
		if err := d.Migrate(ctx, tables()); err != nil {
			return nil, fmt.Errorf("tables of tasks: %w", err)
		}
	}
	return t, t.prepareSQLite()
}

func (db *database) prepareSQLite() error {
	db.newClient = func(c *river.Config) (client, error) { return river.NewClient(riversqlite.New(db.write), c) }
	c, err := river.NewClient(riversqlite.New(db.write), insertOnly())
	if err != nil {
		return fmt.Errorf("cannot create the client of River: %w", err)
	}
	db.client = c
	if db.reader, err = river.NewClient(riversqlite.New(db.read), insertOnly()); err != nil {
		return fmt.Errorf("cannot create the client of River: %w", err)
	}
	db.once = func(ctx context.Context, statement string, args []any, task taskArgs, opts *river.InsertOpts) (bool, error) {
		tx, err := db.write.BeginTx(ctx, nil)
		if err != nil {
			return false, err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit this has no effect
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

// migrationWaits is how many times the database's lock timeout may pass while another
// process migrates the tables.
const migrationWaits = 5

// migrateSQLite migrates River's tables to its newest version in one transaction, so that
// concurrent processes wait for each other.
func migrateSQLite(ctx context.Context, db *sql.DB) error {
	m, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: silent})
	if err != nil {
		return fmt.Errorf("migration of River: %w", err)
	}
	if err := refuseNewer(ctx, db, m); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	for range migrationWaits { // another process is migrating
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY || ctx.Err() != nil {
			break
		}
		tx, err = db.BeginTx(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("migration of River: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit this has no effect
	existing, err := m.ExistingVersionsTx(ctx, tx)
	if err != nil {
		return fmt.Errorf("version of River's tables: %w", err)
	}
	if len(existing) == len(m.AllVersions()) {
		return nil
	}
	//lint:ignore SA1019 it is deprecated for what PostgreSQL can't do in one transaction; SQLite can
	if _, err := m.MigrateTx(ctx, tx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migration of River: %w", err)
	}
	return tx.Commit()
}

// rescueSQLite is a single statement, so that no other worker can interfere.
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
