package httperr

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
)

// RequestIDHeader carries the request id, in requests and responses.
const RequestIDHeader = "X-Request-Id"

type requestKey struct{}

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// ContextWithRequestID returns a context with that request id, or ctx itself if id is "".
func ContextWithRequestID(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	return context.WithValue(ctx, requestKey{}, id)
}

// NewRequestID returns a random, unique id.
func NewRequestID() string { return rand.Text()[:16] }

// SaneRequestID reports whether an id sent by the client may be used. It will be in the
// log and in tasks, so it must be short, without line breaks and quotes, and contain a
// digit as generated ids do: names of people have none.
func SaneRequestID(id string) bool {
	if len(id) < 8 || len(id) > 64 {
		return false
	}
	digit := false
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return digit
}

type logKey struct{}

// ContextWithLog returns a context of requests whose errors are logged to log.
func ContextWithLog(ctx context.Context, log *slog.Logger) context.Context {
	return context.WithValue(ctx, logKey{}, log)
}

// Log returns the log of a request's context, or the default.
func Log(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(logKey{}).(*slog.Logger); ok {
		return log
	}
	return slog.Default()
}

// Identify gives r an id if it has none (the client's if it is acceptable), and sends it
// to the client.
func Identify(w http.ResponseWriter, r *http.Request) *http.Request {
	if RequestID(r.Context()) != "" {
		return r
	}
	id := r.Header.Get(RequestIDHeader)
	if !SaneRequestID(id) {
		id = NewRequestID()
	}
	w.Header().Set(RequestIDHeader, id)
	return r.WithContext(ContextWithRequestID(r.Context(), id))
}

// WithRequestID gives every request an id, which problem responses, the log and tasks
// share, and sends it as X-Request-Id.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, Identify(w, r))
	})
}
