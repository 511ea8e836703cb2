package db

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrations create the tables of one package and bring them up to date.
type Migrations struct {
	Of    string // the owner of the tables, for people
	Table string // table in which applied migrations are recorded
	Files fs.FS  // NUMBER_NAME.sql, in directories "sqlite" and "postgres" or shared by both
}

// Ledger returns where the applied migrations are recorded.
func (m Migrations) Ledger() Ledger {
	l := Ledger{Of: m.Of, Table: m.Table, Column: "version_id"}
	files, _ := fs.Glob(m.files("sqlite"), "*.sql") // the pattern is valid; both databases have the same number of migrations
	for _, f := range files {
		number, _, _ := strings.Cut(f, "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			l.Newest = max(l.Newest, n)
		}
	}
	return l
}

func (m Migrations) files(dialect string) fs.FS {
	if dir, err := fs.Sub(m.Files, dialect); err == nil {
		if _, err := fs.Stat(dir, "."); err == nil {
			return dir
		}
	}
	return m.Files
}

const (
	// migrateTries is how often a migration is tried. If two programs start on a SQLite
	// database at the same time, both may begin; the second one fails and finds the work
	// done.
	migrateTries = 6
	// migrateTime is how long a program waits while another one migrates.
	migrateTime = time.Minute
)

// Migrate migrates tables to the newest version, one process at a time. It cannot migrate
// back: it rejects tables that a newer program has changed.
func (d *DB) Migrate(ctx context.Context, m Migrations) error {
	p, err := d.provider(m)
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", m.Of, err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	began := time.Now()
	for try := 1; ; try++ {
		has, err := p.GetDBVersion(ctx)
		switch {
		case err == nil && has > newest:
			return NewerError{Ledger: m.Ledger(), Has: has}
		case err == nil && has == newest:
			return nil
		case err == nil:
			_, err = p.Up(Unhurried(ctx))
		}
		waits := isTransient(err) && time.Since(began) < migrateTime
		if err != nil && (ctx.Err() != nil || try >= migrateTries && !waits) {
			return wrap(err, "migration of the tables of "+m.Of)
		}
	}
}

func (d *DB) provider(m Migrations) (*goose.Provider, error) {
	files, table := m.files(d.Dialect()), goose.WithTableName(m.Table)
	if d.IsSQLite() {
		return goose.NewProvider(goose.DialectSQLite3, d.Write, files, table)
	}
	turns, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, d.Write, files, table, goose.WithSessionLocker(turns))
}

// wrap adds the operation that failed to err, and the known kind of the error.
func wrap(err error, what string) error { return Names{}.Wrap(err, what) }

// A Ledger is the place where the migrations of some tables are recorded.
type Ledger struct {
	Of     string // the owner of the tables, for people
	Table  string
	Column string
	Newest int64 // the newest migration that this program knows
}

// A Standing is the version of some tables.
type Standing struct {
	Ledger
	Has int64 // 0 if the tables do not exist
}

// Standings returns the versions of the tables of the ledgers.
func (d *DB) Standings(ctx context.Context, ledgers ...Ledger) ([]Standing, error) {
	var list []Standing
	for _, l := range ledgers {
		s := Standing{Ledger: l}
		exists, err := d.HasTable(ctx, l.Table)
		if err == nil && exists {
			err = d.Read.QueryRowContext(ctx, `SELECT coalesce(max(`+l.Column+`), 0) FROM `+l.Table).Scan(&s.Has)
		}
		if err != nil {
			return nil, wrap(err, "version of the tables of "+l.Of)
		}
		list = append(list, s)
	}
	return list, nil
}

// HasTable reports whether a table exists.
func (d *DB) HasTable(ctx context.Context, name string) (bool, error) {
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if !d.IsSQLite() {
		query = `SELECT count(to_regclass($1))`
	}
	var n int
	err := d.Read.QueryRowContext(ctx, query, name).Scan(&n)
	return n > 0, err
}

// A NewerError reports that a newer program has changed tables.
type NewerError struct {
	Ledger
	Has int64
}

func (e NewerError) Error() string {
	return fmt.Sprintf("the tables of %s were migrated by a newer ptiffstore (version %d, this program knows %d): use the newer program, or a backup from before the migration", e.Of, e.Has, e.Newest)
}

// An OutdatedError reports that tables are missing or were created by an older program.
type OutdatedError struct{ Standing }

func (e *OutdatedError) Error() string {
	if e.Has == 0 {
		return fmt.Sprintf("the tables of %s do not exist yet", e.Of)
	}
	return fmt.Sprintf("the tables of %s have version %d, this program expects %d", e.Of, e.Has, e.Newest)
}
