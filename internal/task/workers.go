package task

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

// register sends the first heartbeat of the worker.
func (w *worker) register(ctx context.Context) error {
	if err := w.heartbeat(ctx); err != nil {
		return fmt.Errorf("cannot send the first heartbeat of the worker: %w", err)
	}
	return nil
}

func (w *worker) heartbeat(ctx context.Context) error {
	return w.Catalog.Workers.Beat(ctx, catalog.Worker{
		ID: w.id, Host: w.Host, PID: os.Getpid(), Version: w.Version,
		Queues: slices.Sorted(maps.Keys(w.queues)), StartedAt: w.started,
	})
}

// unregister removes the worker, which no longer runs tasks.
func (w *worker) unregister(ctx context.Context) error {
	if err := w.Catalog.Workers.End(ctx, w.id); err != nil {
		return fmt.Errorf("cannot unregister the worker: %w", err)
	}
	return nil
}

// keepAlive sends heartbeats. If they fail for so long that others will soon take over
// the tasks of the worker, it is lost.
func (w *worker) keepAlive(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(w.Heartbeat)
	defer tick.Stop()
	// By the wall clock: the monotonic clock stops while a host sleeps.
	said := time.Now().Round(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if time.Now().Round(0).Sub(said) > w.DeadAfter*2/3 {
			stop(errLost)
			return
		}
		now := time.Now().Round(0)
		once, cancel := context.WithTimeout(ctx, w.DeadAfter/2)
		err := w.heartbeat(once)
		cancel()
		if err == nil {
			said = now
		} else if ctx.Err() == nil {
			w.warn.WarnContext(ctx, "heartbeat of the worker failed", "worker", w.id, "error", err)
		}
	}
}

// lostError is the error of a task whose worker was lost.
const lostError = "the worker was lost: its process was killed, or cannot reach the database"

// tidyEvery is how often progress and logs of removed tasks are deleted.
const tidyEvery = time.Hour

// rescuer returns one round of the loop that takes tasks from dead workers. The interrupted
// attempt counts: a task that kills its worker must not be tried forever.
func (w *worker) rescuer() func(context.Context) error {
	var tidied time.Time
	return loop.Every(w.Heartbeat, func(ctx context.Context) error {
		res, err := w.db.write.ExecContext(ctx, w.db.rescue, lostError, w.DeadAfter.Seconds(), w.DeadAfter.Microseconds())
		if err != nil {
			return wrap(err, "cannot take over tasks of dead workers")
		}
		if n, _ := res.RowsAffected(); n > 0 { // both drivers support it
			w.Log.WarnContext(ctx, "tasks of dead workers taken over", "tasks", n)
		}
		if time.Since(tidied) > tidyEvery {
			if err := w.db.tidy(db.Unhurried(ctx)); err != nil {
				return wrap(err, "removal of old tasks")
			}
			tidied = time.Now()
		}
		return nil
	})
}

// tidy removes progress and logs of tasks that River has removed.
func (db *database) tidy(ctx context.Context) error {
	for _, table := range []string{"task_progress", "task_log"} {
		if _, err := db.write.ExecContext(ctx, `DELETE FROM `+table+` WHERE NOT EXISTS (SELECT 1 FROM river_job j WHERE j.id = task)`); err != nil {
			return err
		}
	}
	return nil
}

// markUnserved marks waiting tasks whose queue no worker serves.
func (s *Service) markUnserved(ctx context.Context, views []View) error {
	waits := func(v View) bool { return v.State == Waiting || v.State == Retrying }
	if !slices.ContainsFunc(views, waits) {
		return nil
	}
	workers, err := s.Catalog.Workers.List(ctx)
	if err != nil {
		return fmt.Errorf("cannot list workers: %w", err)
	}
	served := map[string]bool{}
	for _, w := range workers {
		for _, q := range w.Queues {
			served[q] = true
		}
	}
	for i, v := range views {
		views[i].WaitingForWorker = waits(v) && !served[v.Queue]
	}
	return nil
}
