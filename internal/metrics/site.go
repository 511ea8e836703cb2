package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Site has the sources of the metrics that are not counted here but read whenever they
// are scraped. Functions that are nil are left out.
type Site struct {
	Slides func() Slides
	// Rendering returns the number of images waiting to be rendered.
	Rendering   func() int
	RenderCache func() RenderCache
	Access      func() Access
	// Uploads returns the number of uploads that a request is writing to.
	Uploads     func() int
	Connections func() Connections
	Buckets     func() Buckets
	// Loops returns the state of the background loops.
	Loops func() []Loop

	// The following query the database.

	Stores func(context.Context) ([]Store, error)
	Queues func(context.Context) ([]Queue, error)
	// Workers returns the number of live workers by host.
	Workers func(context.Context) (map[string]int, error)
}

// Slides are metrics of the tile server. Counts are since the start, here and below.
type Slides struct {
	Known           int
	Open, MaxOpen   int
	Bytes, MaxBytes int64 // of the tables of open slides
	Opened, Evicted int64
	// Of cached tiles.
	Cached, MaxCached int64 // bytes
	Hits, Misses      int64
}

// Connections are metrics of the connections to a server.
type Connections struct {
	Open      int   // now
	Refused   int64 // answered with 503
	Evicted   int64 // idle ones closed for new ones
	Stalled   int64 // closed because their clients read nothing while memory was short
	Displaced int64 // closed for a new one: too many of their address, or stalled with no slot free
}

// Buckets are metrics of the requests to the object storage. Keys of maps are kinds of requests,
// such as "get".
type Buckets struct {
	Requests map[string]map[string]int64 // by kind and class of status
	Bytes    map[string]int64
	Seconds  map[string]Histogram
	Retries  int64
	Changed  int64
	Open     int // buckets that are unreachable
	Runs     Runs
}

// Runs are metrics of the tiles that were read from buckets. Reads bring several tiles.
type Runs struct {
	Bytes, MaxBytes, DiskBytes, MaxDiskBytes          int64
	Hits, Joined, DiskHits, Reads, Cancelled, Refused int64
}

// A Histogram counts durations.
type Histogram struct {
	UpTo  map[float64]uint64 // seconds, cumulative
	Count uint64
	Sum   float64 // seconds
}

// A Loop is the state of a background loop.
type Loop struct {
	Name, Store string    // id of its store; "" for none
	Failing     time.Time // since when it fails; zero if it works
	Failures    int64     // since the start
}

// RenderCache are metrics of the image cache.
type RenderCache struct {
	Bytes, MaxBytes       int64
	Hits, Misses, Evicted int64
}

// Access are metrics of the access checks and their cache.
type Access struct {
	Decisions            int // cached
	Bytes                int64
	Hits, Misses, Failed int64
}

// A Store has the metrics of a store.
type Store struct {
	ID       string
	Counts   map[string]int // images by state
	Damaged  int            // images whose files do not match their digests
	LastSync *time.Time
	Since    time.Time // when it was added
}

// A Queue counts the tasks of a queue in one state.
type Queue struct {
	Name   string
	State  string
	Tasks  int
	Oldest time.Duration // since the oldest was submitted
}

// Watch adds the metrics of a site.
func (r *Recorder) Watch(s Site) { r.registry.MustRegister(&collector{site: s}) }

