// Package server runs one process of ptiffstore: a server with pages, API and tiles, a tile
// server or a worker. Open a process with [Options], run it, and close it.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/metrics"
	"github.com/slideatlas/ptiffstore/internal/oidc"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/taskhandler"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/internal/trace"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

// A Mode is the kind of a process.
type Mode string

const (
	Serve      Mode = "serve"      // pages, API and tiles; and tasks, if it has queues
	TileServer Mode = "tileserver" // tiles and images only
	Worker     Mode = "worker"     // tasks only
)

// Options are the options of a process.
type Options struct {
	Mode     Mode
	Version  string // version of the program
	Log      *slog.Logger
	DataDir  string // catalog, unless Database is elsewhere, and image cache. It must exist
	Database string // URL of the database
	Host     string // name of this host, to which stores may be bound

	Memory int64 // memory limit in bytes; 0 for half of the machine's
	Cache  Cache
	Trace  Trace

	// Listen opens the port of the service, ListenMetrics one for metrics and health
	// alone, and ListenDebug one for metrics and profiles. A port whose function is nil
	// is not opened; a worker has none for the service.
	Listen, ListenMetrics, ListenDebug func() (net.Listener, error)
	HTTP                               HTTP
	Access                             Access

	// Folders become in-place stores, unless they already are stores.
	Folders []string
	// StoreRoots are the folders, beside DataDir and Folders, in which stores may be
	// added over HTTP.
	StoreRoots []string
	// Exports is the folder for exported images; "" for none.
	Exports string
	// Queues are the queues to serve, and how many tasks of each run at once. If empty, other
	// processes scan stores and run tasks.
	Queues   map[string]int
	TimeZone string // of schedules without one; "" for this machine's
	Upload   upload.Options
	Bucket   bucket.Settings // of stores in buckets
	// BucketCache are the limits of tiles read from buckets.
	BucketCache BucketCache
	// StowStore is the managed store that receives DICOM instances; see [dicomweb.ReceiverOptions].
	StowStore string

	// Started, if not nil, is called when everything runs, before the server answers the
	// first request. An error ends the process.
	Started func(context.Context, *Server) error
}

// BucketCache are the limits of tiles read from buckets. A limit that is 0 has its default.
type BucketCache struct {
	Memory   int64  // bytes
	Dir      string // "" for none on disk
	DirBytes int64
}

// Cache are the limits of the image cache and of open slides. [Server.SetCache] changes them.
type Cache struct {
	Bytes      int64 // of rendered images on disk
	OpenSlides int   // slides kept open
	OpenBytes  int64 // memory of their tables
	TileBytes  int64 // memory of cached tiles; a sixteenth of that of the process if 0. SetCache does not change it.
}

// HTTP are the options of a process that serves.
type HTTP struct {
	// Public admits clients on other machines. Otherwise the server answers only requests
	// for a loopback name that did not come through a proxy.
	Public    bool
	Origins   []string // origins whose pages may read tiles; "*" for all. See [Server.SetOrigins]
	PublicURL string   // where browsers reach the server; "" if unknown
	// FrameAncestors are the origins of other sites whose pages may show the viewer in a frame.
	FrameAncestors []string
	Proxies        httperr.Proxies
	// CorrectColors makes the viewer correct colours unless a user switches that off.
	CorrectColors bool
	// Viewers are other viewers that the pages of slides have links to.
	Viewers []api.Viewer
	// Connections and PerAddress limit connections in all and from one address.
	Connections, PerAddress int
	// Drain is how long a process that is stopping serves with /readyz at 503 before it
	// closes its port.
	Drain time.Duration
}

// Access are the options of access control.
type Access struct {
	// Local uses the accounts of the database, and Central another server. With neither
	// there is no access control.
	Local    bool
	Password account.PasswordCost // with Local: of new hashes of passwords
	OIDC     *oidc.Options        // with Local: provider at which users log in; nil for none
	Central  *authz.CentralOptions
	// NoSharing refuses share links.
	NoSharing bool
}

// none reports whether there is no access control.
func (a *Access) none() bool { return !a.Local && a.Central == nil }

// A Server is one process of any [Mode].
type Server struct {
	o          Options
	log        *slog.Logger
	background background
	storage    storage
	access     accessControl
	port       port
	tasks      *task.Service // nil in a tile server
	handlers   *taskhandler.Handlers
	watchers   *scan.Watchers
	uploads    *upload.Uploads
	dicom      *dicomweb.Receiver
	endpoints  *endpoints
	metrics    *metrics.Recorder
	trace      *trace.Tracer // nil without a collector
	cors       httperr.LiveCORS
	health     httperr.Health
	closing    chan struct{} // closed when the process is about to end
}

