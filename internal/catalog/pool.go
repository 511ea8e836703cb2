package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// statementTime is how long PostgreSQL may take for a statement. All that people
	// wait for is answered by an index; what takes longer is [Unhurried].
	statementTime = 15 * time.Second
	// frozenPause is how long nothing is asked of a server that did not answer in time,
	// before one statement tries again.
	frozenPause = time.Second
	// PingTime is how long a connection that was idle may take to show that it is good.
	PingTime       = 3 * time.Second
	connectTimeout = 5 * time.Second // unless the URL says another

	// ConnLife is how long a connection is used: one that is bad in a way that nobody
	// sees does not last.
	ConnLife = 30 * time.Minute
	connIdle = 5 * time.Minute
	// FileLife is the same for SQLite, where a new one costs next to nothing.
	FileLife = 10 * time.Minute
)

// PostgresConfig reads the URL of a PostgreSQL, and guards what connects by it: see
// [Guard].
func PostgresConfig(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err == nil {
		Guard(config)
	}
	return config, err
}

// Guard has connections made by config serve nobody for long who waits in vain: each
// statement has a deadline, and while the server does not answer at all, further ones
// fail at once. A connection whose error says that it is of no more use is closed.
func Guard(config *pgx.ConnConfig) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "ptiffstore"
	}
	config.Tracer = &guard{limit: statementTime}
}

// OpenPool opens a pool of at most n guarded connections, each of which begins with
// settings, statements of SQL.
func OpenPool(config *pgx.ConnConfig, settings string, n int) *sql.DB {
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, settings, pgx.QueryExecModeSimpleProtocol)
		return err
	}), stdlib.OptionShouldPing(ping), stdlib.OptionResetSession(func(_ context.Context, conn *pgx.Conn) error {
		if conn.IsClosed() {
			return driver.ErrBadConn
		}
		return nil
	}))
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(connIdle)
	db.SetConnMaxLifetime(ConnLife)
	return db
}

// ping asks a connection that was idle whether it is good, and closes it if not. pgx
// would wait for that without end.
func ping(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration > time.Second {
		ctx, cancel := context.WithTimeout(ctx, PingTime)
		defer cancel()
		if p.Conn.Ping(ctx) != nil {
			closeNow(p.Conn)
		}
	}
	return false
}

// closeNow closes a connection without waiting for the server.
func closeNow(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	conn.Close(ctx) //nolint:errcheck // it is of no more use
}

// DropIdle closes the connections of a pool that nobody uses, of which it keeps up to n.
func DropIdle(db *sql.DB, n int) {
	db.SetMaxIdleConns(0)
	db.SetMaxIdleConns(n)
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
	if conn != nil && spoilt(err) {
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
