package server

import (
	"context"
	"errors"

	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/taskhandler"
	"github.com/slideatlas/ptiffstore/internal/verify"
)

// openTasks opens the scanner and the task service. A server without queues only submits
// tasks.
func (s *Server) openTasks(ctx context.Context) (err error) {
	syncer := &scan.Syncer{
		Catalog: s.catalog, Log: s.log, Host: s.o.Host, Holder: lease.Holder(s.o.Host), Memory: s.decode, Loops: &s.loops,
	}
	s.handlers = &taskhandler.Handlers{
		Catalog: s.catalog, Syncer: syncer, Labels: scan.NewLabels(syncer),
		Verifier: &verify.Verifier{Catalog: s.catalog, Log: s.log},
		Tiles:    s.tiles, Renderer: s.renderer, Decode: s.decode, Reserve: s.o.Upload.Reserve,
	}
	s.tasks, err = task.Open(ctx, task.Options{
		Catalog: s.catalog, Kinds: s.handlers.Kinds(), Host: s.o.Host, TimeZone: s.o.TimeZone, Version: s.o.Version,
		Origin: s.origin, Begin: s.begin, Log: s.log, Loops: &s.loops,
	})
	if err != nil {
		return err
	}
	s.watchers = scan.NewWatchers(syncer)
	if len(s.o.Queues) == 0 {
		return nil
	}
	s.countTasks()
	f := &taskhandler.FollowUps{Catalog: s.catalog, Tasks: s.tasks, Decode: s.decode, Log: s.log, Loops: &s.loops}
	syncer.Received = managed.NewReceived()
	syncer.Available, syncer.Arrived, syncer.Unsupported = f.Available, f.Available, f.Quarantined
	s.run(func(ctx context.Context) { s.watchers.Run(ctx) })
	s.run(f.Run)
	s.run(func(ctx context.Context) {
		if err := s.tasks.Work(ctx, task.WorkOptions{Queues: s.o.Queues}); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("the worker has stopped: tasks no longer run", "err", err)
		}
	})
	return nil
}
