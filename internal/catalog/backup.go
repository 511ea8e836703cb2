package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrNotHere reports that the database is on a server, whose own programs make backups.
var ErrNotHere = errors.New("PostgreSQL is backed up with pg_dump and restored with pg_restore")

// Backup writes a consistent copy of the database, including the tables of other packages,
// to a new file. Concurrent reads and writes continue. The file is complete and synced when
// Backup returns nil; the error is [ErrNotHere] for PostgreSQL.
func (c *Catalog) Backup(ctx context.Context, path string) error {
	if !c.db.IsSQLite() {
		return ErrNotHere
	}
	// Create the file empty, readable by its owner only; SQLite fills it.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := c.fill(ctx, path, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return errors.Join(fsx.SyncFile(path), fsx.SyncFolder(filepath.Dir(path)))
}

// fill writes the database to the empty file; closed is the error of closing that file.
func (c *Catalog) fill(ctx context.Context, path string, closed error) error {
	if closed != nil {
		return fmt.Errorf("backup: %w", closed)
	}
	var file string
	if err := c.read.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&file); err != nil {
		return wrap(err, "backup")
	}
	// A connection of its own: writers would wait for another one, and readers may not
	// write.
	own, err := sql.Open("sqlite", db.FileURL(file)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer own.Close()
	_, err = own.ExecContext(ctx, `VACUUM INTO $1`, path)
	return wrap(err, "backup")
}

// CheckBackup reads a file that [Catalog.Backup] has written. It returns nil if the file is
// a complete database with a catalog of a version that this program knows.
func CheckBackup(ctx context.Context, path string) error {
	file, err := sql.Open("sqlite", db.FileURL(path)+"?mode=ro&immutable=1")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer file.Close()
	var word string
	if err := file.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&word); err != nil {
		return fmt.Errorf("the backup is not a database: %w", err)
	}
	if word != "ok" {
		return fmt.Errorf("the backup is damaged: %s", word)
	}
	var n int
	if err := file.QueryRowContext(ctx, `SELECT count(*) FROM counters`).Scan(&n); err != nil || n != 1 {
		return errors.New("the backup is a database of another program: it has no catalog")
	}
	return nil
}
