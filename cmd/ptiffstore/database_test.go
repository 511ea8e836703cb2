package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// newCatalog creates a data directory with an empty catalog, as serve does.
func newCatalog(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	emptyCatalog.SQLiteAt(t, filepath.Join(data, "catalog.db"))
	return data
}

// emptyCatalog has all tables. They are created once and copied: creating them takes longer
// than many tests.
var emptyCatalog = &pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	c, _, err := (&databaseFlags{Database: url}).create(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}}

// createCatalog creates the catalog of the flags.
func createCatalog(t *testing.T, p *databaseFlags) {
	t.Helper()
	c, _, err := p.create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// Commands that need no catalog. All others must fail without one and create nothing:
// TestNoCatalog runs every command that is in neither list.
var (
	createsCatalog = []string{"demo", "import slideatlas", "serve", "store add", "restore"}
	waitsForIt     = []string{"tileserver", "worker"}
	usesNone       = []string{
		"associated", "completion", "config check", "config show", "convert", "crop", "deploy package", "deploy supervisor", "deploy systemd", "help", "inspect", "preview", "ready", "tile", "upload", "version",
	}
	examinesIt = []string{"doctor"} // see TestDoctor
)

// enough are the flags that a command needs to get as far as opening the catalog.
var enough = map[string][]string{
	"grant add":    {"--user=x", "--role=viewer", "--everything"},
	"image set":    {"--label=x"},
	"pack":         {"--into=x"},
	"token add":    {"--user=x"},
	"share create": {"--user=x"},
	"store move":   {"--to=s3://a"},
	"store set":    {"--label=x"},
	"user set":     {"--disabled"},
	"group set":    {"--name=x"},
}

// commands returns all commands of the program, with valid arguments.
func commands(t *testing.T) map[string][]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list := map[string][]string{}
	for _, leaf := range kong.Must(&program{}).Model.Leaves(true) {
		name := leaf.Name
		for n := leaf.Parent; n.Parent != nil; n = n.Parent {
			name = n.Name + " " + name
		}
		args := strings.Fields(name)
		for _, p := range leaf.Positional {
			switch {
			case p.Tag.Type == "existingdir" || name == "backup":
				args = append(args, t.TempDir())
			case p.Tag.Type == "existingfile" || name == "image map":
				args = append(args, file)
			case p.Tag.Enum != "":
				first, _, _ := strings.Cut(p.Tag.Enum, ",")
				args = append(args, first)
			default:
				args = append(args, "x")
			}
		}
		list[name] = append(args, enough[name]...)
	}
	return list
}

// TestNoCatalog runs every command on a data directory, and on a database, without a
// catalog: it fails, names the place, and creates nothing.
func TestNoCatalog(t *testing.T) {
	t.Parallel()
	exempt := slices.Concat(createsCatalog, waitsForIt, usesNone, examinesIt)
	all := commands(t)
	for _, name := range exempt {
		if all[name] == nil {
			t.Errorf("there is no command %q", name)
		}
	}
	data := filepath.Join(t.TempDir(), "typo")
	empty := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	server := pgtest.New(t)
	for _, where := range []struct {
		name, words string
		one         bool // testing one command is enough
		flags       []string
	}{
		{"no folder", "no catalog in " + data + ": ", false, []string{"--data=" + data}},
		{"no file", "no catalog in sqlite:" + data + ".db: ", true, []string{"--database=sqlite:" + data + ".db"}},
		{"an empty file", "no catalog in sqlite:" + empty + ": ", true, []string{"--database=sqlite:" + empty}},
		{"PostgreSQL", "no catalog in postgres", false, []string{"--data=" + data, "--database=" + server}},
	} {
		for name, args := range all {
			if slices.Contains(exempt, name) || where.one && name != "store list" {
				continue
			}
			r := command(t, slices.Concat(args, where.flags)...)
			if r.code != exitFailure || r.out != "" || !strings.Contains(r.err, where.words) || !strings.Contains(r.err, "--data") {
				t.Errorf("%s, %s: %v, want %q", where.name, name, r, where.words)
			}
		}
	}
	if exists(data) || exists(data+".db") {
		t.Error("a folder or a file was created")
	}
	if fi, err := os.Stat(empty); err != nil || fi.Size() > 0 || exists(empty+"-wal") {
		t.Errorf("the empty file was written to: %v, %v", fi, err)
	}
	if n := tablesOf(t, server); n != 0 {
		t.Errorf("%d tables were created in PostgreSQL", n)
	}
}

func tablesOf(t *testing.T, url string) (n int) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOldTables runs commands on tables of an older program: they fail and change nothing.
// Only backup works, since it is the first step of an upgrade.
func TestOldTables(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"store", "list"}, {"user", "list"}, {"task", "list"}, {"audit"}} {
		if r := command(t, append(args, "--data="+data)...); r.code != exitFailure || !strings.Contains(r.err, "start this version of ptiffstore serve") || !strings.Contains(r.err, data) {
			t.Errorf("%q: %v, want it refused", args, r)
		}
	}
	if _, err := (&databaseFlags{Data: data}).require(t.Context(), ledgers()...); err == nil {
		t.Error("a command has brought the tables up to date")
	}
	done(t, "backup", t.TempDir(), "--data="+data)
	start(t, "serve", "--data="+data).stop()
	done(t, "user", "list", "--data="+data)
}

// TestWaitForCatalog starts a worker and a tile server before the catalog exists: they
// create nothing, and start as soon as the catalog exists.
func TestWaitForCatalog(t *testing.T) {
	t.Parallel()
	for _, mode := range waitsForIt {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			args := []string{mode, "--data=" + data}
			if mode == "tileserver" {
				args = append(args, "--listen=127.0.0.1:0")
			}
			for _, created := range []bool{false, true} {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				log, ended := &logBuffer{}, make(chan int, 1)
				go func() { ended <- run(ctx, args, streams{out: log, err: log}) }()
				waitFor(t, "word that it waits", func() bool { return strings.Contains(log.String(), "waiting for ptiffstore serve") })
				if exists(data) {
					t.Error("it has created the data directory")
				}
				if created {
					createCatalog(t, &databaseFlags{Data: data})
					waitFor(t, "its cache", func() bool { return exists(filepath.Join(data, "cache")) })
				}
				cancel()
				// During its start it may fail for another reason.
				if code := <-ended; !created && code != exitFailure || strings.Contains(log.String(), "no catalog in "+data) == created {
					t.Errorf("a catalog was created: %v; exit code %d, %s", created, code, log)
				}
			}
		})
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s after %v", what, soon)
		}
	}
}
