package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/ingest"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/metrics"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/internal/trace"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/internal/webui"
)

type serveCmd struct {
	common
	Folders []string `arg:"" optional:"" type:"existingdir" help:"Folders of slides. They are read and never written."`
	working
	NoWorker bool     `key:"no_worker" name:"no-worker" help:"Leave keeping stores in step, and tasks, to other processes."`
	Roots    []string `key:"store_roots" name:"store-root" type:"existingdir" placeholder:"FOLDER" help:"Let stores be added over HTTP in this folder, beside those of slides and --data; may be repeated."`
	taking
}

// taking are the flags of uploads.
type taking struct {
	UploadMax     int64         `key:"upload.max_mb" name:"upload-max" default:"65536" placeholder:"MB" help:"Largest file that may be uploaded, in MB."`
	UploadOpen    int           `key:"upload.open" name:"upload-open" default:"200" placeholder:"N" help:"Uploads that one user may have begun and not completed."`
	UploadOpenMB  int64         `key:"upload.open_mb" name:"upload-open-mb" default:"524288" placeholder:"MB" help:"Size of the files of these uploads together, in MB."`
	UploadKeep    time.Duration `key:"upload.keep" name:"upload-keep" default:"168h" placeholder:"TIME" help:"Uploads that were begun and not completed are removed after this time."`
	UploadEmpty   time.Duration `key:"upload.keep_empty" name:"upload-keep-empty" default:"1h" placeholder:"TIME" help:"The same for uploads of which less than 1 MiB was received."`
	UploadReserve int64         `key:"upload.reserve_mb" name:"upload-reserve" default:"256" placeholder:"MB" help:"What uploads leave free of the disk, in MB."`
}

func (t *taking) options() upload.Options {
	return upload.Options{
		MaxSize: t.UploadMax << 20, OwnerOpen: t.UploadOpen, OwnerBytes: t.UploadOpenMB << 20,
		Keep: t.UploadKeep, KeepEmpty: t.UploadEmpty, Reserve: t.UploadReserve << 20,
	}
}

func (*serveCmd) Help() string {
	return "The URL is the first line on standard output. Each folder becomes a store, which later starts find again.\n\nExample:\n\n  ptiffstore serve /slides/scanner1 /slides/scanner2"
}

// Run serves until ctx is done.
func (c *serveCmd) Run(ctx context.Context, std streams, file *siteFile) error {
	s, err := openServing(ctx, &c.common, "serve", std)
	if err != nil {
		return err
	}
	defer s.close()
	s.roots = slices.Concat(s.roots, c.Folders, c.Roots)
	s.taking = c.options()
	for _, f := range c.Folders {
		if err := s.addFolder(ctx, f); err != nil {
			return err
		}
	}
	s.idle = c.NoWorker
	s.file = file
	if err := s.declare(ctx, file.file, c.host()); err != nil {
		return err
	}
	return s.serve(ctx, std, &c.working, nil)
}

// A site is one process that does everything.
type site struct {
	c       *common // of a process that serves
	log     *slog.Logger
	level   *slog.LevelVar   // of a process that goes on
	cors    httperr.LiveCORS // of one that serves
	file    *siteFile        // nil without one
	url     string           // of the database
	lock    *catalog.Hold    // of the data directory
	catalog *catalog.Catalog
	tiles   *tile.Server
	cache   *rendercache.Cache
	maker   *rendercache.Maker
	watch   *ingest.Watchers // of a process that works
	jobs    *task.Jobs
	people  *account.Accounts // nil without access control
	access  *api.Access
	metrics *metrics.Recorder
	trace   *trace.Tracer // nil without a collector
	memory  *limit.Memory
	decode  *render.Budget // what all decoding takes of memory
	port    *limit.Port
	crew    *crew
	roots   []string // folders in which stores may be added over HTTP
	taking  upload.Options
	uploads *upload.Uploads
	health  httperr.Health
	loops   loop.Set
	ends    *endpoints
	idle    bool // others keep stores in step and do tasks
}

