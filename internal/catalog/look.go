package catalog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Look opens the database at url to read what is in it, and changes nothing: no file
// is made, and no table. Its tables may be of any version, see [Catalog.Standings];
// only those of this program's can be read.
func Look(url string) (*Catalog, error) {
	c := &Catalog{connections: &connections{watchers: map[chan struct{}]struct{}{}}}
	c.life, c.end = context.WithCancel(context.Background())
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		c.dialect = sqliteDialect
		var err error
		if c.read, err = sql.Open("sqlite", ReadOnly(rest)); err != nil {
			return nil, fmt.Errorf("catalog: %w", err)
		}
		c.read.SetMaxOpenConns(readers)
		c.write = c.read
		return c, nil
	case "postgres", "postgresql":
		if err := c.openPostgres(url); err != nil {
			return nil, err
		}
		err := c.write.Close()
		c.write = c.read // which is read-only
		return c, err
	}
	return nil, errors.New("catalog: the database is neither sqlite:PATH nor postgres://USER@HOST/DATABASE")
}

// ReadOnly is how the SQLite database at path is opened to read it and to leave nothing
// behind. Beside one that nobody has open SQLite would leave the files of its log, so
// such a one is read as if it could not change.
func ReadOnly(path string) string {
	dsn := fileURL(path) + "?mode=ro&_pragma=busy_timeout(500)&_pragma=query_only(1)&_pragma=cache_size(-16000)"
	if !InUse(path) {
		dsn += "&immutable=1"
	}
	return dsn
}

// InUse reports whether somebody has the SQLite database at path open, or had when it
// was killed.
func InUse(path string) bool {
	_, err := os.Lstat(path + "-wal")
	return !errors.Is(err, fs.ErrNotExist)
}

// A Ledger is where a room has written down which migrations were made of its tables.
type Ledger struct {
	Room   string // whose tables they are, for people
	Table  string
	Column string
	Newest int64 // the last that this program knows
}

// NewLedger returns the ledger that goose keeps in a table of the migrations in dir.
func NewLedger(room, table string, dir fs.FS) Ledger {
	l := Ledger{Room: room, Table: table, Column: "version_id"}
	files, _ := fs.Glob(dir, "*.sql") // the pattern is good
	for _, f := range files {
		number, _, _ := strings.Cut(f, "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			l.Newest = max(l.Newest, n)
		}
	}
	return l
}

// A Standing is how far the tables of a room have come.
type Standing struct {
	Ledger
	Has int64 // 0: they are not there
}

// Standings returns how far the tables of the catalog have come, and those of the
// ledgers.
func (c *Catalog) Standings(ctx context.Context, ledgers ...Ledger) ([]Standing, error) {
	dir, err := fs.Sub(migrations, "migrations/"+c.name)
	if err != nil {
		return nil, err
	}
	var list []Standing
	for _, l := range append([]Ledger{NewLedger("catalog", "goose_db_version", dir)}, ledgers...) {
		s := Standing{Ledger: l}
		there, err := c.hasTable(ctx, l.Table)
		if err == nil && there {
			err = c.read.QueryRowContext(ctx, `SELECT coalesce(max(`+l.Column+`), 0) FROM `+l.Table).Scan(&s.Has)
		}
		if err != nil {
			return nil, c.wrap(err, "version of the tables")
		}
		list = append(list, s)
	}
	return list, nil
}

func (c *Catalog) hasTable(ctx context.Context, name string) (bool, error) {
	query := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	if c.config != nil {
		query = `SELECT count(to_regclass($1))`
	}
	var n int
	err := c.read.QueryRowContext(ctx, query, name).Scan(&n)
	return n > 0, err
}

// ErrNoCatalog: there is no database, or it has no tables of a catalog.
var ErrNoCatalog = errors.New("catalog: there is no catalog")

// An OutdatedError is that tables are missing, or those of an older program.
type OutdatedError struct{ Standing }

func (e *OutdatedError) Error() string {
	if e.Has == 0 {
		return fmt.Sprintf("catalog: there are no tables of %s yet", e.Room)
	}
	return fmt.Sprintf("catalog: the tables of %s are at %d, and this program knows %d", e.Room, e.Has, e.Newest)
}

