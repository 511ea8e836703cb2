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
	// statementTime is the time limit of statements for PostgreSQL. All interactive
	// statements use an index; longer ones use [Unhurried].
	statementTime = 15 * time.Second
	// frozenPause is how long no statement is sent to a server that did not answer in time,
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

// Unhurried returns a context for statements without a time limit, such as those of
// migrations.
func Unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurriedKey{}, true)
}

// unhurried reports whether a statement has no time limit. River's statements that maintain
// its indices are recognized by their text.
func unhurried(ctx context.Context, text string) bool {
	return ctx.Value(unhurriedKey{}) != nil || strings.Contains(text, "CONCURRENTLY")
}

// A guard limits the time of statements. It is a [pgx.QueryTracer]: pgx continues with the
// context that it returns, so the limit applies to everything that uses pgx.
type guard struct {
	limit    time.Duration
	answered atomic.Int64 // when the server last answered, in nanoseconds
	// frozen is 0, or the time until which no statement is sent to the server, as it did
	// not answer in time. The first one after that tries again.
	frozen atomic.Int64
}

type statementKey struct{}

// A running is a statement in progress.
type running struct {
	began   time.Time
	caller  context.Context // without the deadline
	end     context.CancelFunc
	refused bool // because the server was frozen
}

// begin returns the context of a statement, which is already done while the server is
// frozen.
func (g *guard) begin(ctx context.Context, text string) context.Context {
	if ctx.Value(statementKey{}) != nil {
		return context.WithValue(ctx, statementKey{}, (*running)(nil)) // part of another statement
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

// ended records the result of a statement, and closes an unusable connection.
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
	case r.caller.Err() != nil: // this is no information about the server, and the next statement may try it
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

// TraceQueryStart implements [pgx.QueryTracer].
func (g *guard) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return g.begin(ctx, d.SQL)
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (g *guard) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, d pgx.TraceQueryEndData) {
	g.ended(ctx, conn, d.Err)
}

// TracePrepareStart implements [pgx.PrepareTracer].
func (g *guard) TracePrepareStart(ctx context.Context, _ *pgx.Conn, d pgx.TracePrepareStartData) context.Context {
	return g.begin(ctx, d.SQL)
}

// TracePrepareEnd implements [pgx.PrepareTracer].
func (g *guard) TracePrepareEnd(ctx context.Context, conn *pgx.Conn, d pgx.TracePrepareEndData) {
	g.ended(ctx, conn, d.Err)
}

// TraceConnectStart implements [pgx.ConnectTracer].
func (g *guard) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return g.begin(ctx, "")
}

// TraceConnectEnd implements [pgx.ConnectTracer].
func (g *guard) TraceConnectEnd(ctx context.Context, d pgx.TraceConnectEndData) {
	g.ended(ctx, nil, d.Err)
}

// TraceBatchStart implements [pgx.BatchTracer].
func (g *guard) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return g.begin(ctx, "")
}

// TraceBatchQuery implements [pgx.BatchTracer].
func (g *guard) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements [pgx.BatchTracer].
func (g *guard) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, d pgx.TraceBatchEndData) {
	g.ended(ctx, conn, d.Err)
}
