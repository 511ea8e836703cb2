package catalog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestDiskFull fills SQLite's file and frees space again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	c := openAt(t, Template.SQLite(t))
	ctx := t.Context()
	pages := func(pragma string) (n int64) {
		if err := c.write.QueryRowContext(ctx, `PRAGMA `+pragma).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	most := pages("max_page_count")
	pages(fmt.Sprintf("max_page_count = %d", pages("page_count")))
	put := func() (err error) {
		for i := 0; err == nil && i < 200; i++ {
			_, err = c.Stores.Put(ctx, Store{Label: strings.Repeat("x", 100), Mode: InPlace, Root: fmt.Sprintf("/%d/%s", i, strings.Repeat("y", 3000))})
		}
		return err
	}
	if err := put(); !errors.Is(err, ErrFull) {
		t.Fatalf("a full disk: %v, want ErrFull", err)
	}
	pages(fmt.Sprintf("max_page_count = %d", most))
	if _, err := c.Stores.Put(ctx, Store{Label: "after", Mode: InPlace, Root: "/after"}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestReadOnlyConnections fails if a connection that was made while the database was
// read-only is used when it no longer is.
func TestReadOnlyConnections(t *testing.T) {
	t.Parallel()
	url := Template.Postgres(t)
	c := openAt(t, url)
	ctx := t.Context()
	set := func(word string) {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, `SET default_transaction_read_only = off`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+word+`', current_database()); END $$`); err != nil {
			t.Fatal(err)
		}
	}
	put := func(root string) error {
		_, err := c.Stores.Put(ctx, Store{Label: root, Mode: InPlace, Root: root})
		return err
	}
	set("on")
	c.db.DropIdle() // as when the server was started again
	if err := put("/a"); !errors.Is(err, ErrAway) {
		t.Fatalf("read-only: %v, want ErrAway", err)
	}
	set("off")
	if err := put("/b"); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// openAt opens a database for a test of internals.
func openAt(t *testing.T, url string) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
