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
	// maxSkew is how far clocks may differ: leases, sessions and signed URLs tolerate
	// some seconds.
	maxSkew = 5 * time.Second
	// perProcess is the maximum number of connections of a process to PostgreSQL: 13 for
	// the catalog, 8 for tasks, 6 for accounts.
	perProcess = 27
)

// An examination is one run of all checks.
type examination struct {
	Site
	catalog     *catalog.Catalog // nil if the database cannot be read
	taskService *task.Service    // likewise
	list        []catalog.Store
}

func (e *examination) close() {
	if e.catalog != nil {
		e.catalog.Close() //nolint:errcheck // it was only read
	}
}

// database checks the database, and reads from it what the other checks need.
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
	if errors.Is(err, db.ErrPooled) {
		n.wrong("", "%v", err)
	} else if err != nil && isFile {
		n.wrong("stop the site, and restore a backup: ptiffstore restore", "cannot read it: %v", plainly(err))
	} else if err != nil {
		n.wrong("start it, or correct --database or the network; running servers keep serving tiles meanwhile", "it does not answer: %v", plainly(err))
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

// databaseFile checks the file of SQLite, and reports whether it exists.
func databaseFile(n *notes, path string) bool {
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.wrong("ptiffstore serve FOLDER creates it; if it existed before: ptiffstore restore BACKUP", "%s does not exist", path)
		return false
	case err != nil:
		n.wrong(runAs(filepath.Dir(path)), "cannot access %s: %v", path, fsx.WithoutPath(err))
		return false
	}
	if kind, is := remote(path); is {
		n.warn("move --data to a local disk, or use PostgreSQL", "%s is on %s: SQLite's write-ahead log does not work on network file systems, and writes may be lost", path, kind)
	}
	return true
}

// tables checks the versions of the tables, and reports whether this program can use them.
func (e *examination) tables(ctx context.Context, n *notes, c *catalog.Catalog, server catalog.Server) bool {
	list, err := c.Standings(ctx, append(task.Ledgers(), account.Ledger())...)
	if err != nil {
		n.wrong("if it is damaged, restore a backup: ptiffstore restore", "cannot read its tables: %v", plainly(err))
		return false
	}
	good := true
	for _, s := range list {
		switch {
		case s.Has > s.Newest:
			n.wrong("use the newer program, or a backup from before it", "the tables of %s have version %d, and this program (%s) knows %d: it refuses to start", s.Of, s.Has, e.Version, s.Newest)
		case s.Has == 0 && s.Of == "users": // made when access control is first used
			continue
		case s.Has == 0 && s.Of != "catalog":
			n.warn("start ptiffstore serve, which creates them", "the tables of %s do not exist yet: no server has run on it", s.Of)
		case s.Has < s.Newest:
			n.warn("make a backup, then start the server of this version, which migrates them", "the tables of %s have version %d, and this program (%s) knows %d", s.Of, s.Has, e.Version, s.Newest)
		default:
			continue
		}
		good = false
	}
	if server.ReadOnly {
		n.wrong("give the URL of the primary server, and a user that owns the tables", "%s is read-only", server.Name)
	}
	if good {
		through := ""
		if c.DB().Pooled() {
			through = fmt.Sprintf(", through a connection pooler: its pool must allow %d connections per process", perProcess)
		}
		n.ok("%s, %s, tables of this version%s", server.Name, bytes(server.Bytes), through)
	}
	return good
}

// clock compares the clocks of the database and of this machine.
func clock(n *notes, s catalog.Server) {
	if off := s.Skew.Abs() - s.Slow; off > maxSkew {
		n.wrong("synchronize both clocks: timedatectl set-ntp true", "its clock and this machine's differ by %s", ago(s.Skew.Abs()))
	}
}

// listens checks what only PostgreSQL has: connections and LISTEN.
func listens(ctx context.Context, n *notes, c *catalog.Catalog, s catalog.Server) {
	if s.Connections < perProcess {
		n.warn("raise max_connections, or run fewer processes", "%d connections are left, and a process needs up to %d", max(s.Connections, 0), perProcess)
	}
	heard, err := c.Heard(ctx)
	if err != nil {
		n.warn("", "cannot tell whether LISTEN works: %v", plainly(err))
	} else if !heard {
		n.warn("give the server's own address in --database, not that of a pooler that shares connections", "LISTEN does not work: changes are noticed a second late")
	}
}

// read reads from the database what the other checks need.
func (e *examination) read(ctx context.Context, n *notes, c *catalog.Catalog) (err error) {
	if e.list, err = c.Stores.List(ctx); err == nil {
		e.taskService, err = task.OpenReadOnly(ctx, task.Options{Catalog: c, Host: e.Host, Version: e.Version})
	}
	if err != nil {
		n.wrong("", "cannot read it: %v", plainly(err))
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
		n.unknown("give it more time: --timeout 5m", "cannot tell whether it is intact: its %s could not be read in time", bytes(s.Bytes))
	case (err != nil || word != "") && !used && db.InUse(path):
		n.unknown("run this again", "cannot tell whether it is intact: a server was started meanwhile")
	case err != nil:
		n.wrong("restore a backup: ptiffstore restore", "cannot read it to its end: %v", plainly(err))
	case word != "":
		n.wrong("stop the site, and restore a backup: ptiffstore restore", "it is damaged")
	}
}

func deadline(ctx context.Context) time.Time {
	if t, ok := ctx.Deadline(); ok {
		return t
	}
	return time.Now().Add(defaultLimit)
}

// plainly returns an error on one line.
func plainly(err error) error {
	return fmt.Errorf("%s", strings.Join(strings.Fields(err.Error()), " ")) //nolint:err113 // it is only shown
}
