// Package catalog is the SQL: stores, images, and what is known of each.
package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/slideatlas/ptiffstore/internal/blob"
)

var (
	// ErrNotFound: there is no such store or image.
	ErrNotFound = errors.New("catalog: not found")
	// ErrConflict: another store has that root.
	ErrConflict = errors.New("catalog: conflict")
	// ErrBadCursor: a cursor that is none of the list it is used with.
	ErrBadCursor = errors.New("catalog: bad cursor")
)

// A Mode says what may be done with the files of a store.
type Mode string

const (
	InPlace Mode = "in-place" // its folder is read and never written
	Managed Mode = "managed"  // its files arrive in a folder and are moved under their digest
)

// A State says what can be done with an image.
type State string

const (
	Available   State = "available"
	Arriving    State = "arriving"    // still being written, as far as one can tell
	Unsupported State = "unsupported" // whole, but not a slide that is read
	Broken      State = "broken"
	Missing     State = "missing" // its file is not there
	Quarantined State = "quarantined"
)

// A Store is a place of slides with its own rules.
type Store struct {
	ID         string
	Label      string
	Mode       Mode
	Root       string // absolute
	Incoming   string
	Host       string // whose worker keeps it in step; "" for any
	Endpoint   string // base URL of the tile server near its files
	Schedule   string
	TimeZone   string
	Queue      string
	Background string // "#rrggbb"
	Origin     string // of tile names: "top-left" or "bottom-left"
	Include    []string
	Exclude    []string
	Public     bool
	HideLabels bool
	Settle     time.Duration // 0: the default of package ingest
	RootID     blob.Identity // of the folder when it was last seen
	LastSync   *time.Time
	LastResult json.RawMessage
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Counts     map[State]int `json:"-"` // images by state; read, never written
}

// A Level is one stored resolution of an image.
type Level struct {
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	TileWidth  int     `json:"tile_width"`
	TileHeight int     `json:"tile_height"`
	Columns    int     `json:"columns"`
	Rows       int     `json:"rows"`
	Downsample float64 `json:"downsample"`
}

// An Image is one file of a store and what is known of it.
type Image struct {
	ID       string
	StoreID  string
	Path     string // below the store's root, in any bytes
	Revision string
	State    State
	Identity blob.Identity
	Seq      int64 // number of its last change
	Description
	CreatedAt time.Time
	UpdatedAt time.Time
}

// A Description is what of an image is kept as it is.
type Description struct {
	FileName       string // valid UTF-8
	Aliases        []string
	Reason         string // why it is not available, in words
	Format, Vendor string
	Width, Height  int // pixels of level 0
	TileWidth      int
	TileHeight     int
	MaxZoom        int
	Levels         []Level
	MPPX, MPPY     *float64 // µm per pixel of level 0
	ObjectivePower *float64
	Barcode        *string
	BarcodeSource  string // "file", or "label" if it was read off the label
	Label          *string
	Digest         *string // SHA-256 of the file, hexadecimal
	ExternalID     *string
	Associated     []string
	Properties     map[string]string
	FirstSeen      time.Time // the file with these contents
	LastChange     time.Time // of the file, by the observer's clock
	MissingSince   *time.Time
}

//go:embed migrations
var migrations embed.FS

// A Catalog is an open database. It is safe for concurrent use.
type Catalog struct {
	read  *sql.DB
	write *sql.DB // one connection: SQLite has one writer at a time

	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
}

// Open opens or makes the database at url, "sqlite:" and a path, and brings its
// tables to what this program knows. A database of a newer program is refused.
func Open(ctx context.Context, dsn string) (*Catalog, error) {
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok {
		return nil, fmt.Errorf("catalog: database %q: only sqlite:PATH is known", redact(dsn))
	}
	c := &Catalog{watchers: map[chan struct{}]struct{}{}}
	var err error
	// Waiting for the write lock beats failing; WAL lets readers go on meanwhile.
	pragmas := "?_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_txlock=immediate"
	if c.write, err = sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	c.write.SetMaxOpenConns(1)
	if c.read, err = sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas+"&_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(fmt.Errorf("catalog: %w", err), c.write.Close())
	}
	c.read.SetMaxOpenConns(8)
	if err := c.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("catalog: %w", err), c.Close())
	}
	return c, nil
}

func redact(dsn string) string {
	if u, err := url.Parse(dsn); err == nil {
		return u.Redacted()
	}
	return "…"
}

func (c *Catalog) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, c.write, dir)
	if err != nil {
		return err
	}
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; has > newest {
		return fmt.Errorf("the database is of a newer ptiffstore (schema %d, this one knows %d): use that one, or a backup made before it", has, newest)
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the database.
func (c *Catalog) Close() error { return errors.Join(c.read.Close(), c.write.Close()) }

// NewID returns a new id: 128 random bits, which say nothing of what they name.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// tx runs f in a transaction that writes, and wakes those who watch.
func (c *Catalog) tx(ctx context.Context, f func(*sql.Tx) error) error {
	t, err := c.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	defer t.Rollback()
	if err := f(t); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	c.wake()
	return nil
}

// Watch returns a channel that has something to say after each change, made by
// this process. Changes of others are seen by asking. It ends with ctx.
func (c *Catalog) Watch(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	c.watchers[ch] = struct{}{}
	c.mu.Unlock()
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		delete(c.watchers, ch)
		c.mu.Unlock()
	})
	return ch
}

func (c *Catalog) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func micros(t time.Time) int64     { return t.UnixMicro() }
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
