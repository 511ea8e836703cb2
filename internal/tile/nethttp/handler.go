// Package nethttp serves tiles with net/http. It is the handler for the server of all other
// requests.
package nethttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/answer"
)

// A Handler serves the routes of tiles and passes all other requests to Next.
type Handler struct {
	Tiles *tile.Server
	Next  http.Handler // nil: 404
	// Gate checks access to the tiles of an image; nil for no access control.
	Gate *authz.Gate
	// Redirect, if not nil, redirects a client with permission for the tile to the server
	// that has the file, and reports whether it did; byFile tells that the client named
	// the file.
	Redirect func(w http.ResponseWriter, r *http.Request, f *tile.File, byFile bool) bool
	// Observe, if not nil, is called after each request for a tile with the status, the
	// size of the body in bytes, and the duration.
	Observe func(status, bytes int, d time.Duration)
	// Trace, if not nil, is called for each request for a tile with its traceparent
	// header. It returns the context of the request and a function to call with the
	// status.
	Trace func(ctx context.Context, traceparent string) (context.Context, func(status int))
	// Join, if not nil, is called before an answer with a body of so many bytes is written at
	// once, so that the connection can write head and body together.
	Join func(r *http.Request, body int)
	Log  *slog.Logger
}

// Header values that are shared by all answers instead of being allocated for each.
var (
	typeJPEG  = []string{"image/jpeg"}
	nosniff   = []string{"nosniff"}
	emptyTile = []string{"empty"}
	anyOrigin = []string{"cross-origin"}
	vary      = []string{"Authorization, Cookie"}
)

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req tile.Request
	if !tile.Parse(r.URL.Path, r.URL.RawQuery, &req) {
		h.next(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", answer.Methods)
		httperr.WriteError(w, r, answer.ErrMethod)
		return
	}
	if h.Observe == nil {
		h.answer(w, r, &req)
		return
	}
	began := time.Now()
	status, bytes := h.answer(w, r, &req)
	h.Observe(status, bytes, time.Since(began))
}

// answer answers with a tile or with a problem.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, req *tile.Request) (status, bytes int) {
	if h.Trace != nil {
		ctx, end := h.Trace(r.Context(), r.Header.Get("Traceparent"))
		defer func() { end(status) }()
		r = r.WithContext(ctx)
	}
	if id := r.Header[httperr.RequestIDHeader]; len(id) == 1 && httperr.SaneRequestID(id[0]) {
		w.Header()[httperr.RequestIDHeader] = id[:1:1]
	}
	return h.serve(w, r, req)
}

func (h *Handler) next(w http.ResponseWriter, r *http.Request) {
	if h.Next != nil {
		h.Next.ServeHTTP(w, r)
		return
	}
	httperr.WriteError(w, r, &httperr.Error{Status: http.StatusNotFound, Detail: "There is nothing at this address."})
}

// serve answers with one tile or with a problem.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, req *tile.Request) (status, bytes int) {
	head := w.Header()
	d := answer.Decider{Tiles: h.Tiles, Gate: h.Gate}
	q := answer.Request{Request: *req, Query: r.URL.RawQuery, CORS: len(head["Access-Control-Allow-Origin"]) > 0}
	header := func(name string) string { return value(name, r.Header[name]) }
	a := d.Check(r.Context(), &q, header)
	setAccess(head, &a)
	if a.Err == nil && h.redirected(w, r, &a) {
		return http.StatusTemporaryRedirect, 0
	}
	if a.Err == nil {
		d.Tile(r.Context(), &q, header, &a)
	}
	if a.Err != nil {
		return h.fail(w, r, req, &a), 0
	}
	defer a.Tile.Release()
	return a.Status, h.writeTile(w, r, &a)
}

// redirected reports whether the client was redirected to the server that has the file.
func (h *Handler) redirected(w http.ResponseWriter, r *http.Request, a *answer.Answer) bool {
	f, byName := a.File()
	return f.Store.Elsewhere != "" && h.Redirect != nil && h.Redirect(w, r, f, byName)
}

// writeTile writes the tile and its headers, and returns the size of the body.
func (h *Handler) writeTile(w http.ResponseWriter, r *http.Request, a *answer.Answer) int {
	head := w.Header()
	head["Etag"] = []string{a.Tile.ETag}
	head["Cache-Control"] = []string{a.Tile.CacheControl()}
	if a.Tile.Empty {
		head["X-Tile"] = emptyTile
	}
	if a.Tile.NotModified {
		w.WriteHeader(a.Status)
		return 0
	}
	head["Content-Type"] = typeJPEG
	head["X-Content-Type-Options"] = nosniff
	head["Content-Length"] = []string{strconv.Itoa(len(a.Tile.Body))}
	if r.Method == http.MethodHead {
		return 0
	}
	if h.Join != nil {
		h.Join(r, len(a.Tile.Body))
	}
	w.Write(a.Tile.Body) // if this fails, the client has disconnected
	return len(a.Tile.Body)
}

// setAccess sets the headers that depend on the access decision alone.
func setAccess(head http.Header, a *answer.Answer) {
	if a.Policy == anyOrigin[0] {
		head[authz.PolicyHeader] = anyOrigin
	} else {
		head.Set(authz.PolicyHeader, a.Policy)
	}
	switch old := head["Vary"]; {
	case a.Vary == "":
	case a.Vary == vary[0] && len(old) == 0:
		head["Vary"] = vary
	default:
		head["Vary"] = append(slices.Clip(old), a.Vary)
	}
}

// value joins the values of a header that is sent in several lines.
func value(name string, values []string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	if name == "Cookie" {
		return strings.Join(values, "; ")
	}
	return strings.Join(values, ", ")
}

// fail answers with a problem, and logs faults of the server or the file.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, req *tile.Request, a *answer.Answer) (status int) {
	if errors.Is(a.Err, context.Canceled) && r.Context().Err() != nil {
		return statusGone
	}
	r = httperr.Identify(w, r) // only now: most tiles need none
	a.Log(r.Context(), h.Log, req, httperr.RequestID(r.Context()))
	httperr.WriteProblem(w, r, a.Status, a.Problem.Detail, a.Problem.RetryAfter)
	return a.Status
}

// statusGone is reported to Observe if the client has closed the connection, as nginx
// does.
const statusGone = 499
