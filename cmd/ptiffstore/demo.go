package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

type demoCmd struct {
	common
}

func (*demoCmd) Help() string {
	return "The slides are made once, in the folder demo of --data.\n\nExample:\n\n  ptiffstore demo --listen 127.0.0.1:9000"
}

// Run makes the slides and serves them.
func (c *demoCmd) Run(ctx context.Context, std streams) error {
	s, err := openSite(ctx, &c.common, std)
	if err != nil {
		return err
	}
	defer s.close()
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "demo")
	fmt.Fprintln(std.err, "Making three demo slides; this takes a while the first time.")
	if err := synth.Demo(folder); err != nil {
		return err
	}
	if err := s.addFolder(ctx, folder); err != nil {
		return err
	}
	return s.serve(ctx, std)
}
