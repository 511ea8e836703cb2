// Package api is the JSON API: stores, images and their pictures, described by
// an OpenAPI 3.1 document that it serves.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/ingest"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// An API answers everything under /api/v1 but tiles, and the routes of clients
// older than it.
type API struct {
	Catalog *catalog.Catalog
	Tiles   *tile.Server
	Maker   *rendercache.Maker
	Version string
	// PublicURL is where clients reach this server; if it is empty, where they say they have.
	PublicURL string
	Log       *slog.Logger

	// Access says who may do what. If it is nil there is no access control: everybody
	// may see everything, and change it if Admin says so.
	Access *Access
	// Admin says whether the caller may change things, and see folders and hosts,
	// where there is no access control. If it is nil, nobody may.
	Admin func(*http.Request) bool
	// Jobs are the tasks. A server that has none, because it only reads, answers
	// requests for them with 503.
	Jobs *task.Jobs
	// StoreRoots are the folders in or below which the folders of stores that are
	// added or changed over HTTP must lie. If there are none, no store can be.
	StoreRoots []string
	// Watching, if not nil, says how each store is being watched, by id.
	Watching func() map[string]ingest.Status
	// Endpoints, if not nil, says of each endpoint of a store, by its URL, why it can't be
	// reached from here; "" if it can. One that is not in it was not asked yet.
	Endpoints func() map[string]string
	// Remove takes an image out of all lists, Restore brings it back, and Retry has
	// its file looked at anew. Where they are nil the answer is 503.
	Remove, Restore, Retry func(ctx context.Context, image string) error
	// Closing, if not nil, is closed when the server ends: streams end then.
	Closing   <-chan struct{}
	Heartbeat time.Duration // of streams; 15 s if 0

	routes []string // patterns of what has been registered
}

// init says how errors look, and that keys are written exactly as they are, which huma
// has once for the whole process: set any later, one API would write what another is
// reading.
func init() {
	huma.ValidateStrictCasing = true
	huma.NewError = newError
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return newError(status, msg, errs...)
	}
}

// Register adds the routes to mux.
func (a *API) Register(mux *http.ServeMux) {
	config := huma.DefaultConfig("ptiffstore", a.Version)
	config.Info.Description = "Whole-slide images: stores, images, tiles."
	config.OpenAPIPath = "/openapi"
	config.DocsPath = "" // the page comes from elsewhere by default; ours is served below
	config.CreateHooks = nil
	config.Formats = formats()
	config.Transformers = append(config.Transformers, traced)
	g := guarded{a, mux}
	h := humago.New(g, config)
	h.UseMiddleware(strictQuery(h))
	a.stores(h)
	a.images(h)
	a.tasks(h)
	a.sessions(h)
	a.users(h)
	a.groups(h)
	a.tokens(h)
	a.grants(h)
	for _, r := range slices.Concat(a.pictures(), a.viewers(), a.older(), a.lists(), a.edges(), a.provider(), uploadRoutes(), a.elsewhere()) {
		r.register(g)
		r.describe(h.OpenAPI())
	}
	g.HandleFunc("GET /docs", docs)
	g.HandleFunc("GET /docs.js", docsJS)
}

// formats are those of bodies: JSON. What a body is validated as, and what the handler
// is given, are two decodings of it, and the second refuses all in which they could
// differ.
func formats() map[string]huma.Format {
	strict := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(data []byte, v any) error {
		if _, validated := v.(*any); validated {
			return json.Unmarshal(data, v) // what fails here is 400, and 422 in the other
		}
		return strictjson.Unmarshal(data, v)
	}}
	return map[string]huma.Format{"application/json": strict, "json": strict}
}

// RegisterPictures adds the routes of pictures that are no tiles, the older
// clients' routes among them: what a tile server has to answer too.
func (a *API) RegisterPictures(mux *http.ServeMux) {
	for _, r := range slices.Concat(a.pictures(), a.viewers(), a.older()) {
		r.register(guarded{a, mux})
	}
}

// mayChange returns the refusal of those who may not change things.
func mayChange(ctx context.Context) error {
	if isAdmin(ctx) {
		return nil
	}
	return newError(http.StatusForbidden, "Only an admin may do this.")
}