// openServing opens the site of a process that serves.
func openServing(ctx context.Context, c *common, mode string, std streams) (*site, error) {
	if err := c.checkListen(); err != nil {
		return nil, err // before anything is made
	}
	log, level := c.leveled(std.err)
	if mode == "tileserver" {
		if err := c.await(ctx, log); err != nil {
			return nil, err
		}
	}
	s, err := openSite(ctx, &c.place, &c.keeping, log)
	if err != nil {
		return nil, err
	}
	s.c, s.level = c, level
	s.cors.Store(c.cors())
	if err := s.follow(ctx, &c.looking, mode); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// openSite opens the data folder: catalog and cache.
func openSite(ctx context.Context, p *place, k *keeping, log *slog.Logger) (*site, error) {
	dir, err := p.dataDir()
	if err != nil {
		return nil, err
	}
	// A restore refuses while the directory is used, also by a server whose database is elsewhere.
	lock, err := catalog.Share(dir)
	if err != nil {
		return nil, err
	}
	s := &site{log: log, lock: lock, url: p.database(dir), roots: []string{dir}, metrics: metrics.New(version)}
	s.health.Version, s.health.Degraded = version, s.degraded
	slog.SetDefault(s.log) // for rooms that are given none
	if s.cache, err = rendercache.OpenCache(filepath.Join(dir, "cache"), k.CacheSize<<20, s.log); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	absent := errors.Is(catalog.Require(ctx, s.url), catalog.ErrNoCatalog)
	if s.catalog, err = catalog.Open(ctx, s.url); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	if absent { // a mistyped --data is noticed by this line
		s.log.Info("created a new catalog", "in", p.words(s.url))
	}
	s.memory = limit.LimitMemory(k.MemoryLimit << 20)
	s.decode = render.NewBudget(s.memory.Limit() / 3)
	s.maker = rendercache.New(rendercache.Options{Cache: s.cache, Memory: s.decode})
	s.tiles = tile.New(tile.Options{
		Make: s.maker.Tile, Blank: render.Blank, Changed: s.changed,
		MaxBytes: k.OpenBytes << 20, MaxFiles: k.OpenFiles, Log: s.log,
		MaxSending: s.memory.Limit() / 8, Full: s.full,
	})
	return s, nil
}

func (s *site) close() {
	s.tiles.Close()
	s.cache.Close()
	if s.people != nil {
		if err := s.people.Close(); err != nil {
			s.log.Error("accounts not closed well", "err", err)
		}
	}
	if s.jobs != nil {
		if err := s.jobs.Close(); err != nil {
			s.log.Error("queues not closed well", "err", err)
		}
	}
	if err := errors.Join(s.catalog.Close(), s.lock.Release()); err != nil {
		s.log.Error("catalog not closed well", "err", err)
	}
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.trace.Close(last); err != nil {
		s.log.Warn("the last traces are lost", "err", err)
	}
}

// changed has an image looked at anew whose file is not the one that was open.
func (s *site) changed(id string) {
	if s.watch != nil {
		s.watch.Nudge(id)
	}
}

// addFolder makes a folder a store, unless it is one.
func (s *site) addFolder(ctx context.Context, folder string) error {
	root, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return fmt.Errorf("folder %s: %w", folder, err)
	}
	list, err := s.catalog.Stores(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Root == root {
			return nil
		}
	}
	_, err = s.catalog.PutStore(ctx, catalog.Store{Label: filepath.Base(root), Mode: catalog.InPlace, Root: root})
	return err
}

