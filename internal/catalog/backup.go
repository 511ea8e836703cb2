package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrNotHere: the database is a server's, which has programs of its own for that.
var ErrNotHere = errors.New("catalog: PostgreSQL is backed up with pg_dump and restored with pg_restore")

// Backup writes the database as it is now, with the tables of other rooms in it, to a
// new file. Others may go on to read and write. The file is whole and synced when
// Backup returns nil; the error is [ErrNotHere] for PostgreSQL.
func (c *Catalog) Backup(ctx context.Context, path string) error {
	if c.dialect != sqliteDialect {
		return ErrNotHere
	}
	// It is made empty, for its owner alone, and SQLite fills it.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("catalog: backup: %w", err)
	}
	if err := c.fill(ctx, path, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return errors.Join(fsx.SyncFile(path), fsx.SyncFolder(filepath.Dir(path)))
}

// fill writes the database to an empty file, which has been closed with an error or nil.
func (c *Catalog) fill(ctx context.Context, path string, closed error) error {
	if closed != nil {
		return fmt.Errorf("catalog: backup: %w", closed)
	}
	var file string
	if err := c.read.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&file); err != nil {
		return c.wrap(err, "backup")
	}
	// A connection of its own: the others only read, or are what writers wait for.
	db, err := sql.Open("sqlite", fileURL(file)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return fmt.Errorf("catalog: backup: %w", err)
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `VACUUM INTO $1`, path)
	return c.wrap(err, "backup")
}

func fileURL(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// Settle brings what is in the write-ahead log of the SQLite database at path into its
// file, so that the file alone is the database. The error is [ErrInUse] if another
// process has it open, which this is the way to find out for programs that take no part
// in a [Hold].
func Settle(ctx context.Context, path string) error {
	if !InUse(path) {
		return nil
	}
	db, err := sql.Open("sqlite", fileURL(path)+"?mode=rw&_pragma=busy_timeout(500)")
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var mode string
	err = db.QueryRowContext(ctx, `PRAGMA journal_mode=DELETE`).Scan(&mode)
	if kind := Fault(err); kind == errBusy || err == nil && mode == "wal" { //nolint:errorlint // it is returned as it is
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("catalog: write-ahead log of %s: %w", path, err)
	}
	return nil
}

// CheckBackup reads a file that [Catalog.Backup] has written and returns nil if it is
// a whole database with a catalog in it that this program knows.
func CheckBackup(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", fileURL(path)+"?mode=ro&immutable=1")
	if err != nil {
		return fmt.Errorf("catalog: backup: %w", err)
	}
	defer db.Close()
	var word string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&word); err != nil {
		return fmt.Errorf("catalog: the backup is no database: %w", err)
	}
	if word != "ok" {
		return fmt.Errorf("catalog: the backup is damaged: %s", word)
	}
	var n int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM counters`).Scan(&n); err != nil || n != 1 {
		return errors.New("catalog: the backup is a database, and not one of a catalog")
	}
	return nil
}
