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
	once func(ctx context.Context, statement string, args []any, task taskArgs, opts *river.InsertOpts) (bool, error)

	pollOnly   bool   // nothing says that there is a new task
	succeeded  string // condition, to be asked row by row: an index of states would only delay it
	errorCount string // expression: how often a row of river_job has failed
	ofStore    string // expression: the store that it is about
	// rescue is a statement that takes tasks from workers that have not said for $2
	// seconds, $3 microseconds, that they live. $1 is the error that is left.
	rescue     string
	standingOf string // statement: state, attempt, worker of the job $1, and whether it shall end
}

// openDatabase makes the tables in a database, or if readOnly is set only looks for
// them: nothing is changed then, and they must be of this version.
func openDatabase(ctx context.Context, d *db.DB, readOnly bool) (*database, error) {
	if d.IsSQLite() {
		return openSQLite(ctx, d, readOnly)
	}
	return openPostgres(ctx, d, readOnly)
}

// silent is for what we tell ourselves.
var silent = slog.New(slog.DiscardHandler)

// insertOnly is the configuration of a client that works nothing.
func insertOnly() *river.Config {
	return &river.Config{Logger: silent, SkipUnknownJobCheck: true}
}

//go:embed migrations
var migrations embed.FS

// tables are our own, beside those of River.
func tables() db.Migrations {
	dir, _ := fs.Sub(migrations, "migrations") // the path is valid
	return db.Migrations{Of: "tasks", Table: "task_migrations", Files: dir}
}

// Ledgers are where the migrations of the tables of tasks are recorded: of our own, and
// of River's.
func Ledgers() []db.Ledger {
	list := []db.Ledger{tables().Ledger()}
	if m, err := rivermigrate.New(riversqlite.New(nil), &rivermigrate.Config{Logger: silent}); err == nil {
		all := m.AllVersions() // as many as the other driver's
		list = append(list, riverLedger(int64(all[len(all)-1].Version)))
	}
	return list
}

func riverLedger(newest int64) db.Ledger {
	return db.Ledger{Of: "queues", Table: "river_migration", Column: "version", Newest: newest}
}

// refuseNewer fails if River's tables have a version that this program does not know.
func refuseNewer[T any](ctx context.Context, read *sql.DB, m *rivermigrate.Migrator[T]) error {
	all := m.AllVersions()
	newest := int64(all[len(all)-1].Version)
	var has sql.NullInt64
	err := read.QueryRowContext(ctx, `SELECT max(version) FROM river_migration WHERE line = 'main'`).Scan(&has)
	if err == nil && has.Int64 > newest { // an error: most likely there is no such table yet
		return db.NewerError{Ledger: riverLedger(newest), Has: has.Int64}
	}
	return nil
}
