package account

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // the driver

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const (
	// Commits wait for the disk: what was revoked stays so when the power fails.
	pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)&_txlock=immediate"
	readers     = 4
	connections = 6 // of PostgreSQL

	// migrationLock is any number that nobody else takes.
	migrationLock = 7306118240953751
)

// openSQLite opens the file of the catalog once more.
func (a *Accounts) openSQLite(ctx context.Context, path string) error {
	var err error
	if a.hold, err = catalog.Share(filepath.Dir(path)); err != nil {
		return err
	}
	if err := catalog.CreateFile(path); err != nil {
		return errors.Join(fmt.Errorf("account: %w", err), a.hold.Release())
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + pragmas
	if a.write, err = sql.Open("sqlite", dsn); err != nil {
		return errors.Join(fmt.Errorf("account: %w", err), a.hold.Release())
	}
	a.write.SetMaxOpenConns(1)
	if a.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return errors.Join(fmt.Errorf("account: %w", err), a.write.Close(), a.hold.Release())
	}
	a.read.SetMaxOpenConns(readers)
	a.read.SetMaxIdleConns(readers)
	for _, db := range []*sql.DB{a.read, a.write} {
		db.SetConnMaxLifetime(catalog.FileLife)
	}
	if err := migrate(ctx, a.write, "sqlite", goose.DialectSQLite3); err != nil {
		return errors.Join(err, a.Close())
	}
	return nil
}

func (a *Accounts) openPostgres(ctx context.Context, url string) error {
	config, err := catalog.PostgresConfig(url)
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	// A process that is stopped in the middle of a transaction must not stop all others
	// for good.
	a.write = catalog.OpenPool(config, `SET idle_in_transaction_session_timeout = '30s'`, connections)
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

// UserTable is the table with a row for each user.
const UserTable = "users"

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
			return fmt.Errorf("account: the user tables were changed by a newer ptiffstore (version %d, this program knows %d): use that program, or a backup made before the upgrade", has, newest)
		case has == newest:
			return nil
		}
		if _, err := p.Up(catalog.Unhurried(ctx)); err != nil && (try >= 5 || ctx.Err() != nil) {
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
	kind := catalog.Fault(err)
	if errors.Is(kind, catalog.ErrConflict) {
		return ErrConflict
	}
	return kind
}
