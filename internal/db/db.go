// Package db opens the database that the catalog, tasks and accounts share, SQLite or
// PostgreSQL. It manages the file or the connections, their time limits and migrations, and
// classifies errors.
package db

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var errURL = errors.New("invalid database URL: use sqlite:PATH or postgres://USER@HOST/DATABASE")

// A DB is an open database. All packages with tables in it share one.
type DB struct {
	Read  *sql.DB // for statements that change nothing
	Write *sql.DB // of SQLite a single connection, so writers of the process take turns
	// Pool holds the connections of Write to PostgreSQL. It is nil for SQLite.
	Pool *pgxpool.Pool

	path    string          // of SQLite
	config  *pgxpool.Config // of PostgreSQL
	hold    *Hold           // of SQLite's directory
	mu      sync.Mutex
	relaxed *sql.DB         // of SQLite; nil until it is needed
	pools   []*pgxpool.Pool // of PostgreSQL

	// sessions is set when it is certain that each session of PostgreSQL keeps its
	// connection, and pooled if it goes through a pooler.
	sessions, pooled atomic.Bool
}

// Open opens the database at url, "sqlite:PATH" or "postgres://…". The file of a SQLite
// database is created if it does not exist. The error may be [ErrInUse].
func Open(url string) (*DB, error) { return open(url, openSQLite, openPostgres) }

// OpenReadOnly opens the database at url for reading. It changes nothing, creates no files
// and leaves none behind. Write rejects changes.
func OpenReadOnly(url string) (*DB, error) { return open(url, readSQLite, readPostgres) }

func open(url string, sqlite, postgres func(string) (*DB, error)) (*DB, error) {
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		return sqlite(rest)
	case "postgres", "postgresql":
		return postgres(url)
	}
	return nil, errURL
}

// Close closes all connections.
func (d *DB) Close() error {
	err := d.Read.Close()
	if d.Write != d.Read {
		err = errors.Join(err, d.Write.Close())
	}
	if d.relaxed != nil {
		err = errors.Join(err, d.relaxed.Close())
	}
	for _, p := range d.pools {
		p.Close()
	}
	return errors.Join(err, d.hold.Release())
}

// IsSQLite reports whether the database is a file.
func (d *DB) IsSQLite() bool { return d.config == nil }

// Dialect returns "sqlite" or "postgres".
func (d *DB) Dialect() string {
	if d.IsSQLite() {
		return "sqlite"
	}
	return "postgres"
}

// retryTime is how long a transaction is retried. Other writers need no more than a second.
const retryTime = 30 * time.Second

// Retry calls f, which runs a transaction, again while another transaction conflicts with
// it. After an error of the disk it replaces the connections.
func (d *DB) Retry(ctx context.Context, f func() error) error {
	for began, wait := time.Now(), time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := f()
		if IsDiskFault(err) { // connections may have cached wrong contents of the file
			d.DropIdle()
		}
		if err == nil || !isTransient(err) || time.Since(began) > retryTime {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// DropIdle closes the connections that are not in use.
func (d *DB) DropIdle() {
	if d.IsSQLite() {
		dropIdle(d.Read, sqliteReaders)
		dropIdle(d.Write, 1)
		return
	}
	for _, p := range d.pools {
		p.Reset()
	}
}

func dropIdle(pool *sql.DB, n int) {
	pool.SetMaxIdleConns(0)
	pool.SetMaxIdleConns(n)
}

// Connect opens a connection to PostgreSQL that belongs to no pool.
func (d *DB) Connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, d.config.ConnConfig.Copy())
}
