package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Site is where the figures come from that are not counted here but looked up
// whenever they are asked for. Functions that are nil are left out.
type Site struct {
	Slides func() Slides
	// Making is how many pictures wait to be made.
	Making func() int
	Made   func() Made
	Access func() Access
	// Uploads is how many a request is writing to.
	Uploads func() int
	Port    func() Port
	// Loops is how it stands with what goes on in the background.
	Loops func() []Loop

	// What follows is asked of the database.

	Stores func(context.Context) ([]Store, error)
	Queues func(context.Context) ([]Queue, error)
	// Workers is how many live, by host.
	Workers func(context.Context) (map[string]int, error)
}

// Slides are figures of what answers tiles. Counts are since the start, here as below.
type Slides struct {
	Known           int
	Open, MaxOpen   int
	Bytes, MaxBytes int64 // of the tables of open slides
	Opened, Evicted int64
}

// Port are figures of the connections to a server.
type Port struct {
	Open    int   // now
	Refused int64 // answered with 503
	Evicted int64 // idle ones closed to make room
	Stuck   int64 // closed because their other side took nothing while memory was short
	Crowded int64 // closed because there were too many of their address, or stalled with no room left
}

// A Loop is what goes on in the background under one name.
type Loop struct {
	Name, Store string    // the id of the store that it is about; "" for none
	Failing     time.Time // since when it fails; zero if it works
	Failures    int64     // since the start
}

// Made are figures of the pictures that are made and kept.
type Made struct {
	Bytes, MaxBytes       int64
	Hits, Misses, Evicted int64
}

// Access are figures of what remembers who may see what.
type Access struct {
	Answers                   int
	Bytes                     int64
	Remembered, Asked, Failed int64
}

// A Store is one as far as figures go.
type Store struct {
	ID       string
	Counts   map[string]int // images by state
	Damaged  int            // images whose bytes are not those of their digests
	LastSync *time.Time
	Since    time.Time // it is a store
}

// A Queue is what waits or runs in one.
type Queue struct {
	Name   string
	State  string
	Tasks  int
	Oldest time.Duration // since the oldest was submitted
}

// Watch adds the figures of a site.
func (r *Recorder) Watch(s Site) { r.registry.MustRegister(&collector{site: s}) }

var (
	images        = gauge("ptiffstore_images_known", "Images that the tile server knows.")
	openSlides    = gauge("ptiffstore_open_slides", "Slides that are open, each by one file handle.")
	maxOpen       = gauge("ptiffstore_open_slides_max", "Bound of open slides.")
	openBytes     = gauge("ptiffstore_open_bytes", "Memory of the tables of open slides.")
	maxOpenBytes  = gauge("ptiffstore_open_bytes_max", "Bound of the memory of the tables of open slides.")
	opened        = counter("ptiffstore_slides_opened_total", "Slides that were opened.")
	closedEarly   = counter("ptiffstore_slides_evicted_total", "Open slides that were closed to hold the bounds.")
	making        = gauge("ptiffstore_pictures_waiting", "Pictures that wait to be made.")
	madeBytes     = gauge("ptiffstore_made_bytes", "Bytes of kept pictures on disk.")
	maxMadeBytes  = gauge("ptiffstore_made_bytes_max", "Bound of the bytes of kept pictures.")
	madeHits      = counter("ptiffstore_made_hits_total", "Pictures asked for that were kept.")
	madeMisses    = counter("ptiffstore_made_misses_total", "Pictures asked for that had to be made.")
	madeEvicted   = counter("ptiffstore_made_evicted_total", "Kept pictures that were removed to make room.")
	answers       = gauge("ptiffstore_access_answers", "Answers that are remembered on who may see what.")
	answerBytes   = gauge("ptiffstore_access_bytes", "Memory of remembered answers.")
	accessHits    = counter("ptiffstore_access_hits_total", "Questions who may see what that were answered from memory.")
	accessAsked   = counter("ptiffstore_access_misses_total", "Questions who may see what that were put to the central server or the accounts.")
	accessFailed  = counter("ptiffstore_access_failures_total", "Of those, questions that got no answer.")
	uploads       = gauge("ptiffstore_uploads_in_flight", "Uploads that a request is writing to.")
	connections   = gauge("ptiffstore_connections", "Connections that are open.")
	refused       = counter("ptiffstore_connections_refused_total", "Connections that were answered with 503, as there were too many.")
	madeRoom      = counter("ptiffstore_connections_evicted_total", "Idle connections that were closed to make room.")
	stuck         = counter("ptiffstore_connections_stuck_total", "Connections that were closed because their other side took nothing while memory was short.")
	crowded       = counter("ptiffstore_connections_crowded_total", "Connections that were closed because their address had too many, or because they stalled while there was no room.")
	loopFailing   = gauge("ptiffstore_loop_failing_seconds", "Time since what goes on in the background under this name began to fail; 0 while it works.", "loop", "store")
	loopFailures  = counter("ptiffstore_loop_failures_total", "Times that it failed and was begun again.", "loop", "store")
	byState       = gauge("ptiffstore_images", "Images of a store by state.", "store", "state")
	damagedImages = gauge("ptiffstore_images_damaged", "Images of a store whose bytes are not those of their digests: what verification has found and nobody has mended.", "store")
	syncAge       = gauge("ptiffstore_sync_age_seconds", "Time since the last completed pass over a store, or since it was added.", "store")
	tasks         = gauge("ptiffstore_tasks", "Tasks that have not ended, by queue and state.", "queue", "state")
	taskAge       = gauge("ptiffstore_task_age_seconds", "Time since the oldest of them was submitted.", "queue", "state")
	workers       = gauge("ptiffstore_workers", "Workers that live, by host.", "host")
	reachable     = gauge("ptiffstore_database_up", "1 if the database answers.")
)

