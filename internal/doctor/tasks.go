package doctor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/task"
)

const (
	// overdue is how late a scheduled task may be put in its queue.
	overdue = 2 * time.Minute
	// recent is how old a failure may be to be reported.
	recent = 24 * time.Hour
	// failures is the number of failures of a task, or of tasks of the same kind and
	// store, from which on they are reported.
	failures = 3
)

// taskChecks returns the checks of workers, tasks and schedules.
func (e *examination) taskChecks() []check {
	if e.catalog == nil {
		return nil
	}
	return []check{{"workers", e.workers}, {"watches", e.watched}, {"tasks", e.tasks}, {"schedules", e.due}}
}

// workers checks which workers are alive, and whether each queue is served.
func (e *examination) workers(ctx context.Context, n *notes) {
	alive, err := e.catalog.Workers.List(ctx)
	lost, err2 := e.catalog.Workers.Lost(ctx)
	depths, err3 := e.taskService.Depths(ctx)
	for _, err := range []error{err, err2, err3} {
		if err != nil {
			n.unknown("", "%v", plainly(err))
			return
		}
	}
	served := map[string]bool{}
	for _, w := range alive {
		for _, q := range w.Queues {
			served[q] = true
		}
		if w.Version != e.Version {
			n.warn("restart it with the same version", "the worker on %s has version %s, this program %s", w.Host, w.Version, e.Version)
		}
	}
	switch {
	case len(alive) == 0 && len(e.list) > 0:
		n.warn("start ptiffstore serve, or a worker", "no worker is alive: stores are not scanned, and tasks do not run")
	case len(alive) > 0:
		n.ok("%s alive", count(len(alive), "worker is", "workers are"))
	}
	for _, w := range lost {
		if missed := unserved(w.Queues, served); len(missed) > 0 && len(alive) > 0 {
			n.wrong("see its log, and start it again", "no heartbeat of the worker on %s for %s, and no other worker serves %s", w.Host, ago(time.Since(w.SeenAt)), strings.Join(missed, ", "))
		}
	}
	e.queues(n, served, depths, len(alive) > 0)
}

// startTime is how long a worker may take to start watching.
const startTime = time.Minute

// watched checks whether each store is watched by a worker.
func (e *examination) watched(ctx context.Context, n *notes) {
	alive, err := e.catalog.Workers.List(ctx)
	held, err2 := e.catalog.Leases.Held(ctx)
	if err != nil || err2 != nil {
		return // reported by the check of workers
	}
	can, missed := 0, 0
	for i := range e.list {
		s := &e.list[i]
		if !slices.ContainsFunc(alive, func(w catalog.Worker) bool {
			return time.Since(w.StartedAt) > startTime && (s.Host == "" || s.Host == w.Host)
		}) {
			continue
		}
		if can++; !held["watch "+s.ID] {
			missed++
			n.wrong("see the log of its worker for the reason, at level WARN; it retries by itself", "no worker watches the store %s, although one is alive", name(s))
		}
	}
	if can > 0 && missed == 0 {
		n.ok("%s watched", count(can, "store is", "stores are"))
	}
}

// queues reports queues that no worker serves.
func (e *examination) queues(n *notes, served map[string]bool, depths []task.Depth, any bool) {
	for _, d := range depths {
		if d.State != task.Running && !served[d.Queue] {
			n.wrong("start one: ptiffstore worker --queue "+d.Queue, "in the queue %s %s for a worker for %s", d.Queue, count(d.Tasks, "task waits", "tasks wait"), ago(d.Oldest))
			served[d.Queue] = true // reported once
		}
	}
	for i := range e.list {
		s := &e.list[i]
		if q := task.QueueOf(s); any && !served[q] {
			n.warn("start one where the store's files are: ptiffstore worker --queue "+q, "no worker serves the queue %s of the store %s", q, name(s))
			served[q] = true
		}
	}
}

func unserved(queues []string, served map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(queues), func(q string) bool { return served[q] })
}

// tasks reports tasks that fail repeatedly.
func (e *examination) tasks(ctx context.Context, n *notes) {
	type sort struct{ kind, args string }
	failed := map[sort]int{}
	list, _, err := e.taskService.List(ctx, task.Filter{State: task.Failed, Limit: 1000})
	retrying, _, err2 := e.taskService.List(ctx, task.Filter{State: task.Retrying, Limit: 1000})
	if err != nil || err2 != nil {
		n.unknown("", "cannot list tasks")
		return
	}
	for _, t := range list {
		if t.FinishedAt != nil && time.Since(*t.FinishedAt) < recent {
			failed[sort{t.Kind, string(t.Args)}]++
		}
	}
	reported := false
	for s, k := range failed {
		switch {
		case s.kind == task.SyncStore || s.kind == task.ResyncStore:
			n.wrong("see ptiffstore task list --state failed, and task show TASK", "%s %s, %s, failed or refused within a day", count(k, "task", "tasks"), s.kind, s.args)
			reported = true
		case k >= failures:
			n.wrong("see ptiffstore task list --state failed, and task show TASK", "%d tasks %s, %s, failed within a day", k, s.kind, s.args)
			reported = true
		}
	}
	stuck := 0
	for _, t := range retrying {
		if t.Attempts >= failures {
			stuck++
		}
	}
	if stuck > 0 {
		n.warn("see ptiffstore task list --state retrying, and task show TASK", "%s failed three times or more", count(stuck, "retrying task has", "retrying tasks have"))
		reported = true
	}
	if !reported {
		n.ok("%s failed within a day", count(len(failed), "kind of task", "kinds of tasks"))
	}
}

// due reports schedules that are overdue.
func (e *examination) due(ctx context.Context, n *notes) {
	planned, late := 0, 0
	for i := range e.list {
		s := &e.list[i]
		for _, kind := range []string{task.SyncStore, task.VerifyStore} {
			next, err := e.taskService.NextRun(ctx, s, kind)
			if err != nil || next == nil {
				continue // an invalid schedule is a finding of the store
			}
			planned++
			if by := time.Since(*next); by > overdue {
				late++
				n.wrong("start ptiffstore serve, or a worker: each of them runs all schedules", "%s of the store %s was due %s ago", kind, name(s), ago(by))
			}
		}
	}
	if late == 0 && planned > 0 {
		n.ok("%s planned", count(planned, "run", "runs"))
	}
}
