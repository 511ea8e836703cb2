package httperr

import (
	"context"
	"crypto/rand"
	"net/http"
)

// RequestIDHeader carries the id of a request, both ways.
const RequestIDHeader = "X-Request-Id"

type requestKey struct{}

// RequestID is the id of the request that ctx belongs to, "" if it has none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// ContextWithRequestID returns a context that belongs to the request of that id. With
// "" it is ctx itself.
func ContextWithRequestID(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	return context.WithValue(ctx, requestKey{}, id)
}

// NewRequestID returns an id that no other request has.
func NewRequestID() string { return rand.Text()[:16] }

// SaneRequestID reports whether an id that came with a request may be taken over. It
// is the client's word and will stand in the log and with tasks, so it is short, breaks
// no line, needs no quotes, and has a digit as generated ones have: names of people
// have none.
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

// Identify gives r an id if it has none, that which came with it if it may be taken
// over, and tells the client.
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

// WithRequestID gives every request an id, which problem answers, the log and tasks
// share, and sends it as X-Request-Id.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, Identify(w, r))
	})
}