var (
	images         = gauge("ptiffstore_images_known", "Images that the tile server knows.")
	openSlides     = gauge("ptiffstore_open_slides", "Slides that are open, each by one file handle.")
	maxOpen        = gauge("ptiffstore_open_slides_max", "Limit of open slides.")
	openBytes      = gauge("ptiffstore_open_bytes", "Memory of the tables of open slides.")
	maxOpenBytes   = gauge("ptiffstore_open_bytes_max", "Limit of the memory of the tables of open slides.")
	opened         = counter("ptiffstore_slides_opened_total", "Slides that were opened.")
	closedEarly    = counter("ptiffstore_slides_evicted_total", "Open slides closed because of the limits.")
	tileBytes      = gauge("ptiffstore_tile_cache_bytes", "Memory of cached tiles.")
	maxTileBytes   = gauge("ptiffstore_tile_cache_bytes_max", "Limit of the memory of cached tiles.")
	tileHits       = counter("ptiffstore_tile_cache_hits_total", "Requested stored tiles found in memory.")
	tileMisses     = counter("ptiffstore_tile_cache_misses_total", "Requested stored tiles read from files or databases.")
	rendersWaiting = gauge("ptiffstore_renders_waiting", "Images waiting to be rendered.")
	cacheBytes     = gauge("ptiffstore_image_cache_bytes", "Size of the image cache on disk, in bytes.")
	maxCacheBytes  = gauge("ptiffstore_image_cache_bytes_max", "Limit of the image cache, in bytes.")
	cacheHits      = counter("ptiffstore_image_cache_hits_total", "Requested images found in the image cache.")
	cacheMisses    = counter("ptiffstore_image_cache_misses_total", "Requested images that had to be rendered.")
	cacheEvicted   = counter("ptiffstore_image_cache_evicted_total", "Images removed from the image cache to free space.")
	decisions      = gauge("ptiffstore_access_decisions", "Cached access decisions.")
	decisionBytes  = gauge("ptiffstore_access_decisions_bytes", "Memory of cached access decisions, in bytes.")
	accessHits     = counter("ptiffstore_access_hits_total", "Access checks answered from the cache.")
	accessMisses   = counter("ptiffstore_access_misses_total", "Access checks that asked the central server or the accounts.")
	accessFailed   = counter("ptiffstore_access_failures_total", "Access checks that got no answer.")
	uploads        = gauge("ptiffstore_uploads_in_flight", "Uploads that a request is writing to.")
	connections    = gauge("ptiffstore_connections", "Connections that are open.")
	connRefused    = counter("ptiffstore_connections_refused_total", "Connections answered with 503 because of the limit.")
	connEvicted    = counter("ptiffstore_connections_evicted_total", "Idle connections closed for new ones.")
	connStalled    = counter("ptiffstore_connections_stalled_total", "Connections closed because their clients read nothing while memory was short.")
	connDisplaced  = counter("ptiffstore_connections_displaced_total", "Connections closed for a new one: their address had too many, or they stalled while no slot was free.")
	bucketRequests = counter("ptiffstore_bucket_requests_total", "Requests to the object storage, by kind and class of status.", "kind", "status")
	bucketBytes    = counter("ptiffstore_bucket_bytes_total", "Bytes received from and sent to the object storage, by kind of request.", "kind")
	bucketSeconds  = gauge("ptiffstore_bucket_request_seconds", "Duration of requests to the object storage, by kind.", "kind")
	bucketRetries  = counter("ptiffstore_bucket_retries_total", "Requests to the object storage that were sent again.")
	bucketChanged  = counter("ptiffstore_bucket_changed_total", "Reads that found an object changed.")
	bucketsOpen    = gauge("ptiffstore_buckets_unreachable", "Buckets that fail, and that are tried once a second.")
	runBytes       = gauge("ptiffstore_bucket_cache_bytes", "Size of tiles of buckets that are cached, by place: memory or disk.", "place")
	runBytesMax    = gauge("ptiffstore_bucket_cache_bytes_max", "Limit of the size of tiles of buckets that are cached, by place.", "place")
	runRequests    = counter("ptiffstore_bucket_tiles_total", "Requests for tiles of buckets, by result: memory, joined a read, disk, read, cancelled, refused.", "result")
	loopFailing    = gauge("ptiffstore_loop_failing_seconds", "Time for which a background loop has been failing; 0 while it works.", "loop", "store")
	loopFailures   = counter("ptiffstore_loop_failures_total", "Failures of a background loop, which was restarted each time.", "loop", "store")
	byState        = gauge("ptiffstore_images", "Images of a store by state.", "store", "state")
	damagedImages  = gauge("ptiffstore_images_damaged", "Images of a store whose files do not match their digests, as found by verification.", "store")
	syncAge        = gauge("ptiffstore_sync_age_seconds", "Time since the last completed scan of a store, or since it was added.", "store")
	tasks          = gauge("ptiffstore_tasks", "Tasks that have not ended, by queue and state.", "queue", "state")
	taskAge        = gauge("ptiffstore_task_age_seconds", "Time since the oldest of these tasks was submitted.", "queue", "state")
	workers        = gauge("ptiffstore_workers", "Live workers, by host.", "host")
	reachable      = gauge("ptiffstore_database_up", "1 if the database answers.")
)

// A metric is read when it is scraped.
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

var all []metric

func gauge(name, help string, labels ...string) metric {
	return describe(prometheus.GaugeValue, name, help, labels)
}

func counter(name, help string, labels ...string) metric {
	return describe(prometheus.CounterValue, name, help, labels)
}

func describe(kind prometheus.ValueType, name, help string, labels []string) metric {
	f := metric{prometheus.NewDesc(name, help, labels, nil), kind}
	all = append(all, f)
	return f
}

// queryTime limits the queries of one scrape.
const queryTime = 5 * time.Second

// A collector reads the metrics of a site.
type collector struct {
	site Site
	mu   sync.Mutex // one scrape at a time
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range all {
		ch <- f.Desc
	}
}

// An emit function sends the value of a metric.
type emit func(f metric, v float64, labels ...string)

// Collect implements [prometheus.Collector]. While the database is away its metrics are
// absent, and ptiffstore_database_up is 0.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	send := func(f metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(f.Desc, f.kind, v, labels...)
	}
	c.process(send)
	c.buckets(ch, send)
	ctx, cancel := context.WithTimeout(context.Background(), queryTime)
	defer cancel()
	up := 1.0
	for _, read := range []func(context.Context, emit) error{c.stores, c.queues, c.workers} {
		if read(ctx, send) != nil {
			up = 0
		}
	}
	send(reachable, up)
}

