package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrAway reports that the database does not answer at present.
	ErrAway = errors.New("the database does not answer")
	// ErrFull reports that the database has no disk space left.
	ErrFull = errors.New("the disk of the database is full: free some space; nothing was written")
	// ErrDuplicate reports a value that must be unique and exists already.
	ErrDuplicate = errors.New("the value exists already")
)

// An outage is a known reason why the database is unavailable. It is an [ErrAway]: a later
// attempt may succeed.
type outage string

func (o outage) Error() string { return string(o) }

// Is reports whether target is [ErrAway].
func (o outage) Is(target error) bool { return target == ErrAway } //nolint:errorlint // as errors.Is asks

const (
	errRefused  = outage("the database refuses this user: check the user and password of its URL, and that the database exists")
	errReadOnly = outage("the database is read-only: it is a standby, or default_transaction_read_only is on")
	errStarting = outage("the database is starting, recovering or stopping")
	errCrowded  = outage("the database has no room for this: too many connections, or too little memory")
	errNoFile   = outage("the database file can't be used: its folder must exist, and both must be writable for this user")
	errDisk     = outage("the disk of the database fails, or its quota is used up")
	errBusy     = outage("another program keeps the database locked")
)

var errDamaged = errors.New("the database file is damaged: replace it with a backup, or remove it and sync again")

// Fault returns the known kind of an error of a database, or nil: [ErrDuplicate],
// [ErrFull], or one that is [ErrAway]. An expired deadline means that the database did not
// answer in time.
func Fault(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrAway
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return faultSQLite(e.Code())
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return faultPostgres(e.Code)
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

// Names are a package's own errors for what its users distinguish; nil keeps the error.
type Names struct {
	NotFound  error // in place of [sql.ErrNoRows]
	Duplicate error // in place of [ErrDuplicate]
}

// Wrap adds the operation or object that failed to err, and the known kind of the error.
func (n Names) Wrap(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case n.NotFound != nil && errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s", n.NotFound, what)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, ErrPooled): // whatever the operation was
		return ErrPooled
	}
	kind := Fault(err)
	if n.Duplicate != nil && errors.Is(kind, ErrDuplicate) {
		kind = n.Duplicate
	}
	if kind != nil {
		return fmt.Errorf("%w: %s: %w", kind, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// IsDiskFault reports whether a database could not read or write its file. Its connections
// may have cached wrong contents of the file: see [DB.DropIdle].
func IsDiskFault(err error) bool { return errors.Is(err, errDisk) }

func faultSQLite(code int) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return ErrDuplicate
	case sqlite3.SQLITE_IOERR_SHMSIZE: // the index of the write-ahead log could not grow
		return ErrFull
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return ErrFull
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return errDamaged
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return errNoFile
	case sqlite3.SQLITE_IOERR:
		return errDisk
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return errBusy
	}
	return nil
}

func faultPostgres(code string) error {
	switch code {
	case "23505": // unique_violation
		return ErrDuplicate
	case "53100": // disk_full
		return ErrFull
	case "25006": // read_only_sql_transaction
		return errReadOnly
	case "58030": // io_error
		return errDisk
	case "57014", // query_canceled: by statement_timeout or an administrator
		"55P03", // lock_not_available: by lock_timeout
		"25P03", // idle_in_transaction_session_timeout
		"25P04": // transaction_timeout
		return ErrAway
	case "3D000", "42501": // no such database, insufficient_privilege
		return errRefused
	}
	for class, kind := range map[string]error{
		"08":  ErrAway,     // connection exceptions
		"57P": errStarting, // shut down, crashed, starting
		"53":  errCrowded,  // insufficient resources
		"28":  errRefused,
	} {
		if strings.HasPrefix(code, class) {
			return kind
		}
	}
	return nil
}

// isTransient reports whether an immediate retry may succeed, because another transaction
// conflicted with this one.
func isTransient(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01") // serialization failure, deadlock
}

// isUnusable reports whether a connection of PostgreSQL that has returned an error must not be
// used again: a new one may reach a server that can be written to, or settings that are
// in force by now.
func isUnusable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "25006" || e.Code == "58030" || strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08"))
}
