package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// A manifest describes a backup.
type manifest struct {
	Version string    `json:"version"` // of the program that made it
	At      time.Time `json:"at"`
	File    string    `json:"file"`
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"`
}

const manifestName = "backup.json"

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
	now := time.Now().UTC()
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return err
	}
	dir, err := makeFolder(filepath.Join(c.Folder, "ptiffstore-"+now.Format(stampFormat)))
	if err != nil {
		return err
	}
	b := newBar(std.err, "copying")
	m, err := writeBackup(ctx, cat, dir, now, b, sizeOfFile(strings.TrimPrefix(url, "sqlite:")))
	if b.end(err); err != nil {
		return errors.Join(err, os.RemoveAll(dir)) // or it could be mistaken for the newest backup
	}
	if err := c.prune(); err != nil {
		return fmt.Errorf("the backup %s is complete, but old ones could not be removed: %w", dir, err)
	}
	if c.JSON {
		return printJSON(std, struct {
			Folder string `json:"folder"`
			manifest
		}{dir, *m})
	}
	_, err = fmt.Fprintln(std.out, dir)
	return err
}

// prune removes old backups. It touches only complete backups that have the name which this
// command gives them.
func (c *backupCmd) prune() error {
	if c.Keep <= 0 {
		return nil
	}
	entries, err := os.ReadDir(c.Folder)
	if err != nil {
		return err
	}
	type old struct {
		dir string
		at  time.Time
	}
	var list []old
	for _, e := range entries {
		dir := filepath.Join(c.Folder, e.Name())
		if m, err := readManifest(dir); err == nil && e.IsDir() && strings.HasPrefix(e.Name(), "ptiffstore-"+m.At.UTC().Format(stampFormat)) {
			list = append(list, old{dir, m.At})
		}
	}
	slices.SortFunc(list, func(a, b old) int { return b.at.Compare(a.at) })
	for _, o := range list[min(c.Keep, len(list)):] {
		// Without its manifest it is no backup any more, if the removal is interrupted.
		if err := errors.Join(os.Remove(filepath.Join(o.dir, manifestName)), os.RemoveAll(o.dir)); err != nil {
			return err
		}
	}
	return nil
}

// stampFormat is the format of a time in the name of a file or folder.
const stampFormat = "20060102-150405"

// makeFolder creates a new folder. It appends a number to the name if that is taken.
func makeFolder(name string) (string, error) {
	for n := 1; ; n++ {
		dir := numbered(name, n)
		if err := os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
}

func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}

// writeBackup fills the folder of a backup. It writes the manifest last, so that an
// incomplete folder has none. Size is about that of the copy.
func writeBackup(ctx context.Context, cat *catalog.Catalog, dir string, now time.Time, b *bar, size int64) (*manifest, error) {
	m := &manifest{Version: version, At: now, File: "catalog.db"}
	file := filepath.Join(dir, m.File)
	stop := b.follow(file, size)
	err := cat.Backup(ctx, file)
	if stop(); err != nil {
		return nil, err
	}
	b.next("checking")
	if err := catalog.CheckBackup(ctx, file); err != nil {
		return nil, err
	}
	b.next("computing the digest")
	if m.SHA256, m.Size, err = fsx.SHA256File(ctx, file); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := writeSynced(filepath.Join(dir, manifestName), text); err != nil {
		return nil, err
	}
	return m, fsx.SyncFolder(filepath.Dir(dir))
}

// sizeOfFile returns the size of a file, 0 if it is unknown.
func sizeOfFile(path string) int64 {
	if fi, err := os.Stat(path); err == nil {
		return fi.Size()
	}
	return 0
}

