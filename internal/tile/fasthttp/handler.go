// Package fasthttp serves tiles through fasthttp: the adapter for a process whose
// only work is tiles. It answers the very same as package nethttp, from the same
// room, for fewer microseconds of processor a tile.
package fasthttp

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

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
	// CORS, if not nil, sets the headers that let pages of other origins read tiles.
	CORS *httperr.LiveCORS
	// Guard, if not nil, refuses requests before anything else is looked at: by
	// Host, and by headers that a proxy has set.
	Guard func(host string, headers iter.Seq[string]) error
	// Proxies are those whose word is believed on whether a client came by TLS.
	Proxies httperr.Proxies
	Timeout time.Duration // bounds the answer to one request; 30 s if 0
	// Observe, if not nil, is told of each answer to a request for a tile: its status,
	// the size of its body, and the time it took but for sending it.
	Observe func(status, bytes int, d time.Duration)
	// Trace, if not nil, is told of each request for a tile, and what traceparent came
	// with it. It returns the context of the answer, and is told the answer's status.
	Trace func(ctx context.Context, traceparent string) (context.Context, func(status int))
	// Ending, if not nil, reports whether the process is about to end: each answer is
	// the last of its connection then.
	Ending func() bool
	// State, if not nil, is told what state a connection is in, as by net/http.
	State func(net.Conn, http.ConnState)
	// Hold, if not nil, is asked for the memory of large bodies and of answers that are no
	// tiles, until release is called. It reports whether there is so much.
	Hold func(bytes int64) (release func(), ok bool)
	Log  *slog.Logger
}

// Server returns a fasthttp server for h with the bounds that suit tiles.
func (h *Handler) Server() *fasthttp.Server {
	next := h.Next
	if next == nil {
		next = httperr.SecurityHeaders(h.Proxies, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			httperr.WriteProblem(w, r, http.StatusNotFound, "There is nothing at this address.", 0)
		}))
	}
	s := &server{Handler: *h, next: fasthttpadaptor.NewFastHTTPHandler(own(next))}
	if s.Timeout == 0 {
		s.Timeout = 30 * time.Second
	}
	var state func(net.Conn, fasthttp.ConnState)
	if h.State != nil {
		state = func(c net.Conn, st fasthttp.ConnState) { h.State(c, http.ConnState(st)) } // the same numbers
	}
	return &fasthttp.Server{
		Handler:                       s.handle,
		ErrorHandler:                  s.unreadable,
		HeaderReceived:                s.bodyLimit,
		ConnState:                     state,
		NoDefaultServerHeader:         true,
		NoDefaultContentType:          true,
		DisableHeaderNamesNormalizing: false,
		ReadTimeout:                   readTime,         // of head and body
		WriteTimeout:                  30 * time.Second, // of a tile
		IdleTimeout:                   120 * time.Second,
		ReadBufferSize:                8 << 10, // the longest request head
		MaxRequestBodySize:            smallBody,
		DisablePreParseMultipartForm:  true, // or bodies go to disk
		CloseOnShutdown:               true,
		ReduceMemoryUsage:             true, // idle connections hold no buffers
		Logger:                        discard{},
	}
}

// discard drops what fasthttp would log: addresses and raw requests.
type discard struct{}

func (discard) Printf(string, ...any) {}

type server struct {
	Handler
	next fasthttp.RequestHandler
}

func (s *server) handle(ctx *fasthttp.RequestCtx) {
	defer s.rescue(ctx)
	if s.Ending != nil {
		defer func() {
			if s.Ending() {
				ctx.SetConnectionClose()
			}
		}()
	}
	if s.Guard != nil {
		if err := s.Guard(text(ctx.Host()), headerNames(ctx)); err != nil {
			s.fail(ctx, nil, err)
			return
		}
	}
	s.crossOrigin(ctx)
	if malformed(ctx.Request.Header.RequestURI()) {
		s.fail(ctx, nil, errAddress)
		return
	}
	var req tile.Request
	uri := ctx.URI()
	if !tile.Parse(text(uri.Path()), text(uri.QueryString()), &req) {
		s.other(ctx)
		return
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		s.fail(ctx, &req, &httperr.Error{Status: http.StatusMethodNotAllowed, Detail: "Tiles can only be read: use GET or HEAD."})
		return
	}
	if s.Observe == nil {
		s.answer(ctx, &req)
		return
	}
	began := time.Now()
	s.answer(ctx, &req)
	s.Observe(ctx.Response.StatusCode(), len(ctx.Response.Body()), time.Since(began))
}

