package doctor

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
)

const version = "v1.2.3"

// patient is the first part of file names, as in hospitals. No report may contain it.
const patient = "MUSTER^ERIKA"

// A site is healthy until a test breaks it.
type site struct {
	t     *testing.T
	dir   string // data folder
	root  string // folder of its store
	store string
	idle  bool // no worker is alive
	Site
}

// newSite creates a site as serve FOLDER does, with a live worker.
func newSite(t *testing.T, url string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, dir: filepath.Join(dir, "data"), root: filepath.Join(dir, "slides")}
	for _, d := range []string{s.dir, s.root, filepath.Join(s.dir, "cache")} {
		s.must(os.Mkdir(d, 0o700))
	}
	fresh := url == ""
	if fresh {
		url = "sqlite:" + filepath.Join(s.dir, "catalog.db")
		b, err := emptyDatabase()
		s.must(err)
		s.must(os.WriteFile(filepath.Join(s.dir, "catalog.db"), b, 0o600))
	}
	s.Site = Site{
		Version: version, Data: s.dir, Database: url, Host: "here", Decoder: "Go image/jpeg",
		Listen: "127.0.0.1:8080", Auth: "none", OpenFiles: 512, CacheSize: 1 << 20, Limit: time.Minute,
		Free: func(string) (int64, error) { return 1 << 40, nil }, // whatever this disk has
	}
	s.write(patient+".tiff", 100)
	s.catalog(func(c *catalog.Catalog) {
		st, err := managed.AddStore(t.Context(), c, catalog.Store{Label: "Scanner 1", Mode: catalog.InPlace, Root: s.root})
		s.must(err)
		s.store = st.ID
		_, err = (&scan.Syncer{Catalog: c}).Sync(t.Context(), st.ID, scan.Options{})
		s.must(err)
	})
	if !fresh {
		s.withTasks(func(*task.Service) {})
	}
	return s
}

// emptyDatabase returns a database of SQLite with all tables of catalog and tasks.
// Creating them takes most of the time of a test, so it is done once.
var emptyDatabase = sync.OnceValues(func() (b []byte, err error) {
	dir, err := os.MkdirTemp("", "doctor")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "catalog.db")
	c, err := catalog.Open(context.Background(), "sqlite:"+path)
	if err != nil {
		return nil, err
	}
	_, err = task.Open(context.Background(), task.Options{Catalog: c, Kinds: []task.Kind{{Name: task.SyncStore}}})
	if err := errors.Join(err, c.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) write(name string, size int) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(filepath.Join(s.root, name)), 0o755))
	s.must(os.WriteFile(filepath.Join(s.root, name), make([]byte, size), 0o644))
}

// catalog opens the database for f, and closes it.
func (s *site) catalog(f func(*catalog.Catalog)) {
	s.t.Helper()
	c, err := catalog.Open(s.t.Context(), s.Database)
	s.must(err)
	f(c)
	s.must(c.Close())
}

func (s *site) withTasks(f func(*task.Service)) {
	s.t.Helper()
	s.catalog(func(c *catalog.Catalog) {
		j, err := task.Open(s.t.Context(), task.Options{Catalog: c, Kinds: []task.Kind{{Name: task.SyncStore}}})
		s.must(err)
		f(j)
	})
}

func (s *site) edit(f func(*catalog.Store)) {
	s.t.Helper()
	s.catalog(func(c *catalog.Catalog) {
		_, err := c.Stores.Update(s.t.Context(), s.store, func(st *catalog.Store) error {
			f(st)
			return nil
		})
		s.must(err)
	})
}

// other creates another, empty catalog and returns its URL.
func (s *site) other() string {
	s.t.Helper()
	url := "sqlite:" + filepath.Join(s.t.TempDir(), "catalog.db")
	c, err := catalog.Open(s.t.Context(), url)
	s.must(err)
	s.must(c.Close())
	return url
}

// backup makes a backup of a catalog whose manifest has that age, and returns its folder.
func (s *site) backup(url string, age time.Duration) string {
	s.t.Helper()
	s.Backups = s.t.TempDir()
	dir := filepath.Join(s.Backups, "a")
	s.must(os.Mkdir(dir, 0o700))
	c, err := catalog.OpenReadOnly(url)
	s.must(err)
	file := filepath.Join(dir, "catalog.db")
	s.must(c.Backup(s.t.Context(), file))
	s.must(c.Close())
	fi, err := os.Stat(file)
	s.must(err)
	manifest, err := json.Marshal(map[string]any{"at": time.Now().Add(-age), "file": "catalog.db", "size": fi.Size()})
	s.must(err)
	s.must(os.WriteFile(filepath.Join(dir, "backup.json"), manifest, 0o600))
	return dir
}

