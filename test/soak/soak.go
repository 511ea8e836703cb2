// Package soak overloads a server in all ways that clients can, and checks its overload
// protection: each client gets the right answer or 503 with Retry-After, memory stays under
// its ceiling, and after the load no goroutine or file remains.
package soak

import (
	"context"
	"fmt"
	"time"
)

// A Target is a server under load. It runs on this machine.
type Target struct {
	Name    string
	Address string // host:port
	Debug   string // host:port of its metrics
	PID     int
	Ceiling int64 // of its resident memory, in bytes

	Stored []string // paths of stored tiles
	Made   []string // paths of tiles to render, more than the cache holds

	Upload string // id of a managed store; "" for none
}

// Options set the load.
type Options struct {
	Duration time.Duration // of all phases together
	Idle     int           // idle connections
	Slow     int           // connections of each kind of slow client
	// Clients is the number of clients that request stored tiles, and Makers of those that
	// request tiles to render. In a burst there are fifty times as many.
	Clients, Makers int
	// Pause is how long a client of the steady load waits after each tile. Without it the
	// steady load alone keeps all processors busy.
	Pause time.Duration
	// Timed also checks the recovery time of the server.
	Timed bool
	Log   func(format string, args ...any)
}

// burstFactor is how many times more clients a burst has than the steady load.
const burstFactor = 50

// recoveryTime is how long a server may take to recover from a burst.
const recoveryTime = time.Second

// A Result is the result for one server.
type Result struct {
	Target   *Target
	Phases   []*Phase
	Before   Sample // after the server was warmed up
	After    Sample // in the end
	Peak     Sample // the largest of each
	Failures []string
}

// A Phase is the result of one kind of load.
type Phase struct {
	Name     string
	Tally    *Tally
	Peak     Sample
	Recovery time.Duration // until the first good answers of both kinds; 0 if not measured
}

// A run is the test of one server.
type run struct {
	*Result
	o Options
	w *watch
}

// Run puts the server under load, phase by phase. The error is a failure of the test itself;
// problems of the server are in the result.
func Run(ctx context.Context, t *Target, o Options) (*Result, error) {
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	r := &run{Result: &Result{Target: t}, o: o, w: &watch{t: t}}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go r.w.run(ctx)
	phases := []struct {
		name  string
		share int // of the time, in percent
		load  func(context.Context, *Phase)
	}{
		{"steady", 12, r.steady},
		{"idle connections", idleShare, r.idle},
		{"slow and huge heads", 14, r.slowHeads},
		{"slow readers", 12, r.slowReaders},
		{"burst on stored tiles", 12, r.burstStored},
		{"burst on rendered tiles", 12, r.burstMade},
		{"slow uploads", 10, r.slowUploads},
		{"steady again", 12, r.steady},
	}
	for _, p := range phases {
		if p.name == "slow uploads" && t.Upload == "" {
			continue
		}
		one, cancel := context.WithTimeout(ctx, o.Duration*time.Duration(p.share)/100)
		r.phase(one, p.name, p.load)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(r.Phases) == 1 {
			r.Before = r.settled(ctx, nil)
		}
	}
	r.After = r.settled(ctx, &r.Before)
	r.judge()
	return r.Result, ctx.Err()
}

// phase runs one phase and records its result.
func (r *run) phase(ctx context.Context, name string, load func(context.Context, *Phase)) {
	p := &Phase{Name: name, Tally: newTally()}
	r.w.begin()
	load(ctx, p)
	p.Peak = r.w.peak()
	r.Peak = r.Peak.larger(p.Peak)
	r.Phases = append(r.Phases, p)
	for _, bad := range p.Tally.Bad() {
		r.fail("%s: %s", name, bad)
	}
	r.o.Log("%-12s %-22s %s, at most %s", r.Target.Name, name, p.Tally, p.Peak)
}

func (r *run) fail(format string, args ...any) {
	r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
}

// leakBound is how many more goroutines and files the server may have in the end, for its
// background work.
const leakBound = 32

// settled waits until the server has no more goroutines and files than before, or, if before
// is nil, until it has closed its connections. It returns a sample of that moment.
func (r *run) settled(ctx context.Context, before *Sample) Sample {
	var s Sample
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		last := s
		s = r.w.sample()
		if before == nil && s.Files == last.Files && s.Goroutines == last.Goroutines && s.Files > 0 {
			break
		}
		if before != nil && s.Goroutines <= before.Goroutines+leakBound && s.Files <= before.Files+leakBound {
			break
		}
	}
	return s
}

// judge adds the problems of the complete run.
func (r *run) judge() {
	if r.Peak.Resident > r.Target.Ceiling {
		r.fail("%d MB of memory, and the ceiling is %d MB", r.Peak.Resident>>20, r.Target.Ceiling>>20)
	}
	if r.After.Goroutines > r.Before.Goroutines+leakBound {
		r.fail("%d goroutines in the end, and %d before", r.After.Goroutines, r.Before.Goroutines)
	}
	if r.After.Files > r.Before.Files+leakBound {
		r.fail("%d open files in the end, and %d before", r.After.Files, r.Before.Files)
	}
	if r.After.Goroutines == 0 || r.After.Files == 0 {
		r.fail("the server could not be measured: it has exited, or its metrics are missing")
	}
	for _, p := range r.Phases {
		if r.o.Timed && p.Recovery > recoveryTime {
			r.fail("%s: good answers came %v after it", p.Name, p.Recovery)
		}
		if p.Tally.Good() == 0 {
			r.fail("%s: no client got a tile", p.Name)
		}
	}
}