// answer answers with a tile or with a problem.
func (s *server) answer(ctx *fasthttp.RequestCtx, req *tile.Request) {
	if id := ctx.Request.Header.Peek(httperr.RequestIDHeader); len(id) > 0 && httperr.SaneRequestID(text(id)) {
		ctx.Response.Header.SetBytesV(httperr.RequestIDHeader, id)
	}
	var c context.Context = ctx
	if s.Trace != nil {
		var end func(status int)
		c, end = s.Trace(ctx, string(ctx.Request.Header.Peek("Traceparent")))
		defer func() { end(ctx.Response.StatusCode()) }()
	}
	if err := s.serve(c, ctx, req); err != nil {
		s.fail(ctx, req, err)
	}
}

// serve answers with one tile, or returns why not before anything is written.
func (s *server) serve(c context.Context, ctx *fasthttp.RequestCtx, req *tile.Request) error {
	im, byFile, err := s.Tiles.Find(req)
	if err := s.policy(ctx, req.ByFile && (s.Gate != nil || byFile || err != nil)); err != nil {
		return err
	}
	private := false
	if s.Gate != nil {
		if private, err = s.allow(c, ctx, req, im, byFile, err); err != nil {
			return err
		}
		if !byFile {
			ctx.Response.Header.Set(authz.PolicyHeader, "cross-origin") // also by a route that takes names: told to those alone who may see it
		}
	} else if err != nil {
		return err
	}
	a, err := im.Tile(c, &req.Address, text(ctx.Request.Header.Peek("If-None-Match")))
	if err != nil {
		return err
	}
	a.Public = a.Public && !private
	s.secure(ctx)
	head := &ctx.Response.Header
	head.Set("Etag", a.ETag)
	head.Set("Cache-Control", a.CacheControl())
	if a.Empty {
		head.Set("X-Tile", "empty")
	}
	if a.NotModified {
		ctx.Response.SkipBody = true
		ctx.SetStatusCode(http.StatusNotModified)
		return nil
	}
	head.SetContentType("image/jpeg")
	if ctx.IsHead() {
		ctx.Response.SkipBody = true
		head.SetContentLength(len(a.Body))
		a.Release()
		return nil
	}
	ctx.Response.SetBodyRaw(a.Body)
	ctx.SetUserValue(answerKey, &release{a})
	return nil
}

// policy says which pages may show the answer, and without access control refuses those
// of other sites that ask by the name of a file, whether there is one or not. A page that
// CORS lets read the answer may ask for it.
func (s *server) policy(ctx *fasthttp.RequestCtx, named bool) error {
	head := &ctx.Response.Header
	if !named {
		head.Set(authz.PolicyHeader, "cross-origin")
		return nil
	}
	sent := func(name string) string { return text(ctx.Request.Header.Peek(name)) }
	head.Set(authz.PolicyHeader, authz.Policy(true, s.Gate != nil, sent("Sec-Fetch-Site")))
	if s.Gate != nil {
		return nil
	}
	head.Add("Vary", "Sec-Fetch-Site")
	if len(head.Peek("Access-Control-Allow-Origin")) == 0 && authz.CrossSite(sent("Sec-Fetch-Site"), sent("Sec-Fetch-Mode"), sent("Sec-Fetch-Dest")) {
		return authz.ErrCrossSite
	}
	return nil
}

