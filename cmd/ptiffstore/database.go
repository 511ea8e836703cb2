package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// databaseFlags are the flags of every command that uses the catalog.
type databaseFlags struct {
	Data     string `key:"data" type:"path" placeholder:"DIR" help:"Data directory (catalog and image cache). Default: in the user's data directory."`
	Database string `key:"database" placeholder:"URL" help:"Database: sqlite:PATH or postgres://… . Default: catalog.db in the data directory."`
}

// dataDir creates the data directory with access for its owner only, and returns it.
func (p *databaseFlags) dataDir() (string, error) {
	dir, err := p.dataFolder()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot create the data directory: %w", err)
	}
	return dir, nil
}

// dataFolder returns the path of the data directory, which may not exist.
func (p *databaseFlags) dataFolder() (string, error) {
	dir := p.Data
	if dir == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("cannot find a data directory: %w: use --data DIR", err)
			}
			base = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(base, "ptiffstore")
	}
	return filepath.Abs(dir)
}

func (p *databaseFlags) database(dir string) string {
	if p.Database != "" {
		return p.Database
	}
	return "sqlite:" + filepath.Join(dir, "catalog.db")
}

// url returns the URL of the database, which may not exist.
func (p *databaseFlags) url() (string, error) {
	if p.Database != "" {
		return p.Database, nil
	}
	dir, err := p.dataFolder()
	return p.database(dir), err
}

// ledgers returns the schema versions of all tables except the catalog's.
func ledgers() []db.Ledger { return append(task.Ledgers(), account.Ledger()) }

// require returns the URL of the database. It returns an error if the database has no
// catalog, or if the tables of a ledger are missing or older than this program's. It
// changes nothing: only serve, demo, restore and store add create a catalog.
func (p *databaseFlags) require(ctx context.Context, ledgers ...db.Ledger) (string, error) {
	url, err := p.url()
	if err != nil {
		return "", err
	}
	err = catalog.Require(ctx, url, ledgers...)
	if errors.Is(err, catalog.ErrNoCatalog) {
		return "", &absentError{p.words(url)}
	}
	if _, ok := errors.AsType[*db.OutdatedError](err); ok {
		return "", fmt.Errorf("%s: %w: start this version of ptiffstore serve on it, which migrates the tables", p.words(url), err)
	}
	return url, err
}

// words returns the place of the database for messages, without a password.
func (p *databaseFlags) words(url string) string {
	if p.Database != "" {
		return withoutPasswords(url)
	}
	return filepath.Dir(strings.TrimPrefix(url, "sqlite:"))
}

// flag returns the flag that makes another command use the same database.
func (p *databaseFlags) flag(url string) string {
	if p.Database != "" {
		return "--database " + p.words(url)
	}
	return "--data " + p.words(url)
}

// An absentError reports that a command found no catalog.
type absentError struct{ where string }

func (e *absentError) Error() string {
	return fmt.Sprintf("no catalog in %s: give the server's data directory with --data, or its --database", e.where)
}

// open opens the catalog, which must exist with all its tables.
func (p *databaseFlags) open(ctx context.Context) (*catalog.Catalog, error) {
	url, err := p.require(ctx, ledgers()...)
	if err != nil {
		return nil, err
	}
	return catalog.Open(ctx, url)
}

// create opens the catalog, and creates it with all its tables if it does not exist. It
// reports whether it existed.
func (p *databaseFlags) create(ctx context.Context) (c *catalog.Catalog, existed bool, err error) {
	url, err := p.url()
	if err != nil {
		return nil, false, err
	}
	if p.Database == "" {
		if _, err := p.dataDir(); err != nil {
			return nil, false, err
		}
	}
	existed = !errors.Is(catalog.Require(ctx, url), catalog.ErrNoCatalog)
	if c, err = catalog.Open(ctx, url); err != nil {
		return nil, false, err
	}
	if err := createTables(ctx, c); err != nil {
		return nil, false, errors.Join(err, c.Close())
	}
	return c, existed, nil
}

// createTables creates the tables of tasks and users, which commands need.
func createTables(ctx context.Context, c *catalog.Catalog) error {
	if _, err := task.Open(ctx, task.Options{Catalog: c, Version: version}); err != nil {
		return err
	}
	_, err := account.New(ctx, c.DB(), account.Options{})
	return err
}

// await waits for the catalog, which the server may be creating at this moment. It gives
// up after waitForCatalog.
func (p *databaseFlags) await(ctx context.Context, log *slog.Logger) error {
	wait, cancel := context.WithTimeout(ctx, waitForCatalog)
	defer cancel()
	for said := false; ; said = true {
		_, err := p.require(ctx)
		absent, ok := errors.AsType[*absentError](err)
		if !ok {
			return err
		}
		if !said {
			log.Warn("waiting for ptiffstore serve to create the catalog", "in", absent.where, "at_most", waitForCatalog)
		}
		select {
		case <-wait.Done():
			return err
		case <-time.After(lookForCatalog):
		}
	}
}

const (
	// waitForCatalog is far longer than a server needs to create the catalog. It is also long
	// enough for supervisors to consider the process started: then they restart it after
	// this time.
	waitForCatalog = 30 * time.Second
	lookForCatalog = 250 * time.Millisecond
)

// findStore returns a store by its id, label or folder.
func findStore(ctx context.Context, c *catalog.Catalog, name string) (*catalog.Store, error) {
	list, err := c.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(name)
	if source.IsURL(name) {
		folder, err = source.CheckRoot(name) // the prefix of a bucket may be given without the slash at its end
	}
	if err != nil {
		folder = name
	}
	var same []*catalog.Store
	for i := range list {
		s := &list[i]
		if s.ID == name || strings.ContainsRune(name, '/') && (s.Root == folder || s.Root == name) {
			return s, nil
		}
		if s.Label == name {
			same = append(same, s)
		}
	}
	switch len(same) {
	case 0:
		return nil, fmt.Errorf("unknown store %q: see ptiffstore store list", name)
	case 1:
		return same[0], nil
	}
	return nil, fmt.Errorf("%d stores have the label %q: use the id, see ptiffstore store list", len(same), name)
}
