package task

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A client is what River's clients have in common. They differ in the type of a
// transaction.
type client interface {
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	JobGet(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
	JobCancel(ctx context.Context, id int64) (*rivertype.JobRow, error)
	Start(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// A database is an open one, and what differs between the two.
type database struct {
	write, read *sql.DB
	client      client // inserts and changes, but works nothing
	reader      client // reads
	newClient   func(*river.Config) (client, error)
	// once runs a statement and, if it has changed a row, inserts a task: both or
	// neither.
	once  func(ctx context.Context, statement string, args []any, task taskArgs, opts *river.InsertOpts) (bool, error)
	close func() error

	pollOnly   bool   // nothing says that there is a new task
	succeeded  string // condition, to be asked row by row: an index of states would only delay it
	errorCount string // expression: how often a row of river_job has failed
	ofStore    string // expression: the store that it is about
	// rescue is a statement that takes tasks from workers that have not said for $2
	// seconds, $3 microseconds, that they live. $1 is the error that is left.
	rescue     string
	standingOf string // statement: state, attempt, worker of the job $1, and whether it shall end
}

// openDatabase opens a database, or if look is set only to read it: nothing is changed
// then, and its tables must be of this version.
func openDatabase(ctx context.Context, url string, look bool) (*database, error) {
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		return openSQLite(ctx, rest, look)
	case "postgres", "postgresql":
		return openPostgres(ctx, url, look)
	}
	return nil, errors.New("task: the database is neither sqlite:PATH nor postgres://USER@HOST/DATABASE")
}

// silent is for what we tell ourselves.
var silent = slog.New(slog.DiscardHandler)

// insertOnly is the configuration of a client that works nothing.
func insertOnly() *river.Config {
	return &river.Config{Logger: silent, SkipUnknownJobCheck: true}
}

//go:embed migrations
var migrations embed.FS

// migrateOwn brings our own tables to the newest migration, one process at a time.
func migrateOwn(ctx context.Context, dialect goose.Dialect, db *sql.DB, opts ...goose.ProviderOption) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db, dir, append(opts, goose.WithTableName(migrationTable))...)
	if err != nil {
		return fmt.Errorf("task: migrations: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	// On SQLite two programs that start at the same time may both begin; the second
	// fails and finds the work done.
	for try := 0; ; try++ {
		has, err := p.GetDBVersion(ctx)
		switch {
		case err != nil && try == 5:
			return fmt.Errorf("task: version of the tables: %w", err)
		case err != nil:
			continue
		case has > newest:
			return errNewer(has, newest)
		case has == newest:
			return nil
		}
		if _, err := p.Up(catalog.Unhurried(ctx)); err != nil && (try == 5 || ctx.Err() != nil) {
			return fmt.Errorf("task: migration: %w", err)
		}
	}
}

const migrationTable = "task_migrations"

// Ledgers are where the migrations of the tables of tasks are written down: of our
// own, and of River's.
func Ledgers() []catalog.Ledger {
	dir, _ := fs.Sub(migrations, "migrations")
	list := []catalog.Ledger{catalog.NewLedger("tasks", migrationTable, dir)}
	if m, err := rivermigrate.New(riversqlite.New(nil), &rivermigrate.Config{Logger: silent}); err == nil {
		all := m.AllVersions() // as many as the other driver's
		list = append(list, catalog.Ledger{Room: "queues", Table: "river_migration", Column: "version", Newest: int64(all[len(all)-1].Version)})
	}
	return list
}

// refuseNewer fails if River's tables have a version that this program does not know.
func refuseNewer[T any](ctx context.Context, db *sql.DB, m *rivermigrate.Migrator[T]) error {
	all := m.AllVersions()
	newest := int64(all[len(all)-1].Version)
	var has sql.NullInt64
	err := db.QueryRowContext(ctx, `SELECT max(version) FROM river_migration WHERE line = 'main'`).Scan(&has)
	if err == nil && has.Int64 > newest { // an error: most likely there is no such table yet
		return errNewer(has.Int64, newest)
	}
	return nil
}

func errNewer(has, newest int64) error {
	return fmt.Errorf("task: the tables of tasks were changed by a newer ptiffstore (they are at %d, this one knows %d): use that one, or a backup from before it", has, newest)
}
