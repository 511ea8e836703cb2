package task

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sayAgain is the minimum time between two equal messages: River logs several per second
// while a database is unavailable.
const sayAgain = time.Minute

// quiet passes on warnings and errors only, and limits repetition: River logs each of its
// steps.
type quiet struct {
	slog.Handler
	said *sync.Map // message to time of last output
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if before, ok := q.said.Load(r.Message); ok && r.Time.Sub(before.(time.Time)) < sayAgain {
		return nil
	}
	q.said.Store(r.Message, r.Time) // River has only some dozens of different messages
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a), q.said} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name), q.said} }
