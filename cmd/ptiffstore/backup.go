package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// A manifest says what a backup is.
type manifest struct {
	Version string    `json:"version"` // of the program that made it
	At      time.Time `json:"at"`
	File    string    `json:"file"`
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"`
}

const manifestName = "backup.json"

type backupCmd struct {
	place
	Folder string `arg:"" type:"path" help:"Folder in which a folder for this backup is made."`
	JSON   bool   `help:"Print JSON."`
	logging
}

func (*backupCmd) Help() string {
	return "Writes the catalog with stores, images, tasks, people and audit log, as it is at one moment, while servers and workers go on. Slides are not in it, nor pictures that can be made again. A PostgreSQL is backed up with pg_dump.\n\nExample:\n\n  ptiffstore backup /backups"
}

// Run makes the backup and prints its folder.
func (c *backupCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	now := time.Now().UTC()
	dir := filepath.Join(c.Folder, "ptiffstore-"+now.Format("20060102-150405"))
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	m := manifest{Version: version, At: now, File: "catalog.db"}
	file := filepath.Join(dir, m.File)
	if err := cat.Backup(ctx, file); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	if err := catalog.CheckBackup(ctx, file); err != nil {
		return err
	}
	if m.Size, m.SHA256, err = digestOf(file); err != nil {
		return err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, manifestName), b); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std, struct {
			Folder string `json:"folder"`
			manifest
		}{dir, m})
	}
	_, err = fmt.Fprintln(std.out, dir)
	return err
}

type restoreCmd struct {
	place
	Folder string `arg:"" type:"existingdir" help:"Folder of the backup."`
	Force  bool   `help:"Put it in the place of a catalog that is there; that one is kept beside it."`
}

func (*restoreCmd) Help() string {
	return "Stop servers and workers first. The backup is checked before anything is changed. What has happened to the slides since is found by the next sync.\n\nExample:\n\n  ptiffstore restore /backups/ptiffstore-20260102-030405 --data /var/lib/ptiffstore"
}

// Run puts the backup in the catalog's place.
func (c *restoreCmd) Run(ctx context.Context, std streams) error {
	if c.Database != "" {
		return fmt.Errorf("%w: leave --database out, or use pg_restore", catalog.ErrNotHere)
	}
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	m, err := readManifest(c.Folder)
	if err != nil {
		return err
	}
	target := filepath.Join(dir, "catalog.db")
	_, err = os.Lstat(target)
	if err == nil && !c.Force {
		return fmt.Errorf("%s is there: stop what uses it and say --force to put the backup in its place", target)
	}
	fresh := target + ".restoring"
	if err := c.bring(ctx, m, fresh); err != nil {
		return errors.Join(err, removeDatabase(fresh))
	}
	if err == nil {
		if err := setAside(target); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, target); err != nil {
		return err
	}
	if err := syncFolder(dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s is the catalog of %s\n", target, m.At.Format(time.RFC3339))
	return err
}

// bring copies the database of a backup to fresh, and makes sure that it is whole and
// that this program knows its tables.
func (c *restoreCmd) bring(ctx context.Context, m *manifest, fresh string) error {
	if err := removeDatabase(fresh); err != nil {
		return err
	}
	from, err := os.Open(filepath.Join(c.Folder, m.File))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	size, sum, err := digestOf(fresh)
	if err != nil {
		return err
	}
	if size != m.Size || sum != m.SHA256 {
		return fmt.Errorf("the backup is damaged: %s is not what %s says of it", m.File, manifestName)
	}
	if err := catalog.CheckBackup(ctx, fresh); err != nil {
		return err
	}
	cat, err := catalog.Open(ctx, "sqlite:"+fresh)
	if err != nil {
		return err
	}
	return cat.Close()
}

// setAside renames a database, and what belongs to it, so that nothing is lost.
func setAside(target string) error {
	stamp := time.Now().UTC().Format("20060102-150405")
	for _, end := range []string{"", "-wal", "-shm"} {
		err := os.Rename(target+end, target+".before-"+stamp+end)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func removeDatabase(path string) error {
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func readManifest(folder string) (*manifest, error) {
	b, err := os.ReadFile(filepath.Join(folder, manifestName))
	if err != nil {
		return nil, fmt.Errorf("%s is no backup: %w", folder, err)
	}
	m := new(manifest)
	if err := strictjson.UnmarshalKnown(b, m); err != nil || m.File == "" || m.File != filepath.Base(m.File) {
		return nil, fmt.Errorf("%s is no backup: its %s cannot be read", folder, manifestName)
	}
	return m, nil
}

func digestOf(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
