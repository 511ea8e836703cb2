package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

const (
	// stopTime is how long a function may take to return after its context is done.
	stopTime = 20 * time.Second
	// fetchPause is the minimum time between two fetches of tasks, when many are short.
	fetchPause = 20 * time.Millisecond
	// never disables River's own rescue of tasks that run long. Tasks may run for hours;
	// the heartbeats of their workers show that they are alive.
	never = 10 * 365 * 24 * time.Hour
)

var (
	errCancelled = errors.New("the task was cancelled")
	errLost      = errors.New("heartbeats of the worker were late, other workers have taken over its tasks")
	errStopping  = errors.New("the worker is stopping")
)

// WorkOptions configure a worker.
type WorkOptions struct {
	// Queues maps the names of the queues to serve to the number of tasks of each to run at
	// once.
	Queues map[string]int
}

// Work runs tasks until ctx is done. After an outage of the database it starts again. When
// ctx is done, it cancels the contexts of running tasks and hands them back: another worker
// starts them at once, and the attempt does not count. Work returns nil, or an error if a
// queue is invalid or a function does not return.
func (s *Service) Work(ctx context.Context, o WorkOptions) error {
	queues := map[string]river.QueueConfig{}
	for name, n := range o.Queues {
		if err := CheckQueue(name); err != nil {
			return err
		}
		queues[name] = river.QueueConfig{MaxWorkers: n}
	}
	l := s.Loops.New(s.Log, "tasks", "")
	l.Longest = 2 * s.Heartbeat
	var ended error
	l.Run(ctx, func(ctx context.Context) error {
		w := &worker{Service: s, id: catalog.NewID(), queues: queues, started: time.Now(), well: l.Well}
		err := w.work(ctx)
		if ctx.Err() != nil && !errors.Is(err, errLost) {
			ended = err
		}
		return err
	})
	return ended
}

// A worker runs tasks as long as its heartbeats succeed.
type worker struct {
	*Service
	id      string
	queues  map[string]river.QueueConfig
	started time.Time
	well    func()          // reports that it runs tasks
	ctx     context.Context // done when the worker stops
}

// work runs tasks until ctx is done or the worker is lost.
func (w *worker) work(ctx context.Context) error {
	own, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w.ctx = own
	c, err := w.db.newClient(w.config())
	if err != nil {
		return fmt.Errorf("cannot create the worker: %w", err)
	}
	if err := w.register(ctx); err != nil {
		return err
	}
	// Without the cancellation of ctx: the shutdown must not look like an error.
	if err := c.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("cannot start the worker: %w", err)
	}
	alive, rest := context.WithCancel(context.WithoutCancel(ctx))
	defer rest()
	var loops sync.WaitGroup
	loops.Go(func() {
		if err := loop.Try(func() error { w.keepAlive(alive, stop); return nil }); err != nil {
			w.Log.ErrorContext(ctx, "heartbeats of the worker ended", "worker", w.id, "error", err)
			stop(errLost)
		}
	})
	loops.Go(func() { w.Loops.Run(own, w.Log, "tasks of lost workers", w.rescuer()) })
	loops.Go(func() { w.schedule(own) })
	w.well()
	<-own.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err = c.StopAndCancel(end)
	rest()
	loops.Wait()
	switch {
	case errors.Is(context.Cause(own), errLost):
		return errLost
	case err != nil:
		return fmt.Errorf("a running task does not stop: %w", err)
	}
	return w.unregister(end)
}

// config returns the configuration for River.
func (w *worker) config() *river.Config {
	workers := river.NewWorkers()
	for _, k := range w.kinds {
		if k.Run != nil {
			river.AddWorkerArgs(workers, taskArgs{kind: k.Name}, &runner{w: w, kind: k})
		}
	}
	return &river.Config{
		ID:                          w.id,
		Queues:                      w.queues,
		Workers:                     workers,
		Logger:                      w.warn,
		FetchOnlyKnownKinds:         true,
		FetchPollInterval:           w.Poll,
		FetchCooldown:               min(fetchPause, w.Poll),
		PollOnly:                    w.db.pollOnly,
		JobTimeout:                  -1,
		RescueStuckJobsAfter:        never,
		CompletedJobRetentionPeriod: w.Keep,
		CancelledJobRetentionPeriod: w.Keep,
		DiscardedJobRetentionPeriod: w.Keep,
	}
}

// A runner runs the tasks of one kind.
type runner struct {
	river.WorkerDefaults[taskArgs]
	w    *worker
	kind Kind
}

// Timeout implements [river.Worker]. River replaces 0 by a default, so no limit is -1.
func (r *runner) Timeout(*river.Job[taskArgs]) time.Duration {
	if r.kind.Timeout > 0 {
		return r.kind.Timeout
	}
	return -1
}

// Work runs one attempt and returns its outcome to River.
func (r *runner) Work(ctx context.Context, job *river.Job[taskArgs]) error {
	t := &Task{
		ID: taskID(job.ID), Kind: job.Kind, Queue: job.Queue, Args: json.RawMessage(job.EncodedArgs), Attempt: job.Attempt, Worker: r.w.id,
		Origin: originOf(job.Metadata),
		number: job.ID, db: r.w.db, last: -1,
	}
	t.Store = storeOf(t.Kind, t.Args)
	end := func(string) {}
	if r.w.Begin != nil {
		ctx, end = r.w.Begin(ctx, t)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	returned := make(chan struct{})
	watching.Go(func() { r.watch(ctx, t, returned, cancel) })
	began := time.Now()
	result, err := r.run(ctx, t)
	close(returned)
	watching.Wait()

	last, done := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer done()
	if ferr := t.flush(last, true); ferr != nil {
		r.w.warn.WarnContext(ctx, "writing the progress of a task failed", "task", t.ID, "error", ferr)
	}
	if r.isLost(ctx, t) {
		end(lostToOther)
		r.waitForOther(ctx, t)
		return nil // has no effect: the task is not running
	}
	word, err := r.verdict(ctx, job, result, err)
	if word == failed {
		if oerr := river.RecordOutput(ctx, outputOf(err, job.Attempt)); oerr != nil {
			r.w.warn.WarnContext(ctx, "recording the error code of a task failed", "task", t.ID, "error", oerr)
		}
	}
	end(word)
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("task", t.ID), slog.String("kind", t.Kind), slog.String("store", t.Store),
		slog.Int("attempt", t.Attempt), slog.Duration("took", time.Since(began)),
	}
	if t.Origin.Request != "" {
		attrs = append(attrs, slog.String("request", t.Origin.Request))
	}
	if word == failed {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", err))
	}
	r.w.Log.LogAttrs(ctx, level, "task "+word, attrs...)
	return err
}

