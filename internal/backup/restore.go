package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// An ExistsError reports that there is a catalog at Path already.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string { return e.Path + " exists already" }

// Restore copies the backup into a data directory, and returns the path of the catalog. With
// replace it replaces an existing catalog, which is kept under another name beside the new
// one; otherwise the error is an [*ExistsError]. At each moment there is either the complete
// old catalog or the complete new one.
func (b *Backup) Restore(ctx context.Context, data string, replace bool) (path string, err error) {
	lock, err := db.Seize(data)
	if err != nil {
		return "", inUse(data, err)
	}
	defer lock.Release() //nolint:errcheck // it ends with the process
	target := filepath.Join(data, databaseName)
	if exists(target) && !replace {
		return "", &ExistsError{target}
	}
	if err := idle(ctx, data, target); err != nil {
		return "", err
	}
	// In a folder, so that what SQLite leaves beside it is removed too.
	work := target + ".restoring"
	defer os.RemoveAll(work)
	fresh, err := b.copyTo(ctx, work)
	if err != nil {
		return "", err
	}
	return target, replaceCatalog(fresh, target)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// idle returns an error if a process uses the catalog, even an older program that does not
// lock the data directory. It ignores damage of the catalog, which may be the reason for
// the restore.
func idle(ctx context.Context, data, target string) error {
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
				return inUse(data, fmt.Errorf("process %d on host %s was alive within the last 15 seconds", w.PID, w.Host))
			}
		}
	}
	if err := db.MergeLog(ctx, target); errors.Is(err, db.ErrInUse) {
		return inUse(data, err)
	}
	return nil
}

func inUse(data string, why error) error {
	return fmt.Errorf("%s is in use (%w): stop the server, the tile server, the workers and other commands on it, then try again", data, why)
}

// copyTo copies the database of the backup into a new folder, checks that it is complete and
// that this program knows its tables, and returns its path.
func (b *Backup) copyTo(ctx context.Context, folder string) (string, error) {
	if err := os.RemoveAll(folder); err != nil { // of a restore that was interrupted
		return "", err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	fresh := filepath.Join(folder, databaseName)
	if err := copySynced(fresh, filepath.Join(b.Folder, b.File)); err != nil {
		return "", err
	}
	sum, size, err := fsx.SHA256File(ctx, fresh)
	if err != nil {
		return "", err
	}
	if size != b.Size || sum != b.SHA256 {
		return "", fmt.Errorf("the backup is damaged: %s does not match %s", b.File, manifestName)
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
	name := target + ".before-" + time.Now().UTC().Format(timeFormat)
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
