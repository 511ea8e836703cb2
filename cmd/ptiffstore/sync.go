package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
)

type syncCmd struct {
	sourceFlags
	Store  string `arg:"" help:"Id, label, folder or URL of the store."`
	DryRun bool   `name:"dry-run" help:"Report what would be done, and change nothing."`
	Resync bool   `help:"Inspect every file again as if it were new; ids stay the same."`
	Sure   bool   `name:"confirm" help:"Confirm that many slides have disappeared, or that the folder is a different one."`
	JSON   bool   `help:"Print JSON."`
	logFlags
}

func (*syncCmd) Help() string {
	return "Scans the folder of the store now, in this process, whether or not a server runs.\n\nExample:\n\n  ptiffstore sync 'Scanner 1' --dry-run"
}

// Run scans the folder and prints the changes.
func (c *syncCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	s, err := findStore(ctx, cat, c.Store)
	if err != nil {
		return err
	}
	syncer := c.syncer(cat, c.logger(std.err))
	defer syncer.Sources.Close()
	r, err := syncer.Sync(ctx, s.ID, scan.Options{DryRun: c.DryRun, Resync: c.Resync, Confirm: c.Sure, Wait: true})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std, r)
	}
	return printFields(std, r)
}

// syncer returns a syncer of one command. The caller closes its sources.
func (p *sourceFlags) syncer(cat *catalog.Catalog, log *slog.Logger) *scan.Syncer {
	w := &workerFlags{}
	sources := &source.Pool{Bucket: p.settings(log)}
	if dir, err := p.dataFolder(); err == nil {
		sources.Indexes = filepath.Join(dir, "dumps")
	}
	return &scan.Syncer{Catalog: cat, Log: log, Holder: lease.Holder(w.host()), Sources: sources}
}
