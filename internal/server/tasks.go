package server

import (
	"context"
	"errors"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/metrics"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/taskhandler"
	"github.com/slideatlas/ptiffstore/internal/trace"
	"github.com/slideatlas/ptiffstore/internal/verify"
)

// openTasks opens the scanner and the task service. A server without queues only submits
// tasks.
func (s *Server) openTasks(ctx context.Context) (err error) {
	syncer := &scan.Syncer{
		Catalog: s.storage.catalog, Log: s.log, Host: s.o.Host, Holder: lease.Holder(s.o.Host), Memory: s.storage.decode, Loops: &s.background.loops,
		Sources: s.storage.sources,
	}
	s.handlers = &taskhandler.Handlers{
		Catalog: s.storage.catalog, Syncer: syncer, Labels: scan.NewLabels(syncer),
		Verifier: &verify.Verifier{Catalog: s.storage.catalog, Sources: s.storage.sources, Log: s.log},
		Tiles:    s.storage.tiles, Renderer: s.storage.renderer, Decode: s.storage.decode, Reserve: s.o.Upload.Reserve, Exports: s.o.Exports,
		Wider: s.wider,
	}
	observer := taskObserver{s.metrics, s.trace}
	s.tasks, err = task.Open(ctx, task.Options{
		Catalog: s.storage.catalog, Kinds: s.handlers.Kinds(), Host: s.o.Host, TimeZone: s.o.TimeZone, Version: s.o.Version,
		Origin: observer.origin, Begin: observer.begin, Log: s.log, Loops: &s.background.loops,
	})
	if err != nil {
		return err
	}
	s.watchers = scan.NewWatchers(syncer)
	if len(s.o.Queues) == 0 {
		return nil
	}
	observer.count(s.handlers.Kinds())
	f := &taskhandler.FollowUps{Catalog: s.storage.catalog, Tasks: s.tasks, Decode: s.storage.decode, Log: s.log, Loops: &s.background.loops}
	syncer.Received = managed.NewReceived()
	syncer.Available, syncer.Arrived, syncer.Unsupported = f.Available, f.Available, f.Quarantined
	s.background.add(func(ctx context.Context) { s.watchers.Run(ctx) })
	s.background.add(f.Run)
	s.background.add(func(ctx context.Context) {
		if err := s.tasks.Work(ctx, task.WorkOptions{Queues: s.o.Queues}); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("the worker has stopped: tasks no longer run", "err", err)
		}
	})
	return nil
}

// wider returns why images would be visible to more people in another store, by the accounts
// of the database.
func (s *Server) wider(ctx context.Context, from, to *catalog.Store) ([]string, error) {
	accounts := s.access.accounts
	if accounts == nil { // this process controls no access, but others may
		var err error
		if accounts, err = account.New(ctx, s.storage.catalog.DB(), account.Options{}); err != nil {
			return nil, err
		}
	}
	return accounts.Grants.Wider(ctx, from, to)
}

// A taskObserver counts and traces tasks.
type taskObserver struct {
	metrics *metrics.Recorder
	trace   *trace.Tracer
}

// count creates the metrics of all kinds of tasks, so that they exist from the start.
func (o taskObserver) count(list []task.Kind) {
	var kinds []string
	for _, k := range list {
		kinds = append(kinds, k.Name)
	}
	o.metrics.Kinds(kinds, task.Outcomes...)
}

// origin returns the request that submits a task.
func (o taskObserver) origin(ctx context.Context) task.Origin {
	return task.Origin{Request: httperr.RequestID(ctx), Trace: o.trace.Parent(ctx)}
}

// begin starts to count and trace an attempt at a task.
func (o taskObserver) begin(ctx context.Context, t *task.Task) (context.Context, func(outcome string)) {
	began := time.Now()
	ctx, end := o.trace.Task(ctx, trace.Task{
		ID: t.ID, Kind: t.Kind, Queue: t.Queue, Store: t.Store, Attempt: t.Attempt, Request: t.Origin.Request, Parent: t.Origin.Trace,
	})
	return ctx, func(outcome string) {
		o.metrics.Task(t.Kind, outcome, time.Since(began))
		end(outcome, outcome == task.FailedOutcome)
	}
}
