// Package upload receives slides over HTTP by the tus protocol, 1.0.0. Clients resume
// interrupted uploads.
//
// The bytes of an upload are in a hidden folder of the store's incoming folder, in
// ID.part, and its record in ID.json. Acknowledged bytes are on disk. A complete file
// is renamed into the incoming folder, where the scanner finds it as any other file.
//
// Those of an upload into a bucket are in the parts of an object that becomes visible when it is
// complete, and the rest, which is shorter than a part, in an object below uploads/. Its record is
// in the catalog, so that any server continues the upload.
//
// The protocol is at https://tus.io/protocols/resumable-upload.
package upload

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/managed"
)

const (
	// Route is the address of the collection of uploads.
	Route    = "/api/v1/uploads"
	oneRoute = Route + "/{upload}"
)

// Options are limits and hooks.
type Options struct {
	Catalog *catalog.Catalog
	Log     *slog.Logger
	Loops   *loop.Set // shows the state of the removal of expired uploads; may be nil
	// Caller returns the caller's user, or an error if the caller may not upload into the
	// store. Only the user who began an upload, and admins, can see it. If Caller is nil,
	// uploads are refused.
	Caller func(r *http.Request, store *catalog.Store) (string, error)
	// Rights returns what the caller may do with the uploads of others into a store;
	// nothing if it is nil.
	Rights func(r *http.Request, store *catalog.Store) (Rights, error)
	// UserName, if not nil, returns the display name of an owner, "" if unknown.
	UserName func(ctx context.Context, owner string) string
	// Audit, if not nil, records an action of a caller. If it returns an error, the
	// action is not done.
	Audit func(r *http.Request, e Event) error

	// Received, if not nil, records the files that have been received, so that a scanner
	// of this process need not inspect them and compute their digests again.
	Received *managed.Received

	// Buckets receive uploads into managed stores in buckets, which are refused if it is nil.
	Buckets *Buckets

	MaxSize    int64         // of a file in bytes; 64 GiB if 0
	OwnerOpen  int           // incomplete uploads of one owner; 200 if 0
	OwnerBytes int64         // bytes of their complete files; 512 GiB if 0
	Keep       time.Duration // age since the last change at which an upload is removed; 7 days if 0
	KeepEmpty  time.Duration // the same for an upload with less than 1 MiB; 1 hour if 0
	Reserve    int64         // bytes of the file system that are left free; 256 MiB if 0
	Idle       time.Duration // silence after which a client is cut off; 60 s if 0
	AtOnce     int           // requests that may receive bytes at the same time; 64 if 0
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

// Uploads handles requests of the protocol.
type Uploads struct {
	o        Options
	access   *access
	folders  *folders
	holds    *holds
	space    *space
	receiver *receiver
	sweeper  *sweeper
	views    *views
}

// New returns a handler for the uploads into all stores of the catalog.
func New(o Options) *Uploads {
	o.MaxSize, o.Keep, o.KeepEmpty = or(o.MaxSize, defaultMaxSize), or(o.Keep, defaultKeep), or(o.KeepEmpty, defaultKeepEmpty)
	o.OwnerOpen, o.OwnerBytes = or(o.OwnerOpen, defaultOwnerOpen), or(o.OwnerBytes, defaultOwnerBytes)
	o.Reserve, o.Idle = or(o.Reserve, defaultReserve), or(o.Idle, defaultIdle)
	o.AtOnce = or(o.AtOnce, defaultAtOnce)
	u := &Uploads{o: o, access: newAccess(&o)}
	u.folders = &folders{
		retention: retention{o.Keep, o.KeepEmpty}, scanAge: scanAge, catalog: o.Catalog, received: o.Received, buckets: o.Buckets, orphanAge: orphanAge,
		memory: semaphore.NewWeighted(o.Buckets.memory()), indexes: map[string]*index{},
	}
	u.holds = &holds{atOnce: o.AtOnce, byID: map[string]*hold{}, sending: map[string]int{}}
	u.space = &space{catalog: o.Catalog, folders: u.folders, ownerOpen: o.OwnerOpen, ownerBytes: o.OwnerBytes, reserve: o.Reserve}
	u.receiver = &receiver{retention: u.folders.retention, holds: u.holds, space: u.space, idle: o.Idle}
	u.sweeper = &sweeper{catalog: o.Catalog, folders: u.folders, holds: u.holds, receiver: u.receiver, log: o.Log}
	u.views = &views{catalog: o.Catalog, folders: u.folders, userName: o.UserName}
	return u
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

// Run removes expired uploads until ctx is done. Then it cuts off clients that are
// sending, so that their bytes are saved and the server can stop.
func (u *Uploads) Run(ctx context.Context) {
	u.o.Loops.Run(ctx, u.o.Log, "expired uploads", loop.Every(sweepPause, func(ctx context.Context) error {
		if err := u.sweeper.sweep(ctx); err != nil {
			return fsx.WithoutPath(err)
		}
		return nil
	}))
	u.holds.end()
}

// InFlight is how many uploads are being written to by a request.
func (u *Uploads) InFlight() int { return u.holds.count() }
