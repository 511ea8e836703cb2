package trace

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// Handler records a span for each request that next answers, named after the pattern of
// its route. Next is the handler of a route or a mux, or passes its request on to one
// unchanged.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := t.begin(r.Context(), "request", r.Header.Get("Traceparent"))
		r = r.WithContext(ctx)
		a := &answer{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			route := r.Pattern // set by the mux
			if route == "" {
				route = "none"
			}
			span.SetName(route)
			span.SetAttributes(attribute.String("http.route", route), attribute.String("http.request.method", method(r.Method)))
			end(span, a.status)
		}()
		next.ServeHTTP(a, r)
	})
}

// Tile returns a function that is called for each tile request: it returns the context of
// the response and a function to call with its status. Tile returns nil if t is nil.
func (t *Tracer) Tile() func(ctx context.Context, traceparent string) (context.Context, func(status int)) {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, traceparent string) (context.Context, func(status int)) {
		ctx, span := t.begin(ctx, "tile", traceparent)
		return ctx, func(status int) { end(span, status) }
	}
}

func (t *Tracer) begin(ctx context.Context, name, parent string) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(remote(ctx, parent), name, trace.WithSpanKind(trace.SpanKindServer))
	if id := httperr.RequestID(ctx); id != "" && span.IsRecording() {
		span.SetAttributes(attribute.String("ptiffstore.request.id", id))
	}
	return ctx, span
}

func end(span trace.Span, status int) {
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= 500 {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// method replaces unknown methods, which clients can invent, by one name.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "_OTHER"
}

// An answer records its status.
type answer struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (a *answer) WriteHeader(status int) {
	if !a.begun {
		a.status, a.begun = status, status >= 200
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] flush and set deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Transport records a span of that name for each request sent, and passes the trace on to
// the server.
func (t *Tracer) Transport(name string) func(http.RoundTripper) http.RoundTripper {
	if t == nil {
		return nil
	}
	return func(base http.RoundTripper) http.RoundTripper { return &transport{t, name, base} }
}

type transport struct {
	t    *Tracer
	name string
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := t.t.tracer.Start(r.Context(), t.name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", method(r.Method)), attribute.String("server.address", r.URL.Hostname())))
	defer span.End()
	r = r.Clone(ctx) // a RoundTripper must not change the request
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		span.SetStatus(codes.Error, "")
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
	if resp.StatusCode >= 500 {
		span.SetStatus(codes.Error, "")
	}
	return resp, nil
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] reach the transport.
func (t *transport) CloseIdleConnections() {
	(&http.Client{Transport: t.base}).CloseIdleConnections()
}
