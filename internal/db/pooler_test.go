package db

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// TestPooler opens a database directly and through PgBouncer in all its modes, with and
// without other clients. A pooler that shares connections between transactions is refused
// before a setting of a session has reached it.
func TestPooler(t *testing.T) {
	t.Parallel()
	direct := pgtest.New(t)
	for _, tt := range []struct {
		name, url  string
		busy       int // other clients
		want       error
		wantPooled bool
	}{
		{"direct", direct, 0, nil, false},
		{"session", pgtest.Pool(t, direct, "session"), 0, nil, true},
		{"session, few connections", pgtest.Pool(t, direct, "session", "default_pool_size = 3"), 0, nil, true},
		{"transaction", pgtest.Pool(t, direct, "transaction"), 0, ErrPooled, true},
		{"transaction, busy", pgtest.Pool(t, direct, "transaction"), 8, ErrPooled, true},
		{"transaction, round robin", pgtest.Pool(t, direct, "transaction", "server_round_robin = 1"), 0, ErrPooled, true},
		{"transaction, round robin, busy", pgtest.Pool(t, direct, "transaction", "server_round_robin = 1"), 8, ErrPooled, true},
		{"statement", pgtest.Pool(t, direct, "statement"), 0, ErrPooled, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range tt.busy {
				occupy(t, tt.url)
			}
			d, err := Open(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			err = wrap(d.Read.QueryRowContext(t.Context(), `SELECT 1`).Scan(new(int)), "ping")
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("reading: %v, want %v", err, tt.want)
			}
			if d.Pooled() != tt.wantPooled {
				t.Errorf("Pooled is %v", d.Pooled())
			}
			conn, err := d.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			var readOnly string
			if err := conn.QueryRow(t.Context(), `SHOW default_transaction_read_only`, pgx.QueryExecModeSimpleProtocol).Scan(&readOnly); err != nil || readOnly != "off" {
				t.Errorf("another session is read-only: %s, %v", readOnly, err)
			}
		})
	}
}

// occupy runs statements at the database until the test ends.
func occupy(t *testing.T, url string) {
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			conn.Exec(ctx, `SELECT pg_sleep(0.001)`, pgx.QueryExecModeSimpleProtocol) //nolint:errcheck // only load
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		conn.Close(context.Background()) //nolint:errcheck // only load
	})
}