// Require returns nil if there is a catalog in the database at url, with the tables of
// the ledgers, none of them older than this program's. Without ledgers the tables of
// the catalog may be older, too. It creates and changes nothing. The error may be
// [ErrNoCatalog] or an [*OutdatedError].
func Require(ctx context.Context, url string, ledgers ...Ledger) error {
	path, isFile := strings.CutPrefix(url, "sqlite:")
	for try := 0; ; try++ {
		if _, err := os.Stat(path); isFile && errors.Is(err, fs.ErrNotExist) {
			return ErrNoCatalog
		}
		used := isFile && InUse(path)
		err := require(ctx, url, ledgers)
		// A server that was started or stopped meanwhile changes how the file is to be read.
		if err == nil || !isFile || used == InUse(path) || try == 3 {
			return err
		}
	}
}

func require(ctx context.Context, url string, ledgers []Ledger) error {
	c, err := Look(url)
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
			return &OutdatedError{s}
		}
	}
	return nil
}

// Contents are what a catalog is and how much is in it.
type Contents struct {
	Identity       string // the same for a catalog and its backups; "" if it is not known
	Stores, Images int64
}

// Contents returns those of the catalog.
func (c *Catalog) Contents(ctx context.Context) (Contents, error) {
	var t Contents
	var key []byte
	err := c.read.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = 'cursor key'`).Scan(&key)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return t, c.wrap(err, "settings")
	}
	if key != nil { // made at random once; the key itself is told nobody
		sum := sha256.Sum256(append([]byte("identity of the catalog "), key...))
		t.Identity = hex.EncodeToString(sum[:8])
	}
	err = c.read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM stores), (SELECT coalesce(sum(images), 0) FROM counts)`).Scan(&t.Stores, &t.Images)
	return t, c.wrap(err, "contents")
}

// Rows returns how many rows a table of another package has, 0 if it does not exist.
func (c *Catalog) Rows(ctx context.Context, table string) (n int64, err error) {
	if there, err := c.hasTable(ctx, table); err != nil || !there {
		return 0, c.wrap(err, table)
	}
	err = c.read.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n)
	return n, c.wrap(err, table)
}

// A Server is what is known of a database besides its tables.
type Server struct {
	Name  string // "SQLite 3.50.4", "PostgreSQL 15.8"
	Bytes int64
	Skew  time.Duration // how far its clock is ahead of this machine's
	Slow  time.Duration // how long it took to answer; the skew is known no better
	// Connections that can still be made by anybody; -1 if there is no bound.
	Connections int
	ReadOnly    bool // it is a standby, or this user may not write
}

// Server asks the database about itself.
func (c *Catalog) Server(ctx context.Context) (Server, error) {
	s := Server{Connections: -1}
	if err := c.Ping(ctx); err != nil && !errors.Is(err, ErrNotFound) && Fault(err) != nil {
		return s, err // and the connection is made, which takes its time
	}
	query := `SELECT 'SQLite ' || sqlite_version(), (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size), -1, FALSE, ` + c.now
	if c.config != nil {
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
	return s, c.wrap(err, "database")
}

// QuickCheck reads the whole database, and returns what is wrong with it, "" if
// nothing is. It does so for SQLite only.
func (c *Catalog) QuickCheck(ctx context.Context) (string, error) {
	if c.config != nil {
		return "", nil
	}
	var word string
	if err := c.read.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&word); err != nil {
		return "", c.wrap(err, "check")
	}
	if word == "ok" {
		word = ""
	}
	return word, nil
}

// Heard reports whether what one connection tells another listens to, as the processes
// of a site do. It tells nothing that any of them hears.
func (c *Catalog) Heard(ctx context.Context) (bool, error) {
	if c.config == nil {
		return true, nil // it is polled
	}
	var conns [2]*pgx.Conn
	for i := range conns {
		var err error
		if conns[i], err = pgx.ConnectConfig(ctx, c.config.Copy()); err != nil {
			return false, c.wrap(err, "listen")
		}
		defer conns[i].Close(context.WithoutCancel(ctx)) //nolint:errcheck // it is of no more use
	}
	topic := channel + "_" + strings.ToLower(rand.Text()[:12])
	if _, err := conns[0].Exec(ctx, `LISTEN `+topic); err != nil {
		return false, c.wrap(err, "listen")
	}
	if _, err := conns[1].Exec(ctx, `SELECT pg_notify($1, '')`, topic); err != nil {
		return false, c.wrap(err, "notify")
	}
	wait, cancel := context.WithTimeout(ctx, 2*postgresPoll)
	defer cancel()
	_, err := conns[0].WaitForNotification(wait)
	return err == nil, nil
}