// allow reports whether the answer is the caller's own, or returns why they get none.
// What was found, or the error of that, is nothing a stranger may learn of.
func (s *server) allow(c context.Context, ctx *fasthttp.RequestCtx, req *tile.Request, im *tile.Image, byFile bool, found error) (private bool, err error) {
	target := authz.Target{Known: found == nil, Named: req.Image, InStore: req.Store, Names: req.ByFile, ByFile: byFile}
	if f := s.Tiles.Subject(im); f != nil {
		target.Store, target.Image, target.ExternalID, target.Public = f.Store.ID, f.ID, f.ExternalID, f.Store.Public
		target.HideLabels = f.Store.HideLabels
	}
	if !target.Checked() {
		return false, nil
	}
	ctx.Response.Header.Add("Vary", "Authorization, Cookie")
	head := &ctx.Request.Header
	from := s.Gate.Credential(text(head.Peek("Authorization")), text(head.Peek("Cookie")), text(ctx.URI().QueryString()))
	switch err := s.Gate.Tile(c, from, &target); {
	case errors.Is(err, authz.ErrUnknown):
		return true, tile.ErrNoImage
	case err != nil:
		return true, err
	}
	if byFile && s.Gate.ByAddress(&from, &target) {
		ctx.Response.Header.Set(authz.PolicyHeader, "cross-origin")
	}
	return true, found
}

const answerKey = "tile"

// release gives an answer's buffer back once fasthttp is done with the response:
// it closes user values that are closers when it resets the request.
type release struct{ a tile.Answer }

func (r *release) Close() error {
	r.a.Release()
	return nil
}

// rescue answers 500 to a panic: fasthttp itself would let it end the process.
func (s *server) rescue(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		id := requestID(ctx)
		if s.Log != nil {
			s.Log.Error("panic in handler", "request", id, "panic", p)
		}
		ctx.Response.Reset()
		s.problem(ctx, id, http.StatusInternalServerError, "Something went wrong in the server. The reason is in its log.", 0)
	}
}

// fail answers with a problem, and logs what the operator must know.
func (s *server) fail(ctx *fasthttp.RequestCtx, req *tile.Request, err error) {
	id := requestID(ctx)
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		s.problem(ctx, id, e.Status, e.Detail, e.RetryAfter)
		return
	}
	p := tile.Explain(err)
	if p.Status >= 500 && s.Log != nil && req != nil {
		s.Log.LogAttrs(context.Background(), slog.LevelError, "tile not served", slog.Int("status", p.Status), req.LogAttr(), slog.String("request", id), slog.Any("err", err))
	}
	s.problem(ctx, id, p.Status, p.Detail, p.RetryAfter)
}

// requestID is the id under which the log and a problem have a request: the client's
// own if it may be taken over.
func requestID(ctx *fasthttp.RequestCtx) string {
	if id := string(ctx.Request.Header.Peek(httperr.RequestIDHeader)); httperr.SaneRequestID(id) {
		return id
	}
	return httperr.NewRequestID()
}

func (s *server) problem(ctx *fasthttp.RequestCtx, id string, status int, detail string, retryAfter int) {
	head := &ctx.Response.Header
	ctx.SetStatusCode(status)
	s.secure(ctx)
	head.SetContentType(httperr.ProblemType)
	head.Set(httperr.RequestIDHeader, id)
	head.Set("Cache-Control", "no-store")
	if retryAfter > 0 {
		head.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if status == http.StatusUnauthorized {
		head.Set("WWW-Authenticate", "Bearer")
	}
	ctx.SetBody(httperr.NewProblem(status, detail, id).JSON())
}

// secure sets the headers that every answer has.
func (s *server) secure(ctx *fasthttp.RequestCtx) {
	secure := false
	if len(s.Proxies) > 0 {
		if at, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
			secure = s.Proxies.SecureFrom(at.AddrPort().Addr(), text(ctx.Request.Header.Peek("X-Forwarded-Proto")))
		}
	}
	httperr.SetSecurity(ctx.Response.Header.Set, secure)
}

// crossOrigin sets the headers that let pages of other origins read the answer, and
// those for caches if there is no origin.
func (s *server) crossOrigin(ctx *fasthttp.RequestCtx) {
	if s.CORS != nil {
		s.CORS.Set(string(ctx.Request.Header.Peek("Origin")), ctx.Response.Header.Set)
	}
}

// headerNames yields the names of the request's headers.
func headerNames(ctx *fasthttp.RequestCtx) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range ctx.Request.Header.All() {
			if !yield(text(k)) {
				return
			}
		}
	}
}

// text is b as a string that lives no longer than the request: fasthttp uses the
// bytes again for the next one.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
