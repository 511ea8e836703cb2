// Package fasthttp serves tiles with fasthttp. It is the handler for processes that serve
// tiles only. Its answers are the same as those of package nethttp and take less processor
// time.
package fasthttp

import (
	"bytes"
	"context"
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
	"github.com/slideatlas/ptiffstore/internal/tile/answer"
)

// A Handler serves the routes of tiles and passes all other requests to Next.
type Handler struct {
	Tiles *tile.Server
	Next  http.Handler // nil: 404
	// Gate checks access to the tiles of an image; nil for no access control.
	Gate *authz.Gate
	// CORS, if not nil, sets the headers that let pages of other origins read tiles.
	CORS *httperr.LiveCORS
	// Guard, if not nil, is called first for every request, and rejects it with an error:
	// by Host, and by the names of its headers, which a proxy may have set.
	Guard func(host string, headers iter.Seq[string]) error
	// Proxies are trusted to report whether a client uses TLS.
	Proxies httperr.Proxies
	// Observe, if not nil, is called after each request for a tile with the status, the
	// size of the body in bytes, and the duration without sending.
	Observe func(status, bytes int, d time.Duration)
	// Trace, if not nil, is called for each request for a tile with its traceparent
	// header. It returns the context of the request and a function to call with the
	// status.
	Trace func(ctx context.Context, traceparent string) (context.Context, func(status int))
	// Ending, if not nil, reports whether the process is shutting down: each answer then
	// closes its connection.
	Ending func() bool
	// State, if not nil, is called when a connection changes its state, as in net/http.
	State func(net.Conn, http.ConnState)
	// Hold, if not nil, reserves memory for large bodies and for answers other than tiles
	// until release is called. It reports false if there is not enough.
	Hold func(bytes int64) (release func(), ok bool)
	// Join, if not nil, is called before an answer with a body of so many bytes is written at
	// once, so that the connection can write head and body together.
	Join func(c net.Conn, body int)
	Log  *slog.Logger
}

// Server returns a fasthttp server for h with limits that suit tiles.
func (h *Handler) Server() *fasthttp.Server {
	next := h.Next
	if next == nil {
		next = httperr.SecurityHeaders(h.Proxies, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			httperr.WriteProblem(w, r, http.StatusNotFound, "There is nothing at this address.", 0)
		}))
	}
	s := &server{Handler: *h, next: fasthttpadaptor.NewFastHTTPHandler(own(next))}
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

// discard discards the log of fasthttp, which contains addresses and raw requests.
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
			s.fail(ctx, err)
			return
		}
	}
	s.crossOrigin(ctx)
	if malformed(ctx.Request.Header.RequestURI()) {
		s.fail(ctx, errAddress)
		return
	}
	var req tile.Request
	uri := ctx.URI()
	if !tile.Parse(text(uri.Path()), text(uri.QueryString()), &req) {
		s.other(ctx)
		return
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set("Allow", answer.Methods)
		s.fail(ctx, answer.ErrMethod)
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
	c := context.Background() // what uses it may outlive the request; fasthttp reuses ctx
	if s.Trace != nil {
		var end func(status int)
		c, end = s.Trace(c, string(ctx.Request.Header.Peek("Traceparent")))
		defer func() { end(ctx.Response.StatusCode()) }()
	}
	s.serve(c, ctx, req)
}

// serve answers with one tile or with a problem.
func (s *server) serve(c context.Context, ctx *fasthttp.RequestCtx, req *tile.Request) {
	head := &ctx.Response.Header
	d := answer.Decider{Tiles: s.Tiles, Gate: s.Gate}
	q := answer.Request{Request: *req, Query: text(ctx.URI().QueryString()), CORS: len(head.Peek("Access-Control-Allow-Origin")) > 0}
	header := func(name string) string {
		if name == "If-None-Match" {
			if all := ctx.Request.Header.PeekAll(name); len(all) > 1 {
				return string(bytes.Join(all, []byte(", ")))
			}
		}
		return text(ctx.Request.Header.Peek(name))
	}
	a := d.Check(c, &q, header)
	head.Set(authz.PolicyHeader, a.Policy)
	if a.Vary != "" {
		head.Add("Vary", a.Vary)
	}
	if a.Err == nil {
		d.Tile(c, &q, header, &a)
	}
	if a.Err != nil {
		id := requestID(ctx)
		a.Log(context.Background(), s.Log, req, id)
		s.problem(ctx, id, a.Problem)
		return
	}
	s.writeTile(ctx, &a)
}

