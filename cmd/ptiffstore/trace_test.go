package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector records the spans that it receives, and the bodies of the requests.
type collector struct {
	mu    sync.Mutex
	text  strings.Builder
	spans map[string]bool // "mode, trace, name"
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var all tracepb.TracesData
	if err := proto.Unmarshal(b, &all); err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintln(&c.text, r.URL, r.Header, all.String())
	for _, of := range all.ResourceSpans {
		mode := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "ptiffstore.mode" {
				mode = a.Value.GetStringValue()
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans[mode+", "+hex.EncodeToString(s.TraceId)+", "+s.Name] = true
			}
		}
	}
}

// has reports whether a span has arrived.
func (c *collector) has(span string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[span]
}

// TestTraces follows a task from the request that submits it to the worker that runs it,
// and a tile from a tile server to the central server: by spans, and by the request id.
func TestTraces(t *testing.T) {
	c := &collector{spans: map[string]bool{}}
	at := httptest.NewServer(c)
	defer at.Close()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50") // milliseconds
	otlp := "--otlp-endpoint=" + at.URL
	const name = patient + " 1.tiff"
	dir := slidesIn(t, map[string]*slideFile{name: philips})
	o := newOffice(t)
	s := start(t, "serve", dir, "--data", o.data, "--auth", "local", "--no-worker", "--no-admin-link", otlp)
	o.says(goodPassword+"\n", "user", "add", patient, "--admin")
	token := "Bearer " + o.says("", "token", "add", "--user", patient, "--scope", "admin")
	log := &logBuffer{}
	stop := startWorkerLogging(t, log, "--data", o.data, otlp)
	defer stop()
	store := storeOf(t, s, token)

	task, tile := strings.Repeat("a1", 16), strings.Repeat("b2", 16)
	parent := func(id string) string { return "00-" + id + "-00f067aa0ba902b7-01" }
	a := s.ask("POST", "/api/v1/stores/"+store+"/sync?resync=true", "Authorization", token, "X-Request-Id", "click-0001", "Traceparent", parent(task), "Tracestate", "who="+patient)
	var submitted struct {
		ID        string
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(a.body), &submitted); err != nil || submitted.RequestID != "click-0001" || a.header.Get("X-Request-Id") != "click-0001" {
		t.Fatalf("sync: %d %s %v, want it to know its request", a.status, a.body, err)
	}
	for _, span := range []string{"serve, " + task + ", POST /api/v1/stores/{store}/sync", "worker, " + task + ", task resync_store"} {
		await(t, span, func() bool { return c.has(span) })
	}
	for _, words := range []string{"request=click-0001", "task=" + submitted.ID, "trace=" + task} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("the worker's log lacks %s: %s", words, log)
		}
	}
	if out := o.says("", "task", "show", submitted.ID); !strings.Contains(out, "click-0001") {
		t.Errorf("task show prints %s", out)
	}

	ts := beside(t, o.data, "--auth", "central", "--central", s.url, otlp)
	id := ""
	await(t, "the slide", func() bool {
		var page struct{ Items []imageJSON }
		json.Unmarshal([]byte(s.get("/api/v1/images", "Authorization", token).body), &page)
		if len(page.Items) == 1 && page.Items[0].State == "available" {
			id = page.Items[0].ID
		}
		return id != ""
	})
	await(t, "a tile", func() bool {
		return ts.get("/api/v1/images/"+id+"/tiles/0/0/0", "Authorization", token, "Traceparent", parent(tile)).status == http.StatusOK
	})
	for _, span := range []string{"tileserver, " + tile + ", tile", "tileserver, " + tile + ", ask the central server", "serve, " + tile + ", GET /api/v1/auth/check"} {
		await(t, span, func() bool { return c.has(span) })
	}
	for _, p := range []*running{s, ts} {
		for _, path := range []string{"/apiv1/slides/" + patient + "%201.tiff/label/", "/" + patient + "?q=" + patient, "/api/v1/images/" + id + "/preview?" + patient, "/apiv1/slides/" + patient + "%201.tiff/0/0/0"} {
			p.get(path, "Authorization", token, "X-Request-Id", patient, "Traceparent", parent(tile), "Tracestate", "who="+patient, "Baggage", "who="+patient)
		}
		checkIdentified(t, p, "/api/v1/images/none/tiles/0/0/0", token)
		checkIdentified(t, p, "/nothing", token)
		checkIdentified(t, p, "/api/v1/images/"+id+"/tiles/0/9/9", token)
		p.stop()
	}
	stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.spans["serve, "+tile+", GET /api/v1/images/{image}/preview"] {
		t.Errorf("the last spans were not sent: %v", c.spans)
	}
	for _, private := range []string{"MUSTER", "ERIKA", "S-12", dir, "1.tiff"} {
		if i := strings.Index(c.text.String(), private); i >= 0 {
			t.Errorf("%q is in what was sent: %.300s", private, c.text.String()[max(0, i-100):])
		}
	}
}

// checkIdentified fails the test unless the answer for an unknown path has the request id:
// the client's own if that is acceptable.
func checkIdentified(t *testing.T, p *running, path, token string) {
	t.Helper()
	for sent, taken := range map[string]bool{"edge-7f3a-0042": true, patient: false, "": false} {
		a := p.get(path, "Authorization", token, "X-Request-Id", sent)
		var problem struct{ Instance string }
		json.Unmarshal([]byte(a.body), &problem)
		id := a.header.Get("X-Request-Id")
		if id == "" || problem.Instance != "urn:request:"+id || (id == sent) != taken {
			t.Errorf("%s with %q: the header says %q, the problem %q", path, sent, id, problem.Instance)
		}
	}
}
