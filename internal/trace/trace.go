// Package trace follows a request through the program: by spans for OpenTelemetry, and
// by what the lines of the log have in common. Spans are sent to a collector by OTLP
// over HTTP; without a collector there are none, and nothing is spent on them.
//
// A span holds the pattern of its route, never a path or a query, and ids: nothing of
// patients.
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

// Options say where spans go. The standard variables OTEL_EXPORTER_OTLP_ENDPOINT,
// OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and
// OTEL_TRACES_SAMPLER count, too.
type Options struct {
	// Endpoint is the base URL of a collector, such as http://127.0.0.1:4318; the
	// environment's if empty.
	Endpoint string
	// Share is how many of the requests are traced that do not say themselves whether
	// they are to be, from 0 to 1.
	Share   float64
	Mode    string // of the process: serve, tileserver, worker
	Version string
	Log     *slog.Logger
}

// A Tracer makes spans and sends them. A nil one makes none. It is safe for concurrent
// use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Open returns a tracer, nil if neither options nor environment name a collector. That
// the collector can be reached is not looked at: it may come later, and until then
// spans are lost.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	s, err := newSender(o.Endpoint)
	if err != nil || s == nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	// Neither the command line nor the environment of the process is among them: they
	// name folders.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "ptiffstore"), attribute.String("service.version", o.Version), attribute.String("ptiffstore.mode", o.Mode),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("trace: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	options := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(about)}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Share))))
	}
	otel.SetErrorHandler(newComplaints(o.Log))
	p := sdk.NewTracerProvider(options...)
	return &Tracer{provider: p, tracer: p.Tracer("github.com/slideatlas/ptiffstore")}, nil
}

// Close sends what has not been sent.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// complaints logs what the library has to say, at most once a minute.
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

// A Task is an attempt at one, as far as a span tells.
type Task struct {
	ID, Kind, Queue, Store string
	Attempt                int
	Request                string // id of the request that submitted it; "" if none did
	Parent                 string // what [Tracer.Parent] gave then
}

// Task begins an attempt at a task: its span is below that of the request which
// submitted it. The function that is returned is to be called with what became of it.
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
		if failed { // why is with the task: an error may say too much
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Parent is the W3C traceparent of what ctx belongs to, "" if that is not traced.
func (t *Tracer) Parent(ctx context.Context) string {
	if t == nil {
		return ""
	}
	header := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, header)
	return header["traceparent"]
}

// remote returns a context below the span that a traceparent names. The tracestate that
// may come with one is left: it is anything that anybody likes.
func remote(ctx context.Context, parent string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

// Carry returns to with the span that from belongs to.
func Carry(from, to context.Context) context.Context {
	return trace.ContextWithSpanContext(to, trace.SpanContextFromContext(from))
}

var errProtocol = errors.New("trace: OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken here: name that, and the collector's port for HTTP, which usually is 4318")

// endpoint is where spans are sent, "" for nowhere.
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
