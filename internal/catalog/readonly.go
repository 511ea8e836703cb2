package catalog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/slideatlas/ptiffstore/internal/db"
)

// OpenReadOnly opens the database at url for reading. It changes nothing and creates no
// file or table. The tables may be of any version, see [Catalog.Standings], but only those
// of this program's version can be read.
func OpenReadOnly(url string) (*Catalog, error) {
	d, err := db.OpenReadOnly(url)
	if err != nil {
		return nil, err
	}
	return newCatalog(d), nil
}

// Standings returns the versions of the tables of the catalog and of the ledgers.
func (c *Catalog) Standings(ctx context.Context, ledgers ...db.Ledger) ([]db.Standing, error) {
	return c.db.Standings(ctx, append([]db.Ledger{tables().Ledger()}, ledgers...)...)
}

// ErrNoCatalog reports that the database does not exist, or has no tables of a catalog.
var ErrNoCatalog = errors.New("there is no catalog")

// Require returns nil if the database at url has a catalog and the tables of the ledgers,
// none of them older than this program's. Without ledgers, the tables of the catalog may be
// older, too. It changes nothing. The error may be [ErrNoCatalog] or an
// [*db.OutdatedError].
func Require(ctx context.Context, url string, ledgers ...db.Ledger) error {
	path, isFile := strings.CutPrefix(url, "sqlite:")
	for try := 0; ; try++ {
		if _, err := os.Stat(path); isFile && errors.Is(err, fs.ErrNotExist) {
			return ErrNoCatalog
		}
		used := isFile && db.InUse(path)
		err := require(ctx, url, ledgers)
		// A server that was started or stopped meanwhile changes how the file must be read.
		if err == nil || !isFile || used == db.InUse(path) || try == 3 {
			return err
		}
	}
}

func require(ctx context.Context, url string, ledgers []db.Ledger) error {
	c, err := OpenReadOnly(url)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it was only read
	list, err := c.Standings(ctx, ledgers...)
	if err != nil {
		return err
	}
	if list[0].Has == 0 {
		return ErrNoCatalog
	}
	if len(ledgers) == 0 {
		return nil
	}
	for _, s := range list {
		if s.Has < s.Newest {
			return &db.OutdatedError{Standing: s}
		}
	}
	return nil
}

// Contents describe a catalog and its size.
type Contents struct {
	Identity       string // the same for a catalog and its backups; "" if unknown
	Stores, Images int64
}

// Contents returns a description of the catalog.
func (c *Catalog) Contents(ctx context.Context) (Contents, error) {
	var t Contents
	var key []byte
	err := c.read.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = 'cursor key'`).Scan(&key)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return t, wrap(err, "settings")
	}
	if key != nil { // random, created once; the key itself stays secret
		sum := sha256.Sum256(append([]byte("identity of the catalog "), key...))
		t.Identity = hex.EncodeToString(sum[:8])
	}
	err = c.read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM stores), (SELECT coalesce(sum(images), 0) FROM counts)`).Scan(&t.Stores, &t.Images)
	return t, wrap(err, "contents")
}

// Rows returns the number of rows of a table of another package, or 0 if it does not exist.
func (c *Catalog) Rows(ctx context.Context, table string) (n int64, err error) {
	if there, err := c.db.HasTable(ctx, table); err != nil || !there {
		return 0, wrap(err, table)
	}
	err = c.read.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n)
	return n, wrap(err, table)
}

// A Server describes the database server, apart from its tables.
type Server struct {
	Name  string // "SQLite 3.50.4", "PostgreSQL 15.8"
	Bytes int64
	Skew  time.Duration // how far its clock is ahead of this host's
	Slow  time.Duration // response time, which limits the precision of Skew
	// Connections is the number of connections that can still be made by any user; -1
	// without a limit.
	Connections int
	ReadOnly    bool // it is a standby, or the user may not write
}

// Server queries properties of the database server.
func (c *Catalog) Server(ctx context.Context) (Server, error) {
	s := Server{Connections: -1}
	if err := c.Ping(ctx); err != nil && !errors.Is(err, ErrNotFound) && db.Fault(err) != nil {
		return s, err // this also makes the connection, which takes time
	}
	query := `SELECT 'SQLite ' || sqlite_version(), (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size), -1, FALSE, ` + c.now
	if !c.db.IsSQLite() {
		query = `SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1), pg_database_size(current_database()),
			current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
				- (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
			pg_is_in_recovery() OR EXISTS (SELECT 1 FROM pg_settings WHERE name = 'default_transaction_read_only' AND reset_val = 'on') OR coalesce(NOT has_table_privilege(to_regclass('counters'), 'UPDATE'), FALSE), ` + c.now
	}
	var now int64
	began := time.Now()
	err := c.read.QueryRowContext(ctx, query).Scan(&s.Name, &s.Bytes, &s.Connections, &s.ReadOnly, &now)
	s.Slow = time.Since(began)
	s.Skew = time.UnixMicro(now).Sub(began.Add(s.Slow / 2))
	return s, wrap(err, "database")
}

// QuickCheck reads the entire database and returns the first error in it, or "" without
// errors. It supports SQLite only.
func (c *Catalog) QuickCheck(ctx context.Context) (string, error) {
	if !c.db.IsSQLite() {
		return "", nil
	}
	var word string
	if err := c.read.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&word); err != nil {
		return "", wrap(err, "check")
	}
	if word == "ok" {
		word = ""
	}
	return word, nil
}

// Heard reports whether notifications of one connection reach another one, as the processes
// of a site require. It uses a channel that no process listens to.
func (c *Catalog) Heard(ctx context.Context) (bool, error) {
	if c.db.IsSQLite() {
		return true, nil // changes are polled
	}
	var conns [2]*pgx.Conn
	for i := range conns {
		var err error
		if conns[i], err = c.db.Connect(ctx); err != nil {
			return false, wrap(err, "listen")
		}
		defer conns[i].Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is no longer needed
	}
	topic := channel + "_" + strings.ToLower(rand.Text()[:12])
	if _, err := conns[0].Exec(ctx, `LISTEN `+topic); err != nil {
		return false, wrap(err, "listen")
	}
	if _, err := conns[1].Exec(ctx, `SELECT pg_notify($1, '')`, topic); err != nil {
		return false, wrap(err, "notify")
	}
	wait, cancel := context.WithTimeout(ctx, 2*postgresPoll)
	defer cancel()
	_, err := conns[0].WaitForNotification(wait)
	return err == nil, nil
}
