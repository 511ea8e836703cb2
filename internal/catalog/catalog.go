// Package catalog stores the stores and images in SQLite or PostgreSQL: it contains their
// SQL.
//
// Most statements are the same for both databases; a dialect contains the others. Writers
// are serialized: the first statement of each transaction locks the row of the counters.
// Therefore change numbers become visible in order, and followers miss no change.
package catalog

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/base32"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/db"
)

var (
	// ErrNotFound reports a store or image that does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict reports that another store has that folder, or another image that path.
	ErrConflict = errors.New("conflict")
	// ErrInvalid reports invalid or contradictory settings of a store.
	ErrInvalid = errors.New("invalid")
	// ErrHeld reports that another holder has the lease.
	ErrHeld = errors.New("the lease is held")
	// ErrLeaseLost reports that the lease has expired or another holder has it. Nothing was
	// written.
	ErrLeaseLost = errors.New("the lease was lost")
	// ErrOldRevision reports that the image's file has changed in the meantime.
	ErrOldRevision = errors.New("not the current revision")
	// ErrBadCursor reports a cursor of another list.
	ErrBadCursor = errors.New("invalid cursor")
	// ErrAway reports that the database does not answer at present.
	ErrAway = db.ErrAway
	// ErrFull reports that the database has no disk space left.
	ErrFull = db.ErrFull
)

// A Catalog is an open database, by resource, or a view of one that writes under a lease. It
// is safe for concurrent use.
type Catalog struct {
	Stores       *Stores
	Images       *Images
	Cases        *Cases
	Verification *Verification
	Changes      *Changes
	Leases       *Leases
	Workers      *Workers
	Structures   *Structures
	Uploads      *Uploads

	*handle
}

// of returns the catalog that reads and writes through h.
func of(h *handle) *Catalog {
	return &Catalog{
		Stores: &Stores{h}, Images: &Images{h}, Cases: &Cases{h}, Verification: &Verification{h}, Changes: &Changes{h}, Leases: &Leases{h}, Workers: &Workers{h},
		Structures: &Structures{handle: h}, Uploads: &Uploads{h},
		handle: h,
	}
}

// A handle is the database as a view of it uses it. All resources of the view share it.
type handle struct {
	*connections
	lease *Lease // nil for writing without a lease
}

// connections are shared by all views of a database.
type connections struct {
	*dialect
	db    *db.DB
	read  *sql.DB     // of db
	write *sql.DB     // of db
	seal  cipher.AEAD // of cursors

	life     context.Context // done at Close
	end      context.CancelFunc
	follow   sync.Once
	follower sync.WaitGroup
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
}

// A dialect contains the differences between the databases.
type dialect struct {
	position string        // function: position of the second text in the first, from 1; 0 if absent
	former   string        // expression: the former stores in the text of a description d, as JSON
	now      string        // expression: microseconds since 1970 by the database's clock
	among    string        // condition: a value is in the list that is argument n
	list     func(any) any // the argument for among: of a slice of numbers or texts
	// placeholder returns the placeholder of the n-th argument in statements that use the
	// arguments in order. Both databases support "$1", but SQLite looks up such names with
	// a linear search.
	placeholder func(n int) string
	hold        string    // suffix of a SELECT: locks its rows until the end of the transaction
	by          string    // suffix of a table: names the index to read, as the database would choose another
	arm         [2]string // text around an ordered SELECT, to merge it with others
	closing     string    // last statement of a transaction that writes: the counters are $1 and $2

	matches func(*search) statement // query of the index of grams
	// few, if not nil, queries the index for all matches, newest first, and reports whether
	// they were few enough to read all of them.
	few    func(context.Context, *search) ([]position, bool, error)
	listen func(context.Context, *handle)
}

