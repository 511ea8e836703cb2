package db

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// statementTime is how long PostgreSQL may take for a statement. All that people
	// wait for is answered by an index; what takes longer is [Unhurried].
	statementTime = 15 * time.Second
	// frozenPause is how long nothing is asked of a server that did not answer in time,
	// before one statement tries again.
	frozenPause = time.Second
)

// closeNow closes a connection without waiting for the server.
func closeNow(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	conn.Close(ctx) //nolint:errcheck // it is of no more use
}

type unhurriedKey struct{}

// Unhurried is a context under which statements may take as long as they like, as those
// of migrations.
func Unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurriedKey{}, true)
}

// unhurried reports whether a statement may take its time. Those that River runs to keep
// its indices small say so by themselves.
func unhurried(ctx context.Context, text string) bool {
	return ctx.Value(unhurriedKey{}) != nil || strings.Contains(text, "CONCURRENTLY")
}

// A guard bounds the time of statements. It is a [pgx.QueryTracer], as pgx goes on with
// the context that it returns, and so holds for all that use pgx.
type guard struct {
	limit    time.Duration
	answered atomic.Int64 // when the server last answered, in nanoseconds
	// frozen is 0, or until when the server is not asked, as it did not answer in time.
	// The first one after that tries it.
	frozen atomic.Int64
}

type statementKey struct{}

// A running is a statement that is under way.
type running struct {
	began   time.Time
	caller  context.Context // without the deadline
	end     context.CancelFunc
	refused bool // as the server was frozen
}

// begin returns the context of a statement, which is over already while the server is
// frozen.
func (g *guard) begin(ctx context.Context, text string) context.Context {
	if ctx.Value(statementKey{}) != nil {
		return context.WithValue(ctx, statementKey{}, (*running)(nil)) // part of another
	}
	if unhurried(ctx, text) {
		return ctx
	}
	r := &running{began: time.Now(), caller: ctx}
	until := r.began.Add(g.limit)
	if at := g.frozen.Load(); at != 0 && (r.began.UnixNano() < at || !g.frozen.CompareAndSwap(at, until.UnixNano())) {
		until, r.refused = r.began, true
	}
	ctx, r.end = context.WithDeadline(ctx, until)
	return context.WithValue(ctx, statementKey{}, r)
}

// ended takes note of how a statement went, and closes a connection that is of no more
// use.
func (g *guard) ended(ctx context.Context, conn *pgx.Conn, err error) {
	if conn != nil && isUnusable(err) {
		closeNow(conn)
	}
	r, _ := ctx.Value(statementKey{}).(*running)
	if r == nil {
		return
	}
	r.end()
	now := time.Now().UnixNano()
	switch {
	case r.refused:
	case r.caller.Err() != nil: // it says nothing of the server, and the next one may try it
		if g.frozen.Load() != 0 {
			g.frozen.Store(now)
		}
	case errors.Is(err, context.DeadlineExceeded):
		if g.answered.Load() < r.began.UnixNano() {
			g.frozen.Store(now + int64(frozenPause))
		}
	default:
		g.answered.Store(now)
		g.frozen.Store(0)
	}
}

// TraceQueryStart is of [pgx.QueryTracer].
func (g *guard) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return g.begin(ctx, d.SQL)
}

// TraceQueryEnd is of [pgx.QueryTracer].
func (g *guard) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, d pgx.TraceQueryEndData) {
	g.ended(ctx, conn, d.Err)
}

// TracePrepareStart is of [pgx.PrepareTracer].
func (g *guard) TracePrepareStart(ctx context.Context, _ *pgx.Conn, d pgx.TracePrepareStartData) context.Context {
	return g.begin(ctx, d.SQL)
}

// TracePrepareEnd is of [pgx.PrepareTracer].
func (g *guard) TracePrepareEnd(ctx context.Context, conn *pgx.Conn, d pgx.TracePrepareEndData) {
	g.ended(ctx, conn, d.Err)
}

// TraceConnectStart is of [pgx.ConnectTracer].
func (g *guard) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return g.begin(ctx, "")
}

// TraceConnectEnd is of [pgx.ConnectTracer].
func (g *guard) TraceConnectEnd(ctx context.Context, d pgx.TraceConnectEndData) {
	g.ended(ctx, nil, d.Err)
}

// TraceBatchStart is of [pgx.BatchTracer].
func (g *guard) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return g.begin(ctx, "")
}

// TraceBatchQuery is of [pgx.BatchTracer].
func (g *guard) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is of [pgx.BatchTracer].
func (g *guard) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, d pgx.TraceBatchEndData) {
	g.ended(ctx, conn, d.Err)
}
