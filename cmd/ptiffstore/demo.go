package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/server"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

type demoCmd struct {
	serverFlags
	workerFlags
}

func (*demoCmd) Help() string {
	return "The slides are created once, in the folder demo of the data directory.\n\nExample:\n\n  ptiffstore demo --listen 127.0.0.1:9000"
}

// Run makes the slides and serves them.
func (c *demoCmd) Run(ctx context.Context, std streams) error {
	o, err := c.serverFlags.options(server.Serve, c.logger(std.err))
	if err != nil {
		return err
	}
	if err := c.workerFlags.apply(&o, true); err != nil {
		return err
	}
	folder := filepath.Join(o.DataDir, "demo")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	o.Folders = []string{folder}
	s, err := c.start(ctx, std, o, func(ctx context.Context, cat *catalog.Catalog) error {
		if err := nameDemoCases(ctx, cat, folder); err != nil {
			return err
		}
		fmt.Fprintln(std.err, "Creating three demo slides. The first time this takes a minute.")
		b := newBar(std.err, "creating slides")
		err := synth.Demo(folder, b.set)
		if b.end(err); err != nil {
			return err
		}
		return settled(ctx, cat)
	})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Run(ctx)
}

// nameDemoCases sets the case pattern of the demo slides, whose barcodes are like S26-01417;A1;HE.
func nameDemoCases(ctx context.Context, c *catalog.Catalog, folder string) error {
	list, err := c.Stores.List(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Label != filepath.Base(folder) || list[i].CasePattern != "" {
			continue
		}
		_, err := c.Stores.Update(ctx, list[i].ID, func(s *catalog.Store) error {
			s.CasePattern = `^(?P<accession>S\d\d-\d+);(?P<part>[A-Z])(?P<block>\d+);(?P<stain>.+)$`
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settled waits until no image is in state arriving, for a limited time.
func settled(ctx context.Context, c *catalog.Catalog) error {
	for range 100 {
		page, err := c.Images.List(ctx, catalog.Query{})
		if err != nil {
			return err
		}
		arriving := slices.ContainsFunc(page.Items, func(im catalog.Image) bool { return im.State == catalog.Arriving })
		if len(page.Items) >= 3 && !arriving {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}