// Open opens or creates the database at url, "sqlite:PATH" or "postgres://…", and migrates
// it to the version of this program. It rejects a database that a newer program has
// changed.
func Open(ctx context.Context, url string) (*Catalog, error) {
	d, err := db.Open(url)
	if err != nil {
		return nil, err
	}
	c := newCatalog(d)
	for _, step := range []func(context.Context) error{c.migrate, c.loadSeal, c.Stores.finishRemovals} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

func newCatalog(d *db.DB) *Catalog {
	c := &connections{db: d, read: d.Read, write: d.Write, dialect: postgresDialect, watchers: map[chan struct{}]struct{}{}}
	if d.IsSQLite() {
		c.dialect = sqliteDialect
	}
	c.life, c.end = context.WithCancel(context.Background())
	return of(&handle{connections: c})
}

// DB returns the catalog's database. Other packages with tables in it share it until the
// catalog is closed.
func (c *Catalog) DB() *db.DB { return c.db }

//go:embed migrations
var migrations embed.FS

func tables() db.Migrations {
	dir, _ := fs.Sub(migrations, "migrations") // the path is valid
	return db.Migrations{Of: "catalog", Table: "goose_db_version", Files: dir}
}

func (h *handle) migrate(ctx context.Context) error { return h.db.Migrate(ctx, tables()) }

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
	return wrap(c.read.QueryRowContext(ctx, `SELECT change FROM counters`).Scan(new(int64)), "counters")
}

// NewID returns a new id: 128 random bits, which reveal nothing about the object.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// A tx is a transaction that writes. Only one runs at a time.
type tx struct {
	*sql.Tx
	h       *handle
	now     time.Time
	change  int64          // number of the last change
	arrival int64          // number of the last image
	counts  map[slot]count // differences to add to the counts

	cases    map[caseKey]bool       // of which an image has changed
	patterns map[int64]*CasePattern // of stores by their numbers, as far as they were needed
}

// A count is a number of images, and of the bytes of their files.
type count struct{ images, bytes int64 }

// tally adds n images of that size to a count; n may be negative.
func (t *tx) tally(store int64, shelf int, size, n int64) {
	c := t.counts[slot{store, shelf}]
	t.counts[slot{store, shelf}] = count{c.images + n, c.bytes + n*size}
}

// A slot identifies a count: the images of a store on a shelf.
type slot struct {
	store int64
	shelf int
}

// change runs f in a transaction and wakes the watchers; f may run more than once. If the
// lease of the view is lost, the error is [ErrLeaseLost].
func (h *handle) change(ctx context.Context, f func(*tx) error) error {
	err := h.db.Retry(ctx, func() error { return h.attempt(ctx, f) })
	if err == nil {
		h.wake()
	}
	return err
}

func (h *handle) attempt(ctx context.Context, f func(*tx) error) error {
	stx, err := h.write.BeginTx(ctx, nil)
	if err != nil {
		return wrap(err, "begin")
	}
	defer stx.Rollback() //nolint:errcheck // after a commit this has no effect
	t := &tx{Tx: stx, h: h, now: time.Now().UTC().Truncate(time.Microsecond), counts: map[slot]count{}, cases: map[caseKey]bool{}, patterns: map[int64]*CasePattern{}}
	err = t.QueryRowContext(ctx, `UPDATE counters SET change = change + 1 RETURNING change, arrival`).Scan(&t.change, &t.arrival)
	if err != nil {
		return wrap(err, "counters")
	}
	if err := h.lease.prove(ctx, stx); err != nil {
		return err
	}
	if err := f(t); err != nil {
		return err
	}
	if err := t.writeCounts(ctx); err != nil {
		return err
	}
	if err := t.writeCases(ctx); err != nil {
		return err
	}
	if _, err := t.ExecContext(ctx, h.closing, t.change, t.arrival); err != nil {
		return wrap(err, "counters")
	}
	return wrap(t.Commit(), "commit")
}

// writeCounts writes the differences of the counts.
func (t *tx) writeCounts(ctx context.Context) error {
	for s, d := range t.counts {
		if d == (count{}) {
			continue
		}
		_, err := t.ExecContext(ctx, `INSERT INTO counts (store, shelf, images, bytes) VALUES ($1, $2, $3, $4)
			ON CONFLICT (store, shelf) DO UPDATE SET images = counts.images + excluded.images, bytes = counts.bytes + excluded.bytes`, s.store, s.shelf, d.images, d.bytes)
		if err != nil {
			return wrap(err, "counts")
		}
	}
	return nil
}

// wrap adds the operation that failed to err. Known kinds of errors can be checked with
// [errors.Is].
func wrap(err error, what string) error {
	return db.Names{NotFound: ErrNotFound, Duplicate: ErrConflict}.Wrap(err, what)
}