// run calls the function, and converts a panic to an error.
func (r *runner) run(ctx context.Context, t *Task) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.w.Log.ErrorContext(ctx, "task panicked", "task", t.ID, "kind", t.Kind, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the task panicked: %v", p)
		}
	}()
	return r.kind.Run(ctx, t)
}

// watch writes progress, and checks whether the task is cancelled or lost, until its
// function has returned.
func (r *runner) watch(ctx context.Context, t *Task, returned <-chan struct{}, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(min(r.w.Poll, progressEvery))
	defer tick.Stop()
	for {
		select {
		case <-returned:
			return
		case <-tick.C:
		}
		free := context.WithoutCancel(ctx) // the function may take its time to stop
		if err := t.flush(free, false); err != nil {
			r.w.warn.WarnContext(ctx, "writing the progress of a task failed", "task", t.ID, "error", err)
		}
		switch s, err := r.w.db.standing(free, t); {
		case err != nil: // the database is unavailable; try again
		case s == cancelled:
			cancel(errCancelled)
		case s == lost, s == idle:
			cancel(errLost)
		}
	}
}

// isLost reports whether another worker has taken over the task. The cause of its context
// is not sufficient: the worker may have been stopped at the same time. If the worker
// itself was lost, isLost waits until the database answers.
func (r *runner) isLost(ctx context.Context, t *Task) bool {
	for {
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
		s, err := r.w.db.standing(once, t)
		cancel()
		if err == nil {
			return s == lost || s == idle
		}
		if !errors.Is(context.Cause(r.w.ctx), errLost) && !errors.Is(context.Cause(ctx), errLost) {
			return false
		}
		time.Sleep(r.w.Poll)
	}
}

// The outcomes of an attempt, as logged after "task".
const (
	succeeded   = "done"
	failed      = "failed" // and may be tried again
	called      = "cancelled"
	handedBack  = "handed back" // the worker is stopping
	putOff      = "put off"     // another holds what it needs
	lostToOther = "taken over"  // the worker was considered dead
)

// FailedOutcome is the outcome of an attempt whose function failed.
const FailedOutcome = failed

// Outcomes are all outcomes of an attempt.
var Outcomes = []string{succeeded, failed, called, handedBack, putOff, lostToOther}

// verdict returns the outcome of an attempt that has ended, for the log, and the error for
// River.
func (r *runner) verdict(ctx context.Context, job *river.Job[taskArgs], result any, err error) (word string, reported error) {
	cause := context.Cause(ctx)
	var later laterError
	var permanent permanentError
	switch {
	case err == nil:
		if err := river.RecordOutput(ctx, result); err != nil {
			job.MaxAttempts = job.Attempt
			return failed, fmt.Errorf("result of task %s: %w", job.Kind, err)
		}
		return succeeded, nil
	case errors.Is(cause, errCancelled), errors.Is(cause, rivertype.ErrJobCancelledRemotely):
		return called, river.JobCancel(errCancelled)
	case r.w.ctx.Err() != nil: // River hands the task back
		return handedBack, fmt.Errorf("%w: %w", errStopping, context.Canceled)
	case errors.As(err, &later):
		return putOff, river.JobSnooze(later.wait)
	case errors.As(err, &permanent):
		job.MaxAttempts = job.Attempt // in River's memory only: no further attempt
		return failed, scrub(err)
	case errors.Is(cause, context.DeadlineExceeded):
		return failed, fmt.Errorf("the task took longer than %s: %w", r.kind.Timeout, scrub(err))
	}
	return failed, scrub(err)
}

// waitForOther returns when the task, which another worker has taken over, no longer runs.
// To report any result to River earlier would end the other's attempt.
func (r *runner) waitForOther(ctx context.Context, t *Task) {
	r.w.Log.WarnContext(ctx, "task was taken over by another worker", "task", t.ID, "kind", t.Kind)
	for {
		if s, err := r.w.db.standing(context.WithoutCancel(ctx), t); err == nil && s == idle {
			return
		}
		time.Sleep(r.w.Poll)
	}
}

// A standing is the state of an attempt according to the database.
type standing int

const (
	ours      standing = iota
	cancelled          // ours, and cancelled
	lost               // another worker runs it
	idle               // no worker runs it
)

// standing reads the state of an attempt from the database.
func (db *database) standing(ctx context.Context, t *Task) (standing, error) {
	var state, by string
	var attempt int
	var cancel bool
	err := db.read.QueryRowContext(ctx, db.standingOf, t.number).Scan(&state, &attempt, &by, &cancel)
	switch {
	case err != nil:
		return ours, wrap(err, "task "+t.ID)
	case state != "running":
		return idle, nil
	case by != t.Worker || attempt != t.Attempt:
		return lost, nil
	case cancel:
		return cancelled, nil
	}
	return ours, nil
}
