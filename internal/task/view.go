package task

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// A State is where a task stands.
type State string

const (
	Waiting   State = "waiting"
	Running   State = "running"
	Retrying  State = "retrying" // it failed and is tried again
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// A View is what is known of a task. What is unknown is nil.
type View struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	Args        json.RawMessage `json:"args"` // an object
	State       State           `json:"state"`
	Ready       bool            `json:"ready"` // it has ended: succeeded, failed or cancelled
	Progress    *Progress       `json:"progress"`
	Result      json.RawMessage `json:"result"` // of a task that succeeded
	Error       *string         `json:"error"`  // the last one, while the task retries or if it failed
	Attempts    int             `json:"attempts"`
	Worker      *string         `json:"worker"`     // that runs it, or ran it last
	RequestID   *string         `json:"request_id"` // of the request that submitted it
	SubmittedAt time.Time       `json:"submitted_at"`
	StartedAt   *time.Time      `json:"started_at"` // the last attempt
	FinishedAt  *time.Time      `json:"finished_at"`
	// Log is what the function said, oldest first; nil in lists.
	Log []LogLine `json:"log"`
	// WaitingForWorker: no live worker serves its queue.
	WaitingForWorker bool `json:"waiting_for_worker"`
}

// Progress is how far a task has come.
type Progress struct {
	Done  int64  `json:"done"`
	Total *int64 `json:"total"` // nil if unknown
	Unit  string `json:"unit"`  // "files", "bytes", "images"
}

// A LogLine is one line that a task's function has written.
type LogLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// A Filter chooses tasks. Its zero value means all.
type Filter struct {
	Kind   string
	State  State
	Queue  string
	Store  string // id
	Cursor string // where the list goes on, from the page before
	Limit  int    // 0: 100; at most 1000
}

// Get returns a task, or [ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*View, error) {
	n, err := taskNumber(id)
	if err != nil {
		return nil, err
	}
	row, err := s.db.reader.JobGet(ctx, n)
	if err != nil {
		return nil, wrap(err, "task "+id)
	}
	views, err := s.views(ctx, []*rivertype.JobRow{row})
	if err != nil {
		return nil, err
	}
	if views[0].Log, err = s.db.log(ctx, n); err != nil {
		return nil, err
	}
	return &views[0], nil
}

// List returns tasks, newest first, and the cursor of the next page, "" on the
// last. Of large arguments it returns the store alone. The error may be [ErrBadFilter]
// or [ErrBadQueue].
func (s *Service) List(ctx context.Context, f Filter) (page []View, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, 1000)
	params, err := s.params(f)
	if err != nil {
		return nil, "", err
	}
	res, err := s.db.reader.JobList(ctx, params)
	if err != nil {
		return nil, "", wrap(err, "list")
	}
	rows := res.Jobs
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		next = taskID(rows[f.Limit-1].ID)
	}
	page, err = s.views(ctx, rows)
	for i := range page {
		page[i].shorten()
	}
	return page, next, err
}

// states are River's states of a task that is in one of ours, and whether there
// must or must not have been an error before. Without those that succeeded: they
// are nearly all.
var states = map[State]struct {
	states []rivertype.JobState
	where  string
}{
	Waiting: {[]rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateScheduled}, "%s = 0"},
	Retrying: {
		[]rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateScheduled, rivertype.JobStateRetryable},
		"%s > 0",
	},
	Running:   {[]rivertype.JobState{rivertype.JobStateRunning}, ""},
	Failed:    {[]rivertype.JobState{rivertype.JobStateDiscarded}, ""},
	Cancelled: {[]rivertype.JobState{rivertype.JobStateCancelled}, ""},
}

// params makes of a filter what River lists, one more than is asked for.
func (s *Service) params(f Filter) (*river.JobListParams, error) {
	p := river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(f.Limit + 1)
	if f.Kind != "" {
		p = p.Kinds(f.Kind)
	}
	if f.Queue != "" {
		if err := CheckQueue(f.Queue); err != nil {
			return nil, err
		}
		p = p.Queues(f.Queue)
	}
	switch f.State {
	case "":
		p = p.States() // none named: else SQLite looks at them all before it sorts
	case Succeeded:
		p = p.States().Where(s.db.succeeded)
	default:
		in, ok := states[f.State]
		if !ok {
			return nil, fmt.Errorf("%w: unknown state %q", ErrBadFilter, f.State)
		}
		p = p.States(in.states...)
		if in.where != "" {
			p = p.Where(fmt.Sprintf(in.where, s.db.errorCount))
		}
	}
	if f.Store != "" {
		p = p.Where(s.db.ofStore+" = @store", river.NamedArgs{"store": f.Store})
	}
	if f.Cursor != "" {
		n, err := taskNumber(f.Cursor)
		if err != nil {
			return nil, fmt.Errorf("%w: the cursor belongs to another list", ErrBadFilter)
		}
		p = p.Where("id < @before", river.NamedArgs{"before": n})
	}
	return p, nil
}