// follow shows how much of a file of about that size has been written, until stop is called.
func (b *bar) follow(path string, size int64) (stop func()) {
	if b.bar == nil || size == 0 {
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
				b.set(float64(sizeOfFile(path)) / float64(size))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

type restoreCmd struct {
	databaseFlags
	Folder string `arg:"" type:"existingdir" help:"Folder of the backup."`
	Force  bool   `help:"Replace an existing catalog; the old one is kept beside it."`
}

func (*restoreCmd) Help() string {
	return "Stop servers and workers first: the command refuses to run while one of them uses --data. The backup is checked before anything is changed. The next sync finds slides that have changed since the backup.\n\nExample:\n\n  ptiffstore restore /backups/ptiffstore-20260102-030405 --data /var/lib/ptiffstore"
}

// Run replaces the catalog with the backup. At each moment there is either the complete
// old catalog or the complete new one.
func (c *restoreCmd) Run(ctx context.Context, std streams) error {
	if c.Database != "" {
		return fmt.Errorf("%w: leave --database out, or use pg_restore", catalog.ErrNotHere)
	}
	m, err := readManifest(c.Folder)
	if err != nil {
		return err
	}
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	lock, err := db.Seize(dir)
	if err != nil {
		return inUse(dir, err)
	}
	defer lock.Release() //nolint:errcheck // it ends with the process
	target := filepath.Join(dir, "catalog.db")
	there := exists(target)
	if there && !c.Force {
		return fmt.Errorf("%s exists already: stop the processes that use it, then replace it with --force", target)
	}
	if err := idle(ctx, dir, target); err != nil {
		return err
	}
	// In a folder, so that what SQLite leaves beside it is removed too.
	work := target + ".restoring"
	defer os.RemoveAll(work)
	fresh, err := c.bring(ctx, m, work)
	if err != nil {
		return err
	}
	if err := replaceCatalog(fresh, target); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s is the catalog of %s\n", target, m.At.Format(time.RFC3339))
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// idle returns an error if a process uses the catalog, even an older program that does not
// lock the data directory. It ignores damage of the catalog, which may be the reason for
// the restore.
func idle(ctx context.Context, dir, target string) error {
	if !exists(target) {
		return nil
	}
	if c, err := catalog.OpenReadOnly("sqlite:" + target); err == nil {
		alive, _ := c.Workers.List(ctx)
		c.Close() //nolint:errcheck // it was only read
		host, _ := os.Hostname()
		for _, w := range alive {
			// On this host the process table shows which workers have ended.
			gone := w.Host == host && (w.PID == os.Getpid() || errors.Is(syscall.Kill(w.PID, 0), syscall.ESRCH))
			if !gone {
				return inUse(dir, fmt.Errorf("process %d on host %s was alive within the last 15 seconds", w.PID, w.Host))
			}
		}
	}
	if err := db.MergeLog(ctx, target); errors.Is(err, db.ErrInUse) {
		return inUse(dir, err)
	}
	return nil
}

func inUse(dir string, why error) error {
	return fmt.Errorf("%s is in use (%w): stop the server, the tile server, the workers and other commands on it, then try again", dir, why)
}

// bring copies the database of a backup into a new folder, checks that it is complete and
// that this program knows its tables, and returns its path.
func (c *restoreCmd) bring(ctx context.Context, m *manifest, folder string) (string, error) {
	if err := os.RemoveAll(folder); err != nil { // of a restore that was interrupted
		return "", err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	fresh := filepath.Join(folder, "catalog.db")
	if err := copySynced(fresh, filepath.Join(c.Folder, m.File)); err != nil {
		return "", err
	}
	sum, size, err := fsx.SHA256File(ctx, fresh)
	if err != nil {
		return "", err
	}
	if size != m.Size || sum != m.SHA256 {
		return "", fmt.Errorf("the backup is damaged: %s does not match %s", m.File, manifestName)
	}
	if err := catalog.CheckBackup(ctx, fresh); err != nil {
		return "", err
	}
	cat, err := catalog.Open(ctx, "sqlite:"+fresh)
	if err != nil {
		return "", err
	}
	if err := cat.Close(); err != nil {
		return "", err
	}
	return fresh, db.MergeLog(ctx, fresh)
}

func copySynced(to, from string) error {
	r, err := fsx.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Sync(), w.Close())
}

// replaceCatalog renames fresh to target, after giving the existing database a second
// name.
func replaceCatalog(fresh, target string) error {
	if err := fsx.SyncFile(fresh); err != nil {
		return err
	}
	if err := setAside(target); err != nil {
		return err
	}
	if err := os.Rename(fresh, target); err != nil {
		return err
	}
	return fsx.SyncFolder(filepath.Dir(target))
}

// setAside gives a database and its other files a second name. The write-ahead log of a
// damaged database, which could not be merged, loses its own name: SQLite would apply it
// to the new database.
func setAside(target string) error {
	name := target + ".before-" + time.Now().UTC().Format(stampFormat)
	kept := name
	for n := 2; exists(kept) || exists(kept+"-wal"); n++ {
		kept = numbered(name, n)
	}
	ends := []string{"", "-wal", "-shm"}
	for _, end := range ends {
		if err := keep(target+end, kept+end); err != nil {
			return err
		}
	}
	if err := fsx.SyncFolder(filepath.Dir(target)); err != nil {
		return err
	}
	for _, end := range ends[1:] {
		if err := os.Remove(target + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// keep gives a file a second name, or renames it if the file system has no hard links.
func keep(path, name string) error {
	err := os.Link(path, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		return os.Rename(path, name)
	}
	return err
}

// maxManifest bounds the manifest, which has a few lines.
const maxManifest = 1 << 20

func readManifest(folder string) (*manifest, error) {
	b, err := fsx.ReadFile(filepath.Join(folder, manifestName), maxManifest)
	if err != nil {
		return nil, fmt.Errorf("%s is not a backup: %w", folder, err)
	}
	m := new(manifest)
	if err := strictjson.UnmarshalKnown(b, m); err != nil || m.File == "" || m.File != filepath.Base(m.File) {
		return nil, fmt.Errorf("%s is not a backup: cannot read its %s", folder, manifestName)
	}
	return m, nil
}

func writeSynced(path string, b []byte) error {
	return fsx.CreateNew(path, 0o600, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
}
