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

// Migrations make the tables of one package and bring them up to date.
type Migrations struct {
	Of    string // whose tables they are, for people
	Table string // in which the migrations that were made are recorded
	Files fs.FS  // NUMBER_NAME.sql, in folders "sqlite" and "postgres" or for both alike
}

// Ledger is where the migrations that were made are recorded.
func (m Migrations) Ledger() Ledger {
	l := Ledger{Of: m.Of, Table: m.Table, Column: "version_id"}
	files, _ := fs.Glob(m.files("sqlite"), "*.sql") // the pattern is good; those of the other are as many
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
	// migrateTries is how often a migration is tried. Of two programs that start on a
	// SQLite database at the same time both may begin; the second fails and finds the
	// work done.
	migrateTries = 6
	// migrateTime is how long a program waits for another that migrates.
	migrateTime = time.Minute
)

// Migrate brings tables to the newest migration, one process at a time. There is no way
// back: tables that a newer program has changed are refused.
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

// wrap says at what the database failed, and how if that is known.
func wrap(err error, what string) error {
	kind := Fault(err)
	switch {
	case err == nil:
		return nil
	case kind != nil:
		return fmt.Errorf("%w: %s: %w", kind, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// A Ledger is where the migrations of some tables are recorded.
type Ledger struct {
	Of     string // whose tables they are, for people
	Table  string
	Column string
	Newest int64 // the last that this program knows
}

// A Standing is how far tables have come.
type Standing struct {
	Ledger
	Has int64 // 0: they do not exist
}

// Standings returns how far the tables of the ledgers have come.
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

// A NewerError is that a newer program has changed tables.
type NewerError struct {
	Ledger
	Has int64
}

func (e NewerError) Error() string {
	return fmt.Sprintf("the tables of %s were changed by a newer ptiffstore (they are at %d, this one knows %d): use that one, or a backup from before it", e.Of, e.Has, e.Newest)
}

// An OutdatedError is that tables are missing, or those of an older program.
type OutdatedError struct{ Standing }

func (e *OutdatedError) Error() string {
	if e.Has == 0 {
		return fmt.Sprintf("there are no tables of %s yet", e.Of)
	}
	return fmt.Sprintf("the tables of %s are at %d, and this program knows %d", e.Of, e.Has, e.Newest)
}
