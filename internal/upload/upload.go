// Package upload takes slides in over HTTP by the tus protocol, 1.0.0: an upload
// that was cut, by whatever it may be, goes on where it was.
//
// The bytes of an upload are in a hidden folder of the store's incoming folder, in
// ID.part, and what is known of it in ID.json. What has been acknowledged is on disk.
// The complete file is renamed into the incoming folder, where the store finds it as
// it finds any other.
//
// The protocol is at https://tus.io/protocols/resumable-upload.
package upload

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

const (
	// Route is where uploads are made; each has its own below it.
	Route    = "/api/v1/uploads"
	oneRoute = Route + "/{upload}"
)

// Options say how much is taken, and from whom.
type Options struct {
	Catalog *catalog.Catalog
	Log     *slog.Logger
	Loops   *loop.Set // shows whether expired uploads are removed; may be nil
	// Caller returns who asks, or the refusal of those who may not upload into the
	// store. An upload is shown to nobody but the one who began it. If Caller is nil
	// nobody may upload.
	Caller func(r *http.Request, store *catalog.Store) (string, error)
	// Rights returns what the caller may do with the uploads of others into a store. If
	// it is nil that is nothing.
	Rights func(r *http.Request, store *catalog.Store) (Rights, error)
	// UserName, if not nil, returns what an owner is called, "" if that is not known.
	UserName func(ctx context.Context, owner string) string
	// Audit, if not nil, records what a caller does with uploads. What it refuses is not
	// done.
	Audit func(r *http.Request, e Event) error

	MaxSize    int64         // of a file in bytes; 64 GiB if 0
	OwnerOpen  int           // uploads of one owner that are not complete; 200 if 0
	OwnerBytes int64         // of the complete files of those; 512 GiB if 0
	Keep       time.Duration // an upload that nothing happened to for so long is removed; 7 days if 0
	KeepEmpty  time.Duration // the same for one of which less than 1 MiB has come; 1 hour if 0
	Reserve    int64         // bytes of the file system that are never filled; 256 MiB if 0
	Idle       time.Duration // a client that sends nothing for so long is cut off; 60 s if 0
	AtOnce     int           // requests whose bytes are received at once; 64 if 0
}

const (
	defaultMaxSize    = 64 << 30
	defaultOwnerOpen  = 200
	defaultOwnerBytes = 512 << 30
	defaultKeep       = 7 * 24 * time.Hour
	defaultKeepEmpty  = time.Hour
	defaultReserve    = 256 << 20
	defaultIdle       = 60 * time.Second
	defaultAtOnce     = 64
)

// Rights are what a caller may do with the uploads of others into a store.
type Rights struct {
	Admin bool // see and remove them
	Names bool // see the names of their files
}

// An Event is something that a caller did with uploads. It holds ids and no names.
type Event struct {
	Act    string
	Object string
	Detail string
}

// Uploads answers requests of the protocol.
type Uploads struct {
	o Options

	mu    sync.Mutex
	holds map[string]*hold // by upload
	ended bool

	receiving int            // requests whose bytes are received
	sending   map[string]int // these by owner

	reserving sync.Mutex // so that two new uploads are not given the same room

	indexing sync.Mutex
	indexes  map[string]*index // by store and folder
	scanAge  time.Duration
}

// New returns the uploads of all stores that the catalog has.
func New(o Options) *Uploads {
	o.MaxSize, o.Keep, o.KeepEmpty = or(o.MaxSize, defaultMaxSize), or(o.Keep, defaultKeep), or(o.KeepEmpty, defaultKeepEmpty)
	o.OwnerOpen, o.OwnerBytes = or(o.OwnerOpen, defaultOwnerOpen), or(o.OwnerBytes, defaultOwnerBytes)
	o.Reserve, o.Idle = or(o.Reserve, defaultReserve), or(o.Idle, defaultIdle)
	o.AtOnce = or(o.AtOnce, defaultAtOnce)
	return &Uploads{o: o, holds: map[string]*hold{}, indexes: map[string]*index{}, scanAge: scanAge, sending: map[string]int{}}
}

func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Register adds the routes to mux.
func (u *Uploads) Register(mux *http.ServeMux) {
	mux.Handle("OPTIONS "+Route, httperr.Handler(u.options))
	mux.Handle("OPTIONS "+oneRoute, httperr.Handler(u.options))
	mux.Handle("POST "+Route, tus(u.create))
	mux.Handle("GET "+Route, httperr.Handler(u.list))
	mux.Handle("HEAD "+oneRoute, tus(u.head))
	mux.Handle("PATCH "+oneRoute, tus(u.patch))
	mux.Handle("DELETE "+oneRoute, tus(u.terminate))
	mux.Handle("POST "+oneRoute, tus(u.override))
	mux.Handle("GET "+oneRoute, httperr.Handler(u.show))
}

// Run removes what has expired, until ctx is done; then it cuts off those who are
// sending, so that what they have sent is kept and the server can end.
func (u *Uploads) Run(ctx context.Context) {
	u.o.Loops.Run(ctx, u.o.Log, "expired uploads", loop.Every(sweepPause, func(ctx context.Context) error {
		if err := u.sweep(ctx); err != nil {
			return fsx.WithoutPath(err)
		}
		return nil
	}))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	for _, h := range u.holds {
		h.cut(errClosing)
	}
}
