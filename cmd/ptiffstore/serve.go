package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/server"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

type serveCmd struct {
	serverFlags
	Folders []string `arg:"" optional:"" type:"slides" help:"Folders of slides, or parts of buckets, s3://BUCKET/PREFIX. They are only read."`
	workerFlags
	NoWorker      bool         `key:"no_worker" name:"no-worker" help:"Do not scan stores or run tasks; other processes do."`
	Roots         []string     `key:"store_roots" name:"store-root" type:"storeroot" placeholder:"FOLDER" help:"Allow stores in this folder to be added over HTTP, in addition to the slide folders and --data; can be repeated. mongodb://HOST:PORT/ allows the databases of a server, s3://BUCKET/PREFIX a part of a bucket."`
	CorrectColors bool         `key:"viewer.correct_colors" name:"correct-colors" help:"Correct the colours of slides in the viewer with the colour profile of the scanner, unless a user switches that off."`
	Viewers       config.Links `key:"viewers" name:"viewer" sep:"none" placeholder:"NAME=URL" help:"Link to slides in another DICOM viewer, on their pages; can be repeated. {study}, {series}, {image}, {dicomweb} and {server} in the URL are replaced."`
	Ancestors     []string     `key:"frame_ancestors" name:"frame-ancestors" placeholder:"ORIGIN" help:"Let pages of this origin, such as https://intranet.example.org, show the viewer and share links in a frame; can be repeated. Default: pages of this server only."`
	StowStore     string       `key:"stow_store" name:"stow-store" placeholder:"STORE" help:"Managed store that receives DICOM instances sent with STOW-RS: its id, its name in the configuration file, or its label."`
	uploadFlags
}

// uploadFlags are the flags of uploads.
type uploadFlags struct {
	UploadMax          int64         `key:"upload.max_mb" name:"upload-max" default:"65536" placeholder:"MB" help:"Maximum size of an uploaded file, in MB."`
	UploadIncomplete   int           `key:"upload.max_incomplete" name:"upload-max-incomplete" default:"200" placeholder:"N" help:"Maximum number of incomplete uploads per user."`
	UploadIncompleteMB int64         `key:"upload.max_incomplete_mb" name:"upload-max-incomplete-mb" default:"524288" placeholder:"MB" help:"Maximum total size of the incomplete uploads of a user, in MB."`
	UploadExpiry       time.Duration `key:"upload.expiry" name:"upload-expiry" default:"168h" placeholder:"TIME" help:"Remove incomplete uploads after this time."`
	UploadExpiryEmpty  time.Duration `key:"upload.expiry_empty" name:"upload-expiry-empty" default:"1h" placeholder:"TIME" help:"Remove incomplete uploads of which less than 1 MiB was received after this time."`
	UploadReserve      int64         `key:"upload.reserve_mb" name:"upload-reserve" default:"256" placeholder:"MB" help:"Disk space that uploads leave free, in MB."`
}

func (t *uploadFlags) options() upload.Options {
	return upload.Options{
		MaxSize: t.UploadMax << 20, OwnerOpen: t.UploadIncomplete, OwnerBytes: t.UploadIncompleteMB << 20,
		Keep: t.UploadExpiry, KeepEmpty: t.UploadExpiryEmpty, Reserve: t.UploadReserve << 20,
	}
}

func (*serveCmd) Help() string {
	return "The URL is the first line on standard output. Each folder becomes a store, which later starts find again.\n\nExample:\n\n  ptiffstore serve /slides/scanner1 /slides/scanner2\n  ptiffstore serve s3://slides/scanner1 --s3-endpoint https://storage.example.org --s3-path-style"
}

// Run serves until ctx is done.
func (c *serveCmd) Run(ctx context.Context, std streams, file *configFile) error {
	log, level := c.leveled(std.err)
	o, err := c.serverFlags.options(server.Serve, log)
	if err != nil {
		return err
	}
	o.Folders, o.StoreRoots, o.Upload = c.Folders, c.Roots, c.uploadFlags.options()
	o.StowStore = c.StowStore
	o.HTTP.CorrectColors = c.CorrectColors
	if o.HTTP.FrameAncestors, err = api.ParseAncestors(c.Ancestors); err != nil {
		return &flagError{"frame-ancestors", err}
	}
	if o.HTTP.Viewers, err = c.viewers(); err != nil {
		return err
	}
	if err := c.workerFlags.apply(&o, !c.NoWorker); err != nil {
		return err
	}
	s, err := c.start(ctx, std, o, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := provisionStores(ctx, s.Catalog(), log, file.file, c.host(), c.bucketFlags.settings(log)); err != nil {
		return err
	}
	file.follow(s, log, level, func(ctx context.Context, p *program) error {
		p.Serve.serverFlags.apply(s, level)
		return provisionStores(ctx, s.Catalog(), log, file.file, c.host(), c.bucketFlags.settings(log))
	})
	return s.Run(ctx)
}

// viewers returns the links to other viewers.
func (c *serveCmd) viewers() ([]api.Viewer, error) {
	list, err := api.ParseViewers(c.Viewers, c.PublicURL)
	if err != nil {
		return nil, &flagError{"viewer", err}
	}
	return list, nil
}

// start opens a server that prints its URL once it runs and prepare, if not nil, has run.
func (c *serverFlags) start(ctx context.Context, std streams, o server.Options, prepare func(context.Context, *catalog.Catalog) error) (*server.Server, error) {
	o.Started = func(ctx context.Context, s *server.Server) error {
		if prepare != nil {
			if err := prepare(ctx, s.Catalog()); err != nil {
				return err
			}
		}
		fmt.Fprintln(std.out, url(s.Addr()))
		return c.inviteAdmin(ctx, s, std.err)
	}
	absent := errors.Is(catalog.Require(ctx, o.Database), catalog.ErrNoCatalog)
	s, err := server.Open(ctx, o)
	if err == nil && absent { // a mistyped --data is noticed by this line
		o.Log.Info("created a new catalog", "in", c.words(o.Database))
	}
	return s, err
}

// apply changes what can be changed while a server runs.
func (c *serverFlags) apply(s *server.Server, level *slog.LevelVar) {
	level.Set(c.level())
	s.SetCache(c.cache())
	s.SetOrigins(c.Origins)
}