// views returns what is known of tasks, without their logs.
func (s *Service) views(ctx context.Context, rows []*rivertype.JobRow) ([]View, error) {
	views := make([]View, len(rows))
	numbers := make([]int64, len(rows))
	for i, row := range rows {
		views[i], numbers[i] = view(row), row.ID
	}
	progress, err := s.db.progress(ctx, numbers)
	if err != nil {
		return nil, err
	}
	for i, n := range numbers {
		views[i].Progress = progress[n]
	}
	return views, s.markUnserved(ctx, views)
}

// view is what River knows of a task.
func view(row *rivertype.JobRow) View {
	v := View{
		ID: taskID(row.ID), Kind: row.Kind, Queue: row.Queue, Args: json.RawMessage(row.EncodedArgs),
		State: stateOf(row), Attempts: row.Attempt, SubmittedAt: row.CreatedAt.UTC(), FinishedAt: utc(row.FinalizedAt),
	}
	v.Ready = v.State == Succeeded || v.State == Failed || v.State == Cancelled
	if v.State == Succeeded {
		v.Result = json.RawMessage(row.Output())
	}
	if n := len(row.Errors); n > 0 && (v.State == Retrying || v.State == Failed) {
		v.Error = &row.Errors[n-1].Error
	}
	if o := originOf(row.Metadata); o.Request != "" {
		v.RequestID = &o.Request
	}
	if n := len(row.AttemptedBy); n > 0 && v.State != Waiting {
		v.Worker, v.StartedAt = &row.AttemptedBy[n-1], utc(row.AttemptedAt)
	}
	return v
}

func stateOf(row *rivertype.JobRow) State {
	switch row.State {
	case rivertype.JobStateRunning:
		return Running
	case rivertype.JobStateCompleted:
		return Succeeded
	case rivertype.JobStateDiscarded:
		return Failed
	case rivertype.JobStateCancelled:
		return Cancelled
	}
	if len(row.Errors) > 0 {
		return Retrying
	}
	return Waiting
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// Wait returns a task when it has ended.
func (s *Service) Wait(ctx context.Context, id string) (*View, error) {
	if _, err := s.Get(ctx, id); err != nil {
		return nil, err
	}
	var last *View
	for v := range s.Watch(ctx, id) {
		last = &v
	}
	if last == nil || !last.Ready {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, ErrNotFound
	}
	return last, nil
}

// Watch sends what is known of a task, now and whenever it has changed. The
// channel is closed when the task has ended, is gone, or ctx is done. The
// database may be away for a while.
func (s *Service) Watch(ctx context.Context, id string) <-chan View {
	c := make(chan View)
	go func() {
		defer close(c)
		tick := time.NewTicker(min(s.Poll, defaultPoll))
		defer tick.Stop()
		var last *View
		for {
			v, err := s.Get(ctx, id)
			if err == nil && !reflect.DeepEqual(v, last) {
				select {
				case c <- *v:
					last = v
				case <-ctx.Done():
					return
				}
			}
			if err == ErrNotFound || err == nil && v.Ready { //nolint:errorlint // it is never wrapped
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// log returns the lines of a task, oldest first.
func (db *database) log(ctx context.Context, task int64) ([]LogLine, error) {
	lines := []LogLine{}
	rows, err := db.read.QueryContext(ctx, `SELECT at, line FROM task_log WHERE task = $1 ORDER BY n`, task)
	if err != nil {
		return nil, wrap(err, "log")
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var l LogLine
		if err := rows.Scan(&at, &l.Text); err != nil {
			return nil, wrap(err, "log")
		}
		l.At = time.UnixMicro(at).UTC()
		lines = append(lines, l)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(err, "log")
	}
	return lines, nil
}

// progress returns that of those tasks that have said any.
func (db *database) progress(ctx context.Context, tasks []int64) (map[int64]*Progress, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	in := strings.TrimSuffix(strings.Repeat("%d,", len(tasks)), ",")
	numbers := make([]any, len(tasks))
	for i, n := range tasks {
		numbers[i] = n
	}
	rows, err := db.read.QueryContext(ctx, fmt.Sprintf(`SELECT task, done, total, unit FROM task_progress WHERE task IN (`+in+`)`, numbers...))
	if err != nil {
		return nil, wrap(err, "progress")
	}
	defer rows.Close()
	all := map[int64]*Progress{}
	for rows.Next() {
		var n int64
		var p Progress
		if err := rows.Scan(&n, &p.Done, &p.Total, &p.Unit); err != nil {
			return nil, wrap(err, "progress")
		}
		all[n] = &p
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(err, "progress")
	}
	return all, nil
}
