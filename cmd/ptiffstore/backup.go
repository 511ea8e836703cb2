package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/backup"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

type backupCmd struct {
	databaseFlags
	Folder string `arg:"" type:"path" help:"Folder in which the backup creates a new folder."`
	Keep   int    `placeholder:"N" help:"Remove older backups in the folder, except the newest N. Default: remove none."`
	JSON   bool   `help:"Print JSON."`
	logFlags
}

// Validate refuses numbers that would remove every backup.
func (c *backupCmd) Validate() error {
	if c.Keep < 0 {
		return fmt.Errorf("--keep=%d: must be at least 1", c.Keep)
	}
	return nil
}

func (*backupCmd) Help() string {
	return "Writes a consistent copy of the catalog (stores, images, tasks, users and audit log) while servers and workers continue to run. Slides and cached images are not in the backup. Back up PostgreSQL with pg_dump.\n\nExample:\n\n  ptiffstore backup /backups --keep 14"
}

// Run makes the backup and prints its folder.
func (c *backupCmd) Run(ctx context.Context, std streams) error {
	url, err := c.require(ctx) // tables of an older program are backed up as they are
	if err != nil {
		return err
	}
	cat, err := catalog.OpenReadOnly(url)
	if err != nil {
		return err
	}
	defer cat.Close()
	b := newBar(std.err, "copying")
	made, err := backup.Create(ctx, cat, backup.Options{Folder: c.Folder, Version: version, Size: sizeOfFile(strings.TrimPrefix(url, "sqlite:")), Progress: b.report})
	if b.end(err); err != nil {
		return err
	}
	if c.Keep > 0 {
		if err := backup.Prune(c.Folder, c.Keep); err != nil {
			return fmt.Errorf("the backup %s is complete, but old ones could not be removed: %w", made.Folder, err)
		}
	}
	if c.JSON {
		return printJSON(std, struct {
			Folder string `json:"folder"`
			backup.Manifest
		}{made.Folder, made.Manifest})
	}
	_, err = fmt.Fprintln(std.out, made.Folder)
	return err
}

// sizeOfFile returns the size of a file, 0 if it is unknown.
func sizeOfFile(path string) int64 {
	if fi, err := os.Stat(path); err == nil {
		return fi.Size()
	}
	return 0
}

type restoreCmd struct {
	databaseFlags
	Folder string `arg:"" type:"existingdir" help:"Folder of the backup."`
	Force  bool   `help:"Replace an existing catalog; the old one is kept beside it."`
}

func (*restoreCmd) Help() string {
	return "Stop servers and workers first: the command refuses to run while one of them uses --data. The backup is checked before anything is changed. The next sync finds slides that have changed since the backup.\n\nExample:\n\n  ptiffstore restore /backups/ptiffstore-20260102-030405 --data /var/lib/ptiffstore"
}

// Run replaces the catalog with the backup.
func (c *restoreCmd) Run(ctx context.Context, std streams) error {
	if c.Database != "" {
		return fmt.Errorf("%w: leave --database out, or use pg_restore", catalog.ErrNotHere)
	}
	b, err := backup.Open(c.Folder)
	if err != nil {
		return err
	}
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	path, err := b.Restore(ctx, dir, c.Force)
	if e, ok := errors.AsType[*backup.ExistsError](err); ok {
		return fmt.Errorf("%w: stop the processes that use it, then replace it with --force", e)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s is the catalog of %s\n", path, b.At.Format(time.RFC3339))
	return err
}
