package task

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sayAgain is how long the same message is not repeated: while a database is away,
// River says so several times a second.
const sayAgain = time.Minute

// quiet passes on only warnings and errors, and each but now and then: River tells
// every step it does.
type quiet struct {
	slog.Handler
	said *sync.Map // message to when
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if before, ok := q.said.Load(r.Message); ok && r.Time.Sub(before.(time.Time)) < sayAgain {
		return nil
	}
	q.said.Store(r.Message, r.Time) // River has some dozens of messages
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a), q.said} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name), q.said} }
