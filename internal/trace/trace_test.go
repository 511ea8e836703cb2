package trace

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// A collector receives spans like an OpenTelemetry collector.
type collector struct {
	mu     sync.Mutex
	spans  []*tracepb.Span
	header http.Header
	path   string
	status int
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var all tracepb.TracesData
	err := proto.Unmarshal(b, &all)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header, c.path = r.Header, r.URL.Path
	for _, of := range all.ResourceSpans {
		for _, s := range of.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
	if err != nil || c.status != 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// attributes returns a span's attributes as text.
func attributes(s *tracepb.Span) map[string]string {
	m := map[string]string{}
	for _, a := range s.Attributes {
		m[a.Key] = a.Value.String()
	}
	return m
}

func environment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES",
	} {
		t.Setenv(name, set[name])
	}
}

// Requests, tasks and outgoing requests are spans of one trace, with patterns, ids and
// outcomes.
func TestSpans(t *testing.T) {
	c := &collector{}
	at := httptest.NewServer(c)
	defer at.Close()
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": at.URL + "/", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b, x-other=c"})
	tr, err := Open(t.Context(), Options{Mode: "serve", Version: "v1"})
	if err != nil || tr == nil {
		t.Fatalf("Open: %v, %v", tr, err)
	}
	parent, received := "", ""
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received = r.Header.Get("Traceparent") }))
	defer other.Close()
	client := &http.Client{Transport: tr.Transport("ask")(http.DefaultTransport)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /images/{image}", func(w http.ResponseWriter, r *http.Request) {
		parent = tr.Parent(r.Context())
		req, _ := http.NewRequestWithContext(Carry(r.Context(), context.Background()), "GET", other.URL+"/MUSTER?q=ERIKA", nil)
		if resp, err := client.Do(req); err != nil {
			t.Error(err)
		} else {
			resp.Body.Close()
		}
		w.WriteHeader(http.StatusBadGateway)
	})
	const from = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	r := httptest.NewRequest("GET", "/images/MUSTER^ERIKA?q=MUSTER", nil)
	r.Header.Set("Traceparent", from)
	r.Header.Set("Tracestate", "who=MUSTER")
	r.Header.Set("X-Request-Id", "request-0001")
	httperr.WithRequestID(tr.Handler(mux)).ServeHTTP(httptest.NewRecorder(), r)
	_, end := tr.Task(t.Context(), Task{ID: "t1", Kind: "sync_store", Queue: "default", Store: "s1", Attempt: 1, Request: "request-0001", Parent: parent})
	end("failed", true)
	_, tile := tr.Tile()(t.Context(), from)
	tile(200)
	_, unwanted := tr.Tile()(t.Context(), strings.TrimSuffix(from, "1")+"0") // says that it is not to be traced
	unwanted(200)
	_, rare := tr.Tile()(t.Context(), "") // of the share, which is 0
	rare(200)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.path != "/v1/traces" || c.header.Get("X-Key") != "a b" || c.header.Get("X-Other") != "c" || c.header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("sent to %s with %v", c.path, c.header)
	}
	got := map[string]map[string]string{}
	for _, s := range c.spans {
		got[s.Name] = attributes(s)
		if id := "4bf92f3577b34da6a3ce929d0e0e4736"; id != hex(s.TraceId) || s.TraceState != "" {
			t.Errorf("%s is of the trace %s with the state %q", s.Name, hex(s.TraceId), s.TraceState)
		}
		if strings.Contains(s.String(), "MUSTER") || strings.Contains(s.String(), "ERIKA") {
			t.Errorf("a name is in the span %s", s)
		}
	}
	host := strings.Split(strings.TrimPrefix(other.URL, "http://"), ":")[0]
	want := map[string]map[string]string{
		"GET /images/{image}": {
			"http.route": `string_value:"GET /images/{image}"`, "http.request.method": `string_value:"GET"`,
			"http.response.status_code": "int_value:502", "ptiffstore.request.id": `string_value:"request-0001"`,
		},
		"ask": {"http.request.method": `string_value:"GET"`, "server.address": `string_value:"` + host + `"`, "http.response.status_code": "int_value:200"},
		"task sync_store": {
			"ptiffstore.task.id": `string_value:"t1"`, "ptiffstore.task.kind": `string_value:"sync_store"`, "ptiffstore.task.queue": `string_value:"default"`,
			"ptiffstore.store": `string_value:"s1"`, "ptiffstore.task.attempt": "int_value:1", "ptiffstore.request.id": `string_value:"request-0001"`,
			"ptiffstore.task.outcome": `string_value:"failed"`,
		},
		"tile": {"http.response.status_code": "int_value:200"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("spans (-want +got):\n%s", d)
	}
	if !strings.HasPrefix(received, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || strings.Contains(received, "00f067aa0ba902b7") {
		t.Errorf("the other side received %q", received)
	}
}

func hex(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestOff(t *testing.T) {
	for name, set := range map[string]map[string]string{
		"nothing named": {},
		"switched off":  {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		"no exporter":   {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		environment(t, set)
		tr, err := Open(t.Context(), Options{})
		if tr != nil || err != nil {
			t.Errorf("%s: %v, %v", name, tr, err)
		}
		next := http.NewServeMux()
		if h := tr.Handler(next); h != http.Handler(next) || tr.Tile() != nil || tr.Transport("x") != nil || tr.Parent(t.Context()) != "" || tr.Close(t.Context()) != nil {
			t.Errorf("%s: something is between", name)
		}
		ctx, end := tr.Task(t.Context(), Task{ID: "t1", Request: "r1"})
		end("done", false)
		if httperr.RequestID(ctx) != "r1" {
			t.Errorf("%s: the task has lost its request", name)
		}
	}
	for name, set := range map[string]map[string]string{
		"gRPC":       {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		"no URL":     {"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"},
		"no header":  {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_HEADERS": "secret"},
		"a bad list": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_RESOURCE_ATTRIBUTES": "nonsense"},
	} {
		environment(t, set)
		if tr, err := Open(t.Context(), Options{}); err == nil || tr != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v, want it refused", name, tr, err)
		}
	}
}

// An unreachable collector only causes an occasional log line.
func TestCollectorUnreachable(t *testing.T) {
	environment(t, nil)
	c := &collector{status: 503}
	at := httptest.NewServer(c)
	defer at.Close()
	var log bytes.Buffer
	tr, err := Open(t.Context(), Options{Endpoint: at.URL, Share: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, end := tr.Tile()(t.Context(), "")
		end(200)
		if err := tr.provider.ForceFlush(t.Context()); err != nil {
			newComplaints(nil).Handle(err)
		}
	}
	tr.Close(t.Context())
	if len(c.spans) != 3 || strings.Count(log.String(), "traces are lost") > 1 {
		t.Errorf("%d spans were sent; the log: %s", len(c.spans), &log)
	}
}

func TestLogHandler(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(LogHandler(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	ctx, _ := (*Tracer)(nil).Task(t.Context(), Task{ID: "t1", Request: "r1"})
	log.With("a", 1).InfoContext(ctx, "within a task")
	log.InfoContext(ctx, "said already", "request", "r2", "task", "t1")
	log.Info("of nothing")
	log.InfoContext(remote(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), "traced")
	const want = `level=INFO msg="within a task" a=1 request=r1 task=t1
level=INFO msg="said already" request=r2 task=t1
level=INFO msg="of nothing"
level=INFO msg=traced trace=4bf92f3577b34da6a3ce929d0e0e4736
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// BenchmarkTile measures tiles with and without a recorded span.
func BenchmarkTile(b *testing.B) {
	at := httptest.NewServer(&collector{})
	defer at.Close()
	for name, share := range map[string]float64{"none": 0, "all": 1} {
		b.Run(name, func(b *testing.B) {
			tr, err := Open(b.Context(), Options{Endpoint: at.URL, Share: share})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				tr.Close(ctx)
			}()
			tile := tr.Tile()
			b.ReportAllocs()
			for b.Loop() {
				_, end := tile(b.Context(), "")
				end(200)
			}
		})
	}
}
