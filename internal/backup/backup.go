// Package backup makes backups of a SQLite catalog, and restores them. A backup is a folder
// with a copy of the database and a manifest, which is written last: a folder without one is
// incomplete.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

const (
	manifestName = "backup.json"
	databaseName = "catalog.db"
	prefix       = "ptiffstore-" // of the name of a backup, before its time
	timeFormat   = "20060102-150405"

	maxManifest = 1 << 20 // bytes; a manifest has a few lines
)

// A Manifest describes a backup.
type Manifest struct {
	Version string    `json:"version"` // of the program that made it
	At      time.Time `json:"at"`
	File    string    `json:"file"`
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"`
}

// A Backup is a complete backup.
type Backup struct {
	Folder string
	Manifest
}

// Options are the options of [Create].
type Options struct {
	Folder  string // in which the backup creates a new folder
	Version string // of the program
	Size    int64  // of the database in bytes, for Progress; 0 if unknown
	// Progress, if not nil, is called with what is being done and the share of it that is
	// done, from 0 to 1.
	Progress func(stage string, share float64)
}

// Create makes a backup of a catalog, while other processes may use it.
func Create(ctx context.Context, cat *catalog.Catalog, o Options) (*Backup, error) {
	now := time.Now().UTC()
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, err
	}
	folder, err := makeFolder(filepath.Join(o.Folder, prefix+now.Format(timeFormat)))
	if err != nil {
		return nil, err
	}
	b := &Backup{folder, Manifest{Version: o.Version, At: now, File: databaseName}}
	if err := b.write(ctx, cat, &o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder)) // or it could be mistaken for the newest backup
	}
	return b, nil
}

// makeFolder creates a new folder. It appends a number to the name if that is taken.
func makeFolder(name string) (string, error) {
	for n := 1; ; n++ {
		folder := numbered(name, n)
		if err := os.Mkdir(folder, 0o700); !errors.Is(err, fs.ErrExist) {
			return folder, err
		}
	}
}

func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}

// write fills the folder of a backup, and completes its manifest.
func (b *Backup) write(ctx context.Context, cat *catalog.Catalog, o *Options) error {
	file := filepath.Join(b.Folder, b.File)
	stop := o.watch(file)
	err := cat.Backup(ctx, file)
	if stop(); err != nil {
		return err
	}
	o.report("checking", 0)
	if err := catalog.CheckBackup(ctx, file); err != nil {
		return err
	}
	o.report("computing the digest", 0)
	if b.SHA256, b.Size, err = fsx.SHA256File(ctx, file); err != nil {
		return err
	}
	text, err := json.MarshalIndent(&b.Manifest, "", "  ")
	if err != nil {
		return err
	}
	err = fsx.CreateNew(filepath.Join(b.Folder, manifestName), 0o600, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	return fsx.SyncFolder(filepath.Dir(b.Folder))
}

func (o *Options) report(stage string, share float64) {
	if o.Progress != nil {
		o.Progress(stage, share)
	}
}

// watch reports how much of the copy at path has been written, until stop is called.
func (o *Options) watch(path string) (stop func()) {
	if o.Progress == nil || o.Size == 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if fi, err := os.Stat(path); err == nil {
					o.Progress("copying", float64(fi.Size())/float64(o.Size))
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// Open reads the manifest of the backup in a folder.
func Open(folder string) (*Backup, error) {
	text, err := fsx.ReadFile(filepath.Join(folder, manifestName), maxManifest)
	if err != nil {
		return nil, fmt.Errorf("%s is not a backup: %w", folder, err)
	}
	b := &Backup{Folder: folder}
	if err := strictjson.UnmarshalKnown(text, &b.Manifest); err != nil || b.File == "" || b.File != filepath.Base(b.File) {
		return nil, fmt.Errorf("%s is not a backup: cannot read its %s", folder, manifestName)
	}
	return b, nil
}

// List returns the complete backups in a folder, the newest first.
func List(folder string) ([]*Backup, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var list []*Backup
	for _, e := range entries {
		if b, err := Open(filepath.Join(folder, e.Name())); err == nil {
			list = append(list, b)
		}
	}
	slices.SortStableFunc(list, func(a, b *Backup) int { return b.At.Compare(a.At) })
	return list, nil
}

// Prune removes all but the newest keep backups in a folder. It ignores folders that do not
// have the name that [Create] gives them, and links to folders.
func Prune(folder string, keep int) error {
	list, err := List(folder)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(b *Backup) bool {
		fi, err := os.Lstat(b.Folder)
		return err != nil || !fi.IsDir() || !strings.HasPrefix(filepath.Base(b.Folder), prefix+b.At.UTC().Format(timeFormat))
	})
	for _, b := range list[min(keep, len(list)):] {
		// The manifest first: if the removal is interrupted, the rest is no backup.
		if err := errors.Join(os.Remove(filepath.Join(b.Folder, manifestName)), os.RemoveAll(b.Folder)); err != nil {
			return err
		}
	}
	return nil
}