// A figure is a metric that is looked up.
type figure struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

var figures []figure // all of them

func gauge(name, help string, labels ...string) figure {
	return describe(prometheus.GaugeValue, name, help, labels)
}

func counter(name, help string, labels ...string) figure {
	return describe(prometheus.CounterValue, name, help, labels)
}

func describe(kind prometheus.ValueType, name, help string, labels []string) figure {
	f := figure{prometheus.NewDesc(name, help, labels, nil), kind}
	figures = append(figures, f)
	return f
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
	for _, f := range figures {
		ch <- f.Desc
	}
}

// A tell passes on the value of a figure.
type tell func(f figure, v float64, labels ...string)

// Collect implements [prometheus.Collector]. While the database is away its figures
// are absent, and ptiffstore_database_up is 0.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	say := func(f figure, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(f.Desc, f.kind, v, labels...)
	}
	c.own(say)
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	up := 1.0
	for _, look := range []func(context.Context, tell) error{c.stores, c.queues, c.workers} {
		if look(ctx, say) != nil {
			up = 0
		}
	}
	say(reachable, up)
}

// own tells what this process knows.
func (c *collector) own(say tell) {
	if c.site.Slides != nil {
		s := c.site.Slides()
		say(images, float64(s.Known))
		say(openSlides, float64(s.Open))
		say(maxOpen, float64(s.MaxOpen))
		say(openBytes, float64(s.Bytes))
		say(maxOpenBytes, float64(s.MaxBytes))
		say(opened, float64(s.Opened))
		say(closedEarly, float64(s.Evicted))
	}
	if c.site.Making != nil {
		say(making, float64(c.site.Making()))
	}
	if c.site.Made != nil {
		m := c.site.Made()
		say(madeBytes, float64(m.Bytes))
		say(maxMadeBytes, float64(m.MaxBytes))
		say(madeHits, float64(m.Hits))
		say(madeMisses, float64(m.Misses))
		say(madeEvicted, float64(m.Evicted))
	}
	if c.site.Access != nil {
		a := c.site.Access()
		say(answers, float64(a.Answers))
		say(answerBytes, float64(a.Bytes))
		say(accessHits, float64(a.Remembered))
		say(accessAsked, float64(a.Asked))
		say(accessFailed, float64(a.Failed))
	}
	if c.site.Uploads != nil {
		say(uploads, float64(c.site.Uploads()))
	}
	if c.site.Port != nil {
		p := c.site.Port()
		say(connections, float64(p.Open))
		say(refused, float64(p.Refused))
		say(madeRoom, float64(p.Evicted))
		say(stuck, float64(p.Stuck))
		say(crowded, float64(p.Crowded))
	}
	c.loops(say)
}

func (c *collector) loops(say tell) {
	if c.site.Loops == nil {
		return
	}
	for _, l := range c.site.Loops() {
		failing := 0.0
		if !l.Failing.IsZero() {
			failing = max(time.Since(l.Failing).Seconds(), 0.001) // never mistaken for one that works
		}
		say(loopFailing, failing, l.Name, l.Store)
		say(loopFailures, float64(l.Failures), l.Name, l.Store)
	}
}

func (c *collector) stores(ctx context.Context, say tell) error {
	if c.site.Stores == nil {
		return nil
	}
	list, err := c.site.Stores(ctx)
	for _, s := range list {
		for state, n := range s.Counts {
			say(byState, float64(n), s.ID, state)
		}
		say(damagedImages, float64(s.Damaged), s.ID)
		since := s.Since
		if s.LastSync != nil {
			since = *s.LastSync
		}
		say(syncAge, time.Since(since).Seconds(), s.ID)
	}
	return err
}

func (c *collector) queues(ctx context.Context, say tell) error {
	if c.site.Queues == nil {
		return nil
	}
	list, err := c.site.Queues(ctx)
	for _, q := range list {
		say(tasks, float64(q.Tasks), q.Name, q.State)
		say(taskAge, q.Oldest.Seconds(), q.Name, q.State)
	}
	return err
}

func (c *collector) workers(ctx context.Context, say tell) error {
	if c.site.Workers == nil {
		return nil
	}
	list, err := c.site.Workers(ctx)
	for host, n := range list {
		say(workers, float64(n), host)
	}
	return err
}
