package trace

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

type taskKey struct{}

// LogHandler adds the request, task and trace of the context to each line that does not
// have these attributes itself.
func LogHandler(h slog.Handler) slog.Handler { return logHandler{h} }

type logHandler struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	add := map[string]string{}
	if id := httperr.RequestID(ctx); id != "" {
		add["request"] = id
	}
	if id, _ := ctx.Value(taskKey{}).(string); id != "" {
		add["task"] = id
	}
	if s := trace.SpanContextFromContext(ctx); s.IsSampled() {
		add["trace"] = s.TraceID().String()
	}
	if len(add) == 0 {
		return h.Handler.Handle(ctx, r)
	}
	r.Attrs(func(a slog.Attr) bool {
		delete(add, a.Key)
		return true
	})
	r = r.Clone()
	for _, key := range []string{"request", "task", "trace"} {
		if v := add[key]; v != "" {
			r.AddAttrs(slog.String(key, v))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h logHandler) WithAttrs(a []slog.Attr) slog.Handler { return logHandler{h.Handler.WithAttrs(a)} }

// WithGroup implements [slog.Handler].
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