// writeTile writes the tile and its headers.
func (s *server) writeTile(ctx *fasthttp.RequestCtx, a *answer.Answer) {
	s.secure(ctx)
	head := &ctx.Response.Header
	ctx.SetStatusCode(a.Status)
	head.Set("Etag", a.Tile.ETag)
	head.Set("Cache-Control", a.Tile.CacheControl())
	if a.Tile.Empty {
		head.Set("X-Tile", "empty")
	}
	if a.Tile.NotModified {
		ctx.Response.SkipBody = true
		return
	}
	head.SetContentType("image/jpeg")
	if ctx.IsHead() {
		ctx.Response.SkipBody = true
		head.SetContentLength(len(a.Tile.Body))
		a.Tile.Release()
		return
	}
	ctx.Response.SetBodyRaw(a.Tile.Body)
	ctx.SetUserValue(answerKey, &release{a.Tile})
	if s.Join != nil {
		s.Join(ctx.Conn(), len(a.Tile.Body)) // last: nothing else is written after it
	}
}

const answerKey = "tile"

// release releases an answer when fasthttp has sent the response: fasthttp closes user
// values that implement [io.Closer] when it resets the request.
type release struct{ a tile.Answer }

func (r *release) Close() error {
	r.a.Release()
	return nil
}

// rescue answers 500 after a panic, which would otherwise end the process.
func (s *server) rescue(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		id := requestID(ctx)
		if s.Log != nil {
			s.Log.Error("panic in handler", "request", id, "panic", p)
		}
		ctx.Response.Reset()
		if s.Join != nil {
			s.Join(ctx.Conn(), 0)
		}
		s.problem(ctx, id, tile.Problem{Status: http.StatusInternalServerError, Detail: "Something went wrong in the server. The reason is in its log."})
	}
}

// fail answers with the problem of err.
func (s *server) fail(ctx *fasthttp.RequestCtx, err error) {
	s.problem(ctx, requestID(ctx), answer.Explain(err))
}

// requestID returns the id of a request for the log and problems: that of the client if it
// is acceptable.
func requestID(ctx *fasthttp.RequestCtx) string {
	if id := string(ctx.Request.Header.Peek(httperr.RequestIDHeader)); httperr.SaneRequestID(id) {
		return id
	}
	return httperr.NewRequestID()
}

func (s *server) problem(ctx *fasthttp.RequestCtx, id string, p tile.Problem) {
	head := &ctx.Response.Header
	ctx.SetStatusCode(p.Status)
	s.secure(ctx)
	head.SetContentType(httperr.ProblemType)
	head.Set(httperr.RequestIDHeader, id)
	head.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		head.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		head.Set("WWW-Authenticate", "Bearer")
	}
	ctx.SetBody(httperr.NewProblem(p.Status, p.Detail, id).JSON())
}

// secure sets the security headers that every answer has.
func (s *server) secure(ctx *fasthttp.RequestCtx) {
	secure := false
	if len(s.Proxies) > 0 {
		if at, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
			secure = s.Proxies.SecureFrom(at.AddrPort().Addr(), text(ctx.Request.Header.Peek("X-Forwarded-Proto")))
		}
	}
	httperr.SetSecurity(ctx.Response.Header.Set, secure)
}

// crossOrigin sets the CORS headers, and Vary also without an origin.
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

// text returns b as a string without copying. It is valid only until the request ends, as
// fasthttp reuses the bytes.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
