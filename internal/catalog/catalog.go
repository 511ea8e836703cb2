// Package catalog keeps stores and images in SQLite or PostgreSQL: it holds the SQL.
//
// Most statements serve both databases; a dialect holds the others. Writers take turns:
// the first statement of each transaction locks the row of the counters. So change
// numbers become visible in their order, and no follower misses a change.
package catalog

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/db"
)

var (
	// ErrNotFound: there is no such store or image.
	ErrNotFound = errors.New("catalog: not found")
	// ErrConflict: another store has that folder, or another image that path.
	ErrConflict = errors.New("catalog: conflict")
	// ErrInvalid: settings of a store that are not valid, or not together.
	ErrInvalid = errors.New("catalog: invalid")
	// ErrHeld: another holds the lease.
	ErrHeld = errors.New("catalog: lease is held")
	// ErrLeaseLost: the lease has expired, or another holds it by now. Nothing was
	// written.
	ErrLeaseLost = errors.New("catalog: lease was lost")
	// ErrOldRevision: the image's file has changed since.
	ErrOldRevision = errors.New("catalog: not the current revision")
	// ErrBadCursor: the cursor belongs to another list.
	ErrBadCursor = errors.New("catalog: bad cursor")
	// ErrAway: the database does not answer. It may do so again soon.
	ErrAway = db.ErrAway
	// ErrFull: there is no room left for the database.
	ErrFull = db.ErrFull
)

// A Catalog is an open database, or a view of one that writes under a lease. It is
// safe for concurrent use.
type Catalog struct {
	*connections
	lease *Lease // nil if it may write as it likes
}

// connections are what all views of a database share.
type connections struct {
	*dialect
	db    *db.DB
	read  *sql.DB     // of db
	write *sql.DB     // of db
	seal  cipher.AEAD // of cursors

	life     context.Context // until Close
	end      context.CancelFunc
	follow   sync.Once
	follower sync.WaitGroup
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
}

// A dialect is what differs between the databases.
type dialect struct {
	position string // function: where the first text holds the second, from 1; 0 if it does not
	external string // expression: the external id in the text of a description d
	now      string // expression: microseconds since 1970 by the database's clock
	among    string // condition, with the number of an argument: is in the list
	list     func([]int64) any
	// placeholder of the n-th argument, where they stand in order. Both know "$1",
	// but for SQLite that is a name, and it searches through the names for each.
	placeholder func(n int) string
	hold        string    // behind a SELECT: its rows stay as they are until the transaction ends
	by          string    // behind a table: the index to read, where the database would choose another; its name goes in
	arm         [2]string // what goes around a SELECT that is in order, to merge it with others
	closing     string    // the last statement of a transaction that writes: the counters are $1 and $2

	matches func(*search) statement // what asks the index of grams
	// few, if not nil, asks it for all that match, newest first, and reports whether
	// they were few enough to read them all.
	few    func(context.Context, *search) ([]position, bool, error)
	listen func(context.Context, *Catalog)
}

