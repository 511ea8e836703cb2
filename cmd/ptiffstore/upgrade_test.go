package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// databases are the two kinds of databases.
var databases = []struct {
	name string
	url  func(t *testing.T) string
}{
	{"SQLite", func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "catalog.db") }},
	{"PostgreSQL", func(t *testing.T) string { return pgtest.New(t) }},
}

// change runs statements on the database, as another program would.
func change(t *testing.T, url string, statements ...string) {
	t.Helper()
	driver, dsn := "sqlite", strings.TrimPrefix(url, "sqlite:")+"?_pragma=busy_timeout(10000)"
	if strings.HasPrefix(url, "postgres") {
		driver, dsn = "pgx", url
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// migrated has the statements that record a newer version of the tables of a ledger.
var migrated = map[string]string{
	"catalog": `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`,
	"users":   `INSERT INTO account_migrations (version_id, is_applied) VALUES (9999, TRUE)`,
	"tasks":   `INSERT INTO task_migrations (version_id, is_applied) VALUES (9999, TRUE)`,
	"queues":  `INSERT INTO river_migration (line, version) VALUES ('main', 9999)`,
}

// TestOlderProgram starts this program on tables that a newer one has changed: it refuses,
// and names the reason.
func TestOlderProgram(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		for ledger, statement := range migrated {
			t.Run(d.name+" "+ledger, func(t *testing.T) {
				t.Parallel()
				url, data := d.url(t), t.TempDir()
				args := []string{"serve", "--auth=local", "--no-admin-link", "--data=" + data, "--database=" + url}
				start(t, args...).stop()
				change(t, url, statement)
				r := command(t, append(args, "--listen=127.0.0.1:0")...)
				if r.code != exitFailure || r.out != "" || !strings.Contains(r.err, "migrated by a newer ptiffstore") || !strings.Contains(r.err, "9999") || !strings.Contains(r.err, "backup") {
					t.Errorf("%v, want that the tables are a newer program's, and what to do", r)
				}
			})
		}
	}
}

// TestUpgradeBeside upgrades the tables to those of a newer program while this one runs: it
// continues to serve tiles and lists and to import slides, until it is restarted.
func TestUpgradeBeside(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			url, data := d.url(t), t.TempDir()
			s, dir := serving(t, map[string]*slideFile{"1.tiff": plain}, "--data="+data, "--database="+url)
			im := s.available("1.tiff")
			change(t, url, `ALTER TABLE images ADD COLUMN future TEXT`, `ALTER TABLE stores ADD COLUMN future TEXT`, migrated["catalog"])
			deliver(t, plain, filepath.Join(dir, "2.tiff"))
			s.available("2.tiff")
			if a := s.get("/api/v1/images/" + im.ID + "/tiles/0/0/0"); a.status != 200 {
				t.Errorf("a tile after the upgrade: %d %s", a.status, a.body)
			}
			s.stop()
			if r := command(t, "store", "list", "--data="+data, "--database="+url); r.code != exitFailure || !strings.Contains(r.err, "newer ptiffstore") {
				t.Errorf("restarted: %v, want it refused", r)
			}
		})
	}
}

// TestBackupOfPostgreSQL makes a dump with pg_dump while slides arrive, and restores it into
// another database. A scan finds the slides that are newer than the dump.
func TestBackupOfPostgreSQL(t *testing.T) {
	t.Parallel()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_restore")
	if len(found) == 0 {
		t.Skip("pg_dump and pg_restore are not installed")
	}
	bin := filepath.Dir(slices.Max(found))
	url := pgtest.New(t)
	s, dir := serving(t, map[string]*slideFile{"1.tiff": plain}, "--data="+t.TempDir(), "--database="+url)
	before := s.available("1.tiff").ID
	data := plain.bytes(t)
	ctx, stop := context.WithCancel(t.Context())
	arrived := make(chan int)
	go func() {
		n := 1
		for ctx.Err() == nil && n < 50 {
			n++
			name := filepath.Join(dir, fmt.Sprintf("%d.tiff", n)) // a missing slide fails the test below
			os.WriteFile(name+".part", data, 0o644)               //nolint:errcheck // see above
			os.Rename(name+".part", name)                         //nolint:errcheck // see above
		}
		arrived <- n
	}()
	dump := filepath.Join(t.TempDir(), "catalog.dump")
	program := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	program("pg_dump", "--format=custom", "--file="+dump, "--dbname="+url)
	stop()
	last := fmt.Sprintf("%d.tiff", <-arrived)
	s.stop()
	restored := pgtest.New(t)
	program("pg_restore", "--dbname="+restored, "--no-owner", "--exit-on-error", dump)
	s = start(t, "serve", "--data="+t.TempDir(), "--database="+restored)
	diff(t, "id of the slide that the dump knew", before, s.available("1.tiff").ID)
	s.available(last)
}
