package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// figures returns what Prometheus would read.
func figures(t *testing.T, r *Recorder) string {
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
	all := figures(t, r)
	want(t, all,
		`ptiffstore_build_info{version="v1"} 1`,
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
	long := time.Now().Add(-time.Hour)
	r.Watch(Site{
		Slides: func() (int, int, int64) { return 7, 2, 4096 },
		Making: func() int { return 3 },
		Stores: func(context.Context) ([]Store, error) {
			return []Store{{ID: "s1", Counts: map[string]int{"available": 5}, LastSync: &long}, {ID: "s2"}}, away
		},
		Queues:  func(context.Context) ([]Queue, error) { return []Queue{{"default", "waiting", 4, time.Minute}}, nil },
		Workers: func(context.Context) (map[string]int, error) { return map[string]int{"a": 2}, nil },
	})
	all := figures(t, r)
	want(t, all, `ptiffstore_images_known 7`, `ptiffstore_open_slides 2`, `ptiffstore_open_bytes 4096`, `ptiffstore_pictures_waiting 3`,
		`ptiffstore_images{state="available",store="s1"} 5`, `ptiffstore_tasks{queue="default",state="waiting"} 4`,
		`ptiffstore_task_age_seconds{queue="default",state="waiting"} 60`, `ptiffstore_workers{host="a"} 2`, `ptiffstore_database_up 1`)
	if !strings.Contains(all, `ptiffstore_sync_age_seconds{store="s1"} 3600`) || strings.Contains(all, `ptiffstore_sync_age_seconds{store="s2"}`) {
		t.Errorf("age of the last pass in\n%s", all)
	}
	away = errors.New("away")
	want(t, figures(t, r), `ptiffstore_database_up 0`, `ptiffstore_open_slides 2`)
}

func BenchmarkTile(b *testing.B) {
	r := New("v1")
	b.ReportAllocs()
	for b.Loop() {
		r.Tile(200, 20000, 20*time.Microsecond)
	}
}
