package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Site is where the figures come from that are not counted but looked up whenever
// they are asked for. Functions that are nil are left out.
type Site struct {
	Slides func() (images, openFiles int, openBytes int64)
	// Making is how many pictures wait to be made.
	Making func() int
	Stores func(context.Context) ([]Store, error)
	Queues func(context.Context) ([]Queue, error)
	// Workers is how many live, by host.
	Workers func(context.Context) (map[string]int, error)
}

// A Store is one as far as figures go.
type Store struct {
	ID       string
	Counts   map[string]int // images by state
	LastSync *time.Time
}

// A Queue is what waits or runs in one.
type Queue struct {
	Name   string
	State  string
	Tasks  int
	Oldest time.Duration // since the oldest could have begun
}

// Watch adds the figures of a site.
func (r *Recorder) Watch(s Site) { r.registry.MustRegister(&collector{site: s}) }

var (
	images    = describe("ptiffstore_images_known", "Images that the tile server knows.")
	openFiles = describe("ptiffstore_open_slides", "Slides that are open.")
	openBytes = describe("ptiffstore_open_bytes", "Memory of the tables of open slides.")
	making    = describe("ptiffstore_pictures_waiting", "Pictures that wait to be made.")
	byState   = describe("ptiffstore_images", "Images of a store by state.", "store", "state")
	syncAge   = describe("ptiffstore_sync_age_seconds", "Time since the last completed pass over a store.", "store")
	tasks     = describe("ptiffstore_tasks", "Tasks that have not ended, by queue and state.", "queue", "state")
	taskAge   = describe("ptiffstore_task_age_seconds", "How long the oldest of them has been due.", "queue", "state")
	workers   = describe("ptiffstore_workers", "Workers that live, by host.", "host")
	reachable = describe("ptiffstore_database_up", "1 if the database answers.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// lookTime bounds the queries for one answer.
const lookTime = 5 * time.Second

// A collector looks figures up.
type collector struct {
	site Site
	mu   sync.Mutex // one at a time: the queries are for one reader
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{images, openFiles, openBytes, making, byState, syncAge, tasks, taskAge, workers, reachable} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector]. While the database is away its figures
// are absent, and ptiffstore_database_up is 0.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if f := c.site.Slides; f != nil {
		n, files, bytes := f()
		gauge(images, float64(n))
		gauge(openFiles, float64(files))
		gauge(openBytes, float64(bytes))
	}
	if f := c.site.Making; f != nil {
		gauge(making, float64(f()))
	}
	up := 1.0
	for _, look := range []func(context.Context, func(*prometheus.Desc, float64, ...string)) error{c.stores, c.queues, c.workers} {
		if look(ctx, gauge) != nil {
			up = 0
		}
	}
	gauge(reachable, up)
}

func (c *collector) stores(ctx context.Context, gauge func(*prometheus.Desc, float64, ...string)) error {
	if c.site.Stores == nil {
		return nil
	}
	list, err := c.site.Stores(ctx)
	for _, s := range list {
		for state, n := range s.Counts {
			gauge(byState, float64(n), s.ID, state)
		}
		if s.LastSync != nil {
			gauge(syncAge, time.Since(*s.LastSync).Seconds(), s.ID)
		}
	}
	return err
}

func (c *collector) queues(ctx context.Context, gauge func(*prometheus.Desc, float64, ...string)) error {
	if c.site.Queues == nil {
		return nil
	}
	list, err := c.site.Queues(ctx)
	for _, q := range list {
		gauge(tasks, float64(q.Tasks), q.Name, q.State)
		gauge(taskAge, q.Oldest.Seconds(), q.Name, q.State)
	}
	return err
}

func (c *collector) workers(ctx context.Context, gauge func(*prometheus.Desc, float64, ...string)) error {
	if c.site.Workers == nil {
		return nil
	}
	list, err := c.site.Workers(ctx)
	for host, n := range list {
		gauge(workers, float64(n), host)
	}
	return err
}
