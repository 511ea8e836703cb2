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

// A State is the state of a task.
type State string

const (
	Waiting   State = "waiting"
	Running   State = "running"
	Retrying  State = "retrying" // it failed and will be tried again
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// A View is the public description of a task. Unknown values are nil.
type View struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	Args        json.RawMessage `json:"args"` // a JSON object
	State       State           `json:"state"`
	Ready       bool            `json:"ready"` // it has ended: succeeded, failed or cancelled
	Progress    *Progress       `json:"progress"`
	Result      json.RawMessage `json:"result"`     // of a task that succeeded
	Error       *string         `json:"error"`      // the last one, if the task retries or failed
	ErrorCode   *string         `json:"error_code"` // the kind of the error, for programs; see [WithCode]
	Attempts    int             `json:"attempts"`
	Worker      *string         `json:"worker"`     // that runs it or ran it last
	RequestID   *string         `json:"request_id"` // of the request that submitted it
	SubmittedAt time.Time       `json:"submitted_at"`
	StartedAt   *time.Time      `json:"started_at"` // of the last attempt
	FinishedAt  *time.Time      `json:"finished_at"`
	// Log contains the lines of [Task.Logf], oldest first; nil in lists.
	Log []LogLine `json:"log"`
	// WaitingForWorker reports that no live worker serves its queue.
	WaitingForWorker bool `json:"waiting_for_worker"`
}

// Progress is the progress of a task.
type Progress struct {
	Done  int64  `json:"done"`
	Total *int64 `json:"total"` // nil if unknown
	Unit  string `json:"unit"`  // "files", "bytes", "images"
}

// A LogLine is a line of the log of a task.
type LogLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// A Filter selects tasks. The zero value selects all.
type Filter struct {
	Kind   string
	State  State
	Queue  string
	Store  string // id
	Cursor string // from the previous page
	Limit  int    // 100 if 0; at most 1000
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

// List returns tasks, newest first, and the cursor of the next page, or "" on the last
// page. Large arguments are reduced to the store. The error may be [ErrBadFilter] or
// [ErrBadQueue].
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

// states maps our states to those of River and a condition on the number of errors.
// Succeeded is missing, as nearly all tasks are in that state.
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

// params converts a filter to River's parameters, with a limit of one more than f.Limit.
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
		p = p.States() // otherwise SQLite reads tasks in all states before it sorts
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

// views converts rows to views, without their logs.
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

// view converts a row of River.
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
		v.Error, v.ErrorCode = &row.Errors[n-1].Error, errorCode(row)
	}
	if o := originOf(row.Metadata); o.Request != "" {
		v.RequestID = &o.Request
	}
	if n := len(row.AttemptedBy); n > 0 && v.State != Waiting {
		v.Worker, v.StartedAt = &row.AttemptedBy[n-1], utc(row.AttemptedAt)
	}
	return v
}

// errorCode returns the code of the last error. The output may be that of an earlier
// attempt, because an attempt whose worker died leaves none.
func errorCode(row *rivertype.JobRow) *string {
	var out failureOutput
	if json.Unmarshal(row.Output(), &out) != nil || out.ErrorCode == "" || out.Attempt != row.Errors[len(row.Errors)-1].Attempt {
		return nil
	}
	return &out.ErrorCode
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

// Wait waits until a task has ended, and returns it.
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

// Watch sends the view of a task, now and after each change. The channel is closed when the
// task has ended or was removed, or ctx is done. An outage of the database does not end it.
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

// progress returns the progress of those tasks that have reported any.
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
