// Package task runs tasks: work that takes longer than a request, is tried again when it
// fails, and survives a restart of the process.
//
// A task waits in a named queue until a worker that serves the queue is free. Queues and
// tasks are in the database of the catalog, so any number of processes on any number of
// hosts share them. Only this package uses River, whose tables are beside those of the
// catalog.
package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/db"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

// The names of the kinds of tasks.
const (
	SyncStore    = "sync_store"
	ResyncStore  = "resync_store"
	VerifyStore  = "verify_store"
	ImportFile   = "import_file"
	HashImage    = "hash_image"
	ReadBarcode  = "read_barcode"
	MakePreviews = "make_previews"
	ConvertImage = "convert_image"
	PackImage    = "pack_image"
	MoveImage    = "move_image"
	ExportDICOM  = "export_dicom"
)

// DefaultQueue is the queue of tasks submitted without one.
const DefaultQueue = "default"

var (
	// ErrNotFound reports a task that does not exist, or ended so long ago that it was
	// removed.
	ErrNotFound = errors.New("no such task")
	// ErrUnknownKind reports an unknown kind of task.
	ErrUnknownKind = errors.New("unknown kind of task")
	// ErrBadArgs reports arguments that the kind of task does not take.
	ErrBadArgs = errors.New("invalid arguments")
	// ErrBadQueue reports an invalid name of a queue.
	ErrBadQueue = errors.New("the name of a queue has up to 64 lower-case letters and digits, with single hyphens or underscores between them")
	// ErrBadFilter reports a filter with an unknown state or a cursor of another list.
	ErrBadFilter = errors.New("invalid filter")
)

const (
	defaultPoll      = 500 * time.Millisecond
	defaultAttempts  = 5
	defaultKeep      = 7 * 24 * time.Hour
	defaultHeartbeat = 5 * time.Second
	defaultDeadAfter = 30 * time.Second
)

// A Kind is a kind of task and the function that runs it.
type Kind struct {
	Name string
	// Run runs a task and returns its result, which is stored as JSON and shown to users:
	// it must not contain file names, and neither must the error. Run is called again after
	// an error and after a crash of the process, so it must be idempotent. When ctx is done
	// it must return soon, with the error of ctx.
	//
	// A process where Run is nil can submit tasks of the kind, but not run them.
	Run         func(ctx context.Context, t *Task) (result any, err error)
	Timeout     time.Duration // of one attempt; 0 for no limit
	MaxAttempts int           // 5 if 0
	// Unique prevents a second task with the same store and arguments before the first one
	// has ended.
	Unique bool
}

// Options configure a [Service]. Catalog is required.
type Options struct {
	Catalog  *catalog.Catalog // its database holds the tasks; close it after the service
	Kinds    []Kind
	Host     string        // name of this host, for people; that of the system if ""
	Version  string        // of the program, for people
	TimeZone string        // of schedules without one; that of this host if "". It must be the same in all processes
	Log      *slog.Logger  // no log if nil
	Loops    *loop.Set     // shows the state of background loops; may be nil
	Poll     time.Duration // how often to check for changes; 500 ms if 0
	Keep     time.Duration // how long to keep tasks that have ended; 7 days if 0
	// Heartbeat is how often a worker reports that it is alive, 5 s if 0. Other workers
	// take over the tasks of a worker that has not done so for DeadAfter, 30 s if 0.
	Heartbeat, DeadAfter time.Duration
	// Origin, if not nil, returns the origin of a task that is submitted with ctx.
	Origin func(ctx context.Context) Origin
	// Begin, if not nil, is called for each attempt that begins in this process. It returns
	// the context of the attempt, and a function to call with one of [Outcomes] when the
	// attempt has ended.
	Begin func(ctx context.Context, t *Task) (context.Context, func(outcome string))
}

// An Origin identifies the request that submitted a task. It is shown to users, and appears
// in logs and traces, so it must not contain patient data.
type Origin struct {
	Request string `json:"request,omitempty"` // id of the request
	Trace   string `json:"trace,omitempty"`   // W3C traceparent
}

// A Service gives access to the tasks of a database. It is safe for concurrent use.
type Service struct {
	Options
	db    *database
	kinds map[string]Kind
	warn  *slog.Logger // limits repeated messages
}

// Open opens the tables of tasks, and creates or migrates them. It rejects tables that a
// newer program has changed.
func Open(ctx context.Context, o Options) (*Service, error) { return newService(ctx, o, false) }

// OpenReadOnly opens the tables of tasks for reading and changes nothing. They must be of
// this program's version, see [Ledgers].
func OpenReadOnly(ctx context.Context, o Options) (*Service, error) { return newService(ctx, o, true) }

func newService(ctx context.Context, o Options, readOnly bool) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname() // for display only
	}
	if o.Poll == 0 {
		o.Poll = defaultPoll
	}
	if o.Keep == 0 {
		o.Keep = defaultKeep
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	if o.DeadAfter == 0 {
		o.DeadAfter = defaultDeadAfter
	}
	s := &Service{Options: o, kinds: map[string]Kind{}, warn: slog.New(quiet{o.Log.Handler(), new(sync.Map)})}
	for _, k := range o.Kinds {
		if k.MaxAttempts == 0 {
			k.MaxAttempts = defaultAttempts
		}
		s.kinds[k.Name] = k
	}
	var err error
	if s.db, err = openDatabase(ctx, o.Catalog.DB(), readOnly); err != nil {
		return nil, err
	}
	return s, nil
}

