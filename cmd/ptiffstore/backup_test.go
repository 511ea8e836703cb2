package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// TestBackupAndRestore makes a backup while slides arrive, removes the catalog and restores
// the backup. A scan finds the slides that are newer than the backup.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s, dir := serving(t, map[string]*slideFile{"1.tiff": plain}, "--data="+data)
	before := s.images()["1.tiff"].ID
	backups := t.TempDir()
	deliver(t, plain, filepath.Join(dir, "2.tiff"))
	folder := done(t, "backup", backups, "--data="+data)
	s.available("2.tiff")
	s.stop()
	if r := command(t, "restore", folder, "--data="+data); r.code != exitFailure || !strings.Contains(r.err, "--force") {
		t.Errorf("restore over a catalog: %v", r)
	}
	for _, f := range []string{"catalog.db", "catalog.db-wal", "catalog.db-shm"} {
		os.Remove(filepath.Join(data, f)) // may not exist
	}
	done(t, "restore", folder, "--data="+data)
	s = start(t, "serve", "--data="+data)
	diff(t, "id of the slide that the backup knew", before, s.available("1.tiff").ID)
	s.available("2.tiff")
	s.stop()
	done(t, "restore", folder, "--data="+data, "--force")
	kept, err := filepath.Glob(filepath.Join(data, "catalog.db.before-*"))
	if err != nil || len(kept) == 0 {
		t.Errorf("the catalog that was replaced: %q, %v, want it kept", kept, err)
	}
	damage := filepath.Join(folder, "catalog.db")
	b, err := os.ReadFile(damage)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(damage, b, 0o600); err != nil {
		t.Fatal(err)
	}
	server := &databaseFlags{Database: pgtest.New(t)}
	createCatalog(t, server)
	refused := []struct {
		name, want string
		args       []string
	}{
		{"a damaged backup", "damaged", []string{"restore", folder, "--data=" + t.TempDir()}},
		{"is not a backup", "is not a backup", []string{"restore", t.TempDir(), "--data=" + t.TempDir()}},
		{"PostgreSQL", "pg_dump", []string{"backup", t.TempDir(), "--database", server.Database}},
		{"into PostgreSQL", "pg_restore", []string{"restore", folder, "--database", "postgres://localhost/x"}},
	}
	for _, tt := range refused {
		if r := command(t, tt.args...); r.code != exitFailure || !strings.Contains(r.err, tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, r, tt.want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(data, "*.restoring*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestBackupKeep makes backups in a folder that also holds other things: only complete older
// backups are removed.
func TestBackupKeep(t *testing.T) {
	t.Parallel()
	data, backups := newCatalog(t), t.TempDir()
	first := done(t, "backup", backups, "--data="+data)
	incomplete := filepath.Join(backups, "ptiffstore-20200101-000000")
	renamed := filepath.Join(backups, "before-the-upgrade")
	for from, to := range map[string]string{first: renamed, t.TempDir(): incomplete} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	second := done(t, "backup", backups, "--data="+data)
	third := done(t, "backup", backups, "--data="+data, "--keep=3")
	fourth := done(t, "backup", backups, "--data="+data, "--keep=2")
	got, err := filepath.Glob(filepath.Join(backups, "*"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{third, fourth, renamed, incomplete} // without the second
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("without %s (-want +got):\n%s", second, diff)
	}
	if r := command(t, "backup", backups, "--data="+data, "--keep=-1"); r.code != exitUsage {
		t.Errorf("--keep=-1: %v", r)
	}
}
