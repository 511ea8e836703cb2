package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var sqliteDialect = &dialect{
	name:     "sqlite",
	position: "instr",
	external: "json_extract(d.fields, '$.ExternalID')",
	now:      "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
	among:    "IN (SELECT value FROM json_each($%d))",
	list: func(n []int64) any {
		b, _ := json.Marshal(n) // numbers
		return string(b)
	},
	placeholder: func(int) string { return "?" },
	by:          " INDEXED BY %s",
	closing:     `UPDATE counters SET change = $1, arrival = $2`,
	matches:     matchesSQLite,
	listen:      pollSQLite,
	passing: func(err error) bool {
		e, ok := errors.AsType[*sqlite.Error](err)
		return ok && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
	},
}

const (
	// Commits wait for the disk. Readers go on beside the one writer. The wait for
	// a lock can't be broken off, so it is short, and begun again from outside.
	pragmas = "?_pragma=busy_timeout(500)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)&_txlock=immediate"
	readers = 8
	// sqlitePoll is how often changes of other processes are looked for. It costs
	// some 20 µs.
	sqlitePoll = 250 * time.Millisecond
)

// openSQLite opens the file at path. Its names and barcodes are nobody else's
// business, so it is made readable for its owner alone.
func (c *Catalog) openSQLite(path string) error {
	c.dialect = sqliteDialect
	var err error
	if c.lock, err = Share(filepath.Dir(path)); err != nil {
		return err
	}
	if err := CreateFile(path); err != nil {
		return errors.Join(fmt.Errorf("catalog: %w", err), c.lock.Release())
	}
	dsn := fileURL(path) + pragmas
	if c.write, err = sql.Open("sqlite", dsn+"&_pragma=cache_size(-32000)"); err != nil {
		return errors.Join(fmt.Errorf("catalog: %w", err), c.lock.Release())
	}
	c.write.SetMaxOpenConns(1)
	if c.read, err = sql.Open("sqlite", dsn+"&_pragma=cache_size(-16000)&_pragma=query_only(1)"); err != nil {
		return errors.Join(fmt.Errorf("catalog: %w", err), c.write.Close(), c.lock.Release())
	}
	c.read.SetMaxOpenConns(readers)
	c.read.SetMaxIdleConns(readers)
	for _, db := range []*sql.DB{c.read, c.write} {
		db.SetConnMaxLifetime(FileLife)
	}
	return nil
}

// CreateFile creates the SQLite database at path, for its owner alone, unless there is
// one. An existing file is not opened: POSIX locks belong to the process, so closing any
// descriptor of the file releases the locks that SQLite holds on it. Another process
// would then take itself for the last one and remove the write-ahead log in use.
func CreateFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot create the database: %w", err)
	}
	return f.Close()
}

// matchesSQLite asks the index of trigrams. It is in the order of arrival, so that
// the newest come first at once; in other orders all that match are sorted.
func matchesSQLite(s *search) (q statement) {
	q.add(`SELECT i.n, i.%s FROM search f CROSS JOIN images i ON i.n = f.rowid WHERE f.search MATCH `, s.column())
	q.arg(matchAll(s.grams()))
	q.add(` AND i.shelf IN (%s) AND instr(i.words, `, numbers(s.shelves))
	q.arg(s.needle)
	q.add(`) > 0`)
	q.add("%s", s.among("i.store"))
	if s.Sort == SortCreated {
		s.behind(&q, "f.rowid", "")
		q.add(` ORDER BY f.rowid DESC LIMIT %d`, s.limit)
	} else {
		s.behind(&q, "i.n", "i."+s.column())
		q.add(` ORDER BY i.%s, i.n LIMIT %d`, s.column(), s.limit)
	}
	return q
}

// matchAll is the expression of FTS5 for rows that have all of the grams.
func matchAll(grams []string) string {
	quoted := make([]string, len(grams))
	for i, g := range grams {
		quoted[i] = `"` + strings.ReplaceAll(g, `"`, `""`) + `"`
	}
	return strings.Join(quoted, " AND ")
}

// pollSQLite looks for changes that other processes have made.
func pollSQLite(ctx context.Context, c *Catalog) {
	tick := time.NewTicker(sqlitePoll)
	defer tick.Stop()
	var seen int64
	for {
		var n int64
		if err := c.read.QueryRowContext(ctx, `SELECT change FROM counters`).Scan(&n); err == nil && n != seen {
			seen = n
			c.wake()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
