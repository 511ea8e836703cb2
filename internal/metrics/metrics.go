// Package metrics provides the metrics of the program for Prometheus. No label holds patient
// data: routes are patterns, stores are named by id and queues by name.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Recorder counts requests and serves all metrics. It is safe for concurrent
// use.
type Recorder struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	attempts *prometheus.CounterVec
	working  *prometheus.HistogramVec
	tiles    tileCounters
}

// TileRoute is the route label of all tiles.
const TileRoute = "tile"

// tileCounters are the counters of tiles, resolved once: there may be a hundred thousand
// tiles a second.
type tileCounters struct {
	byStatus [600]prometheus.Counter
	seconds  prometheus.Observer
	sent     prometheus.Counter
}

// New returns a recorder. Version is that of the program.
func New(version string) *Recorder {
	r := &Recorder{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ptiffstore_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ptiffstore_request_seconds", Help: "Time from the start of a request until its answer is complete.",
			Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 30},
		}, []string{"route"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ptiffstore_sent_bytes_total", Help: "Bytes of response bodies sent, by route.",
		}, []string{"route"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ptiffstore_task_attempts_total", Help: "Attempts at tasks that ended in this process, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		working: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ptiffstore_task_attempt_seconds", Help: "Duration of attempts at tasks, by kind.",
			Buckets: []float64{0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28800},
		}, []string{"kind"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ptiffstore_build_info", Help: "Always 1; the labels describe the build."}, []string{"version", "go"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	r.registry.MustRegister(r.requests, r.seconds, r.sent, r.attempts, r.working, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, status := range []int{200, 304, 401, 403, 404, 405, 500, 502, 503} {
		r.tiles.byStatus[status] = r.requests.WithLabelValues(TileRoute, strconv.Itoa(status))
	}
	r.tiles.seconds, r.tiles.sent = r.seconds.WithLabelValues(TileRoute), r.sent.WithLabelValues(TileRoute)
	return r
}

// Tile counts an answer to a request for a tile.
func (r *Recorder) Tile(status, bytes int, d time.Duration) {
	if status > 0 && status < len(r.tiles.byStatus) && r.tiles.byStatus[status] != nil {
		r.tiles.byStatus[status].Inc()
	} else {
		r.requests.WithLabelValues(TileRoute, strconv.Itoa(status)).Inc()
	}
	r.tiles.seconds.Observe(d.Seconds())
	r.tiles.sent.Add(float64(bytes))
}

// Kinds lists the kinds of tasks that this process may do, so that their metrics exist
// from the start.
func (r *Recorder) Kinds(kinds []string, outcomes ...string) {
	for _, k := range kinds {
		for _, o := range outcomes {
			r.attempts.WithLabelValues(k, o)
		}
		r.working.WithLabelValues(k)
	}
}

// Task counts an attempt at a task that has ended.
func (r *Recorder) Task(kind, outcome string, d time.Duration) {
	r.attempts.WithLabelValues(kind, outcome).Inc()
	r.working.WithLabelValues(kind).Observe(d.Seconds())
}

// Routes counts the requests that next answers, by the patterns of their routes. Next is a
// mux or the handler of a route.
func (r *Recorder) Routes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := time.Now()
		c := &counted{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			route := req.Pattern // the mux has set it
			if route == "" {
				route = "none"
			}
			r.requests.WithLabelValues(route, strconv.Itoa(c.status)).Inc()
			r.seconds.WithLabelValues(route).Observe(time.Since(began).Seconds())
			r.sent.WithLabelValues(route).Add(float64(c.bytes))
		}()
		next.ServeHTTP(c, req)
	})
}

// counted is a response whose status and size are remembered.
type counted struct {
	http.ResponseWriter
	status, bytes int
	begun         bool
}

func (c *counted) WriteHeader(status int) {
	if !c.begun {
		c.status, c.begun = status, status >= 200
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(b []byte) (int, error) {
	c.begun = true
	n, err := c.ResponseWriter.Write(b)
	c.bytes += n
	return n, err
}

// Unwrap lets [http.ResponseController] flush and set deadlines.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Handler serves all metrics in the format of Prometheus.
func (r *Recorder) Handler() http.Handler {
	return promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}