// serve runs the site until ctx is done. The URL is printed once prepare, if not
// nil, has run beside it.
func (s *site) serve(ctx context.Context, std streams, w *working, prepare func(context.Context) error) error {
	l, err := s.c.listen()
	if err != nil {
		return err
	}
	defer l.Close() // has been closed if it was served
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := s.lasting(ctx, l)
	defer stop() // before the wait: what runs beside ends then
	bounded, err := s.openPort(ctx, &wg, l, false)
	if err != nil {
		return err
	}
	f := &follow.Follower{Catalog: s.catalog, Tiles: s.tiles, Log: s.log, Host: w.host(), Loops: &s.loops}
	if err := f.Load(ctx); err != nil {
		return err
	}
	if s.c.Auth == "none" { // commands need the tables that access control would create
		if err := createAccounts(ctx, s.url); err != nil {
			return err
		}
	}
	if err := s.openAccess(ctx, &wg); err != nil {
		return err
	}
	if err := s.hire(ctx, w); err != nil {
		return err
	}
	f.Renamed = s.renamed()
	wg.Go(func() { f.Run(ctx) })
	s.ends = &endpoints{catalog: s.catalog, log: s.log, loops: &s.loops}
	if _, err := s.ends.read(ctx); err != nil {
		return err
	}
	wg.Go(func() { s.ends.run(ctx) })
	s.obey(ctx, &wg, func(p *program) error {
		s.rebound(&p.Serve.common)
		return s.declare(ctx, s.file.current(), w.host())
	})
	if !s.idle {
		s.work(ctx, &wg, w)
	}
	s.take(ctx, &wg)
	s.metrics.Watch(s.figures())
	if err := s.lookAfter(ctx, &wg, &s.c.looking); err != nil {
		return err
	}
	s.health.Ready.Store(true)
	if prepare != nil {
		if err := prepare(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintln(std.out, url(l))
	if err := s.inviteAdmin(ctx, std.err, url(l)); err != nil {
		return err
	}
	return serveHTTP(ctx, bounded, s.handler(ctx.Done()), s.log)
}

// take sees to uploads.
func (s *site) take(ctx context.Context, wg *sync.WaitGroup) {
	o := s.taking
	o.Catalog, o.Log, o.Loops = s.catalog, s.log, &s.loops
	a := &api.API{Access: s.access, Log: s.log}
	o.Caller, o.UserName = a.Uploader, a.UserName
	o.Rights = func(r *http.Request, st *catalog.Store) (upload.Rights, error) {
		admin, names, err := a.UploadRights(r, st)
		return upload.Rights{Admin: admin, Names: names}, err
	}
	o.Audit = func(r *http.Request, e upload.Event) error { return a.Audit(r, e.Act, e.Object, e.Detail) }
	s.uploads = upload.New(o)
	wg.Go(func() { s.uploads.Run(ctx) })
}

// handler puts the routes together: tiles first, as they are what there is most
// of, then everything else.
func (s *site) handler(closing <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	a := &api.API{
		Access:  s.access,
		Catalog: s.catalog, Tiles: s.tiles, Maker: s.maker, Version: version, PublicURL: s.c.PublicURL, Log: s.log,
		Admin:      func(*http.Request) bool { return true }, // without access control whoever is answered may do all
		StoreRoots: s.roots, Watching: s.watch.Status, Endpoints: s.ends.status, Jobs: s.jobs, Closing: closing,
		Remove: s.crew.syncer.Remove, Restore: s.crew.syncer.Restore, Retry: s.crew.syncer.Retry,
	}
	a.Register(mux)
	uploads := http.NewServeMux()
	s.uploads.Register(uploads)
	for _, route := range []string{upload.Route, uploadPattern} {
		mux.Handle(route, a.Guard(route, uploads))
	}
	s.health.Register(mux)
	mux.Handle(metricsPattern, a.Guard(metricsPattern, s.metrics.Handler()))
	mux.Handle(viewerPattern, webui.Handler(webui.Options{Origins: s.ends.sources}))
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httperr.WriteProblem(w, r, http.StatusForbidden, "Another site's page has sent this, and may not.", 0)
	}))
	rest := cross.Handler(httperr.WithRequestID(s.trace.Handler(s.metrics.Routes(mux))))
	h := &nethttp.Handler{Tiles: s.tiles, Next: s.gates(mux, rest), SendOn: a.SendOn, Observe: s.metrics.Tile, Trace: s.trace.Tile(), Log: s.log}
	var proxies httperr.Proxies
	if s.access != nil {
		h.Gate, proxies = s.access.Gate, s.access.Proxies
	}
	return s.health.Closing(s.admission(proxies, h))
}
