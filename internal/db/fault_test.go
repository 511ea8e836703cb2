package db

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

func TestFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		kind error // as errors.Is finds it; nil for none that is known
	}{
		{pg("23505"), ErrDuplicate},
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

// TestFrozen stops every process of a PostgreSQL server: a statement fails in time, the
// next ones immediately, and all succeed when the processes continue.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	c, err := Open(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ping := func(ctx context.Context) error {
		return wrap(c.Read.QueryRowContext(ctx, `SELECT 1`).Scan(new(int)), "ping")
	}
	g := c.config.ConnConfig.Tracer.(*guard)
	g.limit = 300 * time.Millisecond
	if err := ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	thaw := s.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := ping(ctx); !errors.Is(err, ErrAway) || ctx.Err() != nil {
		t.Fatalf("frozen: %v, want ErrAway long before the caller's deadline", err)
	}
	if g.frozen.Load() == 0 {
		t.Error("the server is not marked as frozen")
	}
	g.frozen.Store(time.Now().Add(time.Hour).UnixNano())
	for range 50 { // more than there are connections: none of them waits
		if err := ping(ctx); !errors.Is(err, ErrAway) {
			t.Fatalf("known to be frozen: %v, want ErrAway", err)
		}
	}
	g.frozen.Store(1)
	thaw()
	for err := ping(ctx); err != nil; err = ping(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("after they continued: %v", err)
		}
	}
	if g.frozen.Load() != 0 {
		t.Error("the server is still marked as frozen")
	}
}
