package bucket

import (
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the histogram of the duration of requests, in seconds. The last one is without
// bound.
var Bounds = [...]float64{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30}

// statuses are the classes of outcomes, by the first digit of the status; 0 stands for no answer.
var statuses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// Figures count the requests of a process to buckets, for metrics. The zero value is ready.
type Figures struct {
	requests [kinds][len(statuses)]atomic.Int64
	bytes    [kinds]atomic.Int64
	seconds  [kinds][len(Bounds) + 1]atomic.Int64
	total    [kinds]atomic.Int64 // of the duration, in nanoseconds
	retries  atomic.Int64
	changed  atomic.Int64

	mu       sync.Mutex
	breakers map[*breaker]bool
}

// request counts a request that has ended.
func (f *Figures) request(k kind, status int, bytes int64, d time.Duration) {
	class := status / 100
	if class < 0 || class >= len(statuses) {
		class = 0
	}
	f.requests[k][class].Add(1)
	f.bytes[k].Add(bytes)
	f.total[k].Add(int64(d))
	i := 0
	for i < len(Bounds) && d.Seconds() > Bounds[i] {
		i++
	}
	f.seconds[k][i].Add(1)
}

func (f *Figures) add(b *breaker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.breakers == nil {
		f.breakers = map[*breaker]bool{}
	}
	f.breakers[b] = true
}

func (f *Figures) remove(b *breaker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.breakers, b)
}

// Stats are what was counted since the start.
type Stats struct {
	Requests map[string]map[string]int64 // by kind ("get", "list", …) and class of status ("2xx", "none")
	Bytes    map[string]int64            // of bodies that were sent and received, by kind
	Seconds  map[string]Histogram        // duration of requests, by kind
	Retries  int64
	Changed  int64         // reads of objects that had changed
	Open     int           // breakers that are open: buckets that are unreachable
	Failing  time.Duration // for how long the first of them has been open
}

// A Histogram counts durations up to each of [Bounds], cumulatively.
type Histogram struct {
	UpTo  [len(Bounds)]int64
	Count int64
	Sum   time.Duration
}

// Stats returns what was counted.
func (f *Figures) Stats() Stats {
	s := Stats{Requests: map[string]map[string]int64{}, Bytes: map[string]int64{}, Seconds: map[string]Histogram{}, Retries: f.retries.Load(), Changed: f.changed.Load()}
	for k, name := range kindNames {
		h := Histogram{Sum: time.Duration(f.total[k].Load())}
		for i := range f.seconds[k] {
			h.Count += f.seconds[k][i].Load()
			if i < len(Bounds) {
				h.UpTo[i] = h.Count
			}
		}
		if h.Count == 0 && kind(k) != kindGet {
			continue
		}
		s.Seconds[name], s.Bytes[name], s.Requests[name] = h, f.bytes[k].Load(), map[string]int64{}
		for class, status := range statuses {
			if n := f.requests[k][class].Load(); n > 0 || status == "2xx" {
				s.Requests[name][status] = n
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for b := range f.breakers {
		if since := b.since(); !since.IsZero() {
			s.Open++
			s.Failing = max(s.Failing, time.Since(since))
		}
	}
	return s
}
