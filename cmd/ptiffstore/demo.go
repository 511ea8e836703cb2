package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

type demoCmd struct {
	common
	working
}

func (*demoCmd) Help() string {
	return "The slides are made once, in the folder demo of --data.\n\nExample:\n\n  ptiffstore demo --listen 127.0.0.1:9000"
}

// Run makes the slides and serves them.
func (c *demoCmd) Run(ctx context.Context, std streams) error {
	s, err := openServing(ctx, &c.common, "demo", std)
	if err != nil {
		return err
	}
	defer s.close()
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "demo")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := s.addFolder(ctx, folder); err != nil {
		return err
	}
	return s.serve(ctx, std, &c.working, func(ctx context.Context) error {
		fmt.Fprintln(std.err, "Making three demo slides. The first time this takes a minute.")
		if err := synth.Demo(folder); err != nil {
			return err
		}
		return s.settled(ctx)
	})
}

// settled waits until nothing is arriving any more, but not for ever.
func (s *site) settled(ctx context.Context) error {
	for range 100 {
		page, err := s.catalog.Images(ctx, catalog.Query{})
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
