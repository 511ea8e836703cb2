package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/mongodb"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

const (
	// secretEvery is how often a password file is checked for changes.
	secretEvery = 5 * time.Second
	// failFast is how long after a failed request others fail with the same error, so that
	// not each of thousands waits for a server that does not answer.
	failFast = time.Second
	// freshFor is how long tiles are read after the last check whether the image is the one
	// that was opened.
	freshFor = 10 * time.Second
	// sizesAtOnce is how many collections are identified at once.
	sizesAtOnce = 8
	// maxSecret bounds a password file.
	maxSecret = 4096
)

// A database is a source whose items are the images of a MongoDB database.
type database struct {
	address mongodb.Address
	secret  string // path of the password file; "" for none
	filter  nameFilter
	timeout time.Duration

	mu       sync.Mutex
	db       *mongodb.Database // nil until it is needed
	secretID fsx.Identity      // of the password file when db was opened
	checked  time.Time         // when the password file was last checked
	closed   bool
	closing  sync.WaitGroup

	down atomic.Pointer[failure] // the last failure; nil after a success
}

// A failure is a failed request.
type failure struct {
	err error
	at  time.Time
}

// newDatabase returns the source of a database. It does not connect yet.
func newDatabase(root, secret string, filter nameFilter, timeout time.Duration) (*database, error) {
	a, err := mongodb.ParseAddress(root)
	if err != nil {
		return nil, err
	}
	return &database{address: a, secret: secret, filter: filter, timeout: timeout}, nil
}

// Close closes the connections.
func (d *database) Close() error {
	d.mu.Lock()
	d.closed = true
	d.leave()
	d.mu.Unlock()
	d.closing.Wait()
	return nil
}

// leave closes the present connections without waiting. The caller must hold mu.
func (d *database) leave() {
	if old := d.db; old != nil {
		d.db = nil
		d.closing.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), secretEvery)
			defer cancel()
			_ = old.Close(ctx) // connections are for reading
		})
	}
}

// connect returns the connections, which are opened again after the password file changed.
func (d *database) connect() (*mongodb.Database, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fs.ErrClosed
	}
	if d.db != nil && (d.secret == "" || time.Since(d.checked) < secretEvery) {
		return d.db, nil
	}
	var password string
	var id fsx.Identity
	if d.secret != "" {
		var err error
		if id, err = fsx.Stat(d.secret); err == nil && d.db != nil && id == d.secretID {
			d.checked = time.Now()
			return d.db, nil
		}
		if password, err = ReadSecret(d.secret); err != nil {
			return nil, err
		}
	}
	db, err := mongodb.Open(d.address, mongodb.Options{Password: password, Timeout: d.timeout})
	if err != nil {
		return nil, err
	}
	d.leave()
	d.db, d.secretID, d.checked = db, id, time.Now()
	return db, nil
}

// ReadSecret reads the first line of a password file. Its errors do not contain it.
func ReadSecret(path string) (string, error) {
	b, err := fsx.ReadFile(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("the password file cannot be read: %w", fsx.WithoutPath(err))
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", errors.New("the password file is empty: write the password on its first line")
	}
	return line, nil
}

// ask calls f with the connections, unless the server has just failed to answer. Its error
// is that of f, if the server answered, or an [unreachable].
func (d *database) ask(f func(*mongodb.Database) error) error {
	if last := d.down.Load(); last != nil && time.Since(last.at) < failFast {
		return last.err
	}
	db, err := d.connect()
	if err != nil {
		return &unreachable{"database", err}
	}
	err = f(db)
	switch {
	case errors.Is(err, mongodb.ErrUnavailable):
		err = &unreachable{"database", err}
		d.down.Store(&failure{err, time.Now()})
		return err
	case errors.Is(err, mongodb.ErrRefused), errors.Is(err, errNoImages), errors.Is(err, errManyImages):
		d.mu.Lock()
		d.checked = time.Time{} // the password may have changed
		d.mu.Unlock()
		return &unreachable{"database", err}
	}
	d.down.Store(nil)
	return err
}

// Root returns the identity of the database's name and servers.
func (d *database) Root() (fsx.Identity, error) {
	d.down.Store(nil)
	err := d.ask(func(db *mongodb.Database) error {
		some, err := db.HasImages(context.Background())
		if err == nil && !some {
			err = errNoImages
		}
		return err
	})
	sum := sha256.Sum256([]byte(d.address.String()))
	return fsx.Identity{Ino: max(binary.BigEndian.Uint64(sum[:]), 1)}, err
}

