package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestBackupsWithinASecond makes several backups: each gets its own folder.
func TestBackupsWithinASecond(t *testing.T) {
	t.Parallel()
	data, to := newCatalog(t), t.TempDir()
	seen := map[string]bool{}
	for range 5 {
		folder := done(t, "backup", to, "--data="+data)
		if seen[folder] || !exists(filepath.Join(folder, "backup.json")) {
			t.Errorf("%s: a second backup in the same folder, or none", folder)
		}
		seen[folder] = true
	}
	for folder := range seen {
		done(t, "restore", folder, "--data="+data, "--force")
	}
	if kept, _ := filepath.Glob(filepath.Join(data, "catalog.db.before-*")); len(kept) != len(seen) {
		t.Errorf("%q were set aside, want %d", kept, len(seen))
	}
}

// TestFailedBackup checks that a failed backup leaves no folder.
func TestFailedBackup(t *testing.T) {
	t.Parallel()
	data, to := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "catalog.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "backup", to, "--data="+data); r.code != exitFailure {
		t.Errorf("%v, want it to fail", r)
	}
	if left, _ := os.ReadDir(to); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRestoreAfterCrash restores after a server or another restore was killed: the content
// of the old catalog is in the copy that was set aside, and not in the new catalog.
func TestRestoreAfterCrash(t *testing.T) {
	t.Parallel()
	damage := strings.Repeat("damage ", 2000)
	for _, tt := range []struct {
		name  string
		crash func(t *testing.T, data string)
	}{
		{"the server was killed", func(*testing.T, string) {}},
		{"the last restore was cut while it copied", func(t *testing.T, data string) {
			work := filepath.Join(data, "catalog.db.restoring")
			if err := os.Mkdir(work, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(work, "catalog.db"), []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"the catalog is damaged", func(t *testing.T, data string) {
			for _, name := range []string{"catalog.db", "catalog.db-wal"} {
				if err := os.WriteFile(filepath.Join(data, name), []byte(damage), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data := killedCatalog(t)
			other := newCatalog(t)
			done(t, "store", "add", t.TempDir(), "--label=other", "--data="+other)
			folder := done(t, "backup", t.TempDir(), "--data="+other)
			tt.crash(t, data)
			done(t, "restore", folder, "--data="+data, "--force")
			if list := done(t, "store", "list", "--data="+data); !strings.Contains(list, "other") || strings.Contains(list, "precious") {
				t.Errorf("stores after the restore: %s", list)
			}
			kept, _ := filepath.Glob(filepath.Join(data, "catalog.db.before-*[0-9]"))
			if len(kept) != 1 {
				t.Fatalf("%q were set aside, want one", kept)
			}
			if tt.name == "the catalog is damaged" { // it may still be possible to recover data
				b, err := os.ReadFile(kept[0])
				if err != nil || string(b) != damage {
					t.Errorf("the damaged catalog: %d bytes, %v, want those that were there", len(b), err)
				}
				return
			}
			if list := done(t, "store", "list", "--database=sqlite:"+kept[0]); !strings.Contains(list, "precious") {
				t.Errorf("stores of the catalog that was set aside: %s", list)
			}
		})
	}
}

// killedCatalog returns a data directory as a killed server leaves it: the last changes are
// only in the write-ahead log.
func killedCatalog(t *testing.T) string {
	t.Helper()
	live, data := t.TempDir(), t.TempDir()
	p := &databaseFlags{Data: live}
	c, _, err := p.create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Stores.Put(t.Context(), catalog.Store{Label: "precious", Mode: catalog.InPlace, Root: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"catalog.db", "catalog.db-wal"} {
		b, err := os.ReadFile(filepath.Join(live, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// TestRestoreFromPipe replaces the files of a backup with named pipes.
func TestRestoreFromPipe(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"backup.json", "catalog.db"} {
		data, target := newCatalog(t), filepath.Join(t.TempDir(), "new")
		folder := done(t, "backup", t.TempDir(), "--data="+data)
		mustPipe(t, filepath.Join(folder, name))
		if r := command(t, "restore", folder, "--data="+target); r.code != exitFailure || !strings.Contains(r.err, "not a regular file") {
			t.Errorf("%s: %v", name, r)
		}
	}
}
