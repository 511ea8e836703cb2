package account

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const (
	// Commits wait for the disk: what was revoked stays so when the power fails.
	pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)&_txlock=immediate"
	readers     = 4
	connections = 6 // of PostgreSQL

	connectTimeout = 5 * time.Second // unless the URL says another
	// migrationLock is any number that nobody else takes.
	migrationLock = 7306118240953751
)

// openSQLite opens the file of the catalog once more.
func (a *Accounts) openSQLite(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("account: the database can't be opened or made: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + pragmas
	if a.write, err = sql.Open("sqlite", dsn); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	a.write.SetMaxOpenConns(1)
	if a.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return errors.Join(fmt.Errorf("account: %w", err), a.write.Close())
	}
	a.read.SetMaxOpenConns(readers)
	a.read.SetMaxIdleConns(readers)
	if err := migrate(ctx, a.write, "sqlite", goose.DialectSQLite3); err != nil {
		return errors.Join(err, a.Close())
	}
	return nil
}

func (a *Accounts) openPostgres(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "ptiffstore"
	}
	a.write = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		// A process that is stopped in the middle of a transaction must not stop all
		// others for good.
		_, err := conn.Exec(ctx, `SET idle_in_transaction_session_timeout = '30s'`, pgx.QueryExecModeSimpleProtocol)
		return err
	}))
	a.write.SetMaxOpenConns(connections)
	a.write.SetMaxIdleConns(connections)
	a.write.SetConnMaxIdleTime(5 * time.Minute)
	a.read = a.write
	turns, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, 300))
	if err != nil {
		return errors.Join(fmt.Errorf("account: %w", err), a.Close())
	}
	if err := migrate(ctx, a.write, "postgres", goose.DialectPostgres, goose.WithSessionLocker(turns)); err != nil {
		return errors.Join(err, a.Close())
	}
	return nil
}

//go:embed migrations
var migrations embed.FS

const migrationTable = "account_migrations"

// Ledger is where the migrations of the tables of people are written down.
func Ledger() catalog.Ledger {
	dir, _ := fs.Sub(migrations, "migrations/sqlite") // as many as the other's
	return catalog.NewLedger("users", migrationTable, dir)
}

// migrate brings the tables to the newest migration, one process at a time.
func migrate(ctx context.Context, db *sql.DB, folder string, dialect goose.Dialect, opts ...goose.ProviderOption) error {
	dir, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db, dir, append(opts, goose.WithTableName(migrationTable))...)
	if err != nil {
		return fmt.Errorf("account: migrations: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	// On SQLite two programs that start at the same time may both begin; the second
	// fails and finds the work done.
	for try := 0; ; try++ {
		has, err := p.GetDBVersion(ctx)
		switch {
		case err != nil && (try >= 5 || ctx.Err() != nil):
			return migrateError(err, "version of the tables")
		case err != nil:
			continue
		case has > newest:
			return fmt.Errorf("account: the tables of users were changed by a newer ptiffstore (they are at %d, this one knows %d): use that one, or a backup from before it", has, newest)
		case has == newest:
			return nil
		}
		if _, err := p.Up(ctx); err != nil && (try >= 5 || ctx.Err() != nil) {
			return migrateError(err, "migration")
		}
	}
}

func migrateError(err error, what string) error {
	if kind := fault(err); kind != nil {
		return fmt.Errorf("%w: %s: %w", kind, what, err)
	}
	return fmt.Errorf("account: %s: %w", what, err)
}

// fault returns the known kind of an error, or nil.
func fault(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return ErrConflict
		}
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return ErrAway
		}
		return nil
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case e.Code == "23505": // unique_violation
			return ErrConflict
		case strings.HasPrefix(e.Code, "08"), // connection exceptions
			strings.HasPrefix(e.Code, "57P"), // shut down, crashed, starting
			e.Code == "53300",                // too_many_connections
			e.Code == "25P03":                // idle_in_transaction_session_timeout
			return ErrAway
		}
		return nil
	}
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, net.ErrClosed), errors.Is(err, pgconn.ErrConnClosed):
		return ErrAway
	}
	return nil
}
