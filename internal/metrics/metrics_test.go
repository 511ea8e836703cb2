package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// figuresOf returns what Prometheus would read.
func figuresOf(t *testing.T, r *Recorder) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func want(t *testing.T, all string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(all, "\n"+l+"\n") {
			t.Errorf("no line %q in\n%s", l, all)
		}
	}
}

func TestRoutes(t *testing.T) {
	r := New("v1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /images/{image}", func(w http.ResponseWriter, req *http.Request) {
		if req.PathValue("image") == "none" {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, "12345")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
	})
	h := r.Routes(mux)
	for _, path := range []string{"/images/MUSTER^ERIKA", "/images/b", "/images/none", "/elsewhere/MUSTER^ERIKA"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	r.Tile(200, 1000, time.Millisecond)
	r.Tile(304, 0, time.Millisecond)
	r.Tile(418, 0, time.Millisecond)
	all := figuresOf(t, r)
	want(t, all,
		`ptiffstore_build_info{go="`+runtime.Version()+`",version="v1"} 1`,
		`ptiffstore_requests_total{route="GET /images/{image}",status="200"} 2`,
		`ptiffstore_requests_total{route="GET /images/{image}",status="404"} 1`,
		`ptiffstore_requests_total{route="none",status="404"} 1`,
		`ptiffstore_sent_bytes_total{route="GET /images/{image}"} 15`,
		`ptiffstore_requests_total{route="tile",status="200"} 1`,
		`ptiffstore_requests_total{route="tile",status="418"} 1`,
		`ptiffstore_request_seconds_count{route="tile"} 3`,
		`ptiffstore_sent_bytes_total{route="tile"} 1000`,
	)
	if strings.Contains(all, "MUSTER") {
		t.Errorf("a path is in the figures:\n%s", all)
	}
}

func TestSite(t *testing.T) {
	r := New("v1")
	var away error
	now := time.Now()
	long := now.Add(-time.Hour)
	r.Watch(Site{
		Slides: func() Slides {
			return Slides{Known: 7, Open: 2, MaxOpen: 512, Bytes: 4096, MaxBytes: 8192, Opened: 5, Evicted: 3, Cached: 21, MaxCached: 22, Hits: 23, Misses: 24}
		},
		Rendering:   func() int { return 3 },
		RenderCache: func() RenderCache { return RenderCache{Bytes: 10, MaxBytes: 20, Hits: 6, Misses: 4, Evicted: 1} },
		Access:      func() Access { return Access{Decisions: 9, Bytes: 900, Hits: 100, Misses: 11, Failed: 2} },
		Uploads:     func() int { return 1 },
		Connections: func() Connections { return Connections{Open: 12, Refused: 4, Evicted: 5, Stalled: 6, Displaced: 7} },
		Buckets: func() Buckets {
			return Buckets{
				Requests: map[string]map[string]int64{"get": {"2xx": 31, "5xx": 2}}, Bytes: map[string]int64{"get": 32}, Retries: 33, Changed: 34, Open: 1, Runs: Runs{Bytes: 35, MaxBytes: 36, Hits: 37, Joined: 38, Reads: 39},
				Seconds: map[string]Histogram{"get": {UpTo: map[float64]uint64{0.1: 30, 1: 32}, Count: 33, Sum: 3}},
			}
		},
		Loops: func() []Loop {
			return []Loop{{Name: "catalog", Failures: 2}, {Name: "watch", Store: "s1", Failing: now.Add(-time.Minute), Failures: 3}}
		},
		Stores: func(context.Context) ([]Store, error) {
			return []Store{{ID: "s1", Counts: map[string]int{"available": 5}, Damaged: 2, LastSync: &long}, {ID: "s2", Since: now.Add(-time.Minute)}}, away
		},
		Queues:  func(context.Context) ([]Queue, error) { return []Queue{{"default", "waiting", 4, time.Minute}}, nil },
		Workers: func(context.Context) (map[string]int, error) { return map[string]int{"a": 2}, nil },
	})
	r.Kinds([]string{"sync_store", "verify_store"}, "done", "failed")
	r.Task("sync_store", "done", 2*time.Second)
	all := figuresOf(t, r)
	want(t, all,
		`ptiffstore_images_known 7`, `ptiffstore_open_slides 2`, `ptiffstore_open_slides_max 512`, `ptiffstore_open_bytes 4096`, `ptiffstore_open_bytes_max 8192`,
		`ptiffstore_slides_opened_total 5`, `ptiffstore_slides_evicted_total 3`,
		`ptiffstore_tile_cache_bytes 21`, `ptiffstore_tile_cache_bytes_max 22`, `ptiffstore_tile_cache_hits_total 23`, `ptiffstore_tile_cache_misses_total 24`, `ptiffstore_renders_waiting 3`,
		`ptiffstore_image_cache_bytes 10`, `ptiffstore_image_cache_bytes_max 20`, `ptiffstore_image_cache_hits_total 6`, `ptiffstore_image_cache_misses_total 4`, `ptiffstore_image_cache_evicted_total 1`,
		`ptiffstore_access_decisions 9`, `ptiffstore_access_decisions_bytes 900`, `ptiffstore_access_hits_total 100`, `ptiffstore_access_misses_total 11`, `ptiffstore_access_failures_total 2`,
		`ptiffstore_connections 12`, `ptiffstore_connections_refused_total 4`, `ptiffstore_connections_evicted_total 5`, `ptiffstore_connections_stalled_total 6`, `ptiffstore_connections_displaced_total 7`,
		`ptiffstore_bucket_requests_total{kind="get",status="5xx"} 2`, `ptiffstore_bucket_bytes_total{kind="get"} 32`, `ptiffstore_bucket_retries_total 33`,
		`ptiffstore_bucket_changed_total 34`, `ptiffstore_bucket_cache_bytes{place="memory"} 35`, `ptiffstore_bucket_cache_bytes_max{place="memory"} 36`, `ptiffstore_bucket_tiles_total{result="memory"} 37`, `ptiffstore_bucket_tiles_total{result="joined"} 38`, `ptiffstore_bucket_tiles_total{result="read"} 39`, `ptiffstore_buckets_unreachable 1`, `ptiffstore_bucket_request_seconds_bucket{kind="get",le="1"} 32`, `ptiffstore_bucket_request_seconds_count{kind="get"} 33`,
		`ptiffstore_uploads_in_flight 1`, `ptiffstore_images{state="available",store="s1"} 5`, `ptiffstore_images_damaged{store="s1"} 2`, `ptiffstore_images_damaged{store="s2"} 0`,
		`ptiffstore_tasks{queue="default",state="waiting"} 4`, `ptiffstore_task_age_seconds{queue="default",state="waiting"} 60`,
		`ptiffstore_task_attempts_total{kind="sync_store",outcome="done"} 1`, `ptiffstore_task_attempts_total{kind="verify_store",outcome="failed"} 0`,
		`ptiffstore_task_attempt_seconds_bucket{kind="sync_store",le="5"} 1`, `ptiffstore_task_attempt_seconds_bucket{kind="sync_store",le="1"} 0`,
		`ptiffstore_workers{host="a"} 2`, `ptiffstore_database_up 1`,
		`ptiffstore_loop_failing_seconds{loop="catalog",store=""} 0`, `ptiffstore_loop_failures_total{loop="watch",store="s1"} 3`)
	if !strings.Contains(all, `ptiffstore_loop_failing_seconds{loop="watch",store="s1"} 60`) {
		t.Errorf("the time since when a loop fails is missing:\n%s", all)
	}
	for store, age := range map[string]string{"s1": "3600", "s2": "60"} {
		if !strings.Contains(all, `ptiffstore_sync_age_seconds{store="`+store+`"} `+age) {
			t.Errorf("no age of the last pass over %s in\n%s", store, all)
		}
	}
	away = errors.New("away")
	want(t, figuresOf(t, r), `ptiffstore_database_up 0`, `ptiffstore_open_slides 2`)
}

func BenchmarkTile(b *testing.B) {
	r := New("v1")
	b.ReportAllocs()
	for b.Loop() {
		r.Tile(200, 20000, 20*time.Microsecond)
	}
}
