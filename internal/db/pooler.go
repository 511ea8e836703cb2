package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPooled reports that the URL of the database leads to a pooler, such as PgBouncer, that
// runs each transaction or statement in any of its connections. A session's settings would
// reach other sessions, and prepared statements, advisory locks and LISTEN would be lost.
var ErrPooled = errors.New("the database URL leads to a connection pooler that shares connections between transactions: " +
	"set pool_mode = session for this database in the pooler (PgBouncer), or give the address of PostgreSQL itself")

// poolerRounds is how often two sessions are compared. A pooler without load shows in the
// first round. On a busy one the only idle connection may be the same one several times, while
// other clients have all others.
const poolerRounds = 40

// checkPooler returns [ErrPooled] unless a session keeps its connection to PostgreSQL. It
// runs before the first setting, which a pooler would pass to other programs, and not again
// after a positive result.
func (d *DB) checkPooler(ctx context.Context, conn *pgx.Conn) error {
	if d.sessions.Load() {
		return nil
	}
	pid, err := backend(ctx, conn)
	if err != nil {
		return err
	}
	// A pooler introduces itself with a process id of its own.
	if pid != conn.PgConn().PID() {
		d.pooled.Store(true)
		if err := d.compareSessions(ctx, conn); err != nil {
			return err
		}
	}
	d.sessions.Store(true)
	return nil
}

// compareSessions returns [ErrPooled] if the statements of one session run in several server
// processes, or those of two sessions in the same one.
func (d *DB) compareSessions(ctx context.Context, one *pgx.Conn) error {
	two, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer closeNow(two)
	first, err := backend(ctx, one)
	if err != nil {
		return err
	}
	for range poolerRounds {
		// The transaction keeps its process, so a pooler must give the next statement of
		// the other session another one.
		if _, err := two.Exec(ctx, `BEGIN`, pgx.QueryExecModeSimpleProtocol); err != nil {
			if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "08P01" { // a pooler that allows no transactions
				return fmt.Errorf("%w (%w)", ErrPooled, err)
			}
			return err
		}
		second, err := backend(ctx, two)
		if err != nil {
			return err
		}
		again, err := backend(ctx, one)
		if err != nil {
			return err
		}
		if second == first || again != first {
			return ErrPooled
		}
		if _, err := two.Exec(ctx, `ROLLBACK`, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}

// backend returns the id of the server process that runs a statement of conn.
func backend(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid, err
}

// Pooled reports whether connections go through a pooler, as far as they have been made.
func (d *DB) Pooled() bool { return d.pooled.Load() }
