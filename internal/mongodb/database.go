// Package mongodb reads images and their tiles from a MongoDB database of SlideAtlas. It
// never writes.
//
// Passwords are neither in addresses nor in errors. All operations have time limits, and
// the number of connections is bounded.
package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

var (
	// ErrUnavailable: no server answered in time. The same call may succeed later.
	ErrUnavailable = errors.New("the MongoDB server is unreachable")
	// ErrRefused: the server refused the user or the operation.
	ErrRefused = errors.New("the MongoDB server refused the request")
)

const (
	defaultTimeout     = 10 * time.Second
	defaultConnections = 16
	connectTimeout     = 5 * time.Second
	idleTime           = 5 * time.Minute
	batch              = 64 // documents that are received at once
)

// Options of a connection.
type Options struct {
	Password    string        // of the user of the address
	Timeout     time.Duration // of an operation, or of a batch of documents; 10 s if 0
	Connections int           // maximum number of connections to a server; 16 if 0
}

// A Database is a connection to a database. Its methods may be called concurrently.
type Database struct {
	client   *mongo.Client
	database *mongo.Database
	password string
	timeout  time.Duration
}

// Open prepares the connection; it does not wait for a server, but for the DNS if the
// address is that of a seed list. The caller closes the database.
func Open(a Address, o Options) (*Database, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	d := &Database{password: o.Password, timeout: o.Timeout}
	opts := options.Client().ApplyURI(a.String()).
		SetAppName("ptiffstore").
		SetMaxPoolSize(uint64(o.Connections)). //nolint:gosec // positive
		SetMaxConnecting(2).
		SetMaxConnIdleTime(idleTime).
		SetConnectTimeout(min(connectTimeout, o.Timeout)).
		SetServerSelectionTimeout(min(connectTimeout, o.Timeout)).
		SetRetryWrites(false).
		SetDisableOCSPEndpointCheck(true) // no connections to other servers
	if opts.ReadPreference == nil {
		opts.SetReadPreference(readpref.PrimaryPreferred()) // also while a replica set has no primary
	}
	if o.Password != "" {
		if opts.Auth == nil {
			return nil, errors.New("there is a password and no user: write mongodb://USER@HOST/DATABASE")
		}
		auth := *opts.Auth
		auth.Password, auth.PasswordSet = o.Password, true
		opts.SetAuth(auth)
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, fmt.Errorf("invalid address of a MongoDB database: %s", d.scrub(err))
	}
	d.client, d.database = client, client.Database(a.Database)
	return d, nil
}

// Close closes the connections.
func (d *Database) Close(ctx context.Context) error {
	if err := d.client.Disconnect(ctx); err != nil {
		return d.failed(err)
	}
	return nil
}

// Ping returns nil if the server answers. The error may be [ErrUnavailable] or
// [ErrRefused].
func (d *Database) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.failed(d.database.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err())
}

// Documents calls each with the documents of a collection, sorted by their _id. A document
// is valid during the call only. A collection that does not exist has none. The error may be
// [ErrUnavailable], [ErrRefused], that of each or that of ctx.
func (d *Database) Documents(ctx context.Context, collection string, each func(doc bson.Raw) error) error {
	return d.find(ctx, collection, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}), each)
}

func (d *Database) find(ctx context.Context, collection string, o *options.FindOptionsBuilder, each func(doc bson.Raw) error) error {
	cursor, err := d.firstBatch(ctx, collection, o)
	if err != nil {
		return d.failed(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
		defer cancel()
		_ = cursor.Close(ctx) // the server closes it later
	}()
	for d.nextDocument(ctx, cursor) {
		if err := each(cursor.Current); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.failed(cursor.Err())
}

func (d *Database) firstBatch(ctx context.Context, collection string, o *options.FindOptionsBuilder) (*mongo.Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.database.Collection(collection).Find(ctx, bson.D{}, o.SetBatchSize(batch))
}

// nextDocument limits the time of a batch: an iteration may take hours.
func (d *Database) nextDocument(ctx context.Context, cursor *mongo.Cursor) bool {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return cursor.Next(ctx)
}

// tileFields are the fields of a tile that are used.
var tileFields = bson.D{{Key: "_id", Value: 0}, {Key: "name", Value: 1}, {Key: "file", Value: 1}}

// Tile returns the bytes of a tile, with one query. The error may be [slideatlas.ErrNoTile],
// [slideatlas.ErrNotJPEG], [ErrUnavailable] or [ErrRefused].
func (d *Database) Tile(ctx context.Context, image slideatlas.ID, tile slideatlas.Tile) ([]byte, error) {
	name := tile.Name()
	if name == "" {
		return nil, slideatlas.ErrNoTile
	}
	query, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	o := options.FindOne().SetProjection(tileFields)
	doc, err := d.database.Collection(string(image)).FindOne(query, bson.D{{Key: "name", Value: name}}, o).Raw()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return nil, slideatlas.ErrNoTile
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, d.failed(err)
	}
	_, from, to, err := slideatlas.TileRange(doc)
	if err != nil {
		return nil, err
	}
	return doc[from:to:to], slideatlas.CheckJPEG(doc[from:to])
}

// Tiles calls f with all tiles of an image in the order of the collection. The bytes are
// valid during the call only; they are nil and err is set if the document is not a complete
// tile. Tiles may occur more than once; then the first one counts. Tiles stops at an error
// of f. The error may also be [ErrUnavailable], [ErrRefused] or that of ctx.
func (d *Database) Tiles(ctx context.Context, image slideatlas.ID, f func(tile slideatlas.Tile, b []byte, err error) error) error {
	return d.find(ctx, string(image), options.Find().SetProjection(tileFields), func(doc bson.Raw) error {
		name, from, to, err := slideatlas.TileRange(doc)
		if err != nil {
			return f(slideatlas.Tile{}, nil, err)
		}
		tile, ok := slideatlas.ParseName(name)
		if !ok {
			return f(slideatlas.Tile{}, nil, errors.New("the document is not a tile"))
		}
		if err := slideatlas.CheckJPEG(doc[from:to]); err != nil {
			return f(tile, nil, err)
		}
		return f(tile, doc[from:to], nil)
	})
}

// Indexed reports whether the tiles of an image have an index by name. Without one, the
// server reads the whole collection for each tile. The error may be [ErrUnavailable] or
// [ErrRefused].
func (d *Database) Indexed(ctx context.Context, image slideatlas.ID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	list, err := d.database.Collection(string(image)).Indexes().ListSpecifications(ctx)
	if err != nil {
		return false, d.failed(err)
	}
	for _, index := range list {
		if keys, err := index.KeysDocument.Elements(); err == nil && len(keys) > 0 && keys[0].Key() == "name" {
			return true, nil
		}
	}
	return false, nil
}

// passing lists the codes of errors that pass without a change at the client: a server that
// starts, stops or changes its role.
var passing = []int{6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}

// failed classifies an error of the driver. Its text never contains the password.
func (d *Database) failed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	class := ErrUnavailable
	if e, ok := errors.AsType[mongo.ServerError](err); ok && !mongo.IsTimeout(err) && !mongo.IsNetworkError(err) {
		for _, code := range e.ErrorCodes() {
			if code != 0 && !slices.Contains(passing, code) {
				class = ErrRefused
			}
		}
	}
	return fmt.Errorf("%w: %s", class, d.scrub(err))
}

// scrub returns the text of an error without the password. No error of the driver is known
// to contain it, but the driver does not promise that.
func (d *Database) scrub(err error) string {
	if d.password == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), d.password, "(hidden)")
}
