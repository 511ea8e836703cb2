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

// register says for the first time that the worker lives.
func (w *worker) register(ctx context.Context) error {
	if err := w.sayAlive(ctx); err != nil {
		return fmt.Errorf("task: worker: %w", err)
	}
	return nil
}

func (w *worker) sayAlive(ctx context.Context) error {
	return w.Catalog.BeatWorker(ctx, catalog.Worker{
		ID: w.id, Host: w.Host, PID: os.Getpid(), Version: w.Version,
		Queues: slices.Sorted(maps.Keys(w.queues)), StartedAt: w.started,
	})
}

// unregister says that the worker has ended, and runs nothing any more.
func (w *worker) unregister(ctx context.Context) error {
	if err := w.Catalog.EndWorker(ctx, w.id); err != nil {
		return fmt.Errorf("task: worker: %w", err)
	}
	return nil
}

// keepAlive says again and again that the worker lives. If it could not for so
// long that others will soon take over its tasks, it is lost.
func (w *worker) keepAlive(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(w.Heartbeat)
	defer tick.Stop()
	// By the wall: the other clock stands still while a machine sleeps.
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
		err := w.sayAlive(once)
		cancel()
		if err == nil {
			said = now
		} else if ctx.Err() == nil {
			w.warn.WarnContext(ctx, "worker can't say that it lives", "worker", w.id, "error", err)
		}
	}
}

// lostError is what is shown of a task whose worker was lost.
const lostError = "task: the worker that ran the task is gone: its process was killed, or can't reach the database"

// tidyEvery is how often what is left of old tasks is removed.
const tidyEvery = time.Hour

// rescuer returns what takes tasks from workers that live no more, again and again. An
// attempt that ended so counts: a task that kills whoever runs it must not go on forever.
func (w *worker) rescuer() func(context.Context) error {
	var tidied time.Time
	return loop.Every(w.Heartbeat, func(ctx context.Context) error {
		res, err := w.db.write.ExecContext(ctx, w.db.rescue, lostError, w.DeadAfter.Seconds(), w.DeadAfter.Microseconds())
		if err != nil {
			return wrap(err, "tasks of workers that are gone")
		}
		if n, _ := res.RowsAffected(); n > 0 { // both drivers know
			w.Log.WarnContext(ctx, "tasks taken over from workers that are gone", "tasks", n)
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

// tidy removes what we know of tasks that River has forgotten.
func (db *database) tidy(ctx context.Context) error {
	for _, table := range []string{"task_progress", "task_log"} {
		if _, err := db.write.ExecContext(ctx, `DELETE FROM `+table+` WHERE NOT EXISTS (SELECT 1 FROM river_job j WHERE j.id = task)`); err != nil {
			return err
		}
	}
	return nil
}

// markUnserved says of tasks that wait whether nobody will do them.
func (s *Service) markUnserved(ctx context.Context, views []View) error {
	waits := func(v View) bool { return v.State == Waiting || v.State == Retrying }
	if !slices.ContainsFunc(views, waits) {
		return nil
	}
	workers, err := s.Catalog.Workers(ctx)
	if err != nil {
		return fmt.Errorf("task: %w", err)
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