// A Submission describes a task to submit.
type Submission struct {
	Kind  string
	Queue string // "" for [DefaultQueue]
	Store string // id of the store that the task is about; that of Args, if any, if ""
	// Args are shown to users who may see the task. They contain ids and never file names.
	Args Args
}

// Submit enqueues a task. If its kind is unique and the same task has not ended yet, it
// returns that one.
//
// The error may be [ErrUnknownKind], [ErrBadArgs] or [ErrBadQueue].
func (s *Service) Submit(ctx context.Context, sub Submission) (*View, error) {
	args, opts, err := s.prepare(sub)
	if err != nil {
		return nil, err
	}
	if s.Origin != nil {
		if opts.Metadata, err = json.Marshal(metadata{s.Origin(ctx)}); err != nil {
			return nil, wrap(err, "submit "+sub.Kind)
		}
	}
	res, err := s.db.client.Insert(ctx, args, opts)
	if err != nil {
		return nil, wrap(err, "submit "+sub.Kind)
	}
	return s.Get(ctx, taskID(res.Job.ID))
}

// metadata is stored in the metadata of River's row.
type metadata struct {
	Origin Origin `json:"origin"`
}

// originOf returns the origin in the metadata of a task.
func originOf(raw []byte) Origin {
	var m metadata
	if json.Unmarshal(raw, &m) != nil {
		return Origin{} // written by another program
	}
	return m.Origin
}

// unfinished are the states in which a unique task prevents a second one.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// prepare converts a submission to the parameters of River.
func (s *Service) prepare(sub Submission) (taskArgs, *river.InsertOpts, error) {
	kind, ok := s.kinds[sub.Kind]
	if !ok {
		return taskArgs{}, nil, fmt.Errorf("%w: %.80q", ErrUnknownKind, sub.Kind)
	}
	if sub.Queue == "" {
		sub.Queue = DefaultQueue
	}
	if err := CheckQueue(sub.Queue); err != nil {
		return taskArgs{}, nil, err
	}
	if sub.Store != "" {
		sub.Args.Store = sub.Store
	}
	raw, err := sub.Args.encode(sub.Kind)
	if err != nil {
		return taskArgs{}, nil, err
	}
	opts := &river.InsertOpts{Queue: sub.Queue, MaxAttempts: kind.MaxAttempts}
	if kind.Unique {
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: unfinished}
	}
	return taskArgs{kind: sub.Kind, raw: raw}, opts, nil
}

// Cancel cancels a task: immediately if it waits, otherwise when its function returns. A
// task that has ended is not changed. The error may be [ErrNotFound].
func (s *Service) Cancel(ctx context.Context, id string) (*View, error) {
	n, err := taskNumber(id)
	if err != nil {
		return nil, err
	}
	if _, err := s.db.client.JobCancel(ctx, n); err != nil {
		return nil, wrap(err, "cancel")
	}
	return s.Get(ctx, id)
}

// The queue of a store, and River's rule for names of queues.
var (
	queueName  = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)
	noneOfName = regexp.MustCompile(`[^a-z0-9]+`)
)

// CheckQueue returns nil if name is a valid name of a queue, otherwise [ErrBadQueue].
func CheckQueue(name string) error {
	if len(name) > 64 || !queueName.MatchString(name) {
		return fmt.Errorf("%w: %.80q", ErrBadQueue, name)
	}
	return nil
}

// QueueOf returns the queue for the tasks of a store: its own, that of the host with its
// files, or [DefaultQueue].
func QueueOf(s *catalog.Store) string {
	switch {
	case s.Queue != "":
		return s.Queue
	case s.Host != "":
		return HostQueue(s.Host)
	}
	return DefaultQueue
}

// HostQueue returns the queue for tasks that only a worker on the given host can run.
func HostQueue(host string) string {
	name := strings.Trim(noneOfName.ReplaceAllString(strings.ToLower(host), "-"), "-")
	return strings.TrimRight("host-"+name[:min(len(name), 58)], "-")
}

// taskArgs are the arguments of a task of any kind, as JSON.
type taskArgs struct {
	kind string
	raw  json.RawMessage
}

func (a taskArgs) Kind() string { return a.kind }

func (a taskArgs) MarshalJSON() ([]byte, error) { return a.raw, nil }

func (a *taskArgs) UnmarshalJSON(b []byte) error {
	a.raw = append(json.RawMessage(nil), b...)
	return nil
}

// taskID returns the id of the task with number n.
func taskID(n int64) string { return "t" + strconv.FormatInt(n, 32) }

func taskNumber(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "t")
	n, err := strconv.ParseInt(digits, 32, 64)
	if !ok || err != nil || taskID(n) != id {
		return 0, ErrNotFound
	}
	return n, nil
}

// wrap adds the operation that failed to an error of River.
func wrap(err error, what string) error {
	if errors.Is(err, rivertype.ErrNotFound) {
		return ErrNotFound
	}
	if kind := db.Fault(err); kind != nil {
		return fmt.Errorf("%s: %w: %w", what, kind, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
