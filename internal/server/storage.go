package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/runcache"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// storage is the data directory (catalog and image cache), with what reads and renders slides
// and the memory for it.
type storage struct {
	lock     *db.Hold // of the data directory
	catalog  *catalog.Catalog
	cache    *rendercache.Cache
	renderer *rendercache.Renderer
	tiles    *tile.Server
	sources  *source.Pool // databases and dumps of stores
	memory   *limit.Memory
	decode   *render.Budget // memory of decoding
	runs     *runcache.Cache
}

// open opens the data directory of o.
func (d *storage) open(ctx context.Context, o *Options, t tile.Options) (err error) {
	// A restore must fail while a process uses the directory, even with another database.
	if d.lock, err = db.Share(o.DataDir); err != nil {
		return err
	}
	if d.cache, err = rendercache.OpenCache(filepath.Join(o.DataDir, "cache"), o.Cache.Bytes, o.Log); err != nil {
		return err
	}
	if d.catalog, err = catalog.Open(ctx, o.Database); err != nil {
		return err
	}
	d.sources = &source.Pool{Indexes: filepath.Join(o.DataDir, "dumps"), Bucket: o.Bucket}
	d.memory = limit.LimitMemory(o.Memory)
	// A third of the memory is for images. A little of it is for caches of slides.
	share := d.memory.Limit() / 3
	kept := min(share/8, 88<<20)
	d.decode = render.NewBudget(share - kept)
	d.renderer = rendercache.New(rendercache.Options{Cache: d.cache, Memory: d.decode, Kept: kept})
	d.runs, err = runcache.New(runcache.Options{MaxBytes: o.BucketCache.Memory, Dir: o.BucketCache.Dir, DirBytes: o.BucketCache.DirBytes, Log: o.Log})
	if err != nil {
		return err
	}
	t.Runs = d.runs
	t.Open = (&images{catalog: d.catalog, sources: d.sources}).open
	t.Render, t.Convert, t.Blank, t.Log = d.renderer.Tile, d.renderer.Convert, render.Blank, o.Log
	t.MaxBytes, t.MaxFiles = o.Cache.OpenBytes, o.Cache.OpenSlides
	t.MaxSending, t.MaxCached = d.memory.Limit()/8, cmp.Or(o.Cache.TileBytes, d.memory.Limit()/16)
	d.tiles = tile.New(t)
	return nil
}

// setCache sets the limits of the image cache and of open slides.
func (d *storage) setCache(c Cache) {
	d.cache.SetMaxBytes(c.Bytes)
	d.tiles.SetLimits(c.OpenBytes, c.OpenSlides)
}

// addFolders adds a store for each folder or part of a bucket that is not one.
func (d *storage) addFolders(ctx context.Context, folders []string) error {
	for _, folder := range folders {
		root, err := rootOf(folder)
		if err != nil {
			return err
		}
		list, err := d.catalog.Stores.List(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(st catalog.Store) bool { return st.Root == root }) {
			continue
		}
		if _, err = d.catalog.Stores.Put(ctx, catalog.Store{Label: source.Name(root), Mode: catalog.InPlace, Root: root}); err != nil {
			return err
		}
	}
	return nil
}

// rootOf returns the root of a store for a folder, without symbolic links, or for a URL.
func rootOf(folder string) (string, error) {
	if source.IsURL(folder) {
		return source.CheckRoot(folder)
	}
	root, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return "", fmt.Errorf("folder %s: %w", folder, err)
	}
	return root, nil
}

// close closes what has been opened.
func (d *storage) close(log *slog.Logger) {
	if d.tiles != nil {
		d.tiles.Close()
	}
	if d.runs != nil {
		d.runs.Close()
	}
	if d.sources != nil {
		if err := d.sources.Close(); err != nil {
			log.Error("closing the databases of stores failed", "err", err)
		}
	}
	if d.cache != nil {
		d.cache.Close()
	}
	if d.catalog != nil {
		if err := d.catalog.Close(); err != nil {
			log.Error("closing the catalog failed", "err", err)
		}
	}
	if d.lock != nil {
		if err := d.lock.Release(); err != nil {
			log.Error("releasing the data directory failed", "err", err)
		}
	}
}
