package task

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"log/slog"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/slideatlas/ptiffstore/internal/db"
)

// A client is the common part of River's clients, whose types differ by the type of the
// transaction.
type client interface {
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	JobGet(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
	JobCancel(ctx context.Context, id int64) (*rivertype.JobRow, error)
	Start(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// A database is an open database of tasks, with the parts that differ between SQLite and
// PostgreSQL.
type database struct {
	write, read *sql.DB
	client      client // inserts and changes tasks, but runs none
	reader      client // only reads
	newClient   func(*river.Config) (client, error)
	// once runs a statement and, if it has changed a row, inserts a task in the same
	// transaction.
	once func(ctx context.Context, statement string, args []any, task taskArgs, opts *river.InsertOpts) (bool, error)

	pollOnly   bool   // new tasks are not announced
	succeeded  string // condition, to be evaluated for each row: an index of states would be slower
	errorCount string // expression: the number of errors of a row of river_job
	ofStore    string // expression: the store of a row of river_job
	// rescue is a statement that takes tasks from workers without a heartbeat for $2
	// seconds, $3 microseconds. $1 is the error that it stores.
	rescue     string
	standingOf string // statement: state, attempt and worker of row $1 of river_job, and whether its cancellation was requested
}

// openDatabase opens the tables of tasks, and creates or migrates them. If readOnly is set
// it changes nothing, and the tables must be of this version.
func openDatabase(ctx context.Context, d *db.DB, readOnly bool) (*database, error) {
	if d.IsSQLite() {
		return openSQLite(ctx, d, readOnly)
	}
	return openPostgres(ctx, d, readOnly)
}

// silent discards the log of clients that run no tasks.
var silent = slog.New(slog.DiscardHandler)

// insertOnly returns the configuration of a client that runs no tasks.
func insertOnly() *river.Config {
	return &river.Config{Logger: silent, SkipUnknownJobCheck: true}
}

//go:embed migrations
var migrations embed.FS

// tables returns the migrations of the tables besides those of River.
func tables() db.Migrations {
	dir, _ := fs.Sub(migrations, "migrations") // the path is valid
	return db.Migrations{Of: "tasks", Table: "task_migrations", Files: dir}
}

// Ledgers returns the ledgers in which the migrations of the tables of tasks are recorded:
// those of this package and those of River.
func Ledgers() []db.Ledger {
	list := []db.Ledger{tables().Ledger()}
	if m, err := rivermigrate.New(riversqlite.New(nil), &rivermigrate.Config{Logger: silent}); err == nil {
		all := m.AllVersions() // the drivers have the same number of versions
		list = append(list, riverLedger(int64(all[len(all)-1].Version)))
	}
	return list
}

func riverLedger(newest int64) db.Ledger {
	return db.Ledger{Of: "queues", Table: "river_migration", Column: "version", Newest: newest}
}

// refuseNewer returns an error if River's tables have a version that is unknown to this
// program.
func refuseNewer[T any](ctx context.Context, read *sql.DB, m *rivermigrate.Migrator[T]) error {
	all := m.AllVersions()
	newest := int64(all[len(all)-1].Version)
	var has sql.NullInt64
	err := read.QueryRowContext(ctx, `SELECT max(version) FROM river_migration WHERE line = 'main'`).Scan(&has)
	if err == nil && has.Int64 > newest { // an error most likely means that the table does not exist yet
		return db.NewerError{Ledger: riverLedger(newest), Has: has.Int64}
	}
	return nil
}
