package task

import (
	"context"
	"time"
)

// A Depth is the number of tasks of a queue in a state.
type Depth struct {
	Queue  string
	State  State // Waiting, Running or Retrying
	Tasks  int
	Oldest time.Duration // since the oldest of them was submitted
}

// Depths returns the numbers of tasks that wait or run, by queue.
func (s *Service) Depths(ctx context.Context) ([]Depth, error) {
	rows, err := s.db.read.QueryContext(ctx, `SELECT queue,
			CASE WHEN state = 'running' THEN 'running' WHEN `+s.db.errorCount+` > 0 THEN 'retrying' ELSE 'waiting' END AS s,
			count(*), min(id)
		FROM river_job WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled') GROUP BY queue, s ORDER BY queue, s`)
	if err != nil {
		return nil, wrap(err, "depths")
	}
	defer rows.Close()
	var list []Depth
	var first []int64
	for rows.Next() {
		var d Depth
		var id int64
		if err := rows.Scan(&d.Queue, &d.State, &d.Tasks, &id); err != nil {
			return nil, wrap(err, "depths")
		}
		list, first = append(list, d), append(first, id)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(err, "depths")
	}
	for i, id := range first {
		if row, err := s.db.reader.JobGet(ctx, id); err == nil { // on an error, the task has ended meanwhile
			list[i].Oldest = time.Since(row.CreatedAt)
		}
	}
	return list, nil
}
