// Package httperr turns functions that return errors into HTTP handlers, and errors
// into RFC 9457 problem details.
package httperr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// An Error is an unsuccessful response. Err, if not nil, is only logged: it may contain
// what the client must not see.
type Error struct {
	Status     int    // HTTP status code
	Detail     string // shown to the client: a sentence a person can act on
	RetryAfter int    // seconds; 0 for no such header
	Err        error
	Logged     bool // the log has it already
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%d %s", e.Status, e.Detail)
	}
	return fmt.Sprintf("%d %s: %v", e.Status, e.Detail, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Problem is the body of an error answer (RFC 9457, section 3).
type Problem struct {
	Type     string `json:"type" doc:"Always about:blank: status says what kind it is."`
	Title    string `json:"title" doc:"The status in words."`
	Status   int    `json:"status" doc:"HTTP status."`
	Detail   string `json:"detail" doc:"What is wrong, and what to do."`
	Instance string `json:"instance,omitempty" doc:"urn:request: and the id under which the log has the request."`
}

// ProblemType is the media type of a [Problem].
const ProblemType = "application/problem+json"

// NewProblem returns a problem with the standard title of status.
func NewProblem(status int, detail, requestID string) Problem {
	p := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
	if requestID != "" {
		p.Instance = "urn:request:" + requestID
	}
	return p
}

// JSON returns the problem as JSON.
func (p Problem) JSON() []byte {
	b, _ := json.Marshal(p) // strings and a number cannot fail
	return b
}

// A Handler answers a request, or returns an error before writing anything. An [*Error]
// is sent to the client as it is; any other error is logged and the client gets a plain
// 500.
type Handler func(http.ResponseWriter, *http.Request) error

// ServeHTTP calls h and writes its error, if any.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		WriteError(w, r, err)
	}
}

// WriteError answers r with err. It writes nothing if the client has disconnected.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return
	}
	r = Identify(w, r)
	e := LogError(r, err)
	WriteProblem(w, r, e.Status, e.Detail, e.RetryAfter)
}

// LogError returns err as an [*Error] for the client, and logs it if the server is at
// fault and it was not logged before.
func LogError(r *http.Request, err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Status: http.StatusInternalServerError, Detail: "Something went wrong in the server. The reason is in its log.", Err: err}
	}
	if e.Status >= 500 && !e.Logged {
		Log(r.Context()).ErrorContext(r.Context(), "request failed", "request", RequestID(r.Context()), "status", e.Status, "route", r.Pattern, "err", e.Err)
	}
	return e
}

// WriteProblem answers r with a problem and forbids caching. RetryAfter is in seconds; 0
// omits the header.
func WriteProblem(w http.ResponseWriter, r *http.Request, status int, detail string, retryAfter int) {
	r = Identify(w, r)
	h := w.Header()
	h.Set("Content-Type", ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if status == http.StatusUnauthorized { // required by RFC 9110, section 15.5.2
		h.Set("WWW-Authenticate", "Bearer")
	}
	b := NewProblem(status, detail, RequestID(r.Context())).JSON()
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b) // the client is gone if this fails
	}
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err = w.Write(b)
	return err
}