// Open opens or makes the database at url, "sqlite:PATH" or "postgres://…", and
// brings its tables to what this program knows. A database that a newer program
// has changed is refused.
func Open(ctx context.Context, url string) (*Catalog, error) {
	d, err := db.Open(url)
	if err != nil {
		return nil, err
	}
	c := newCatalog(d)
	for _, step := range []func(context.Context) error{c.migrate, c.loadSeal, c.finishRemovals} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

func newCatalog(d *db.DB) *Catalog {
	c := &Catalog{connections: &connections{db: d, read: d.Read, write: d.Write, dialect: postgresDialect, watchers: map[chan struct{}]struct{}{}}}
	if d.IsSQLite() {
		c.dialect = sqliteDialect
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// DB returns the catalog's database, which the packages with other tables in it share
// until the catalog is closed.
func (c *Catalog) DB() *db.DB { return c.db }

//go:embed migrations
var migrations embed.FS

func tables() db.Migrations {
	dir, _ := fs.Sub(migrations, "migrations") // the path is valid
	return db.Migrations{Of: "catalog", Table: "goose_db_version", Files: dir}
}

func (c *Catalog) migrate(ctx context.Context) error { return c.db.Migrate(ctx, tables()) }

// Close ends the background work and closes the database, for all views of it. Close of a
// view made by [Catalog.Under] does nothing.
func (c *Catalog) Close() error {
	if c.lease != nil {
		return nil
	}
	c.end()
	c.follower.Wait()
	return c.db.Close()
}

// Ping returns nil if the database answers, or [ErrAway].
func (c *Catalog) Ping(ctx context.Context) error {
	return c.wrap(c.read.QueryRowContext(ctx, `SELECT change FROM counters`).Scan(new(int64)), "counters")
}

// NewID returns a new id: 128 random bits, which say nothing of what they name.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// A tx is a transaction that writes. There is one at a time.
type tx struct {
	*sql.Tx
	c       *Catalog
	now     time.Time
	change  int64          // the last number of a change
	arrival int64          // the last number of an image
	counts  map[slot]count // what to add to them
}

// A count is of images, and of the bytes of their files.
type count struct{ images, bytes int64 }

// tally counts an image, n times: -1 takes it off.
func (t *tx) tally(store int64, shelf int, size, n int64) {
	c := t.counts[slot{store, shelf}]
	t.counts[slot{store, shelf}] = count{c.images + n, c.bytes + n*size}
}

// A slot is one of the counts: of the images of a store on a shelf.
type slot struct {
	store int64
	shelf int
}

// change runs f in a transaction, and wakes the watchers: f may run more than
// once. Of a view under a lease that is lost the error is [ErrLeaseLost].
func (c *Catalog) change(ctx context.Context, f func(*tx) error) error {
	err := c.db.Retry(ctx, func() error { return c.attempt(ctx, f) })
	if err == nil {
		c.wake()
	}
	return err
}

func (c *Catalog) attempt(ctx context.Context, f func(*tx) error) error {
	stx, err := c.write.BeginTx(ctx, nil)
	if err != nil {
		return c.wrap(err, "begin")
	}
	defer stx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	t := &tx{Tx: stx, c: c, now: time.Now().UTC().Truncate(time.Microsecond), counts: map[slot]count{}}
	err = t.QueryRowContext(ctx, `UPDATE counters SET change = change + 1 RETURNING change, arrival`).Scan(&t.change, &t.arrival)
	if err != nil {
		return c.wrap(err, "counters")
	}
	if err := c.lease.prove(ctx, stx); err != nil {
		return err
	}
	if err := f(t); err != nil {
		return err
	}
	if err := t.writeCounts(ctx); err != nil {
		return err
	}
	if _, err := t.ExecContext(ctx, c.closing, t.change, t.arrival); err != nil {
		return c.wrap(err, "counters")
	}
	return c.wrap(t.Commit(), "commit")
}

// writeCounts brings the counts up to what the transaction did.
func (t *tx) writeCounts(ctx context.Context) error {
	for s, d := range t.counts {
		if d == (count{}) {
			continue
		}
		_, err := t.ExecContext(ctx, `INSERT INTO counts (store, shelf, images, bytes) VALUES ($1, $2, $3, $4)
			ON CONFLICT (store, shelf) DO UPDATE SET images = counts.images + excluded.images, bytes = counts.bytes + excluded.bytes`, s.store, s.shelf, d.images, d.bytes)
		if err != nil {
			return t.c.wrap(err, "counts")
		}
	}
	return nil
}

// wrap says what went wrong and at what. The known kinds of errors can be told by
// [errors.Is].
func (c *Catalog) wrap(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s", ErrNotFound, what)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("catalog: %s: %w", what, err)
	}
	kind := db.Fault(err)
	if errors.Is(kind, db.ErrDuplicate) {
		kind = ErrConflict
	}
	if kind != nil {
		return fmt.Errorf("%w: %s: %w", kind, what, err)
	}
	return fmt.Errorf("catalog: %s: %w", what, err)
}