// TestGoodBackup examines a site with a recent backup.
func TestGoodBackup(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.backup(s.Database, time.Hour)
	r := s.examine()
	if text := r.Text(true); len(bad(r)) > 0 || !strings.Contains(text, "backups: the last one has 1 slide, 1 store, 0 users; the site has 1 slide, 1 store, 0 users") {
		t.Errorf("with a good backup: %s", text)
	}
}

// worker registers a live worker.
func (s *site) worker(host string, queues ...string) {
	s.t.Helper()
	s.catalog(func(c *catalog.Catalog) {
		s.must(c.Workers.Beat(s.t.Context(), catalog.Worker{ID: host, Host: host, Version: s.Version, Queues: queues, StartedAt: time.Now()}))
	})
}

// examine returns the report. It fails the test if the report names a file or a secret.
func (s *site) examine() Report {
	s.t.Helper()
	if !s.idle {
		s.worker("here", task.DefaultQueue)
	}
	r := Examine(s.t.Context(), s.Site)
	if text := r.Text(true); strings.Contains(text, patient) || strings.Contains(text, "hunter2") {
		s.t.Errorf("the report names what it must not: %s", text)
	}
	return r
}

// bad returns the findings that are not OK, as "level check: message → fix".
func bad(r Report) []string {
	var list []string
	for _, f := range r.Findings {
		if f.Level != OK {
			list = append(list, string(f.Level)+" "+f.Check+": "+f.Message+" → "+f.Fix)
		}
	}
	return list
}

// snapshot returns the names, sizes, times and permissions of the files in a folder.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err == nil {
			m[path] = i.Mode().String() + " " + i.ModTime().Format(time.RFC3339Nano)
			if !i.IsDir() {
				m[path] += " " + strconv.FormatInt(i.Size(), 10)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestHealthy examines a new site: the report has no problems, and nothing is changed.
func TestHealthy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.worker("here", task.DefaultQueue)
	s.idle = true
	before := snapshot(t, filepath.Dir(s.dir))
	r := s.examine()
	if list := bad(r); len(list) > 0 || !r.Healthy {
		t.Errorf("a healthy site: %q", list)
	}
	if text := r.Text(false); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "nothing to fix\n") {
		t.Errorf("the report of a healthy site is %q, want one line", text)
	}
	if d := cmp.Diff(before, snapshot(t, filepath.Dir(s.dir))); d != "" {
		t.Errorf("examining has changed files (-before +after):\n%s", d)
	}
}

// TestHangs runs a check that never ends, as on a disk that hangs: the report has the
// findings of the other checks, and none that come late.
func TestHangs(t *testing.T) {
	t.Parallel()
	e := &examination{Site: Site{Limit: time.Millisecond}}
	stuck := make(chan struct{})
	found := e.run(t.Context(), []check{
		{"disk", func(_ context.Context, n *notes) {
			n.ok("it is there")
			<-stuck
			n.ok("late")
		}},
		{"other", func(_ context.Context, n *notes) { n.ok("well") }},
	})
	close(stuck)
	want := []Finding{
		{"disk", OK, "it is there", ""},
		{"disk", Unknown, "no answer within 1ms", "check whether its disk or network hangs; --timeout gives it more time"},
		{"other", OK, "well", ""},
	}
	if d := cmp.Diff(want, found); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestLedgers makes sure that the packages report the versions of the tables that they write.
func TestLedgers(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	a, err := account.Open(t.Context(), s.Database, account.Options{})
	s.must(err)
	s.must(a.Close())
	c, err := catalog.OpenReadOnly(s.Database)
	s.must(err)
	defer c.Close()
	list, err := c.Standings(t.Context(), append(task.Ledgers(), account.Ledger())...)
	s.must(err)
	if len(list) != 4 {
		t.Errorf("%d ledgers, want those of catalog, tasks, queues and users", len(list))
	}
	for _, l := range list {
		if l.Has != l.Newest || l.Newest == 0 {
			t.Errorf("%s: tables at %d, newest known %d", l.Of, l.Has, l.Newest)
		}
	}
}

// sql runs a statement on the database.
func (s *site) sql(statement string) {
	s.t.Helper()
	driver, dsn := "sqlite", strings.TrimPrefix(s.Database, "sqlite:")
	if strings.HasPrefix(s.Database, "postgres") {
		driver, dsn = "pgx", s.Database
	}
	db, err := sql.Open(driver, dsn)
	s.must(err)
	_, err = db.ExecContext(s.t.Context(), statement)
	s.must(err)
	s.must(db.Close())
}
