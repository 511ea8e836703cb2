package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/backup"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// backupAge is the maximum age of the last backup: nightly ones, one of which failed.
const backupAge = 48 * time.Hour

// backups checks the last backup: its age, and whether it is one of this site.
func (e *examination) backups(ctx context.Context, n *notes) {
	last := newestBackup(e.Backups)
	switch age := time.Since(last.At); {
	case last.At.IsZero() && strings.HasPrefix(e.Database, "postgres"):
		n.unknown("check the age of the newest dump yourself", "the site uses PostgreSQL, and dumps by pg_dump are not checked")
		return
	case last.At.IsZero():
		n.wrong("ptiffstore backup "+e.Backups+" --data DIR", "no backup in %s", e.Backups)
		return
	case age > backupAge:
		n.wrong("check why ptiffstore backup does not run, or fails", "the last one in %s is %s old", e.Backups, ago(age))
	default:
		n.ok("the last one is %s old", ago(age))
	}
	e.compare(ctx, n, last)
}

// newestBackup returns the last of the backups in a folder, or the zero value.
func newestBackup(folder string) backup.Backup {
	list, err := backup.List(folder)
	if err != nil || len(list) == 0 {
		return backup.Backup{}
	}
	return *list[0]
}

// compare compares the content of a backup with that of the site.
func (e *examination) compare(ctx context.Context, n *notes, b backup.Backup) {
	const again = "run ptiffstore backup with the --data of the site's server, and check the --data of the nightly backup"
	path := filepath.Join(b.Folder, filepath.Base(b.File))
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		n.wrong(again, "cannot access the database of the last one: %s: %v", path, fsx.WithoutPath(err))
		return
	case !fi.Mode().IsRegular() || fi.Size() != b.Size:
		n.wrong(again, "the last one is damaged: %s has %d bytes instead of %d", path, fi.Size(), b.Size)
		return
	}
	kept, err := lookContents(ctx, "sqlite:"+path)
	if err != nil {
		n.wrong(again, "cannot read the last one: %s: %v", path, plainly(err))
		return
	}
	if e.catalog == nil {
		n.unknown("fix the database first", "cannot tell whether the last one is a backup of this site")
		return
	}
	site, err := contentsOf(ctx, e.catalog)
	switch {
	case err != nil:
		n.unknown("", "cannot tell whether the last one is a backup of this site: %v", plainly(err))
	case kept.Identity != site.Identity:
		n.wrong(again, "the last one is a backup of another catalog: it has %v; the site has %v", kept, site)
	case kept.Images == 0 && site.Images > 0, kept.Stores == 0 && site.Stores > 0, kept.users == 0 && site.users > 0:
		n.warn("run ptiffstore backup again", "the last one is of an empty site: it has %v; the site has %v", kept, site)
	default:
		n.ok("the last one has %v; the site has %v", kept, site)
	}
}

// contents counts what is in a catalog, with its users.
type contents struct {
	catalog.Contents
	users int64
}

func (c contents) String() string {
	return count(int(c.Images), "slide", "slides") + ", " + count(int(c.Stores), "store", "stores") + ", " + count(int(c.users), "user", "users")
}

func lookContents(ctx context.Context, url string) (contents, error) {
	c, err := catalog.OpenReadOnly(url)
	if err != nil {
		return contents{}, err
	}
	defer c.Close() //nolint:errcheck // it was only read
	return contentsOf(ctx, c)
}

func contentsOf(ctx context.Context, c *catalog.Catalog) (t contents, err error) {
	if t.Contents, err = c.Contents(ctx); err != nil {
		return t, err
	}
	t.users, err = c.Rows(ctx, account.UserTable)
	return t, err
}