// List lists the images by their ids.
func (d *database) List(ctx context.Context, o ListOptions) (*Listing, error) {
	l := newListing()
	if err := ctx.Err(); err != nil || o.Below != "" {
		return l, err
	}
	var list []image
	n := 0
	err := d.ask(func(db *mongodb.Database) error {
		return db.Documents(ctx, mongodb.Images, func(doc bson.Raw) error {
			if n++; n > maxImages {
				return errManyImages
			}
			im, err := decode(doc)
			if err == nil && !hasOwnID(doc) {
				err = errors.New("the _id of the document is not an ObjectId")
			}
			if err != nil {
				l.Unreadable = append(l.Unreadable, odd(n, err))
			} else if d.filter.selects(im) {
				list = append(list, im)
			}
			return nil
		})
	})
	switch {
	case ctx.Err() != nil:
		return l, ctx.Err()
	case err != nil:
		return l, err
	case n == 0:
		return l, &unreachable{"database", errNoImages}
	}
	return l, d.listTiles(ctx, l, list, o.Item)
}

// hasOwnID reports whether [mongodb.Database.Image] finds a document.
func hasOwnID(doc bson.Raw) bool {
	switch v := doc.Lookup("_id"); v.Type {
	case bson.TypeObjectID:
		return true
	case bson.TypeString:
		return v.StringValue() == strings.ToLower(v.StringValue())
	}
	return false
}

// listTiles completes the identities of images with those of their tiles.
func (d *database) listTiles(ctx context.Context, l *Listing, list []image, item func(Item)) error {
	type result struct {
		id  fsx.Identity
		err error
	}
	results := make([]result, len(list))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(sizesAtOnce, len(list)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(list) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				_, id, err := d.identify(ctx, list[i])
				results[i] = result{id, err}
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, r := range results {
		switch {
		case r.err == nil:
			item(Item{Path: string(list[i].ID), Identity: r.id, Closed: true})
		case errors.Is(r.err, mongodb.ErrRefused):
			l.Unreadable = append(l.Unreadable, Unreadable{Path: string(list[i].ID), Err: r.err})
		default:
			return r.err
		}
	}
	return nil
}

// identify returns the number of an image's tiles, and its identity.
func (d *database) identify(ctx context.Context, im image) (tiles int64, id fsx.Identity, err error) {
	var size int64
	err = d.ask(func(db *mongodb.Database) error {
		tiles, size, err = db.Size(ctx, im.ID)
		return err
	})
	return tiles, im.identity(size, uint64(tiles), uint64(size)), err //nolint:gosec // not negative
}

// find returns the document of the image at a path.
func (d *database) find(ctx context.Context, path string) (im image, err error) {
	id, err := parsePath(path)
	if err != nil {
		return im, err
	}
	err = d.ask(func(db *mongodb.Database) error {
		doc, err := db.Image(ctx, id)
		if err != nil {
			return err
		}
		if im, err = decode(doc); err == nil && !d.filter.selects(im) {
			err = fs.ErrNotExist
		}
		return err
	})
	return im, err
}

// Identify returns the identity of the image at path.
func (d *database) Identify(path string) (fsx.Identity, error) {
	im, err := d.find(context.Background(), path)
	if err != nil {
		return fsx.Identity{}, err
	}
	_, id, err := d.identify(context.Background(), im)
	return id, err
}

// Slide opens the image at path.
func (d *database) Slide(ctx context.Context, path string) (*Slide, error) {
	im, err := d.find(ctx, path)
	if err != nil {
		return nil, err
	}
	tiles, id, err := d.identify(ctx, im)
	if err != nil {
		return nil, err
	}
	var checked atomic.Int64 // when the identity was last checked
	opened := time.Now()
	return im.open(id, tiles, func(dst []byte, t slideatlas.Tile) ([]byte, error) {
		if now, last := int64(time.Since(opened)), checked.Load(); now-last > int64(freshFor) && checked.CompareAndSwap(last, now) {
			if current, err := d.Identify(path); fsx.IsGone(err) || err == nil && current != id {
				checked.Store(last) // for all that follow too
				return dst, ErrChanged
			}
		}
		err := d.ask(func(db *mongodb.Database) error {
			b, err := db.Tile(context.Background(), im.ID, t)
			dst = append(dst, b...)
			return err
		})
		return dst, err
	}, nil)
}

// Indexed reports whether the tiles of the image at path have an index by name. Without one,
// the server reads the whole collection for each tile.
func (d *database) Indexed(ctx context.Context, path string) (ok bool, err error) {
	id, err := parsePath(path)
	if err != nil {
		return false, err
	}
	err = d.ask(func(db *mongodb.Database) error {
		ok, err = db.Indexed(ctx, id)
		return err
	})
	return ok, err
}