// process emits the metrics of this process.
func (c *collector) process(send emit) {
	if c.site.Slides != nil {
		s := c.site.Slides()
		send(images, float64(s.Known))
		send(openSlides, float64(s.Open))
		send(maxOpen, float64(s.MaxOpen))
		send(openBytes, float64(s.Bytes))
		send(maxOpenBytes, float64(s.MaxBytes))
		send(opened, float64(s.Opened))
		send(closedEarly, float64(s.Evicted))
		send(tileBytes, float64(s.Cached))
		send(maxTileBytes, float64(s.MaxCached))
		send(tileHits, float64(s.Hits))
		send(tileMisses, float64(s.Misses))
	}
	if c.site.Rendering != nil {
		send(rendersWaiting, float64(c.site.Rendering()))
	}
	if c.site.RenderCache != nil {
		m := c.site.RenderCache()
		send(cacheBytes, float64(m.Bytes))
		send(maxCacheBytes, float64(m.MaxBytes))
		send(cacheHits, float64(m.Hits))
		send(cacheMisses, float64(m.Misses))
		send(cacheEvicted, float64(m.Evicted))
	}
	if c.site.Access != nil {
		a := c.site.Access()
		send(decisions, float64(a.Decisions))
		send(decisionBytes, float64(a.Bytes))
		send(accessHits, float64(a.Hits))
		send(accessMisses, float64(a.Misses))
		send(accessFailed, float64(a.Failed))
	}
	if c.site.Uploads != nil {
		send(uploads, float64(c.site.Uploads()))
	}
	if c.site.Connections != nil {
		p := c.site.Connections()
		send(connections, float64(p.Open))
		send(connRefused, float64(p.Refused))
		send(connEvicted, float64(p.Evicted))
		send(connStalled, float64(p.Stalled))
		send(connDisplaced, float64(p.Displaced))
	}
	c.loops(send)
}

func (c *collector) buckets(ch chan<- prometheus.Metric, send emit) {
	if c.site.Buckets == nil {
		return
	}
	b := c.site.Buckets()
	for kind, statuses := range b.Requests {
		for status, n := range statuses {
			send(bucketRequests, float64(n), kind, status)
		}
		send(bucketBytes, float64(b.Bytes[kind]), kind)
		h := b.Seconds[kind]
		ch <- prometheus.MustNewConstHistogram(bucketSeconds.Desc, h.Count, h.Sum, h.UpTo, kind)
	}
	send(bucketRetries, float64(b.Retries))
	send(bucketChanged, float64(b.Changed))
	send(bucketsOpen, float64(b.Open))
	b.Runs.send(send)
}

// send emits the metrics of tiles.
func (r *Runs) send(send emit) {
	for place, n := range map[string][2]int64{"memory": {r.Bytes, r.MaxBytes}, "disk": {r.DiskBytes, r.MaxDiskBytes}} {
		if n[1] > 0 {
			send(runBytes, float64(n[0]), place)
			send(runBytesMax, float64(n[1]), place)
		}
	}
	for result, n := range map[string]int64{"memory": r.Hits, "joined": r.Joined, "disk": r.DiskHits, "read": r.Reads, "cancelled": r.Cancelled, "refused": r.Refused} {
		send(runRequests, float64(n), result)
	}
}

func (c *collector) loops(send emit) {
	if c.site.Loops == nil {
		return
	}
	for _, l := range c.site.Loops() {
		failing := 0.0
		if !l.Failing.IsZero() {
			failing = max(time.Since(l.Failing).Seconds(), 0.001) // never mistaken for one that works
		}
		send(loopFailing, failing, l.Name, l.Store)
		send(loopFailures, float64(l.Failures), l.Name, l.Store)
	}
}

func (c *collector) stores(ctx context.Context, send emit) error {
	if c.site.Stores == nil {
		return nil
	}
	list, err := c.site.Stores(ctx)
	for _, s := range list {
		for state, n := range s.Counts {
			send(byState, float64(n), s.ID, state)
		}
		send(damagedImages, float64(s.Damaged), s.ID)
		since := s.Since
		if s.LastSync != nil {
			since = *s.LastSync
		}
		send(syncAge, time.Since(since).Seconds(), s.ID)
	}
	return err
}

func (c *collector) queues(ctx context.Context, send emit) error {
	if c.site.Queues == nil {
		return nil
	}
	list, err := c.site.Queues(ctx)
	for _, q := range list {
		send(tasks, float64(q.Tasks), q.Name, q.State)
		send(taskAge, q.Oldest.Seconds(), q.Name, q.State)
	}
	return err
}

func (c *collector) workers(ctx context.Context, send emit) error {
	if c.site.Workers == nil {
		return nil
	}
	list, err := c.site.Workers(ctx)
	for host, n := range list {
		send(workers, float64(n), host)
	}
	return err
}
