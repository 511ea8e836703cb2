package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A Mode determines what the server may do with the files of a store.
type Mode string

const (
	InPlace Mode = "in-place" // the folder is read and never written
	Managed Mode = "managed"  // files are added by uploads, or arrive in a folder, and are kept under names of the store's own
)

// A Kind is where the slides of a store are.
type Kind string

const (
	Directory Kind = "directory" // files in a folder
	MongoDB   Kind = "mongodb"   // images in a MongoDB database of SlideAtlas
	Dump      Kind = "dump"      // images in a folder that mongodump wrote of such a database
	S3        Kind = "s3"        // objects in a bucket of an S3-compatible server, each a file
)

// KindOf returns the kind of stores with that root.
func KindOf(root string) Kind {
	switch {
	case strings.HasPrefix(root, "mongodb://"), strings.HasPrefix(root, "mongodb+srv://"):
		return MongoDB
	case strings.HasPrefix(root, dumpScheme):
		return Dump
	case strings.HasPrefix(root, bucketScheme):
		return S3
	}
	return Directory
}

// ManagedFolder reports whether the store is managed, with its files in folders.
func (s *Store) ManagedFolder() bool {
	return s.Mode == Managed && (s.Kind == Directory || s.Kind == "")
}

// ManagedBucket reports whether the store is managed, with its slides in a bucket.
func (s *Store) ManagedBucket() bool { return s.Mode == Managed && s.Kind == S3 }

// dumpScheme begins the root of a [Dump]; the absolute path of its folder follows.
const dumpScheme = "dump://"

// bucketScheme begins the root of an [S3] store; the bucket and a prefix of keys follow.
const bucketScheme = "s3://"

// A Store is a set of slides with its settings.
type Store struct {
	ID           string `json:"-"`
	ExternalID   string `json:",omitempty"` // of the store in another application; "" for none
	Label        string
	Copyright    string `json:",omitempty"` // notice, set by users
	Mode         Mode
	Kind         Kind   `json:",omitempty"` // follows from the root
	Root         string `json:"-"`          // an absolute path in any bytes, or a URL without a password: mongodb://USER@HOST/DATABASE, dump:///PATH, s3://BUCKET/PREFIX/
	PasswordFile string `json:",omitempty"` // absolute path of the file with the password of the root's user; "" for none
	Incoming     string `json:"-"`          // of a managed store: where files arrive; absolute, in any bytes
	Host         string `json:"-"`          // host whose worker synchronizes it; "" for any
	Endpoint     string // base URL of the tile server near its files

	Schedule   string // an interval or a cron expression; "" for none
	TimeZone   string // of the schedules; "" for the server's
	Queue      string // of its tasks
	Include    []string
	Exclude    []string
	Settle     time.Duration // 0 for the default of package ingest
	MaxMissing float64       // maximum share of slides that may disappear at once; 0 for the default
	HideAfter  time.Duration // missing images are hidden after this time; 0 for never
	DropAfter  time.Duration // and removed from the catalog after this time; 0 for never
	KeepTrash  time.Duration // deleted files of a managed store are kept this long; 0 for the default
	Verify     string        // schedule for verifying all files; "" for none
	VerifyRate int64         // read limit of verification in bytes per second; 0 for the default
	Quota      int64         // limit for uploads to the store, in bytes; 0 for none
	MoveTo     string        `json:",omitempty"` // root of the managed store in a bucket that slides are moved to; "" for none
	MoveAfter  time.Duration `json:",omitempty"` // age from which they are, since they were added
	NoConvert  bool          // do not convert images to pyramids, in a managed store

	CasePattern  string     `json:",omitempty"` // finds the case of an image: see [CasePattern]; "" for none
	CaseSource   CaseSource `json:",omitempty"` // text in which it does; "" for all
	CasesNamedBy string     `json:",omitempty"` // pattern by which [Images.NameCases] has named all images

	Background string // "#rrggbb"
	Origin     string // of tile names: "top-left" or "bottom-left"
	Public     bool   // everyone may view its tiles
	HideLabels bool   // labels, macros and names are visible to admins only

	Provisioned *Provisioning `json:"Declared,omitempty"` // settings that are in the configuration file; nil for none

	RootID     fsx.Identity // of the root folder when it was last seen
	RootFS     string       // id of its file system at that time
	LastSync   *time.Time   // end of the last completed scan
	LastResult json.RawMessage

	CreatedAt time.Time     `json:"-"`
	UpdatedAt time.Time     `json:"-"`
	Counts    map[State]int `json:"-"` // images by state, without hidden or deleted ones; read, never written
	Bytes     int64         `json:"-"` // total size of the files that are not missing; read, never written
}

