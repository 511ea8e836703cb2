package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// place are the flags of every command that uses the catalog.
type place struct {
	Data     string `key:"data" type:"path" placeholder:"DIR" help:"Folder of the catalog and of made pictures. Default: the user's data directory."`
	Database string `key:"database" placeholder:"URL" help:"sqlite:PATH or postgres://… . Default: catalog.db in --data."`
}

// dataDir makes the data folder, for its owner alone.
func (p *place) dataDir() (string, error) {
	dir, err := p.dataFolder()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	return dir, nil
}

// dataFolder is where the data folder is, or would be.
func (p *place) dataFolder() (string, error) {
	dir := p.Data
	if dir == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("no place for data: %w: say --data DIR", err)
			}
			base = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(base, "ptiffstore")
	}
	return filepath.Abs(dir)
}

func (p *place) database(dir string) string {
	if p.Database != "" {
		return p.Database
	}
	return "sqlite:" + filepath.Join(dir, "catalog.db")
}

// open opens the catalog.
func (p *place) open(ctx context.Context) (*catalog.Catalog, error) {
	dir := ""
	if p.Database == "" {
		var err error
		if dir, err = p.dataDir(); err != nil {
			return nil, err
		}
	}
	return catalog.Open(ctx, p.database(dir))
}

// findStore returns the store that a person means: by id, by label or by folder.
func findStore(ctx context.Context, c *catalog.Catalog, name string) (*catalog.Store, error) {
	list, err := c.Stores(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(name)
	if err != nil {
		folder = name
	}
	var same []*catalog.Store
	for i := range list {
		s := &list[i]
		if s.ID == name || strings.ContainsRune(name, '/') && s.Root == folder {
			return s, nil
		}
		if s.Label == name {
			same = append(same, s)
		}
	}
	switch len(same) {
	case 0:
		return nil, fmt.Errorf("there is no store %q: see ptiffstore store list", name)
	case 1:
		return same[0], nil
	}
	return nil, fmt.Errorf("%d stores have the label %q: use the id, see ptiffstore store list", len(same), name)
}
