// Package soak puts a server under more load than it can bear, in all the ways that
// clients have of doing so, and watches that it stays calm: whoever asks gets what
// they asked for or is told 503 and when to come again, memory stays under its
// ceiling, and once it is over everything is as before.
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
	Debug   string // host:port where its figures are, in the format of Prometheus
	PID     int
	Ceiling int64 // of its resident memory, in bytes

	Stored []string // paths of tiles that are stored as they are sent
	Made   []string // paths of tiles that have to be made, more than are kept

	Upload string // id of a managed store; "" for none
}

// Options say how much load there is.
type Options struct {
	Duration time.Duration // of all phases together
	Idle     int           // connections that do nothing
	Slow     int           // connections of each kind of slow client
	// Clients is how many clients keep the server busy with stored tiles, Makers with
	// tiles to be made. In a burst there are fifty times as many.
	Clients, Makers int
	// Timed judges how long it takes the server to come back to its senses.
	Timed bool
	Log   func(format string, args ...any)
}

// burstFactor is how many times more clients there are in a burst than fill the server.
const burstFactor = 50

// recoveryTime is how long after a burst the server may be busy with it.
const recoveryTime = time.Second

// A Result is what one server was like.
type Result struct {
	Target   *Target
	Phases   []*Phase
	Before   Sample // after the server was warmed up
	After    Sample // in the end
	Peak     Sample // the largest of each
	Failures []string
}

// A Phase is one kind of load.
type Phase struct {
	Name     string
	Tally    *Tally
	Peak     Sample
	Recovery time.Duration // until the first good answers of both kinds; 0 if it was not looked at
}

// A run is one server being put under load.
type run struct {
	*Result
	o Options
	w *watch
}

// Run puts the server under load, phase by phase. The error is one of the test itself;
// what is wrong with the server is in the result.
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
		share int // of the time, in hundredths
		load  func(context.Context, *Phase)
	}{
		{"steady", 12, r.steady},
		{"idle connections", idleShare, r.idle},
		{"slow and huge heads", 14, r.slowHeads},
		{"slow readers", 12, r.slowReaders},
		{"burst on stored tiles", 12, r.burstStored},
		{"burst on made tiles", 12, r.burstMade},
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

// phase runs one and takes down what became of it.
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

// leakBound is how many goroutines and files more there may be in the end: those of
// what the server does by itself.
const leakBound = 32

// settled waits until the server has no more goroutines and files than before, or if
// before is nil until it has let go of connections, and returns what it is like then.
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

// judge says what is wrong with the whole.
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
		r.fail("the server could not be looked at: it has ended, or its figures are not where they should be")
	}
	for _, p := range r.Phases {
		if r.o.Timed && p.Recovery > recoveryTime {
			r.fail("%s: good answers came %v after it", p.Name, p.Recovery)
		}
		if p.Tally.Good() == 0 {
			r.fail("%s: nobody got a tile", p.Name)
		}
	}
}
