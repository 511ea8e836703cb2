package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/db"
)

// TestSQLiteKeepsItsLock opens the database with each package of a server: none may release
// the lock of SQLite that keeps other processes from removing the write-ahead log in use.
func TestSQLiteKeepsItsLock(t *testing.T) {
	t.Parallel()
	p := &databaseFlags{Data: newCatalog(t)}
	d, err := p.desk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.catalog.Stores.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := p.people(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	f, err := os.OpenFile(filepath.Join(p.Data, "catalog.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const sharedFirst, sharedSize = 0x40000000 + 2, 510 // of SQLite's file format
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: sharedFirst, Len: sharedSize}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		t.Fatal(err)
	}
	if lock.Type != unix.F_RDLCK {
		t.Errorf("the lock on the database file has type %d, want %d: SQLite's shared lock", lock.Type, unix.F_RDLCK)
	}
}

// TestRestoreRefuses tries to restore while each kind of process uses the data directory,
// including programs that do not lock it.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	folder := done(t, "backup", t.TempDir(), "--data="+data)
	restore := []string{"restore", folder, "--data=" + data, "--force"}
	refused := func(what string) {
		t.Helper()
		if r := command(t, restore...); r.code != exitFailure || !strings.Contains(r.err, data+" is in use") || !strings.Contains(r.err, "stop the server") {
			t.Errorf("under %s: %v, want it refused", what, r)
		}
	}
	other := t.TempDir()
	for _, mode := range [][]string{
		{"serve", "--data=" + data},
		{"serve", "--data=" + data, "--no-worker"},
		{"tileserver", "--data=" + data},
		{"serve", "--data=" + other, "--database=sqlite:" + filepath.Join(data, "catalog.db"), "--no-worker"},
		{"serve", "--data=" + data, "--database=sqlite:" + filepath.Join(other, "catalog.db"), "--no-worker"},
	} {
		s := start(t, mode...)
		refused(strings.Join(mode, " "))
		s.stop()
	}
	p := &databaseFlags{Data: data}
	for _, tt := range []struct {
		name string
		open func() (interface{ Close() error }, error)
	}{
		{"a command about slides", func() (interface{ Close() error }, error) { return p.open(t.Context()) }},
		{"a command about people", func() (interface{ Close() error }, error) { return p.people(t.Context()) }},
	} {
		c, err := tt.open()
		if err != nil {
			t.Fatal(err)
		}
		refused(tt.name)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	lock, err := db.Seize(data)
	if err != nil {
		t.Fatal(err)
	}
	refused("another restore")
	if r := command(t, "store", "list", "--data="+data); r.code != exitFailure || !strings.Contains(r.err, "a backup is being restored") {
		t.Errorf("a command during a restore: %v", r)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "*.before-*")); len(left) > 0 {
		t.Errorf("a restore that was refused has set aside %q", left)
	}
	done(t, restore...)
}

// mustPipe replaces a file with a named pipe.
func mustPipe(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
