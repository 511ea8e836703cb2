package task

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/slideatlas/ptiffstore/internal/db"
)

// migrationLock is an arbitrary number that no other lock uses.
const migrationLock = 5836201194710483

// openPostgres uses the connections of the catalog. River requires the pool itself.
func openPostgres(ctx context.Context, d *db.DB, readOnly bool) (*database, error) {
	t := &database{
		write: d.Write, read: d.Write, // to see immediately what River has written
		succeeded:  "state::text = 'completed'",
		errorCount: "coalesce(array_length(errors, 1), 0)",
		ofStore:    "args ->> 'store'",
		rescue:     rescuePostgres,
		standingOf: `SELECT state, attempt, coalesce(attempted_by[cardinality(attempted_by)], ''), metadata ? 'cancel_attempted_at'
			FROM river_job WHERE id = $1`,
	}
	if !readOnly {
		if err := migratePostgres(ctx, d.Pool, d.Write); err != nil {
			return nil, err
		}
		if err := d.Migrate(ctx, tables()); err != nil {
			return nil, fmt.Errorf("tables of tasks: %w", err)
		}
	}
	return t, t.preparePostgres(d.Pool)
}

func (db *database) preparePostgres(pool *pgxpool.Pool) error {
	db.newClient = func(c *river.Config) (client, error) { return river.NewClient(riverpgxv5.New(pool), c) }
	c, err := river.NewClient(riverpgxv5.New(pool), insertOnly())
	if err != nil {
		return fmt.Errorf("cannot create the client of River: %w", err)
	}
	db.client, db.reader = c, c
	db.once = func(ctx context.Context, statement string, args []any, task taskArgs, opts *river.InsertOpts) (done bool, err error) {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, statement, args...)
			if err != nil || tag.RowsAffected() == 0 {
				return err
			}
			done = true
			_, err = c.InsertTx(ctx, tx, task, opts)
			return err
		})
		return done && err == nil, err
	}
	return nil
}

// migratePostgres migrates River's tables to its newest version, in one process at a time.
func migratePostgres(ctx context.Context, pool *pgxpool.Pool, read *sql.DB) error {
	ctx = db.Unhurried(ctx)
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: silent})
	if err != nil {
		return fmt.Errorf("migration of River: %w", err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("migration of River: %w", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(migrationLock)) //nolint:errcheck // the lock ends with the connection
	if err := refuseNewer(ctx, read, m); err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migration of River: %w", err)
	}
	return nil
}

// rescuePostgres locks the rows that it finds, and checks them again in case another worker
// was faster.
const rescuePostgres = `UPDATE river_job SET
		state = CASE WHEN metadata ? 'cancel_attempted_at' THEN 'cancelled'
			WHEN attempt >= max_attempts THEN 'discarded' ELSE 'available' END::river_job_state,
		finalized_at = CASE WHEN metadata ? 'cancel_attempted_at' OR attempt >= max_attempts THEN now() END,
		scheduled_at = now(),
		errors = array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt, 'error', $1::text, 'trace', ''))
	WHERE state = 'running' AND attempted_at < now() - make_interval(secs => $2)
		AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = attempted_by[cardinality(attempted_by)]
			AND w.seen_at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $3::bigint)`
