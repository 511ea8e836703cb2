package db

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// All statements of readers use an index, in the order of the index. The planner must
	// not decide otherwise while its statistics are old, and compiling a plan takes longer
	// than running it.
	readSettings = `SET default_transaction_read_only = on; SET enable_seqscan = off; SET enable_sort = off;
		SET jit = off; SET max_parallel_workers_per_gather = 0; SET plan_cache_mode = force_custom_plan`
	// A process that is stopped in the middle of a transaction must not block all others
	// forever.
	writeSettings = `SET jit = off; SET enable_seqscan = off; SET idle_in_transaction_session_timeout = '30s'`

	postgresReaders = 8
	// postgresWriters serve the catalog, whose writers take turns, the tasks, which keep
	// one connection to listen, and accounts. The URL may ask for more: pool_max_conns.
	postgresWriters = 14

	connectTimeout = 5 * time.Second // unless the URL contains another
	// pingTime is how long an idle connection may take to answer a ping.
	pingTime = 3 * time.Second
	// connLife is how long a connection is used, to replace connections that are bad
	// without an error.
	connLife = 30 * time.Minute
	connIdle = 5 * time.Minute
)

func openPostgres(url string) (*DB, error) {
	d, err := readPostgres(url)
	if err != nil {
		return nil, err
	}
	if d.Write, d.Pool, err = d.openPool(writeSettings, max(d.config.MaxConns, postgresWriters)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func readPostgres(url string) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	guardConfig(config.ConnConfig)
	d := &DB{config: config}
	if d.Read, d.Pool, err = d.openPool(readSettings, postgresReaders); err != nil {
		return nil, err
	}
	d.Write = d.Read
	return d, nil
}

// guardConfig limits how long a caller waits in vain for connections made by config:
// each statement has a deadline, and while the server does not answer at all, further
// ones fail at once. A connection whose error says that it is unusable is closed.
func guardConfig(config *pgx.ConnConfig) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "ptiffstore"
	}
	config.Tracer = &guard{limit: statementTime}
}

// openPool opens a pool of at most n connections, each of which begins with settings,
// statements of SQL.
func (d *DB) openPool(settings string, n int32) (*sql.DB, *pgxpool.Pool, error) {
	c := d.config.Copy()
	c.MaxConns = n
	c.MaxConnLifetime, c.MaxConnLifetimeJitter, c.MaxConnIdleTime, c.PingTimeout = connLife, connLife/4, connIdle, pingTime
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := d.checkPooler(ctx, conn); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, settings, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		return nil, nil, err
	}
	d.pools = append(d.pools, pool)
	return stdlib.OpenDBFromPool(pool), pool, nil
}
