package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

func TestFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		kind error // as errors.Is finds it; nil for none that is known
	}{
		{pg("23505"), ErrConflict},
		{pg("53100"), ErrFull},
		{pg("25006"), ErrAway},
		{pg("57P01"), ErrAway},
		{pg("57P03"), ErrAway},
		{pg("57014"), ErrAway},
		{pg("53300"), ErrAway},
		{pg("53200"), ErrAway},
		{pg("58030"), ErrAway},
		{pg("08006"), ErrAway},
		{pg("28P01"), ErrAway},
		{pg("3D000"), ErrAway},
		{pg("42601"), nil},
		{context.DeadlineExceeded, ErrAway},
		{context.Canceled, nil},
		{pgconn.ErrConnClosed, ErrAway},
	} {
		kind := Fault(fmt.Errorf("at work: %w", c.err))
		if c.kind == nil && kind != nil || c.kind != nil && !errors.Is(kind, c.kind) {
			t.Errorf("%v is %v, want %v", c.err, kind, c.kind)
		}
	}
}

func pg(code string) error { return &pgconn.PgError{Code: code} }

// TestDiskFull fills SQLite's file and makes room again.
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
			_, err = c.PutStore(ctx, Store{Label: strings.Repeat("x", 100), Mode: InPlace, Root: fmt.Sprintf("/%d/%s", i, strings.Repeat("y", 3000))})
		}
		return err
	}
	if err := put(); !errors.Is(err, ErrFull) {
		t.Fatalf("a full disk: %v, want ErrFull", err)
	}
	pages(fmt.Sprintf("max_page_count = %d", most))
	if _, err := c.PutStore(ctx, Store{Label: "after", Mode: InPlace, Root: "/after"}); err != nil {
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
		_, err := c.PutStore(ctx, Store{Label: root, Mode: InPlace, Root: root})
		return err
	}
	set("on")
	DropIdle(c.write, writers) // as when the server was started again
	if err := put("/a"); !errors.Is(err, ErrAway) {
		t.Fatalf("read-only: %v, want ErrAway", err)
	}
	set("off")
	if err := put("/b"); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestFrozen stops every process of a PostgreSQL: what is asked of it fails in time, the
// next at once, and all works when it goes on.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	c := openAt(t, s.URL)
	g := c.config.Tracer.(*guard)
	g.limit = 300 * time.Millisecond
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	thaw := s.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := c.Ping(ctx); !errors.Is(err, ErrAway) || ctx.Err() != nil {
		t.Fatalf("frozen: %v, want ErrAway long before the caller's deadline", err)
	}
	if g.frozen.Load() == 0 {
		t.Error("the server is not known to be frozen")
	}
	g.frozen.Store(time.Now().Add(time.Hour).UnixNano())
	for range 50 { // more than there are connections: none of them waits
		if err := c.Ping(ctx); !errors.Is(err, ErrAway) {
			t.Fatalf("known to be frozen: %v, want ErrAway", err)
		}
	}
	g.frozen.Store(1)
	thaw()
	for err := c.Ping(ctx); err != nil; err = c.Ping(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("after it: %v", err)
		}
	}
	if g.frozen.Load() != 0 {
		t.Error("the server is still held to be frozen")
	}
}

// openAt opens a database for a test of what is inside.
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
