package server

import (
	"context"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/metrics"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// site returns the sources of the metrics of this process.
func (s *Server) site() metrics.Site {
	m := metrics.Site{
		Slides: func() metrics.Slides {
			st := s.storage.tiles.Stats()
			return metrics.Slides{
				Known: st.Images, Open: st.OpenFiles, MaxOpen: st.MaxFiles, Bytes: st.OpenBytes, MaxBytes: st.MaxBytes,
				Opened: st.Opened, Evicted: st.Evicted,
				Cached: st.Cached, MaxCached: st.MaxCached, Hits: st.Hits, Misses: st.Misses,
			}
		},
		Rendering:   s.storage.renderer.Waiting,
		RenderCache: func() metrics.RenderCache { return metrics.RenderCache(s.storage.cache.Stats()) },
		Loops:       s.background.states,
		Stores:      func(ctx context.Context) ([]metrics.Store, error) { return storeMetrics(ctx, s.storage.catalog) },
		Workers: func(ctx context.Context) (map[string]int, error) {
			list, err := s.storage.catalog.Workers.List(ctx)
			hosts := map[string]int{}
			for i := range list {
				hosts[list[i].Host]++
			}
			return hosts, err
		},
	}
	if s.o.Bucket.Figures != nil {
		m.Buckets = func() metrics.Buckets {
			b, r := bucketMetrics(s.o.Bucket.Figures.Stats()), s.storage.tiles.Stats().Runs
			b.Runs = metrics.Runs{
				Bytes: r.Bytes, MaxBytes: r.MaxBytes, DiskBytes: r.DiskBytes, MaxDiskBytes: r.MaxDiskBytes,
				Hits: r.Hits, Joined: r.Joined, DiskHits: r.DiskHits, Reads: r.Reads, Cancelled: r.Cancelled, Refused: r.Refused,
			}
			return b
		}
	}
	if s.access.api != nil {
		m.Access = func() metrics.Access { return metrics.Access(s.access.api.Gate.Stats()) }
	}
	if s.uploads != nil {
		m.Uploads = s.uploads.InFlight
	}
	if s.port.limiter != nil {
		m.Connections = func() metrics.Connections { return metrics.Connections(s.port.limiter.Stats()) }
	}
	if s.tasks != nil {
		m.Queues = func(ctx context.Context) ([]metrics.Queue, error) { return queueMetrics(ctx, s.tasks) }
	}
	return m
}

func bucketMetrics(s bucket.Stats) metrics.Buckets {
	b := metrics.Buckets{Requests: s.Requests, Bytes: s.Bytes, Seconds: map[string]metrics.Histogram{}, Retries: s.Retries, Changed: s.Changed, Open: s.Open}
	for kind, h := range s.Seconds {
		m := metrics.Histogram{UpTo: map[float64]uint64{}, Count: uint64(h.Count), Sum: h.Sum.Seconds()} //nolint:gosec // counts
		for i, n := range h.UpTo {
			m.UpTo[bucket.Bounds[i]] = uint64(n) //nolint:gosec // counts
		}
		b.Seconds[kind] = m
	}
	return b
}

func storeMetrics(ctx context.Context, c *catalog.Catalog) ([]metrics.Store, error) {
	list, err := c.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	damaged, err := c.Verification.Damaged(ctx)
	out := make([]metrics.Store, len(list))
	for i := range list {
		out[i] = metrics.Store{ID: list[i].ID, Damaged: damaged[list[i].ID], LastSync: list[i].LastSync, Since: list[i].CreatedAt, Counts: map[string]int{}}
		for state, n := range list[i].Counts {
			out[i].Counts[string(state)] = n
		}
	}
	return out, err
}

func queueMetrics(ctx context.Context, tasks *task.Service) ([]metrics.Queue, error) {
	list, err := tasks.Depths(ctx)
	out := make([]metrics.Queue, len(list))
	for i, d := range list {
		out[i] = metrics.Queue{Name: d.Queue, State: string(d.State), Tasks: d.Tasks, Oldest: d.Oldest}
	}
	return out, err
}