// problems say what each status of an operation means there.
type problems map[int]string

// register adds an operation with the problems that it may answer with, beside
// those that any may.
func register[I, O any](h huma.API, op huma.Operation, p problems, f func(context.Context, *I) (*O, error)) {
	words := problems{
		http.StatusUnprocessableEntity: "The request is not valid: detail and errors say what is wrong with it.",
		http.StatusInternalServerError: "Something went wrong in the server. The reason is in its log.",
		http.StatusServiceUnavailable:  "The database does not answer. Retry-After says when to ask again.",
	}
	maps.Copy(words, p)
	if op.Method != http.MethodGet {
		words[http.StatusInsufficientStorage] = "A disk is full. Nothing was changed."
	}
	if op.Method != http.MethodGet && words[http.StatusForbidden] == "" {
		words[http.StatusForbidden] = "Only an admin may do this."
	}
	op.Errors = slices.Sorted(maps.Keys(words))
	op.Responses = map[string]*huma.Response{}
	huma.Register(h, op, f)
	for status, text := range words {
		op.Responses[strconv.Itoa(status)].Description = text
	}
}

// problem is the error model of every operation: RFC 9457.
type problem struct {
	httperr.Problem
	Errors []string `json:"errors,omitempty" doc:"What is wrong with the request, where there is more than one thing."`
}

func (p *problem) Error() string             { return p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return httperr.ProblemType }

func newError(status int, msg string, errs ...error) huma.StatusError {
	p := &problem{Problem: httperr.NewProblem(status, msg, "")}
	for _, err := range errs {
		var of *huma.ErrorDetail
		switch {
		case errors.As(err, &of): // its text repeats the whole of what was sent
			p.Errors = append(p.Errors, of.Location+": "+of.Message)
		case err != nil:
			p.Errors = append(p.Errors, err.Error())
		}
	}
	if status == http.StatusUnprocessableEntity && len(p.Errors) > 0 { // huma says no more than that validation failed
		p.Detail = "The request is not valid: " + p.Errors[0] + "."
	}
	return p
}

// traced gives a problem the id under which the log has its request, and keeps
// it out of caches. It runs before the header is written.
func traced(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*problem); ok {
		p.Instance = httperr.NewProblem(p.Status, p.Detail, httperr.RequestID(ctx.Context())).Instance
		ctx.SetHeader("Cache-Control", "no-store")
		ctx.SetHeader("X-Content-Type-Options", "nosniff")
	}
	return v, nil
}

// failed turns an error of the catalog into an answer.
func (a *API) failed(ctx context.Context, err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		return a.answered(ctx, e)
	}
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return newError(http.StatusNotFound, "There is nothing of that id here.")
	case errors.Is(err, catalog.ErrBadCursor):
		return newError(http.StatusBadRequest, "The cursor is not one of this list: begin again without it.")
	case errors.Is(err, catalog.ErrAway):
		a.Log.WarnContext(ctx, "catalog out of reach", "request", httperr.RequestID(ctx), "err", err)
		return huma.ErrorWithHeaders(newError(http.StatusServiceUnavailable, "The database does not answer. Ask again in a moment."), http.Header{"Retry-After": {"5"}})
	case errors.Is(err, catalog.ErrFull):
		a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", err)
		return full("The disk of the database is full. Nothing was changed.")
	case errors.Is(err, ingest.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", err)
		return full("The disk is full. Nothing was changed.")
	case errors.Is(ctx.Err(), context.Canceled):
		return newError(499, "The client went away.")
	}
	a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", err)
	return newError(http.StatusInternalServerError, "Something went wrong in the server. The reason is in its log.")
}

// full is the answer when there is no room on a disk.
func full(detail string) error {
	return huma.ErrorWithHeaders(newError(http.StatusInsufficientStorage, detail), http.Header{"Retry-After": {"60"}})
}

// answered is an error of the room httperr as an operation answers it.
func (a *API) answered(ctx context.Context, e *httperr.Error) error {
	if e.Status >= 500 {
		a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", e.Err)
	}
	h := http.Header{}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return huma.ErrorWithHeaders(newError(e.Status, e.Detail), h)
}
