// Package task runs tasks: work that takes longer than a request, is tried again
// when it fails, and outlives the process that began it.
//
// A task waits in a named queue until a worker that serves the queue has time for
// it. Queues and tasks are in the database of the catalog, so any number of
// processes on any number of hosts share them. It is the only room that knows
// River, whose tables are beside those of the catalog.
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

// The names of the kinds that the program knows.
const (
	SyncStore    = "sync_store"
	ResyncStore  = "resync_store"
	VerifyStore  = "verify_store"
	ImportFile   = "import_file"
	HashImage    = "hash_image"
	ReadBarcode  = "read_barcode"
	MakePreviews = "make_previews"
	ConvertImage = "convert_image"
)

// DefaultQueue is where a task goes that names no queue.
const DefaultQueue = "default"

var (
	// ErrNotFound: there is no such task, or it ended long ago.
	ErrNotFound = errors.New("task: no such task")
	// ErrUnknownKind: there are no tasks of this kind.
	ErrUnknownKind = errors.New("task: unknown kind of task")
	// ErrBadArgs: the arguments of a task are not those that its kind takes.
	ErrBadArgs = errors.New("task: invalid arguments")
	// ErrBadQueue: no queue can have this name.
	ErrBadQueue = errors.New("task: the name of a queue is up to 64 lower-case letters and digits, with single hyphens or underscores between them")
	// ErrBadFilter: a filter with an unknown state or a cursor of another list.
	ErrBadFilter = errors.New("task: bad filter")
)

const (
	defaultPoll      = 500 * time.Millisecond
	defaultAttempts  = 5
	defaultKeep      = 7 * 24 * time.Hour
	defaultHeartbeat = 5 * time.Second
	defaultDeadAfter = 30 * time.Second
)

// A Kind is a sort of task and the function that does it.
type Kind struct {
	Name string
	// Run does a task and returns its result, which is kept as JSON and shown: it
	// must hold no file names. It is called again after an error, and after the
	// process was killed in the middle, so what was done before must not hurt.
	// When ctx is done it must return soon, with ctx's error. The error's text is
	// shown, too.
	//
	// A process where Run is nil can submit tasks of the kind, but not work them.
	Run         func(ctx context.Context, t *Task) (result any, err error)
	Timeout     time.Duration // of one attempt; 0: none
	MaxAttempts int           // 0: 5
	// Unique: while a task with the same store and arguments has not ended, no
	// other is begun.
	Unique bool
}

// Options say how tasks are kept. Catalog is needed.
type Options struct {
	Catalog  *catalog.Catalog // in whose database they are; it is closed after them
	Kinds    []Kind
	Host     string        // this machine's name, for people; "" for what the system says
	Version  string        // of the program, for people
	TimeZone string        // of schedules that name none; "" for this machine's. All processes want the same
	Log      *slog.Logger  // nil: no log
	Loops    *loop.Set     // shows what goes on in the background; may be nil
	Poll     time.Duration // how often changes are looked for; 0: 500 ms
	Keep     time.Duration // how long tasks that ended are kept; 0: 7 days
	// Heartbeat is how often a worker reports that it is alive, 5 s if 0. One that has
	// not done so for DeadAfter, 30 s if 0, loses its tasks to others.
	Heartbeat, DeadAfter time.Duration
	// Origin, if not nil, says where a task comes from that is submitted with ctx.
	Origin func(ctx context.Context) Origin
	// Begin, if not nil, is told of each attempt that begins here. It returns the context
	// of the attempt, and a function to be called with one of [Outcomes] when it has ended.
	Begin func(ctx context.Context, t *Task) (context.Context, func(outcome string))
}

// An Origin is what a task keeps of the request that submitted it. It is shown, and in
// logs and traces: it holds nothing of patients.
type Origin struct {
	Request string `json:"request,omitempty"` // id of the request
	Trace   string `json:"trace,omitempty"`   // W3C traceparent
}

// A Service holds the tasks of a database. It is safe for concurrent use.
type Service struct {
	Options
	db    *database
	kinds map[string]Kind
	warn  *slog.Logger // of what would be said again and again
}

// Open makes the tables of tasks, or brings them to what this program knows.
// Tables that a newer program has changed are refused.
func Open(ctx context.Context, o Options) (*Service, error) { return newService(ctx, o, false) }

// OpenReadOnly opens the tables of tasks to read what is in them, and changes nothing.
// They must be of this program's version, see [Ledgers].
func OpenReadOnly(ctx context.Context, o Options) (*Service, error) { return newService(ctx, o, true) }

func newService(ctx context.Context, o Options, readOnly bool) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname() // it is only shown
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

// A Submission asks for a task.
type Submission struct {
	Kind  string
	Queue string // "" for [DefaultQueue]
	Store string // id of the store it is about; "" for that of Args, or none
	// Args are shown to those who see the task, so they hold ids and never names of
	// files.
	Args Args
}

// Submit puts a task in its queue. If its kind is unique and the same task has not
// ended yet, that one is returned.
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

// metadata is what we put into River's of a task.
type metadata struct {
	Origin Origin `json:"origin"`
}

// originOf is where a task comes from, as its metadata say.
func originOf(raw []byte) Origin {
	var m metadata
	if json.Unmarshal(raw, &m) != nil {
		return Origin{} // of another program
	}
	return m.Origin
}

// unfinished are the states in which a unique task keeps others from being begun.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// prepare makes of a submission what River inserts.
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

// Cancel ends a task: one that waits at once, one that runs as soon as its function
// returns. A task that has ended stays as it is. The error may be [ErrNotFound].
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

// A store's queue and the rule of River for its name.
var (
	queueName  = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)
	noneOfName = regexp.MustCompile(`[^a-z0-9]+`)
)

// CheckQueue returns nil if a queue can have this name, or [ErrBadQueue].
func CheckQueue(name string) error {
	if len(name) > 64 || !queueName.MatchString(name) {
		return fmt.Errorf("%w: %.80q", ErrBadQueue, name)
	}
	return nil
}

// QueueOf returns the queue of a store's tasks: its own, or that of the host its
// files are on, or [DefaultQueue].
func QueueOf(s *catalog.Store) string {
	switch {
	case s.Queue != "":
		return s.Queue
	case s.Host != "":
		return HostQueue(s.Host)
	}
	return DefaultQueue
}

// HostQueue returns the queue for tasks that only a worker on this host can do.
func HostQueue(host string) string {
	name := strings.Trim(noneOfName.ReplaceAllString(strings.ToLower(host), "-"), "-")
	return strings.TrimRight("host-"+name[:min(len(name), 58)], "-")
}

// taskArgs are the arguments of any kind of task, as JSON.
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

// taskID returns the id of the task with a number.
func taskID(n int64) string { return "t" + strconv.FormatInt(n, 32) }

func taskNumber(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "t")
	n, err := strconv.ParseInt(digits, 32, 64)
	if !ok || err != nil || taskID(n) != id {
		return 0, ErrNotFound
	}
	return n, nil
}

// wrap says at what River failed.
func wrap(err error, what string) error {
	if errors.Is(err, rivertype.ErrNotFound) {
		return ErrNotFound
	}
	if kind := db.Fault(err); kind != nil {
		return fmt.Errorf("task: %s: %w: %w", what, kind, err)
	}
	return fmt.Errorf("task: %s: %w", what, err)
}