// Open opens a process. Nothing runs before [Server.Run].
func Open(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{o: o, log: o.Log, metrics: metrics.New(o.Version), closing: make(chan struct{})}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.background.log = o.Log
	s.health.Version, s.health.Degraded = o.Version, s.background.degraded
	s.SetOrigins(o.HTTP.Origins)
	steps := []func(context.Context) error{s.openStorage, s.openTracer}
	switch o.Mode {
	case Serve:
		steps = append(steps, s.openPort, s.openFollower, s.openAccess, s.openTasks, s.openEndpoints, s.openUploads, s.openReceiver)
	case TileServer:
		steps = append(steps, s.openPort, s.openFollower, s.openAccess)
	case Worker:
		steps = append(steps, s.openTasks, s.openFollower)
	default:
		return nil, fmt.Errorf("unknown mode %q", o.Mode)
	}
	for _, step := range append(steps, s.openDebug) {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	s.metrics.Watch(s.site())
	return s, nil
}

// openStorage opens the data directory, and adds a store for each folder that is not one.
func (s *Server) openStorage(ctx context.Context) error {
	t := tile.Options{Changed: s.changed, Full: s.port.relieve}
	if s.o.Mode == Serve {
		t.Envelope = dicomweb.Envelope()
	}
	if err := s.storage.open(ctx, &s.o, t); err != nil {
		return err
	}
	return s.storage.addFolders(ctx, s.o.Folders)
}

// Close closes what [Open] opened.
func (s *Server) Close() {
	s.port.close()
	s.storage.close(s.log)
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.trace.Close(last); err != nil {
		s.log.Warn("sending the last traces failed", "err", err)
	}
}

// Catalog returns the catalog of the process.
func (s *Server) Catalog() *catalog.Catalog { return s.storage.catalog }

// Addr returns the address of the service's port.
func (s *Server) Addr() net.Addr { return s.port.listener.Addr() }

// SetOrigins sets the origins whose pages may read tiles.
func (s *Server) SetOrigins(origins []string) {
	s.cors.Store(&httperr.CORS{Origins: origins, Credentials: !s.o.Access.none() && !slices.Contains(origins, "*")})
}

// SetCache sets the limits of the image cache and of open slides.
func (s *Server) SetCache(c Cache) {
	s.storage.setCache(c)
}

// Background adds a loop that runs with the process; see [loop.Set.Run]. Call it before
// [Server.Run].
func (s *Server) Background(name string, round func(context.Context) error) {
	s.background.addLoop(name, round)
}

// Run runs the process until ctx is done. Call it once.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := s.draining(ctx)
	defer stop() // before the wait, so that the background loops end
	context.AfterFunc(ctx, func() { close(s.closing) })
	s.background.start(ctx, &wg)
	s.health.Ready.Store(true)
	if s.o.Started != nil {
		if err := s.o.Started(ctx, s); err != nil {
			return err
		}
	}
	switch s.o.Mode {
	case Serve:
		return s.serve(ctx)
	case TileServer:
		return s.serveTiles(ctx)
	}
	<-ctx.Done()
	return nil
}

// changed makes the scanner inspect the file of an image again, after the tile server found
// it changed.
func (s *Server) changed(image string) {
	if s.watchers != nil {
		s.watchers.Recheck(image)
	}
}

// openFollower reads the images of the catalog, and follows changes.
func (s *Server) openFollower(ctx context.Context) error {
	f := &follow.Follower{Catalog: s.storage.catalog, Tiles: s.storage.tiles, Log: s.log, Loops: &s.background.loops, Renamed: s.access.renamed}
	if s.o.Mode == Serve {
		f.Host = s.o.Host
	}
	if err := f.Load(ctx); err != nil {
		return err
	}
	s.background.add(f.Run)
	return nil
}

// openUploads opens the receiver of uploads.
func (s *Server) openUploads(context.Context) error {
	o := s.o.Upload
	o.Catalog, o.Log, o.Loops = s.storage.catalog, s.log, &s.background.loops
	a := &api.API{Access: s.access.api, Log: s.log}
	o.Received = s.handlers.Syncer.Received
	o.Buckets = &upload.Buckets{
		Open: s.storage.sources.OpenBucket, Receive: s.handlers.Syncer.Receive,
		Leases: &lease.Leases{Catalog: s.storage.catalog, Holder: lease.Holder(s.o.Host)},
	}
	o.Caller, o.UserName = a.Uploader, a.UserName
	o.Rights = func(r *http.Request, st *catalog.Store) (upload.Rights, error) {
		admin, names, err := a.UploadRights(r, st)
		return upload.Rights{Admin: admin, Names: names}, err
	}
	o.Audit = func(r *http.Request, e upload.Event) error { return a.Audit(r, e.Act, e.Object, e.Detail) }
	s.uploads = upload.New(o)
	s.background.add(s.uploads.Run)
	return nil
}

// openReceiver opens the receiver of DICOM instances.
func (s *Server) openReceiver(context.Context) error {
	a := &api.API{Access: s.access.api, PublicURL: s.o.HTTP.PublicURL, Log: s.log}
	s.dicom = dicomweb.NewReceiver(dicomweb.ReceiverOptions{
		Catalog: s.storage.catalog, Log: s.log, Store: s.o.StowStore, Caller: a.Uploader, Audit: a.Received, BaseURL: a.BaseURL,
		MaxSize: s.o.Upload.MaxSize, Reserve: s.o.Upload.Reserve,
	})
	s.background.addLoop("interrupted DICOM transfers", loop.Every(dicomweb.SweepPause, s.dicom.Sweep))
	return nil
}

// AdminSecret returns the secret with which the first admin sets a password. Ok is false if
// an admin exists or accounts are not used.
func (s *Server) AdminSecret(ctx context.Context) (secret string, ok bool, err error) {
	if !s.o.Access.Local {
		return "", false, nil
	}
	secret, ok, err = s.access.accounts.Bootstrap.Link(ctx)
	if ctx.Err() != nil { // the process is being stopped
		return "", false, nil
	}
	return secret, ok, err
}
