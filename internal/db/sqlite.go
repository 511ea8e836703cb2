package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver
)

const (
	// Readers continue beside the one writer. The wait for a lock cannot be interrupted, so
	// it is short, and [DB.Retry] repeats it.
	pragmas = "?_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)&_txlock=immediate"
	// Commits wait for the disk.
	durable = pragmas + "&_pragma=busy_timeout(500)&_pragma=synchronous(FULL)"
	// Commits do not wait for the disk. The wait for a lock is longer than any transaction
	// takes, as River does not repeat it.
	relaxed = pragmas + "&_pragma=busy_timeout(10000)&_pragma=synchronous(NORMAL)"

	sqliteReaders = 8
	// fileLife is how long a connection is used. A new one is cheap.
	fileLife = 10 * time.Minute
)

// openSQLite opens the file at path. The file contains names and barcodes of patients, so
// only its owner may read it.
func openSQLite(path string) (*DB, error) {
	hold, err := Share(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, errors.Join(err, hold.Release())
	}
	d := &DB{path: path, hold: hold}
	if d.Write, err = openFile(path, durable+"&_pragma=cache_size(-32000)", 1); err != nil {
		return nil, errors.Join(err, hold.Release())
	}
	if d.Read, err = openFile(path, durable+"&_pragma=cache_size(-16000)&_pragma=query_only(1)", sqliteReaders); err != nil {
		return nil, errors.Join(err, d.Write.Close(), hold.Release())
	}
	return d, nil
}

// readSQLite opens the file at path for reading.
func readSQLite(path string) (*DB, error) {
	read, err := sql.Open("sqlite", readOnly(path))
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(sqliteReaders)
	return &DB{Read: read, Write: read, path: path}, nil
}

// Relaxed returns an additional connection to a SQLite database, whose commits do not wait
// for the disk: it is for data that may be lost in a power failure. It is closed with the
// database.
func (d *DB) Relaxed() (*sql.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.relaxed == nil {
		var err error
		if d.relaxed, err = openFile(d.path, relaxed, 1); err != nil {
			return nil, err
		}
	}
	return d.relaxed, nil
}

func openFile(path, settings string, n int) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", FileURL(path)+settings)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	pool.SetConnMaxLifetime(fileLife)
	return pool, nil
}

// createFile creates the SQLite database at path, for its owner alone, unless there is
// one. An existing file is not opened: POSIX locks belong to the process, so closing any
// descriptor of the file releases the locks that SQLite holds on it. Another process
// would then take itself for the last one and remove the write-ahead log in use.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot create the database: %w", err)
	}
	return f.Close()
}

// FileURL returns the URL of a database file for SQLite. Options can be appended.
func FileURL(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// readOnly returns the URL that opens the SQLite database at path for reading without
// leaving files behind. If no process has the database open, SQLite would leave the files
// of its log, so it is opened as immutable.
func readOnly(path string) string {
	dsn := FileURL(path) + "?mode=ro&_pragma=busy_timeout(500)&_pragma=query_only(1)&_pragma=cache_size(-16000)"
	if !InUse(path) {
		dsn += "&immutable=1"
	}
	return dsn
}

// InUse reports whether a process has the SQLite database at path open, or had it open when
// it was killed.
func InUse(path string) bool {
	_, err := os.Lstat(path + "-wal")
	return !errors.Is(err, fs.ErrNotExist)
}

// MergeLog writes the contents of the write-ahead log of the SQLite database at path to its
// file, so that the file alone is the database. The error is [ErrInUse] if another process
// has it open; this also detects programs that do not use a [Hold].
func MergeLog(ctx context.Context, path string) error {
	if !InUse(path) {
		return nil
	}
	file, err := sql.Open("sqlite", FileURL(path)+"?mode=rw&_pragma=busy_timeout(500)")
	if err != nil {
		return err
	}
	defer file.Close()
	file.SetMaxOpenConns(1)
	var mode string
	err = file.QueryRowContext(ctx, `PRAGMA journal_mode=DELETE`).Scan(&mode)
	if kind := Fault(err); kind == errBusy || err == nil && mode == "wal" { //nolint:errorlint // it is returned unwrapped
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("write-ahead log of %s: %w", path, err)
	}
	return nil
}