// Stores are the stores with their settings.
type Stores struct{ *handle }

// List returns all stores with their counts, oldest first.
func (ss *Stores) List(ctx context.Context) ([]Store, error) {
	list, _, err := ss.stores(ctx, ss.read, ` ORDER BY s.n`)
	return list, err
}

// Get returns a store with its counts, or [ErrNotFound].
func (ss *Stores) Get(ctx context.Context, id string) (*Store, error) {
	list, _, err := ss.stores(ctx, ss.read, ` AND s.id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: store %s", ErrNotFound, clean(id))
	}
	return &list[0], nil
}

// Put adds a store, or changes the one with that id, and returns it with defaults
// filled in: id, background, origin, times, and the incoming folder of a managed store,
// which is "incoming" below its root. It creates no folders.
//
// The error is [ErrInvalid] if the mode is unknown, a folder is not absolute, or the
// folders contradict each other; and [ErrConflict] if one of them equals, contains or is
// contained in a folder of another store on the same host. A store without a host is on
// every host.
func (ss *Stores) Put(ctx context.Context, s Store) (*Store, error) {
	if s.ID == "" {
		s.ID = NewID()
	}
	return ss.edit(ctx, s.ID, true, func(old *Store) error {
		s.CreatedAt = old.CreatedAt
		*old = s
		return nil
	})
}

// Update calls f with the current store, stores it as f has changed it, and returns
// it. If f returns an error, nothing is changed and the error is returned. All other
// writers wait while f runs, so it must not use the catalog.
//
// The error is [ErrNotFound], or one of those of [Stores.Put].
func (ss *Stores) Update(ctx context.Context, id string, f func(*Store) error) (*Store, error) {
	return ss.edit(ctx, id, false, f)
}

func (ss *Stores) edit(ctx context.Context, id string, add bool, f func(*Store) error) (*Store, error) {
	var s Store
	err := ss.change(ctx, func(t *tx) error {
		list, _, err := ss.stores(ctx, t, ` AND s.id = $1`, id)
		if err != nil {
			return err
		}
		switch {
		case len(list) > 0:
			s = list[0]
		case !add:
			return fmt.Errorf("%w: store %s", ErrNotFound, clean(id))
		default:
			s = Store{CreatedAt: t.now}
		}
		was := s
		if err := f(&s); err != nil {
			return err
		}
		s.ID, s.UpdatedAt = id, t.now
		// Existing stores are kept even if they violate rules that were added later.
		s.Kind = KindOf(s.Root)
		if s.Mode != was.Mode || s.Host != was.Host || s.Root != was.Root || s.Incoming != was.Incoming || s.PasswordFile != was.PasswordFile {
			if err := s.settle(); err != nil {
				return err
			}
			if err := t.apart(ctx, &s); err != nil {
				return err
			}
		}
		if s.ExternalID != was.ExternalID {
			if err := t.ownExternalID(ctx, &s); err != nil {
				return err
			}
		}
		return t.writeStore(ctx, &s)
	})
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// ownExternalID returns [ErrConflict] if another store has the external id.
func (t *tx) ownExternalID(ctx context.Context, s *Store) error {
	others, _, err := t.h.stores(ctx, t, ` AND s.id <> $1`, s.ID)
	if err != nil {
		return err
	}
	for i := range others {
		if o := &others[i]; s.ExternalID != "" && o.ExternalID == s.ExternalID {
			return fmt.Errorf("%w: the store %s (%s) has the external id %q", ErrConflict, o.ID, clean(o.Label), clean(s.ExternalID))
		}
	}
	return nil
}

func (t *tx) writeStore(ctx context.Context, s *Store) error {
	if s.Background == "" {
		s.Background = "#ffffff"
	}
	if s.Origin == "" {
		s.Origin = "top-left"
	}
	fields, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("store %s: %w", clean(s.ID), err)
	}
	_, err = t.ExecContext(ctx, `INSERT INTO stores (id, host, root, incoming, fields, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET host = excluded.host, root = excluded.root, incoming = excluded.incoming, fields = excluded.fields, updated_at = excluded.updated_at`,
		s.ID, clean(s.Host), []byte(s.Root), optional(s.Incoming), string(fields), s.CreatedAt.UnixMicro(), s.UpdatedAt.UnixMicro())
	err = wrap(err, "store "+clean(s.ID))
	if errors.Is(err, ErrConflict) {
		return fmt.Errorf("%w: another store has this folder", ErrConflict)
	}
	return err
}

// optional returns nil, which conflicts with nothing, for an empty text.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// A querier reads inside or outside of a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// stores returns the stores that satisfy an additional condition, and their numbers.
func (h *handle) stores(ctx context.Context, db querier, where string, args ...any) ([]Store, []int64, error) {
	rows, err := db.QueryContext(ctx, `SELECT s.n, s.id, s.host, s.root, s.incoming, s.fields, s.created_at, s.updated_at
		FROM stores s WHERE s.closing = 0`+where, args...)
	if err != nil {
		return nil, nil, wrap(err, "stores")
	}
	defer rows.Close()
	var list []Store
	var numbers []int64
	for rows.Next() {
		var s Store
		var root, incoming, fields []byte
		var n, created, updated int64
		if err := rows.Scan(&n, &s.ID, &s.Host, &root, &incoming, &fields, &created, &updated); err != nil {
			return nil, nil, wrap(err, "stores")
		}
		if err := json.Unmarshal(fields, &s); err != nil {
			return nil, nil, wrap(err, "store "+s.ID)
		}
		s.Root, s.Incoming = string(root), string(incoming)
		s.Kind = KindOf(s.Root)
		s.CreatedAt, s.UpdatedAt = fromMicros(created), fromMicros(updated)
		list, numbers = append(list, s), append(numbers, n)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, wrap(err, "stores")
	}
	return list, numbers, h.count(ctx, db, list, numbers)
}

// count fills in the counts of stores.
func (h *handle) count(ctx context.Context, db querier, list []Store, numbers []int64) error {
	byNumber := map[int64]*Store{}
	for i := range list {
		list[i].Counts = map[State]int{}
		byNumber[numbers[i]] = &list[i]
	}
	rows, err := db.QueryContext(ctx, `SELECT store, shelf, images, bytes FROM counts WHERE store `+fmt.Sprintf(h.among, 1), h.list(numbers))
	if err != nil {
		return wrap(err, "counts")
	}
	defer rows.Close()
	for rows.Next() {
		var store, images, bytes int64
		var shelf int
		if err := rows.Scan(&store, &shelf, &images, &bytes); err != nil {
			return wrap(err, "counts")
		}
		if state := stateOn(shelf); state != "" && images > 0 {
			byNumber[store].Counts[state] = int(images)
			if state != Missing {
				byNumber[store].Bytes += bytes
			}
		}
	}
	return wrap(rows.Err(), "counts")
}

// removeChunk is the number of images to remove in one transaction, so that other writers
// do not wait long.
const removeChunk = 1000

// Delete removes a store and its images from the catalog, and touches no file. The
// store disappears immediately and its folder can be used by another store; the images are
// removed in chunks, and after an interruption when the catalog is next opened. The error
// may be [ErrNotFound].
func (ss *Stores) Delete(ctx context.Context, id string) error {
	err := ss.change(ctx, func(t *tx) error {
		r, err := t.ExecContext(ctx, `UPDATE stores SET closing = 1, root = NULL, incoming = NULL WHERE id = $1 AND closing = 0`, id)
		if err != nil {
			return wrap(err, "store "+clean(id))
		}
		if n, err := r.RowsAffected(); err == nil && n == 0 {
			return fmt.Errorf("%w: store %s", ErrNotFound, clean(id))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ss.finishRemovals(ctx)
}

// finishRemovals deletes the rest of stores that are being removed.
func (ss *Stores) finishRemovals(ctx context.Context) error {
	for {
		var n int64
		err := ss.read.QueryRowContext(ctx, `SELECT n FROM stores WHERE closing = 1 ORDER BY n LIMIT 1`).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return wrap(err, "stores")
		}
		if err := ss.change(ctx, func(t *tx) error { return t.removeSome(ctx, n) }); err != nil {
			return err
		}
	}
}

// removeSome deletes some images of a store, or the store if it has no images.
func (t *tx) removeSome(ctx context.Context, store int64) error {
	list, err := t.h.records(ctx, t, `i.store = $1 ORDER BY i.path LIMIT $2`, store, removeChunk)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return t.remove(ctx, list)
	}
	for _, q := range []string{`DELETE FROM packed WHERE store = $1`, `DELETE FROM counts WHERE store = $1`, `DELETE FROM cases WHERE store = $1`, `DELETE FROM stores WHERE n = $1`} {
		if _, err := t.ExecContext(ctx, q, store); err != nil {
			return wrap(err, "stores")
		}
	}
	return nil
}
