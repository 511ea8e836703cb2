package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Worker is a process that runs tasks.
type Worker struct {
	ID        string
	Host      string
	PID       int
	Version   string
	Queues    []string // that it serves
	StartedAt time.Time
	SeenAt    time.Time // last heartbeat, by the database's clock; read, never written
}

const (
	// workerAlive is how long a worker counts as alive after a heartbeat. Heartbeats should
	// be three times as frequent.
	workerAlive = 15 * time.Second
	// workerKept is how long the row of a worker is kept that did not unregister.
	workerKept = 24 * time.Hour
)

// Workers are the processes that run tasks.
type Workers struct{ *handle }

// Beat records a heartbeat of a worker. The worker counts as alive for 15 seconds.
func (ws *Workers) Beat(ctx context.Context, w Worker) error {
	if w.ID == "" {
		return fmt.Errorf("%w: a worker has an id", ErrInvalid)
	}
	if w.Queues == nil {
		w.Queues = []string{}
	}
	queues, err := json.Marshal(w.Queues)
	if err != nil {
		return fmt.Errorf("worker %s: %w", clean(w.ID), err)
	}
	return ws.aside(ctx, func(t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO workers (id, host, pid, version, queues, started_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6, `+ws.now+`)
			ON CONFLICT (id) DO UPDATE SET host = excluded.host, pid = excluded.pid, version = excluded.version, queues = excluded.queues,
			started_at = excluded.started_at, seen_at = excluded.seen_at`,
			clean(w.ID), clean(w.Host), w.PID, clean(w.Version), clean(string(queues)), w.StartedAt.UnixMicro())
		if err != nil {
			return wrap(err, "workers")
		}
		_, err = t.ExecContext(ctx, `DELETE FROM workers WHERE seen_at < `+ws.now+` - $1`, workerKept.Microseconds())
		return wrap(err, "workers")
	})
}

// A HostSeen is the last heartbeat of a host's workers, and whether it is recent enough for
// the host to count as alive.
type HostSeen struct {
	At    time.Time
	Alive bool
}

// Hosts returns the last heartbeats of the last 24 hours by host. It omits hosts whose
// workers have all unregistered.
func (ws *Workers) Hosts(ctx context.Context) (map[string]HostSeen, error) {
	rows, err := ws.read.QueryContext(ctx, `SELECT host, max(seen_at), `+ws.now+` FROM workers GROUP BY host`)
	if err != nil {
		return nil, wrap(err, "workers")
	}
	defer rows.Close()
	hosts := map[string]HostSeen{}
	for rows.Next() {
		var host string
		var seen, now int64
		if err := rows.Scan(&host, &seen, &now); err != nil {
			return nil, wrap(err, "workers")
		}
		hosts[host] = HostSeen{fromMicros(seen), seen > now-workerAlive.Microseconds()}
	}
	return hosts, wrap(rows.Err(), "workers")
}

// End removes a worker. An unknown one is ignored.
func (ws *Workers) End(ctx context.Context, id string) error {
	return ws.aside(ctx, func(t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `DELETE FROM workers WHERE id = $1`, clean(id))
		return wrap(err, "workers")
	})
}

// List returns the workers that are alive, in the order they were started.
func (ws *Workers) List(ctx context.Context) ([]Worker, error) { return ws.list(ctx, ">") }

// Lost returns the workers that stopped within a day without unregistering, or
// cannot reach the database.
func (ws *Workers) Lost(ctx context.Context) ([]Worker, error) { return ws.list(ctx, "<=") }

// list returns the workers whose last heartbeat compares in the given way with the
// oldest one of a live worker.
func (ws *Workers) list(ctx context.Context, compare string) ([]Worker, error) {
	rows, err := ws.read.QueryContext(ctx, `SELECT id, host, pid, version, queues, started_at, seen_at FROM workers WHERE seen_at `+compare+` `+ws.now+` - $1`, workerAlive.Microseconds())
	if err != nil {
		return nil, wrap(err, "workers")
	}
	defer rows.Close()
	var list []Worker
	for rows.Next() {
		var w Worker
		var queues []byte
		var started, seen int64
		if err := rows.Scan(&w.ID, &w.Host, &w.PID, &w.Version, &queues, &started, &seen); err != nil {
			return nil, wrap(err, "workers")
		}
		if err := json.Unmarshal(queues, &w.Queues); err != nil {
			return nil, wrap(err, "worker "+w.ID)
		}
		w.StartedAt, w.SeenAt = fromMicros(started), fromMicros(seen)
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b Worker) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), strings.Compare(a.ID, b.ID))
	})
	return list, wrap(rows.Err(), "workers")
}
