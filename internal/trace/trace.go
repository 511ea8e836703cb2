// Package trace follows a request through the program, by OpenTelemetry spans and by
// common attributes of log lines. Spans are sent to a collector by OTLP over HTTP;
// without a collector the package records none, at no cost.
//
// A span has the pattern of its route, never a path or a query, and ids: no patient data.
package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// Options configure where spans are sent. The standard variables
// OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES and OTEL_TRACES_SAMPLER apply too.
type Options struct {
	// Endpoint is the base URL of a collector, such as http://127.0.0.1:4318; if empty,
	// the environment's.
	Endpoint string
	// Share is the share of requests that are traced, from 0 to 1, among those whose
	// client has not decided it.
	Share   float64
	Mode    string // of the process: serve, tileserver, worker
	Version string
	Log     *slog.Logger
}

// A Tracer records spans and sends them. A nil Tracer records none. It is safe for
// concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Open returns a tracer, or nil if neither options nor environment name a collector. It
// does not check whether the collector is reachable: until it is, spans are lost.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	s, err := newSender(o.Endpoint)
	if err != nil || s == nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("cannot start the trace exporter: %w", err)
	}
	// The command line and the environment of the process are not among them: they
	// contain names of folders.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "ptiffstore"), attribute.String("service.version", o.Version), attribute.String("ptiffstore.mode", o.Mode),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	options := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(about)}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Share))))
	}
	otel.SetErrorHandler(newComplaints(o.Log))
	p := sdk.NewTracerProvider(options...)
	return &Tracer{provider: p, tracer: p.Tracer("github.com/slideatlas/ptiffstore")}, nil
}

// Close sends the remaining spans.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// complaints logs the library's errors, at most one per minute.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64 // nanoseconds of the Unix epoch
}

func newComplaints(log *slog.Logger) *complaints {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &complaints{log: log}
}

// Handle implements [otel.ErrorHandler].
func (c *complaints) Handle(err error) {
	now, last := time.Now().UnixNano(), c.last.Load()
	if now-last > int64(time.Minute) && c.last.CompareAndSwap(last, now) {
		c.log.Warn("traces are lost", "err", err)
	}
}

// A Task describes an attempt at a task, as far as spans need it.
type Task struct {
	ID, Kind, Queue, Store string
	Attempt                int
	Request                string // id of the request that submitted it, or ""
	Parent                 string // the result of [Tracer.Parent] at that time
}

// Task begins the span of an attempt at a task, as a child of the request that submitted
// it. The caller calls the returned function with the outcome.
func (t *Tracer) Task(ctx context.Context, k Task) (context.Context, func(outcome string, failed bool)) {
	ctx = httperr.ContextWithRequestID(context.WithValue(ctx, taskKey{}, k.ID), k.Request)
	if t == nil {
		return ctx, func(string, bool) {}
	}
	ctx, span := t.tracer.Start(remote(ctx, k.Parent), "task "+k.Kind, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("ptiffstore.task.id", k.ID), attribute.String("ptiffstore.task.kind", k.Kind), attribute.String("ptiffstore.task.queue", k.Queue),
		attribute.String("ptiffstore.store", k.Store), attribute.Int("ptiffstore.task.attempt", k.Attempt), attribute.String("ptiffstore.request.id", k.Request),
	))
	return ctx, func(outcome string, failed bool) {
		span.SetAttributes(attribute.String("ptiffstore.task.outcome", outcome))
		if failed { // the reason is in the task: an error may contain too much
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Parent returns the W3C traceparent of ctx, or "" if it is not traced.
func (t *Tracer) Parent(ctx context.Context) string {
	if t == nil {
		return ""
	}
	header := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, header)
	return header["traceparent"]
}

// remote returns a context that is a child of the span of a traceparent. It ignores
// tracestate, which has arbitrary content.
func remote(ctx context.Context, parent string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

// Carry returns the context to with the span of from.
func Carry(from, to context.Context) context.Context {
	return trace.ContextWithSpanContext(to, trace.SpanContextFromContext(from))
}

var errProtocol = errors.New("unsupported OTEL_EXPORTER_OTLP_PROTOCOL: use http/protobuf and the HTTP port of the collector, usually 4318")

// endpoint returns the URL to which spans are sent, or "".
func endpoint(flag string) (string, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return "", nil
	}
	base := flag
	if base == "" {
		if whole := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); whole != "" {
			return whole, protocol()
		}
		if base = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); base == "" {
			return "", nil
		}
	}
	return strings.TrimSuffix(base, "/") + "/v1/traces", protocol()
}

func protocol() error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return errProtocol
		}
	}
	return nil
}
