// Package nethttp serves tiles through net/http: the adapter for the main port,
// where everything else is served as well.
package nethttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// A Handler answers the routes of tiles and hands everything else to Next.
type Handler struct {
	Tiles *tile.Server
	Next  http.Handler // nil: 404
	// Gate says whether the caller may have the tiles of an image; if it is nil,
	// everybody may.
	Gate *authz.Gate
	// SendOn, if not nil, is asked to send a caller, who may see the tile, to the server
	// that has the image's file; byFile tells that they named the file. It reports whether
	// it did.
	SendOn func(w http.ResponseWriter, r *http.Request, f *tile.File, byFile bool) bool
	// Timeout bounds the making of one tile, 30 s if 0.
	Timeout time.Duration
	// Observe, if not nil, is told of each answer to a request for a tile: its status,
	// the size of its body, and the time it took.
	Observe func(status, bytes int, d time.Duration)
	// Trace, if not nil, is told of each request for a tile, and what traceparent came
	// with it. It returns the context of the answer, and is told the answer's status.
	Trace func(ctx context.Context, traceparent string) (context.Context, func(status int))
	Log   *slog.Logger
}

// Values of headers that are the same in every answer, so that they are not
// allocated for each.
var (
	typeJPEG  = []string{"image/jpeg"}
	nosniff   = []string{"nosniff"}
	emptyTile = []string{"empty"}
	noStore   = []string{"no-store"}
	anyOrigin = []string{"cross-origin"}
	vary      = []string{"Authorization, Cookie"}
)

// ServeHTTP answers a tile request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req tile.Request
	if !tile.Parse(r.URL.Path, r.URL.RawQuery, &req) {
		h.next(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httperr.WriteError(w, r, &httperr.Error{Status: http.StatusMethodNotAllowed, Detail: "Tiles can only be read: use GET or HEAD."})
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
	status, bytes, err := h.serve(w, r, req)
	if err != nil {
		status = h.fail(w, r, req, err)
	}
	return status, bytes
}

func (h *Handler) next(w http.ResponseWriter, r *http.Request) {
	if h.Next != nil {
		h.Next.ServeHTTP(w, r)
		return
	}
	httperr.WriteError(w, r, &httperr.Error{Status: http.StatusNotFound, Detail: "There is nothing at this address."})
}

// serve answers with one tile, or returns why not before anything is written.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, req *tile.Request) (status, bytes int, err error) {
	im, byFile, err := h.Tiles.Find(req)
	if err := h.policy(w, r, req.ByFile && (h.Gate != nil || byFile || err != nil)); err != nil {
		return 0, 0, err
	}
	private := false
	if h.Gate != nil {
		if private, err = h.allow(w, r, req, im, byFile, err); err != nil {
			return 0, 0, err
		}
		if !byFile {
			w.Header()[authz.PolicyHeader] = anyOrigin // also by a route that takes names: told to those alone who may see it
		}
	} else if err != nil {
		return 0, 0, err
	}
	if f := &im.File; f.Store.Elsewhere != "" && h.SendOn != nil && h.SendOn(w, r, f, byFile) {
		return http.StatusTemporaryRedirect, 0, nil
	}
	a, err := im.Tile(r.Context(), &req.Address, r.Header.Get("If-None-Match"))
	if err != nil {
		return 0, 0, err
	}
	defer a.Release()
	a.Public = a.Public && !private
	head := w.Header()
	head["Etag"] = []string{a.ETag}
	head["Cache-Control"] = []string{a.CacheControl()}
	if a.Empty {
		head["X-Tile"] = emptyTile
	}
	if a.NotModified {
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified, 0, nil
	}
	head["Content-Type"] = typeJPEG
	head["X-Content-Type-Options"] = nosniff
	head["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	if r.Method == http.MethodHead {
		return http.StatusOK, 0, nil
	}
	w.Write(a.Body) // the client is gone if this fails
	return http.StatusOK, len(a.Body), nil
}

// policy says which pages may show the answer, and without access control refuses those
// of other sites that ask by the name of a file, whether there is one or not. A page that
// CORS lets read the answer may ask for it.
func (h *Handler) policy(w http.ResponseWriter, r *http.Request, named bool) error {
	head := w.Header()
	if !named {
		head[authz.PolicyHeader] = anyOrigin
		return nil
	}
	site := r.Header.Get("Sec-Fetch-Site")
	head.Set(authz.PolicyHeader, authz.Policy(true, h.Gate != nil, site))
	if h.Gate != nil {
		return nil
	}
	head.Add("Vary", "Sec-Fetch-Site")
	if head.Get("Access-Control-Allow-Origin") == "" && authz.CrossSite(site, r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")) {
		return authz.ErrCrossSite
	}
	return nil
}

// allow reports whether the answer is the caller's own, or returns why they get none.
// What was found, or the error of that, is nothing a stranger may learn of.
func (h *Handler) allow(w http.ResponseWriter, r *http.Request, req *tile.Request, im *tile.Image, byFile bool, found error) (private bool, err error) {
	target := authz.Target{Known: found == nil, Named: req.Image, InStore: req.Store, Names: req.ByFile, ByFile: byFile}
	if f := h.Tiles.Subject(im); f != nil {
		target.Store, target.Image, target.ExternalID, target.Public = f.Store.ID, f.ID, f.ExternalID, f.Store.Public
		target.HideLabels = f.Store.HideLabels
	}
	if !target.Checked() {
		return false, nil
	}
	head := w.Header()
	if old := head["Vary"]; len(old) > 0 {
		head["Vary"] = append(slices.Clip(old), vary[0])
	} else {
		head["Vary"] = vary
	}
	c := h.Gate.FromRequest(r)
	switch err := h.Gate.Tile(r.Context(), c, &target); {
	case errors.Is(err, authz.ErrUnknown):
		return true, tile.ErrNoImage
	case err != nil:
		return true, err
	}
	if byFile && h.Gate.ByAddress(&c, &target) {
		head[authz.PolicyHeader] = anyOrigin
	}
	return true, found
}

// fail answers with a problem, and logs what the operator must know: ids and
// numbers, never a file's name.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, req *tile.Request, err error) (status int) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return statusGone
	}
	r = httperr.Identify(w, r) // only now: most tiles need none
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		httperr.WriteProblem(w, r, e.Status, e.Detail, e.RetryAfter) // not logged: thousands may wait for a central server
		return e.Status
	}
	p := tile.Explain(err)
	if p.Status >= 500 && h.Log != nil {
		h.Log.LogAttrs(r.Context(), slog.LevelError, "tile not served", slog.Int("status", p.Status), req.LogAttr(), slog.String("request", httperr.RequestID(r.Context())), slog.Any("err", err))
	}
	w.Header()["Cache-Control"] = noStore
	httperr.WriteProblem(w, r, p.Status, p.Detail, p.RetryAfter)
	return p.Status
}

// statusGone is what an observer is told if nobody was there any more to be answered,
// as nginx has it.
const statusGone = 499
