package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/task"
)

const (
	// maxSkew is how far clocks may be apart: leases, sessions and signed addresses
	// bear some seconds.
	maxSkew = 5 * time.Second
	// perProcess is how many connections to PostgreSQL a process takes at most: the
	// catalog 13, tasks 8, people 6.
	perProcess = 27
)

// An examination is one look at a site.
type examination struct {
	Site
	catalog *catalog.Catalog // nil if the database can't be read
	jobs    *task.Service    // likewise
	list    []catalog.Store
}

func (e *examination) close() {
	if e.catalog != nil {
		e.catalog.Close() //nolint:errcheck // it was only read
	}
}

// database looks at the database, and takes from it what else there is to look at.
func (e *examination) database(ctx context.Context, n *notes) {
	path, isFile := strings.CutPrefix(e.Database, "sqlite:")
	if isFile && !databaseFile(n, path) {
		return
	}
	c, err := catalog.OpenReadOnly(e.Database)
	if err != nil {
		n.wrong("give --database sqlite:PATH or postgres://USER@HOST/DATABASE", "%v", err)
		return
	}
	server, err := c.Server(ctx)
	if err != nil && isFile {
		n.wrong("stop the site, and bring back a backup: ptiffstore restore", "it can't be read: %v", plainly(err))
	} else if err != nil {
		n.wrong("start it, or mend --database or the network on the way; tiles of a server that runs go on meanwhile", "it does not answer: %v", plainly(err))
	}
	if err != nil {
		c.Close() //nolint:errcheck // nothing was read
		return
	}
	current := e.tables(ctx, n, c, server)
	clock(n, server)
	if !isFile {
		listens(ctx, n, c, server)
	}
	if current && e.read(ctx, n, c) == nil {
		e.catalog = c
	} else {
		c.Close() //nolint:errcheck // it was only read
	}
	if isFile {
		quickCheck(ctx, n, path, server)
	}
}

// databaseFile looks at the file of SQLite, and reports whether it is there.
func databaseFile(n *notes, path string) bool {
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.wrong("ptiffstore serve FOLDER makes it; if there was one, bring it back: ptiffstore restore BACKUP", "%s is not there", path)
		return false
	case err != nil:
		n.wrong(runAs(filepath.Dir(path)), "%s can't be looked at: %v", path, fsx.WithoutPath(err))
		return false
	}
	if kind, is := remote(path); is {
		n.warn("move --data to a local disk, or use PostgreSQL", "%s is on %s: SQLite's write-ahead log does not work over a network, and what several processes write may be lost", path, kind)
	}
	return true
}

// tables looks at their versions, and reports whether they are this program's.
func (e *examination) tables(ctx context.Context, n *notes, c *catalog.Catalog, server catalog.Server) bool {
	list, err := c.Standings(ctx, append(task.Ledgers(), account.Ledger())...)
	if err != nil {
		n.wrong("bring back a backup if it is damaged: ptiffstore restore", "its tables can't be read: %v", plainly(err))
		return false
	}
	good := true
	for _, s := range list {
		switch {
		case s.Has > s.Newest:
			n.wrong("use the newer program, or a backup from before it", "the tables of %s are at %d and this program (%s) knows %d: it refuses to start", s.Of, s.Has, e.Version, s.Newest)
		case s.Has == 0 && s.Of == "users": // made when access control is first used
			continue
		case s.Has == 0 && s.Of != "catalog":
			n.warn("start ptiffstore serve, which makes them", "there are no tables of %s yet: no server has run on it", s.Of)
		case s.Has < s.Newest:
			n.warn("back up, then start the server of this version, which brings them up to date", "the tables of %s are at %d and this program (%s) knows %d", s.Of, s.Has, e.Version, s.Newest)
		default:
			continue
		}
		good = false
	}
	if server.ReadOnly {
		n.wrong("give the URL of the primary server, and a user that owns the tables", "%s can only be read", server.Name)
	}
	if good {
		n.ok("%s, %s, tables of this version", server.Name, bytes(server.Bytes))
	}
	return good
}

// clock compares the database's with this machine's.
func clock(n *notes, s catalog.Server) {
	if off := s.Skew.Abs() - s.Slow; off > maxSkew {
		n.wrong("keep the clocks of both in step: timedatectl set-ntp true", "its clock and this machine's are %s apart", ago(s.Skew.Abs()))
	}
}

// listens looks at what PostgreSQL has and SQLite does not.
func listens(ctx context.Context, n *notes, c *catalog.Catalog, s catalog.Server) {
	if s.Connections < perProcess {
		n.warn("raise max_connections, or run fewer processes", "%d more connections can be made, and a process takes up to %d", max(s.Connections, 0), perProcess)
	}
	heard, err := c.Heard(ctx)
	if err != nil {
		n.warn("", "whether LISTEN works can't be told: %v", plainly(err))
	} else if !heard {
		n.warn("give the server's own address in --database, not that of a pooler that shares connections", "LISTEN does not work: changes are seen a second later")
	}
}

// read takes from the database what else there is to look at.
func (e *examination) read(ctx context.Context, n *notes, c *catalog.Catalog) (err error) {
	if e.list, err = c.Stores(ctx); err == nil {
		e.jobs, err = task.OpenReadOnly(ctx, task.Options{Catalog: c, Host: e.Host, Version: e.Version})
	}
	if err != nil {
		n.wrong("", "it can't be read: %v", plainly(err))
	}
	return err
}

// quickCheck reads the whole file, in a connection of its own.
func quickCheck(ctx context.Context, n *notes, path string, s catalog.Server) {
	used := db.InUse(path)
	c, err := catalog.OpenReadOnly("sqlite:" + path)
	if err != nil {
		return
	}
	defer c.Close()
	before, cancel := context.WithTimeout(ctx, time.Until(deadline(ctx))*3/4)
	defer cancel()
	switch word, err := c.QuickCheck(before); {
	case ctx.Err() == nil && before.Err() != nil:
		n.unknown("give it more time: --limit 5m", "whether it is whole: its %s could not be read in time", bytes(s.Bytes))
	case (err != nil || word != "") && !used && db.InUse(path):
		n.unknown("run this again", "whether it is whole: a server was started meanwhile")
	case err != nil:
		n.wrong("bring back a backup: ptiffstore restore", "it can't be read to its end: %v", plainly(err))
	case word != "":
		n.wrong("stop the site, and bring back a backup: ptiffstore restore", "it is damaged")
	}
}

func deadline(ctx context.Context) time.Time {
	if t, ok := ctx.Deadline(); ok {
		return t
	}
	return time.Now().Add(defaultLimit)
}

// plainly is an error in one line.
func plainly(err error) error {
	return fmt.Errorf("%s", strings.Join(strings.Fields(err.Error()), " ")) //nolint:err113 // it is only shown
}
