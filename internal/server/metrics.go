package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/metrics"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// site returns the sources of the metrics of this process.
func (s *Server) site() metrics.Site {
	m := metrics.Site{
		Slides: func() metrics.Slides {
			st := s.tiles.Stats()
			return metrics.Slides{
				Known: st.Images, Open: st.OpenFiles, MaxOpen: st.MaxFiles, Bytes: st.OpenBytes, MaxBytes: st.MaxBytes,
				Opened: st.Opened, Evicted: st.Evicted,
			}
		},
		Making: s.renderer.Waiting,
		Made:   func() metrics.Made { return metrics.Made(s.cache.Stats()) },
		Loops:  s.loopMetrics,
		Stores: s.storeMetrics,
		Workers: func(ctx context.Context) (map[string]int, error) {
			list, err := s.catalog.Workers.List(ctx)
			hosts := map[string]int{}
			for i := range list {
				hosts[list[i].Host]++
			}
			return hosts, err
		},
	}
	if s.access != nil {
		m.Access = func() metrics.Access { return metrics.Access(s.access.Gate.Stats()) }
	}
	if s.uploads != nil {
		m.Uploads = s.uploads.InFlight
	}
	if s.port != nil {
		m.Port = func() metrics.Port { return metrics.Port(s.port.Stats()) }
	}
	if s.tasks != nil {
		m.Queues = s.queueMetrics
	}
	return m
}

func (s *Server) loopMetrics() []metrics.Loop {
	list := s.loops.States()
	out := make([]metrics.Loop, len(list))
	for i, l := range list {
		out[i] = metrics.Loop{Name: l.Name, Store: l.Store, Failures: l.Failures}
		if l.Failing != nil {
			out[i].Failing = l.Failing.Since
		}
	}
	return out
}

// degraded returns a line for each name of failing loops, without details, since every
// client can read /readyz.
func (s *Server) degraded() []string {
	type many struct {
		failing, all int
		since        time.Time
		why          string
	}
	names := map[string]*many{}
	for _, l := range s.loops.States() {
		m := names[l.Name]
		if m == nil {
			m = new(many)
			names[l.Name] = m
		}
		m.all++
		if l.Failing == nil {
			continue
		}
		if m.failing++; m.since.IsZero() || l.Failing.Since.Before(m.since) {
			m.since, m.why = l.Failing.Since, publicReason(l.Failing.Err)
		}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if m := names[name]; m.failing > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d of %d failing since %s: %s", name, m.failing, m.all, m.since.UTC().Format(time.RFC3339), m.why))
		}
	}
	return lines
}

// publicReason returns an error as text without internal details.
func publicReason(err error) string {
	switch {
	case errors.Is(err, catalog.ErrFull), errors.Is(err, scan.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "a disk is full"
	case errors.Is(err, catalog.ErrAway):
		return "the database is unavailable"
	}
	return "see the log"
}

func (s *Server) storeMetrics(ctx context.Context) ([]metrics.Store, error) {
	list, err := s.catalog.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	damaged, err := s.catalog.Verification.Damaged(ctx)
	out := make([]metrics.Store, len(list))
	for i := range list {
		out[i] = metrics.Store{ID: list[i].ID, Damaged: damaged[list[i].ID], LastSync: list[i].LastSync, Since: list[i].CreatedAt, Counts: map[string]int{}}
		for state, n := range list[i].Counts {
			out[i].Counts[string(state)] = n
		}
	}
	return out, err
}

func (s *Server) queueMetrics(ctx context.Context) ([]metrics.Queue, error) {
	list, err := s.tasks.Depths(ctx)
	out := make([]metrics.Queue, len(list))
	for i, d := range list {
		out[i] = metrics.Queue{Name: d.Queue, State: string(d.State), Tasks: d.Tasks, Oldest: d.Oldest}
	}
	return out, err
}

// countTasks creates the metrics of all kinds of tasks, so that they exist from the start.
func (s *Server) countTasks() {
	var kinds []string
	for _, k := range s.handlers.Kinds() {
		kinds = append(kinds, k.Name)
	}
	s.metrics.Kinds(kinds, task.Outcomes...)
}

// origin returns the request that submits a task.
func (s *Server) origin(ctx context.Context) task.Origin {
	return task.Origin{Request: httperr.RequestID(ctx), Trace: s.trace.Parent(ctx)}
}

// begin starts to count and trace an attempt at a task.
func (s *Server) begin(ctx context.Context, t *task.Task) (context.Context, func(outcome string)) {
	began := time.Now()
	ctx, end := s.trace.Task(ctx, trace.Task{
		ID: t.ID, Kind: t.Kind, Queue: t.Queue, Store: t.Store, Attempt: t.Attempt, Request: t.Origin.Request, Parent: t.Origin.Trace,
	})
	return ctx, func(outcome string) {
		s.metrics.Task(t.Kind, outcome, time.Since(began))
		end(outcome, outcome == task.FailedOutcome)
	}
}
