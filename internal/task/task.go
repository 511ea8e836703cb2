package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	progressEvery = 500 * time.Millisecond // minimum time between two writes
	maxLines      = 200                    // of a task's log that are stored, the last ones
	maxLine       = 500                    // bytes of a line
	writeTime     = 10 * time.Second       // limit for writes after the function has returned
)

// A Task is one attempt at a task, as passed to the function that runs it. It is safe for
// concurrent use.
type Task struct {
	ID      string
	Kind    string
	Queue   string
	Store   string          // id; "" if the task is not about a store
	Args    json.RawMessage // a JSON object
	Attempt int             // from 1
	Worker  string          // id of the worker that runs it
	Origin  Origin

	number  int64
	db      *database
	mu      sync.Mutex
	now     Progress
	said    bool // now has not been written
	lines   []LogLine
	written time.Time
	last    int64 // number of the last line that was written; 0 for none, -1 if unknown
}

// Progress reports that the task has done so many of total units, 0 if the total is
// unknown. It may be called at any rate: not every value is written, but the last one is.
func (t *Task) Progress(done, total int64, unit string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now, t.said = Progress{Done: done, Unit: unit}, true
	if total > 0 {
		t.now.Total = &total
	}
}

// Logf adds a line to the log of the task. It must not contain file names: users who may
// see tasks may not be allowed to see names of patients. The last 200 lines are stored.
func (t *Task) Logf(format string, args ...any) {
	text := strings.ToValidUTF8(strings.TrimSpace(fmt.Sprintf(format, args...)), "\uFFFD")
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == maxLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, LogLine{At: time.Now(), Text: strings.ReplaceAll(text, "\x00", "")})
}

// flush writes new progress and lines, unless the last write was a moment ago.
func (t *Task) flush(ctx context.Context, final bool) error {
	t.mu.Lock()
	if !final && time.Since(t.written) < progressEvery || !t.said && len(t.lines) == 0 {
		t.mu.Unlock()
		return nil
	}
	now, said, lines := t.now, t.said, t.lines
	t.said, t.lines, t.written = false, nil, time.Now()
	t.mu.Unlock()
	var err error
	if said {
		err = t.db.putProgress(ctx, t.number, now)
	}
	if len(lines) > 0 {
		err = errors.Join(err, t.putLines(ctx, lines))
	}
	return err
}

func (db *database) putProgress(ctx context.Context, task int64, p Progress) error {
	_, err := db.write.ExecContext(ctx, `INSERT INTO task_progress (task, done, total, unit, updated_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (task) DO UPDATE SET done = excluded.done, total = excluded.total, unit = excluded.unit, updated_at = excluded.updated_at`,
		task, p.Done, p.Total, p.Unit, time.Now().UnixMicro())
	return err
}

// putLines appends lines to the log and deletes the oldest. It must not be called
// concurrently.
func (t *Task) putLines(ctx context.Context, lines []LogLine) error {
	if t.last < 0 {
		if err := t.db.write.QueryRowContext(ctx, `SELECT coalesce(max(n), 0) FROM task_log WHERE task = $1`, t.number).Scan(&t.last); err != nil {
			return err
		}
	}
	args := []any{t.number}
	var values []string
	for _, l := range lines {
		t.last++
		n := len(args)
		values = append(values, fmt.Sprintf("($1, $%d, $%d, $%d)", n+1, n+2, n+3))
		args = append(args, t.last, l.At.UnixMicro(), l.Text)
	}
	if _, err := t.db.write.ExecContext(ctx, `INSERT INTO task_log (task, n, at, line) VALUES `+strings.Join(values, ", ")+
		` ON CONFLICT DO NOTHING`, args...); err != nil {
		return err
	}
	_, err := t.db.write.ExecContext(ctx, `DELETE FROM task_log WHERE task = $1 AND n <= $2`, t.number, t.last-maxLines)
	return err
}

// A permanentError is not retried.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks an error that a retry would repeat: the task fails immediately.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// A codedError has a code for programs.
type codedError struct {
	error
	code string
}

func (e codedError) Unwrap() error { return e.error }

// WithCode adds a code to an error, which programs can read in [View.ErrorCode]. An empty
// code adds nothing.
func WithCode(err error, code string) error {
	if err == nil || code == "" {
		return err
	}
	return codedError{err, code}
}

// A failureOutput is what a failed attempt leaves in the place of a result.
type failureOutput struct {
	Attempt   int    `json:"attempt"`
	ErrorCode string `json:"error_code"`
}

// outputOf returns the output of a failed attempt.
func outputOf(err error, attempt int) failureOutput {
	var coded codedError
	errors.As(err, &coded)
	return failureOutput{attempt, coded.code}
}

// A laterError is not a failure.
type laterError struct {
	wait time.Duration
}

func (e laterError) Error() string { return fmt.Sprintf("the task will be tried again in %s", e.wait) }

// Later returns the error for a task that cannot run now because another holds what it
// needs. The task waits for the given time and the attempt does not count.
func Later(wait time.Duration) error { return laterError{max(wait, 0)} }
