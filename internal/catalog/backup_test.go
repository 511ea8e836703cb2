package catalog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestBackup makes backups during writes, and opens each: it contains a consistent state of
// the catalog, and no later writes.
func TestBackup(t *testing.T) {
	t.Parallel()
	c := open(t, catalog.Template.SQLite(t))
	store := putStore(t, c, "/slides")
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err := c.Images.Put(t.Context(), []*catalog.Image{{StoreID: store, Path: fmt.Sprintf("%d.tiff", i), State: catalog.Available}})
			if err != nil {
				done <- err
				return
			}
		}
	}()
	dir := t.TempDir()
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		if err := c.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if err := catalog.CheckBackup(t.Context(), path); err != nil {
			t.Error(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("backup %d: %v, %v, want it readable for its owner alone", i, st.Mode(), err)
		}
		b := open(t, "sqlite:"+path)
		s, err := b.Stores.Get(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := b.Images.Each(t.Context(), store, func(*catalog.Image) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		if n != s.Counts[catalog.Available] {
			t.Errorf("backup %d holds %d images and counts %v", i, n, s.Counts)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := c.Backup(t.Context(), filepath.Join(dir, "0.db")); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file that is there: %v", err)
	}
	if err := c.Backup(t.Context(), filepath.Join(dir, "none", "0.db")); err == nil {
		t.Error("into no folder: no error")
	}
}

func TestCheckBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, catalog.Template.SQLite(t))
	store := putStore(t, c, "/slides")
	fill(t, c, []string{store}, 200)
	good := filepath.Join(dir, "good.db")
	if err := c.Backup(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	overwritten := append([]byte(nil), b...)
	for i := len(b) / 2; i < len(b)/2+5000; i++ {
		overwritten[i] ^= 0x55
	}
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte("no database at all, though long enough to be looked at"), "cut short": b[:len(b)/2], "overwritten": overwritten} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := catalog.CheckBackup(t.Context(), path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := catalog.CheckBackup(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Error("no file: no error")
	}
}

func TestBackupPostgres(t *testing.T) {
	t.Parallel()
	c := open(t, catalog.Template.Postgres(t))
	if err := c.Backup(t.Context(), filepath.Join(t.TempDir(), "b")); !errors.Is(err, catalog.ErrNotHere) {
		t.Errorf("got %v", err)
	}
}
